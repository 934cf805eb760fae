//! Takes connections, up to a limit, and ends them when the service stops.
//!
//! **Invariants**
//! - A connection beyond the limit is closed at once: it waits in no queue, and costs those who are served nothing.
//! - No failure to take one ends the loop. Where the process has no more files, it waits and tries again.
//! - When the service stops the port is free at once; what has not ended after the time to drain is cut off.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    arrivals::{Arrivals, Turned},
    connection::Connections,
};

/// Connections that the kernel keeps for us until they are taken: a crowd that comes back at once. It has a limit of its own,
/// `net.core.somaxconn`, 4,096 by default.
const BACKLOG: u32 = 4_096;
/// Between two tries, where taking a connection failed for want of something.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between two lines in the log about the same thing.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Listens. Must be called within a tokio runtime.
///
/// # Errors
/// If the address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a service that is started again gets its port back while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves whoever connects until `shutdown`, and returns once every connection has ended, which may take as long as it takes to `drain`.
pub(super) async fn accept(
    listener: TcpListener,
    arrivals: Arc<Arrivals>,
    drain: Duration,
    connections: Arc<Connections>,
    shutdown: CancellationToken,
) {
    let (open, cut) = (TaskTracker::new(), CancellationToken::new());
    let (mut full, mut failed, mut of_one) = (Sayer::default(), Sayer::default(), Sayer::default());
    let mut pause = PAUSE_FIRST;
    while let Some(taken) = shutdown.run_until_cancelled(listener.accept()).await {
        let (stream, address) = match taken {
            Ok(taken) => taken,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) => {
                failed.say(|| warn!(%error, "no connection can be taken: raise the limit of open files"));
                drop(timeout(pause, shutdown.cancelled()).await);
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
        };
        pause = PAUSE_FIRST;
        let place = match arrivals.place(address) {
            Ok(place) => place,
            Err(why) => {
                arrivals.turned(why);
                if why == Turned::TooMany {
                    full.say(|| warn!(most = arrivals.most(), "a connection is refused: there are too many"));
                } else {
                    of_one.say(|| warn!(peer = %address, "a connection is refused: there are too many of its address"));
                }
                continue;
            }
        };
        open.spawn(Arc::clone(&connections).serve(stream, address, place, shutdown.clone(), cut.clone()));
    }
    drop(listener);
    open.close();
    if timeout(drain, open.wait()).await.is_err() {
        warn!(connections = open.len(), "what had not ended after the time to drain is cut off");
        cut.cancel();
        open.wait().await;
    }
}

/// Whether only the one who came is to blame: it was gone before it was taken.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says something now and then, however often it happens.
#[derive(Default)]
struct Sayer(Option<Instant>);

impl Sayer {
    fn say(&mut self, say: impl FnOnce()) {
        if self.0.is_none_or(|said| said.elapsed() > SAY_EVERY) {
            self.0 = Some(Instant::now());
            say();
        }
    }
}

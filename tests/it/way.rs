//! A way to the service that can be cut.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a [`Way`] is like.
#[derive(Clone, Copy, Debug)]
struct State {
    /// How often it was cut: a connection stands as long as that stays the same.
    cuts: u32,
    /// Whether it takes new connections.
    open: bool,
    /// How many it took.
    taken: u32,
}

/// Connections to it go on to the service.
pub(crate) struct Way {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Way {
    pub(crate) async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State { cuts: 0, open: true, taken: 0 });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let State { cuts, open, .. } = *shared.borrow();
                if !open {
                    continue;
                }
                shared.send_modify(|state| state.taken += 1);
                let mut state = shared.subscribe();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(service).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|state| state.cuts != cuts) => {}
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Where to connect.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection; takes new ones, or not.
    pub(crate) fn cut(&self, open: bool) {
        self.state.send_modify(|state| (state.cuts, state.open) = (state.cuts + 1, open));
    }

    /// How many connections it took.
    pub(crate) fn taken(&self) -> u32 {
        self.state.borrow().taken
    }
}

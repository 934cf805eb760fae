//! One connection: HTTP/2, with every limit said.
//!
//! **Invariants**
//! - No connection stays for ever: one that says nothing ends after 10 s, one that calls nothing after a minute, and every other of age, or
//!   once it had its grace.
//! - No call goes on for ever: it ends with the deadline of its caller, or a minute; of a stream that bounds the beginning.
//! - What is under way when it is told to go goes on until then; only the end of the service cuts it off sooner.
//!
//! We take connections ourselves because tonic's server offers neither the send buffer nor an end that is not a cut: its
//! `max_connection_age_grace` takes the GOAWAY away (measured with tonic 0.14.9).

use std::{
    convert::Infallible,
    future::{pending, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::Service};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use opentelemetry::context::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanic;
use tracing::{Instrument as _, info};

use super::{
    arrivals::{Arrival, Arrivals, Turned},
    calls::CallCounts,
    even::{Asked, Even},
    frames::Frames,
    framing::Framing,
    protocol::Protocol,
    tls::{self, Tls},
};
use crate::{
    api::{self, Gate, Panicked, Pass, Peer},
    jitter,
    lines::{Lines, Unwritten},
    trace::CallTrace,
};

/// Streams of one connection at a time.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_000;
/// Streams that a peer may make us reset before the connection ends (RUSTSEC-2024-0003).
const LOCAL_RESETS_MAX: usize = 1_024;
/// Streams that a peer may reset before we began them (CVE-2023-44487, "rapid reset").
const RESETS_PENDING_MAX: usize = 20;
/// Bytes of the metadata of a call, as HTTP/2 counts them; also bounds its CONTINUATION frames.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// `NOT_FOUND`, as gRPC writes it.
const NOT_FOUND: &[u8] = b"5";
/// How long a peer that connected may take to say something.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Between two HTTP/2 pings on a quiet connection; one that is not answered in as long ends it.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Bytes of a stream that wait for its peer before its service is asked for more. One message may be longer, and waits whole.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How long a call may take whose caller does not say: its message may be slow to come, and all that while it has a place.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// From the end of a request to the answer that it asks for what is not there: longer than it takes to find out, so that what is hidden from the caller,
/// and takes a read more, is answered at the same time as what never was (`docs/benchmarks/answers.md`).
const NOT_FOUND_AFTER: Duration = Duration::from_millis(3);
/// How much sooner or later than the others a connection ends, in percent of its age (gRFC A9).
const AGE_PERCENT: u32 = 10;

/// What answers the calls of a connection.
#[derive(Clone)]
struct Calls {
    protocol: Protocol,
    routes: CatchPanic<Routes, Panicked>,
    gate: Gate,
    counts: CallCounts,
    even: Even,
    peer: Peer,
    /// Whether somebody who is known made one.
    any: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    /// In a box, which is gone once there is an answer: it must not stay with a stream.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(refused) = self.protocol.refuse(&request, &self.peer) {
            return Box::pin(ready(Ok(refused)));
        }
        let mut counted = self.counts.begin(request.uri().path());
        let Pass { span, place, open_place, is_known, trace } = match self.gate.admit(&mut request, &self.peer) {
            Ok(admitted) => admitted,
            Err(refused) => return Box::pin(ready(Ok(counted.follow(*refused)))),
        };
        if is_known {
            // Who is not known, and only asks after our health, has no claim to a connection.
            self.any.store(true, Relaxed);
        }
        let context = trace.as_ref().and_then(CallTrace::context);
        counted.trace = trace;
        let framing = Framing::of(&request);
        counted.framing = Some(framing.clone());
        let (routes, even, asked) = (self.routes.clone(), self.even.clone(), Asked::default());
        let answer = async move {
            let _until_answered = (place, open_place);
            // A shorter one would tell by the clock of the service how long it took to find out.
            let deadline = deadline(request.headers()).unwrap_or(ANSWER_MAX).max(NOT_FOUND_AFTER);
            let request = request.map(|body| asked.note(framing.check(body)));
            let Some(answer) = within(deadline, routes.oneshot(request)).await? else {
                return Ok(counted.follow(api::deadline_passed()));
            };
            if is_not_found(&answer) {
                even.until(asked.at() + NOT_FOUND_AFTER).await;
            }
            Ok(counted.follow(answer))
        };
        let answer = answer.instrument(span);
        match context {
            Some(context) => Box::pin(answer.with_context(context)),
            None => Box::pin(answer),
        }
    }
}

/// What every connection is served with.
pub(super) struct Connections {
    http: http2::Builder<TokioExecutor>,
    routes: CatchPanic<Routes, Panicked>,
    gate: Gate,
    counts: CallCounts,
    even: Even,
    doors: Doors,
    times: Times,
}

/// What a connection passes before anything is said.
pub(super) struct Doors {
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) lines: Arc<Lines>,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Doors {
    /// One was turned away; whether that is a line in the log, and how many were none.
    fn turned(&self, why: Turned, address: SocketAddr) -> Option<Unwritten> {
        self.arrivals.turned(why);
        self.lines.one_more(address)
    }
}

/// How long a connection stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until it makes its first call, or is told to go.
    pub(super) first_call: Duration,
    /// Until it is told to go, give or take a tenth.
    pub(super) age: Duration,
    /// After that, until it is cut off: streams that nobody reads never end.
    pub(super) grace: Duration,
}

impl Connections {
    pub(super) fn new(
        routes: CatchPanic<Routes, Panicked>,
        gate: Gate,
        counts: CallCounts,
        even: Even,
        doors: Doors,
        times: Times,
    ) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        Self { http, routes, gate, counts, even, doors, times }
    }

    /// Serves one until it ends, or is cut off. Of age, or when the service stops, it is told to go (GOAWAY): what is under way goes on,
    /// and what is new goes elsewhere. It keeps its `place` until then.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        place: Arrival,
        shutdown: CancellationToken,
        cut: CancellationToken,
    ) {
        let _place = place;
        // hyper would wait for ever, and the service for hyper when it stops.
        match shutdown.run_until_cancelled(timeout(SILENCE_MAX, stream.peek(&mut [0]))).await {
            Some(Ok(Ok(1))) => {}
            Some(_) | None => return,
        }
        match &self.doors.tls {
            None => {
                // Without it calls are slower, and nothing is wrong.
                drop(stream.set_nodelay(true));
                self.speak(stream, Peer::new(address, None), shutdown, cut).await;
            }
            // In a box: whoever speaks plainly has no room for it.
            Some(tls) => Box::pin(self.encrypt(tls, stream, address, shutdown, cut)).await,
        }
    }

    async fn encrypt(
        self: &Arc<Self>,
        tls: &Tls,
        stream: TcpStream,
        address: SocketAddr,
        shutdown: CancellationToken,
        cut: CancellationToken,
    ) {
        match shutdown.run_until_cancelled(tls.handshake(stream)).await {
            Some(Ok(stream)) => {
                let peer = Peer::new(address, tls::peer_certificate(&stream));
                self.speak(stream, peer, shutdown, cut).await;
            }
            Some(Err(error)) => {
                let why = if tls::is_without_turn(&error) { Turned::NoTurn } else { Turned::NoTls };
                if let Some(unwritten) = self.doors.turned(why, address) {
                    info!(target: "audit", peer = %address, %error, unwritten, "no TLS with who connected");
                }
            }
            None => {}
        }
    }

    /// HTTP/2 on it, until it ends.
    async fn speak<S>(self: &Arc<Self>, stream: S, peer: Peer, shutdown: CancellationToken, cut: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let any = Arc::new(AtomicBool::new(false));
        let (routes, gate) = (self.routes.clone(), self.gate.clone());
        let (counts, even) = (self.counts.clone(), self.even.clone());
        let protocol = self.doors.protocol.clone();
        let calls = Calls { protocol, routes, gate, counts, even, peer, any: Arc::clone(&any) };
        let age = jitter::around(self.times.age, AGE_PERCENT);
        let flood = {
            let (this, peer) = (Arc::clone(self), calls.peer.clone());
            move || {
                if let Some(unwritten) = this.doors.turned(Turned::Flood, peer.address()) {
                    info!(target: "audit", %peer, unwritten, "cut off: it sends frames that cost it nothing without end");
                }
            }
        };
        // In a box: a future that is moved takes its room twice.
        let mut connection = Box::pin(self.http.serve_connection(TokioIo::new(Frames::new(stream, flood)), calls));
        tokio::select! {
            // How it ends is its peer's affair: most simply go.
            _ = connection.as_mut() => return,
            () = sleep(age) => {}
            () = without_call(self.times.first_call, &any) => {}
            () = shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        // Who never ended its greeting cannot be told, and who has called nothing has nothing to finish.
        let grace = if any.load(Relaxed) { self.times.grace } else { self.times.first_call.min(SILENCE_MAX) };
        tokio::select! {
            _ = connection => {}
            () = sleep(grace) => {}
            () = cut.cancelled() => {}
        }
    }
}

/// Whether it says that something is not there. An error has its code in the head.
fn is_not_found<B>(answer: &Response<B>) -> bool {
    answer.headers().get("grpc-status").is_some_and(|code| code.as_bytes() == NOT_FOUND)
}

/// Returns after that time if there was no call until then.
async fn without_call(after: Duration, any: &AtomicBool) {
    sleep(after).await;
    if any.load(Relaxed) {
        pending::<()>().await;
    }
}

/// An answer before the deadline; none if that has passed. Of a stream it bounds the beginning.
async fn within<A>(
    deadline: Duration,
    answer: impl Future<Output = Result<A, Infallible>>,
) -> Result<Option<A>, Infallible> {
    timeout(deadline, answer).await.ok().transpose()
}

/// How long a caller waits, as it says: up to 8 digits and a unit ("gRPC over HTTP2", `grpc-timeout`). What is malformed says nothing.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        let read =
            |text: &str| deadline(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]));
        let table = [
            ("2H", Some(Duration::from_hours(2))),
            ("3M", Some(Duration::from_mins(3))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("250m", Some(Duration::from_millis(250))),
            ("0u", Some(Duration::ZERO)),
            ("7n", Some(Duration::from_nanos(7))),
            ("100000000n", None),
            ("+5S", None),
            ("5", None),
            ("S", None),
            ("", None),
            ("1.5S", None),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text:?}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_no_longer_gets_nothing() {
        let answered = async |deadline| {
            let late = async {
                sleep(Duration::from_secs(5)).await;
                Ok(7)
            };
            within(deadline, late).await.unwrap()
        };
        assert_eq!(answered(Duration::from_secs(4)).await, None);
        assert_eq!(answered(Duration::from_secs(6)).await, Some(7));
    }
}

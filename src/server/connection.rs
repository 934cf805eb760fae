//! One connection: HTTP/2, with every limit said.
//!
//! **Invariants**
//! - No connection stays for ever: one that says nothing ends after 10 s, one that calls nothing after a minute, and every other of age, or
//!   once it had its grace.
//! - No call goes on for ever: it ends with the deadline of its caller, or a minute; of a stream that bounds the beginning. What comes after
//!   the answer was made is bounded by `under_way.rs`.
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
use hyper::{body, server::conn::http2, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry::context::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanic;
use tracing::{Instrument as _, info};

use super::{
    answer::{Answer, Arrived, Reply},
    arrivals::{Arrival, Arrivals, Turned},
    calls::{CallCounts, Counted},
    even::{Asked, Even, Heard},
    frames::Frames,
    framing::{Framed, Framing, READ_BYTES_MAX},
    protocol::Protocol,
    tls::{self, Tls},
    under_way::{Call, Incoming, Line, Places, Shape, Streams, UnderWay},
    web,
};
use crate::{
    access::{AccessRefusal, Admitted},
    api::{self, Gate, Panicked, Pass, Peer},
    cores::cores,
    domain::id::Caller,
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
/// Bytes of a stream that wait for its peer before its service is asked for more, by up to one piece more.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a peer may send on one stream before they are taken, and on all streams of its connection.
const RECEIVE_BYTES_MAX: u32 = 128 * 1024;
const RECEIVE_CONNECTION_BYTES_MAX: u32 = 256 * 1024;
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
    under_way: UnderWay,
    reads: Arc<Reads>,
    peer: Peer,
    line: Line,
    /// Whether somebody who is known made one.
    any: Arc<AtomicBool>,
}

/// In a box, which is gone once there is an answer: it must not stay with a stream.
type CallFuture = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

/// Limits of concurrent reads: one per processor, since more blocking threads would take it from the workers that serve short calls, and each
/// read may take 3 MiB twice until it is encoded. Editors' reads can wait for the device, so readers have a limit of their own.
#[derive(Debug)]
struct Reads {
    editors: Semaphore,
    readers: Semaphore,
}

impl Default for Reads {
    fn default() -> Self {
        let [editors, readers] = [cores(); 2].map(|cores| Semaphore::new(usize::try_from(cores.get()).unwrap_or(1)));
        Self { editors, readers }
    }
}

impl Reads {
    /// The turns for a method; none if it changes something, or has no large answer.
    fn of(&self, path: &str) -> Option<&Semaphore> {
        let (service, method) = path.trim_start_matches('/').split_once('/')?;
        let is_read = ["Get", "List", "BatchGet", "Diff", "Read"].iter().any(|verb| method.starts_with(verb));
        match service {
            _ if !is_read => None,
            api::names::EDITORIAL => Some(&self.editors),
            _ => Some(&self.readers),
        }
    }
}

impl Service<Request<body::Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = CallFuture;

    fn call(&self, mut request: Request<body::Incoming>) -> Self::Future {
        let origin = match self.protocol.pass(&mut request, &self.peer) {
            Ok(None) => return self.begin_in_turn(request),
            Ok(Some(origin)) => origin,
            Err(refused) => return Box::pin(ready(Ok(refused.map(|_| Answer::empty())))),
        };
        let answer = self.begin_in_turn(request);
        Box::pin(async move {
            let mut response = answer.await?;
            web::complete(response.headers_mut(), &origin);
            Ok(response.map(Answer::for_web))
        })
    }
}

impl Calls {
    /// Begins a call in its turn.
    fn begin_in_turn(&self, request: Request<body::Incoming>) -> CallFuture {
        // A call that is reset while it waits is counted too.
        let (came, counted) = (Instant::now(), self.counts.begin(request.uri().path()));
        let Some(turn) = self.line.turn() else { return self.begin(request, counted, came) };
        let calls = self.clone();
        Box::pin(async move {
            // Turns are given until the last connection has ended.
            turn.await.ok();
            calls.begin(request, counted, came).await
        })
    }

    /// Begins a call that arrived at `came`.
    fn begin(&self, mut request: Request<body::Incoming>, mut counted: Counted, came: Instant) -> CallFuture {
        let Pass { span, place, open_place, is_known, trace } = match self.gate.admit(&mut request, &self.peer) {
            Ok(admitted) => admitted,
            Err(refused) => return Box::pin(ready(Ok(Answer::refused(*refused, counted)))),
        };
        if is_known {
            // Who is not known, and only asks after our health, has no claim to a connection.
            self.any.store(true, Relaxed);
        }
        let context = trace.as_ref().and_then(CallTrace::context);
        counted.trace = trace;
        let framing = Framing::of(&request);
        counted.framing = Some(framing.clone());
        let caller = request.extensions().get::<Admitted>().map(|admitted| admitted.caller.clone());
        let answer = self.clone().answer(request, framing, caller, (place, open_place), counted, came).instrument(span);
        match context {
            Some(context) => Box::pin(answer.with_context(context)),
            None => Box::pin(answer),
        }
    }

    async fn answer(
        self,
        request: Request<body::Incoming>,
        framing: Framing,
        caller: Option<Caller>,
        places: Places,
        counted: Counted,
        came: Instant,
    ) -> Result<Response<Answer>, Infallible> {
        let call = self.under_way.begin(&self.line, caller, counted.shape(), places);
        let asked = Asked::default();
        // A shorter one would tell by the clock of the service how long it took to find out.
        let wait = deadline(request.headers()).unwrap_or(ANSWER_MAX).max(NOT_FOUND_AFTER);
        let deadline = came.checked_add(wait);
        let wait = wait.saturating_sub(came.elapsed());
        let request = request.map(|body| Incoming::new(asked.note(framing.check(body)), &call));
        let Some(reply) = within(wait, self.handle(request, &call)).await? else {
            return Ok(Reply::of(api::deadline_passed()).send(call, counted, deadline));
        };
        if is_not_found(&reply.head.headers) {
            self.even.until(asked.at() + NOT_FOUND_AFTER).await;
        }
        Ok(reply.send(call, counted, deadline))
    }

    /// Has the handler answer. A read takes its turn once all of its request has come, so that none waits for a peer.
    async fn handle(&self, request: Request<Body>, call: &Call) -> Result<Reply, Infallible> {
        let Some(turns) = self.reads.of(request.uri().path()) else {
            if call.shape() == Shape::Unary
                && let Err(refusal) = call.has_room_for_change()
            {
                return Ok(refused(refusal));
            }
            let response = self.routes.clone().oneshot(request).await?.map(tonic::body::Body::new);
            return Ok(made(response, call, false).await);
        };
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, Arrived::wait(body, READ_BYTES_MAX).await);
        // Never closed.
        let _turn = turns.acquire().await;
        if let Err(refusal) = call.has_room_for_read() {
            return Ok(refused(refusal));
        }
        let response = self.routes.clone().oneshot(request).await?.map(tonic::body::Body::new);
        Ok(made(response, call, true).await)
    }
}

/// The body of a request as it is counted.
type Body = Incoming<Heard<Framed<body::Incoming>>>;

fn refused(refusal: AccessRefusal) -> Reply {
    Reply::of(api::limit_reached(refusal))
}

/// What was answered, counted. What changed something is answered whether there is room or not: it has happened.
async fn made(response: Response<tonic::body::Body>, call: &Call, may_be_refused: bool) -> Reply {
    if call.shape() != Shape::Unary {
        return Reply::of(response);
    }
    match Reply::whole(response).await {
        Ok(reply) => match call.charge(reply.len(), may_be_refused) {
            Ok(()) => reply,
            Err(refusal) => refused(refusal),
        },
        Err(status) => Reply::of(status.into_http()),
    }
}

/// What every connection is served with.
pub(super) struct Connections {
    http: http2::Builder<Streams>,
    routes: CatchPanic<Routes, Panicked>,
    gate: Gate,
    counts: CallCounts,
    even: Even,
    under_way: UnderWay,
    reads: Arc<Reads>,
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
        under_way: UnderWay,
        doors: Doors,
        times: Times,
    ) -> Self {
        let mut http = http2::Builder::new(Streams);
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_stream_window_size(RECEIVE_BYTES_MAX)
            .initial_connection_window_size(RECEIVE_CONNECTION_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        Self { http, routes, gate, counts, even, under_way, reads: Arc::default(), doors, times }
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
        let (under_way, reads, line) = (self.under_way.clone(), Arc::clone(&self.reads), self.under_way.line());
        let (stalled, stream) = (line.cut.clone(), line.ends_in_turn(stream));
        let calls = Calls { protocol, routes, gate, counts, even, under_way, reads, peer, line, any: Arc::clone(&any) };
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
            () = stalled.cancelled() => return,
            () = sleep(age) => {}
            () = without_call(self.times.first_call, &any) => {}
            () = shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        // Who never ended its greeting cannot be told, and who has called nothing has nothing to finish.
        let grace = if any.load(Relaxed) { self.times.grace } else { self.times.first_call.min(SILENCE_MAX) };
        tokio::select! {
            _ = connection => {}
            () = stalled.cancelled() => {}
            () = sleep(grace) => {}
            () = cut.cancelled() => {}
        }
    }
}

/// Whether it says that something is not there. An error has its code in the head.
fn is_not_found(headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|code| code.as_bytes() == NOT_FOUND)
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
    use crate::access::METHODS;

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

    #[test]
    fn a_read_takes_a_turn_and_a_change_does_not() {
        let reads = Reads::default();
        let paths = METHODS.iter().map(|method| method.path);
        let turns = |path: &&str| reads.of(&format!("/{path}")).is_some();
        let (with, without): (Vec<_>, Vec<_>) = paths.partition(turns);
        let method = |path: &str| path.split_once('/').unwrap().1.to_owned();
        for path in &with {
            assert!(
                ["Get", "List", "Batch", "Diff", "Read"].iter().any(|verb| method(path).starts_with(verb)),
                "{path}"
            );
        }
        let others = without.iter().map(|path| method(path)).collect::<Vec<_>>();
        for verb in ["Get", "List", "Batch", "Diff", "Read"] {
            assert!(others.iter().all(|other| !other.starts_with(verb)), "{others:?}");
        }
        assert!(with.len() > 12 && reads.of("/grpc.health.v1.Health/Check").is_none());
        let editors = reads.of("/onrecord.v1.EditorialService/GetDraft").unwrap();
        assert!(std::ptr::eq(editors, &raw const reads.editors));
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

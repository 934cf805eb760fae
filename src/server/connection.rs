//! One connection: HTTP/2, with every limit said.
//!
//! We take connections ourselves because tonic's server offers neither the send buffer nor an end that is not a cut: its
//! `max_connection_age_grace` takes the GOAWAY away (measured with tonic 0.14.9).

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::{
    body::{Body as HttpBody, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};
use tower::{BoxError, Layer as _, ServiceExt as _};
use tower_http::catch_panic::{CatchPanic, CatchPanicLayer};

use crate::{
    api::{self, Panicked},
    jitter,
};

/// Streams of one connection at a time.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_000;
/// Streams that a peer may make us reset before the connection ends (RUSTSEC-2024-0003).
const LOCAL_RESETS_MAX: usize = 1_024;
/// Between two HTTP/2 pings on a quiet connection; a peer that does not answer one in as long is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Bytes of a stream that wait for its peer before its service is asked for more. One message may be longer, and waits whole.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How much sooner or later than the others a connection ends, in percent of its age (gRFC A9).
const AGE_PERCENT: u32 = 10;

/// What answers a call.
type Calls = CatchPanic<Routes, Panicked>;

/// What every connection is served with.
#[derive(Clone)]
pub(super) struct Connections {
    http: http2::Builder<TokioExecutor>,
    calls: Calls,
    age: Duration,
}

impl Connections {
    /// Each is told to go when it is of this age, give or take a tenth.
    pub(super) fn new(routes: Routes, age: Duration) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        let calls = CatchPanicLayer::custom(Panicked).layer(routes.prepare());
        Self { http, calls, age }
    }

    /// Serves one until it ends, or is cut off. Of age, or when the service stops, it is told to go (GOAWAY): what is under way goes on,
    /// and what is new goes elsewhere. It keeps its `place` until then.
    pub(super) fn serve(
        &self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        shutdown: CancellationToken,
        cut: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        // Without it a call is as slow as without, and nothing is wrong.
        drop(stream.set_nodelay(true));
        let calls = self.calls.clone();
        // Each in a box of its own: what answered a stream must not stay with it, and a future that is moved takes its room twice.
        let service = service_fn(move |request: Request<Incoming>| Box::pin(answer(calls.clone(), request)));
        let mut connection = Box::pin(self.http.serve_connection(TokioIo::new(stream), service));
        let age = jitter::around(self.age, AGE_PERCENT);
        async move {
            let _place = place;
            tokio::select! {
                // How it ends is its peer's affair: most simply go.
                _ = connection.as_mut() => return,
                () = sleep(age) => {}
                () = shutdown.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = cut.cancelled() => {}
            }
        }
    }
}

/// Answers one call.
async fn answer(calls: Calls, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let deadline = deadline(request.headers());
    within(deadline, calls.oneshot(request)).await
}

/// An answer before the deadline, or that it has passed. Of a stream it bounds the beginning.
async fn within<B>(
    deadline: Option<Duration>,
    answer: impl Future<Output = Result<Response<B>, Infallible>>,
) -> Result<Response<Body>, Infallible>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Some(deadline) = deadline else { return Ok(answer.await?.map(Body::new)) };
    match timeout(deadline, answer).await {
        Ok(answer) => Ok(answer?.map(Body::new)),
        Err(_) => Ok(api::deadline_passed()),
    }
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
    async fn whoever_waits_no_longer_is_told() {
        let code = async |deadline| {
            let late = async {
                sleep(Duration::from_secs(5)).await;
                Ok(Response::new(Body::empty()))
            };
            let answer = within(deadline, late).await.unwrap();
            answer.headers().get("grpc-status").map(|code| code.to_str().unwrap().to_owned())
        };
        assert_eq!(code(Some(Duration::from_secs(4))).await.as_deref(), Some("4"), "DEADLINE_EXCEEDED");
        assert_eq!(code(Some(Duration::from_secs(6))).await, None);
        assert_eq!(code(None).await, None);
    }
}

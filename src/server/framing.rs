//! Checks how the messages of a request are framed ("gRPC over HTTP2", `Length-Prefixed-Message`), while its bytes arrive.
//!
//! tonic takes a second message of a unary call without a word, and answers every other fault here with a status of its own: INTERNAL, or
//! `OUT_OF_RANGE` for what is too long, without details. INTERNAL is left to faults of the service.
//!
//! **Invariants**
//! - A request whose framing is wrong runs nothing, and is answered with its fault
//!   (`a_request_that_is_no_message_is_refused_with_code_reason_and_details`).

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic_health::pb::health_server::HealthServer;

use crate::api::{RequestFault, names::EDITORIAL};

/// Bytes of a request of an editor: the longest text with room for its frame.
const EDITOR_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a request of a reader or a subscriber: the longest lists of names and filters, with room.
pub(super) const READ_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a health check: more than the longest name. Anybody may ask, and each may have one under way for as long as it likes.
const HEALTH_BYTES_MAX: usize = 1024;
/// Bytes before each message: a flag that says whether it is compressed, and its length.
const HEAD_BYTES: u8 = 5;

/// Bytes that a request message of a service may have, compressed and decompressed.
pub(super) fn message_bytes_max(service: &str) -> usize {
    match service {
        EDITORIAL => EDITOR_BYTES_MAX,
        HEALTH => HEALTH_BYTES_MAX,
        _ => READ_BYTES_MAX,
    }
}

/// `grpc.health.v1.Health`
pub(super) const HEALTH: &str = <HealthServer<()> as tonic::server::NamedService>::NAME;

/// The end of the names of the reflection services, which alone take streams of messages.
pub(super) const REFLECTION: &str = "ServerReflection";

/// The check of one request. Clones share what was found.
#[derive(Clone, Debug)]
pub(super) struct Framing(Arc<Found>);

#[derive(Debug)]
struct Found {
    message_bytes_max: usize,
    /// Whether the method takes a stream of messages, not exactly one.
    takes_many: bool,
    /// Whether the request names an encoding, so that its messages may be compressed.
    is_encoded: bool,
    fault: OnceLock<RequestFault>,
    /// Whether all of the request was read.
    ended: AtomicBool,
}

impl Framing {
    /// The check that a request needs, by its method and headers.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let encoding = request.headers().get("grpc-encoding");
        Self(Arc::new(Found {
            message_bytes_max: message_bytes_max(service),
            takes_many: service.ends_with(REFLECTION),
            is_encoded: encoding.is_some_and(|name| name.as_bytes() != b"identity"),
            fault: OnceLock::new(),
            ended: AtomicBool::new(false),
        }))
    }

    /// Checks the body of the request.
    pub(super) fn check<B>(&self, body: B) -> Framed<B> {
        Framed { body, framing: self.clone(), messages: 0, head_bytes: 0, length: 0, left: 0 }
    }

    /// What was wrong with the request. Nothing may be wrong yet if it was not read to its end.
    pub(super) fn fault(&self) -> Option<RequestFault> {
        self.0.fault.get().copied()
    }

    /// Whether all of the request was read.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Relaxed)
    }

    /// Bytes that a message of the request may have.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.0.message_bytes_max
    }
}

/// A body whose framing is checked. Ends with an error at the first fault.
#[derive(Debug)]
pub(super) struct Framed<B> {
    body: B,
    framing: Framing,
    messages: u64,
    /// Bytes of the head of the next message that have come.
    head_bytes: u8,
    /// Its length, as far as that has come.
    length: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

/// Ends a body. What the caller is told is in its [`Framing`].
#[derive(Debug, thiserror::Error)]
#[error("the framing of the request is wrong")]
pub(super) struct Misframed;

impl<B> Framed<B> {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), RequestFault> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.split_at(taken).1;
                continue;
            }
            self.take_of_head(*first)?;
            bytes = rest;
        }
        Ok(())
    }

    fn take_of_head(&mut self, byte: u8) -> Result<(), RequestFault> {
        let Found { message_bytes_max, takes_many, is_encoded, .. } = *self.framing.0;
        if self.head_bytes == 0 {
            self.messages += 1;
            match byte {
                0 => {}
                1 if is_encoded => {}
                1 => return Err(RequestFault::EncodingMissing),
                flag => return Err(RequestFault::FlagUnknown { flag }),
            }
            if self.messages > 1 && !takes_many {
                return Err(RequestFault::SecondMessage);
            }
        } else {
            self.length = self.length << 8 | usize::from(byte);
        }
        self.head_bytes += 1;
        if self.head_bytes == HEAD_BYTES {
            (self.left, self.head_bytes, self.length) = (self.length, 0, 0);
        }
        if self.left > message_bytes_max {
            return Err(RequestFault::TooLong { bytes: Some(self.left), bytes_max: message_bytes_max });
        }
        Ok(())
    }

    /// Whether the request may end here.
    fn end(&self) -> Result<(), RequestFault> {
        if self.left > 0 || self.head_bytes > 0 {
            return Err(RequestFault::Truncated);
        }
        if self.messages == 0 && !self.framing.0.takes_many { Err(RequestFault::MessageMissing) } else { Ok(()) }
    }

    /// Notes what was found.
    fn found(&self, checked: Result<(), RequestFault>) -> Result<(), Misframed> {
        checked.map_err(|fault| {
            // The first counts.
            let _ = self.framing.0.fault.set(fault);
            Misframed
        })
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Framed<B> {
    type Data = Bytes;
    type Error = Misframed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Misframed>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Poll::Ready(self.found(Err(RequestFault::Broken)).err().map(Err)),
            None => {
                let ends = self.found(self.end());
                self.framing.0.ended.store(true, Relaxed);
                return Poll::Ready(ends.err().map(Err));
            }
        };
        let checked = if let Some(data) = frame.data_ref() {
            self.take(data)
        } else {
            // Nothing comes after trailers, and whoever reads may not ask for it.
            self.framing.0.ended.store(true, Relaxed);
            self.end()
        };
        Poll::Ready(Some(self.found(checked).map(|()| frame)))
    }

    /// Not before it was checked: of what says so at once nothing is read.
    fn is_end_stream(&self) -> bool {
        self.framing.has_ended() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is found in bytes that come in pieces of this size.
#[cfg(any(test, fuzzing))]
fn found(request: &Request<()>, bytes: &[u8], size: usize) -> Option<RequestFault> {
    let mut framed = Framing::of(request).check(());
    let taken = bytes.chunks(size).try_for_each(|chunk| framed.take(chunk));
    taken.and_then(|()| framed.end()).err()
}

/// What a fuzzer drives: the same is found however the bytes are cut.
///
/// # Panics
/// If it is not.
#[cfg(any(test, fuzzing))]
pub fn fuzz(input: &[u8]) {
    let requests = [
        Request::post("/onrecord.v1.StatementService/GetStatement"),
        Request::post("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").header("grpc-encoding", "gzip"),
    ];
    for request in requests.into_iter().filter_map(|request| request.body(()).ok()) {
        let whole = found(&request, input, input.len().max(1));
        for size in [1, 3, 7] {
            assert_eq!(found(&request, input, size), whole, "in pieces of {size}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, bytes: &[u8], expected: Option<RequestFault>) {
        for size in 1..=bytes.len().max(1) {
            assert_eq!(found(&Request::post(path).body(()).unwrap(), bytes, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let unary = "/onrecord.v1.StatementService/GetStatement";
        check(unary, &[0, 0, 0, 0, 3, 1, 2, 3], None);
        check(unary, &[0, 0, 0, 0, 0], None);
        check(unary, &[], Some(RequestFault::MessageMissing));
        check(unary, &[0, 0, 0], Some(RequestFault::Truncated));
        check(unary, &[0, 0, 0, 0, 3, 1, 2], Some(RequestFault::Truncated));
        check(unary, &[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], Some(RequestFault::SecondMessage));
        check(unary, &[1, 0, 0, 0, 0], Some(RequestFault::EncodingMissing));
        check(unary, &[2, 0, 0, 0, 0], Some(RequestFault::FlagUnknown { flag: 2 }));
        let long = RequestFault::TooLong { bytes: Some(0x0004_0001), bytes_max: READ_BYTES_MAX };
        check(unary, &[0, 0, 4, 0, 1], Some(long));
        let many = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        check(many, &[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], None);
        check(many, &[], None);
    }
}

//! Refusals of requests that never reach a handler: their framing, their encoding, their method. Every status without details, as libraries
//! build them, is completed here.

use http::{HeaderMap, HeaderName};
use tonic::{Code, Status};

use super::{Answer, Reason};
use crate::access::Limit;

/// What is wrong with the messages of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// It ended with an error of HTTP/2, as when its caller resets it.
    Broken,
    /// It ended within a message.
    Truncated,
    /// It has no message, and the method takes one.
    MessageMissing,
    /// It has a second message, and the method takes one.
    SecondMessage,
    /// The flag before a message is neither 0 nor 1.
    FlagUnknown {
        /// What it is.
        flag: u8,
    },
    /// The flag says that a message is compressed, and `grpc-encoding` does not say how.
    EncodingMissing,
    /// A message is too long, compressed or decompressed.
    TooLong {
        /// Its bytes, if they are known.
        bytes: Option<usize>,
        /// Bytes that it may have.
        bytes_max: usize,
    },
    /// A message has too many fields.
    TooManyFields {
        /// Fields that it may have.
        most: usize,
    },
    /// A message is no protobuf of its type, or cannot be decompressed.
    Undecodable,
}

impl From<RequestFault> for Status {
    fn from(fault: RequestFault) -> Self {
        fault.answer().into_status()
    }
}

impl RequestFault {
    fn answer(self) -> Answer {
        let malformed = |reason: Reason, words: &str| Answer::new(Code::InvalidArgument, reason, words);
        match self {
            Self::Broken => {
                Answer::new(Code::Cancelled, Reason::RequestBroken, "the request ended with an error of HTTP/2")
            }
            Self::Truncated => malformed(Reason::MessageTruncated, "the request ends within a message"),
            Self::EncodingMissing => malformed(
                Reason::CompressionFlagInvalid,
                "a message is flagged as compressed, and `grpc-encoding` does not say how",
            ),
            Self::FlagUnknown { flag } => malformed(
                Reason::CompressionFlagInvalid,
                &format!("the flag before a message must be 0 or 1, not {flag}"),
            ),
            Self::Undecodable => {
                malformed(Reason::MessageUndecodable, "a message is no protobuf of its type, or cannot be decompressed")
            }
            // gRPC, "Status codes": "Request cardinality violation".
            Self::MessageMissing => Answer::new(
                Code::Unimplemented,
                Reason::MessageMissing,
                "the method takes one message; the request has none",
            ),
            Self::SecondMessage => Answer::new(
                Code::Unimplemented,
                Reason::SecondMessage,
                "the method takes one message; the request has more",
            ),
            Self::TooLong { bytes, bytes_max } => too_long(bytes, bytes_max),
            Self::TooManyFields { most } => {
                let words = format!(
                    "a request message may have {most} fields, those of its messages included; this one has more"
                );
                let answer = Answer::new(Code::ResourceExhausted, Reason::MessageTooLong, words);
                answer.with_limit(Limit::MessageFields, &most)
            }
        }
    }
}

fn too_long(bytes: Option<usize>, bytes_max: usize) -> Answer {
    let has = bytes.map_or_else(|| "has more when it is decompressed".to_owned(), |bytes| format!("has {bytes}"));
    let words = format!("a request message of this service may have {bytes_max} bytes; this one {has}");
    let answer = Answer::new(Code::ResourceExhausted, Reason::MessageTooLong, words);
    answer.with_limit(Limit::MessageBytes, &bytes_max)
}

/// Encodings that a request may have, as tonic answers where it has another one.
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Completes the head of an answer to a request of which messages may have so many bytes. A refusal of a request with a fault becomes that
/// of the fault; one without details gets its code, reason and details.
pub fn complete_head(head: &mut HeaderMap, fault: Option<RequestFault>, bytes_max: usize) {
    let Some(code) = code(head).filter(|code| *code != Code::Ok) else { return };
    if let Some(fault) = fault {
        return replace(head, fault.answer());
    }
    if head.contains_key(Status::GRPC_STATUS_DETAILS) {
        return;
    }
    // Before a handler runs, tonic reads and decodes all of the request: it is what fails there, and a handler has details.
    let answer = match code {
        Code::Unimplemented if head.contains_key(ACCEPTED) => {
            Answer::new(code, Reason::EncodingUnsupported, "a request may be compressed with gzip, or not at all")
        }
        Code::Unimplemented => Answer::new(code, Reason::MethodUnknown, "the service has no such method"),
        Code::Internal => RequestFault::Undecodable.answer(),
        Code::ResourceExhausted | Code::OutOfRange => too_long(None, bytes_max),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => unexplained(head, code),
    };
    replace(head, answer);
}

/// Completes the trailers of an answer, as [`complete_head`] does. `has_ended` says whether all of the request was read: a handler that
/// ends well without that met a message that it could not decode, as that of reflection does without a word.
pub fn complete_trailers(trailers: &mut HeaderMap, fault: Option<RequestFault>, has_ended: bool) {
    let fault = fault.or((!has_ended).then_some(RequestFault::Undecodable));
    match code(trailers) {
        Some(Code::Ok) => {
            if let Some(fault) = fault {
                replace(trailers, fault.answer());
            }
        }
        Some(code) if !trailers.contains_key(Status::GRPC_STATUS_DETAILS) => {
            let answer = unexplained(trailers, code);
            replace(trailers, answer);
        }
        Some(_) | None => {}
    }
}

/// Completes a refusal of a library, with its own words.
fn unexplained(headers: &HeaderMap, code: Code) -> Answer {
    let status = Status::from_header_map(headers);
    let words = status.as_ref().map_or("", |status| status.message());
    let reason = match code {
        Code::NotFound => Reason::NotFound,
        Code::InvalidArgument => Reason::InvalidArgument,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::Internal => Reason::Internal,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Reason::LibraryError,
    };
    Answer::new(code, reason, if words.is_empty() { code.description() } else { words })
}

fn code(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes()))
}

fn replace(headers: &mut HeaderMap, answer: Answer) {
    // Of base64 and escaped words: it has a place in any header.
    drop(answer.into_status().add_header(headers));
}

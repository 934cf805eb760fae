//! The messages of `Subscribe` as gRPC frames them (length-prefixed messages, "gRPC over HTTP2"). A long text is not copied: all streams
//! send slices of the bytes that were encoded once.
//!
//! ```text
//! flag length | key length | delivery: filter_change, event │ key length filter_change │ event, shared │ cursor tail more
//! └───────────── copied, in one buffer ─────────────────────────────────┘              └─── copied ────┘
//! ```
//!
//! **Invariants**
//! - A message in pieces is, byte for byte, the message that prost would encode (`pieces_are_the_message_that_prost_encodes`).

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut as _, Bytes};
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Frame};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, int32, key_len},
};
use tokio_stream::Stream as _;
use tonic::Status;

use super::{delivery::FILTER_CHANGE, to_proto, v1};
use crate::feed::{Delivery, Message, Messages};

/// Bytes from which on an event or a part of a snapshot is shared. Shorter ones are copied together: that is faster, and makes fewer frames.
const LONG_BYTES: usize = 16 * 1024;
/// Bytes of a gRPC message before its payload: no compression, and its length.
const HEAD_BYTES: usize = 5;

/// Bytes of a key and a length, at most.
const FIELD_BYTES_MAX: usize = 16;

/// Numbers of fields in `proto/onrecord/v1/feed_service.proto`: of `SubscribeResponse`, and of `EventBatch`.
const SNAPSHOT: u32 = 2;
const EVENT_BATCH: u32 = 4;
const DELIVERIES: u32 = 1;

/// The body of the answer to `Subscribe`.
pub(super) struct SubscribeBody {
    messages: Messages,
    /// What is left of a message.
    pieces: VecDeque<Bytes>,
    has_ended: bool,
}

impl SubscribeBody {
    pub(super) fn new(messages: Messages) -> Self {
        Self { messages, pieces: VecDeque::new(), has_ended: false }
    }
}

impl Body for SubscribeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        let Some(message) = ready!(Pin::new(&mut self.messages).poll_next(context)) else {
            self.has_ended = true;
            let ok = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
            return Poll::Ready(Some(Ok(Frame::trailers(ok))));
        };
        self.pieces = pieces(message);
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

/// A message, framed. At least one piece, none of them empty.
fn pieces(message: Message) -> VecDeque<Bytes> {
    match message {
        Message::Batch { deliveries, cursor, tail, more } if deliveries.iter().any(is_long) => {
            let rest = v1::EventBatch { deliveries: Vec::new(), cursor, tail, more };
            batch(&deliveries, &rest)
        }
        Message::Snapshot(part) if part.bytes().len() >= LONG_BYTES => {
            let mut pieces = Pieces::of_message(SNAPSHOT, part.bytes().len());
            pieces.share(part.bytes());
            pieces.finish()
        }
        Message::Opened { .. }
        | Message::Snapshot(_)
        | Message::SnapshotEnd { .. }
        | Message::Batch { .. }
        | Message::Heartbeat { .. }
        | Message::Closing { .. } => copied(&to_proto::message(message)),
    }
}

fn is_long(delivery: &Delivery) -> bool {
    delivery.bytes().len() >= LONG_BYTES
}

fn copied(message: &v1::SubscribeResponse) -> VecDeque<Bytes> {
    let length = message.encoded_len();
    let mut pieces = Pieces::of_payload(length, length);
    message.encode_raw(&mut pieces.copied);
    pieces.finish()
}

/// The deliveries of a batch, and the rest of it: a message is the concatenation of its fields.
fn batch(deliveries: &[Delivery], rest: &v1::EventBatch) -> VecDeque<Bytes> {
    let filter_change = |delivery: &Delivery| i32::from(to_proto::filter_change(delivery.filter_change));
    let length =
        |delivery: &Delivery| int32::encoded_len(FILTER_CHANGE, &filter_change(delivery)) + delivery.bytes().len();
    let field = |delivery: &Delivery| key_len(DELIVERIES) + length_len(length(delivery)) + length(delivery);
    let mut pieces = Pieces::of_message(EVENT_BATCH, deliveries.iter().map(field).sum::<usize>() + rest.encoded_len());
    for delivery in deliveries {
        pieces.begin(DELIVERIES, length(delivery));
        int32::encode(FILTER_CHANGE, &filter_change(delivery), &mut pieces.copied);
        if is_long(delivery) {
            pieces.share(delivery.bytes());
        } else {
            pieces.copied.put_slice(delivery.bytes());
        }
    }
    rest.encode_raw(&mut pieces.copied);
    pieces.finish()
}

fn length_len(length: usize) -> usize {
    encoded_len_varint(wide(length))
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A message under construction.
struct Pieces {
    done: VecDeque<Bytes>,
    copied: Vec<u8>,
}

impl Pieces {
    /// A gRPC message of `length` bytes, with room for `room` of them in the first piece.
    fn of_payload(length: usize, room: usize) -> Self {
        let mut copied = Vec::with_capacity(HEAD_BYTES + room);
        copied.put_u8(0);
        // A message is at most a part of a commit: far below 4 GiB.
        copied.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        Self { done: VecDeque::new(), copied }
    }

    /// A `SubscribeResponse` with one field of `length` bytes.
    fn of_message(field: u32, length: usize) -> Self {
        let mut pieces = Self::of_payload(key_len(field) + length_len(length) + length, FIELD_BYTES_MAX);
        pieces.begin(field, length);
        pieces
    }

    /// The key and the length of a field that is a message.
    fn begin(&mut self, field: u32, length: usize) {
        encode_key(field, WireType::LengthDelimited, &mut self.copied);
        encode_varint(wide(length), &mut self.copied);
    }

    /// Adds bytes without copying them.
    fn share(&mut self, bytes: &Bytes) {
        self.flush();
        self.done.push_back(bytes.clone());
    }

    fn flush(&mut self) {
        if !self.copied.is_empty() {
            self.done.push_back(mem::take(&mut self.copied).into());
        }
    }

    fn finish(mut self) -> VecDeque<Bytes> {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{FilterChange, Part, fixture};

    fn encoded(message: Message) -> Vec<u8> {
        let message = to_proto::message(message);
        let mut bytes = vec![0];
        bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut bytes).unwrap();
        bytes
    }

    fn check(message: &Message, shared: usize) {
        let pieces = pieces(message.clone());
        assert_eq!(pieces.iter().flatten().copied().collect::<Vec<_>>(), encoded(message.clone()));
        assert_eq!(pieces.iter().filter(|piece| piece.len() >= LONG_BYTES).count(), shared);
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
    }

    #[test]
    fn pieces_are_the_message_that_prost_encodes() {
        let batch = |bytes: &[usize], cursor: &str, more| Message::Batch {
            deliveries: (1..).zip(bytes).map(|(n, bytes)| fixture::delivery(n, *bytes, FilterChange::Stayed)).collect(),
            cursor: cursor.to_owned(),
            tail: 9,
            more,
        };
        check(&batch(&[10, 200], "cursor", false), 0);
        check(&batch(&[700_000], "cursor", false), 1);
        check(&batch(&[10, 40_000, 10, 20, 16 * 1024, 30_000], "cursor", false), 3);
        check(&batch(&[40_000, 10], "", true), 1);
        let left = Message::Batch {
            deliveries: vec![fixture::delivery(1, 40_000, FilterChange::Left)],
            cursor: String::new(),
            tail: 2,
            more: false,
        };
        check(&left, 0);
        check(&Message::Snapshot(Part::last(vec![1; 300_000])), 1);
        check(&Message::Snapshot(Part::last(vec![1; 100])), 0);
        check(&Message::SnapshotEnd { cursor: "cursor".to_owned(), item_count: 3 }, 0);
    }

    #[test]
    fn a_long_text_is_not_copied() {
        let delivery = fixture::delivery(1, 40_000, FilterChange::Stayed);
        let place = delivery.bytes().as_ptr();
        let message = Message::Batch { deliveries: vec![delivery], cursor: String::new(), tail: 2, more: false };
        assert!(pieces(message).iter().any(|piece| piece.as_ptr() == place));
    }
}

//! A cursor: an opaque, versioned resume token.
//!
//! ```text
//! 0         1         17      21     29             37            41       45
//! | version | feed id | epoch | next | prefix       | fingerprint | crc32c |      base64url without padding: 60 characters
//! ```
//!
//! `next` is the sequence that comes next; `prefix` begins the hash of the event before it, and so stands for the whole history;
//! `fingerprint` stands for the filter. Numbers are big-endian.
//!
//! **Invariants**
//! - What was not written by [`Cursor::encode`] is not read (`a_damaged_cursor_is_not_read`).
//! - A cursor survives the round trip (`a_cursor_survives_the_round_trip`).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{refusal::FeedRefusal, selection::Fingerprint};
use crate::{
    domain::{digest::Digest, subscription::Point},
    journal::Identity,
};

/// The first byte. Another layout takes another one.
const VERSION: u8 = 1;
/// Bytes of a cursor.
const CURSOR_BYTES: usize = 45;
/// Bytes of it that the checksum covers.
const BODY_BYTES: usize = CURSOR_BYTES - 4;

/// A place in a feed as one subscriber saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    identity: Identity,
    next: u64,
    prefix: [u8; 8],
    fingerprint: Fingerprint,
}

impl Cursor {
    pub(super) fn new(identity: Identity, point: Point, fingerprint: Fingerprint) -> Self {
        Self { identity, next: point.next, prefix: prefix(point.hash), fingerprint }
    }

    /// The sequence that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether it was made by this feed, for this filter.
    pub(super) fn check_origin(&self, identity: Identity, fingerprint: Fingerprint) -> Result<(), FeedRefusal> {
        if self.identity.feed_id != identity.feed_id {
            return Err(FeedRefusal::CursorDiverged);
        }
        if self.fingerprint != fingerprint {
            return Err(FeedRefusal::FilterChanged);
        }
        Ok(())
    }

    /// Whether this node can still get to it. A cursor beyond the tail can be waited for, unless the feed was restored from a
    /// backup after it was made: then what it saw is lost.
    pub(super) fn check_reach(&self, identity: Identity, tail: u64) -> Result<(), FeedRefusal> {
        if self.next <= tail {
            return Ok(());
        }
        let lost = self.identity.epoch < identity.epoch;
        Err(if lost { FeedRefusal::CursorDiverged } else { FeedRefusal::ReplicaBehind })
    }

    /// Whether it saw the history that ends in the event with this hash.
    pub(super) fn saw(&self, hash: Digest) -> bool {
        self.prefix == prefix(hash)
    }

    /// The text that a subscriber keeps.
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(CURSOR_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.identity.feed_id);
        bytes.extend_from_slice(&self.identity.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.next.to_be_bytes());
        bytes.extend_from_slice(&self.prefix);
        bytes.extend_from_slice(&self.fingerprint.0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote; else says what is wrong.
    pub(super) fn decode(text: &str) -> Result<Self, &'static str> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| "it is not base64url without padding")?;
        let (version, _) = bytes.split_first().ok_or("it is empty")?;
        if *version != VERSION {
            return Err("its version is not known");
        }
        let bytes: &[u8; CURSOR_BYTES] = bytes.as_slice().try_into().map_err(|_| "its length is wrong")?;
        let (body, sum) = bytes.split_at(BODY_BYTES);
        if crc32c::crc32c(body).to_be_bytes() != *sum {
            return Err("its checksum is wrong");
        }
        Self::parse(body).ok_or("it has no place")
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let (_version, rest) = body.split_first()?;
        let (feed_id, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (next, rest) = rest.split_first_chunk()?;
        let (prefix, rest) = rest.split_first_chunk()?;
        let fingerprint = Fingerprint(rest.try_into().ok()?);
        let identity = Identity { feed_id: *feed_id, epoch: u32::from_be_bytes(*epoch) };
        let next = u64::from_be_bytes(*next);
        (next > 0).then_some(Self { identity, next, prefix: *prefix, fingerprint })
    }
}

fn prefix(hash: Digest) -> [u8; 8] {
    let (prefix, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
    *prefix
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn cursors()(
            feed_id in any::<[u8; 16]>(),
            epoch in any::<u32>(),
            next in 1..=u64::MAX,
            hash in any::<[u8; 32]>(),
            fingerprint in any::<[u8; 4]>(),
        ) -> Cursor {
            Cursor::new(Identity { feed_id, epoch }, Point { next, hash: hash.into() }, Fingerprint(fingerprint))
        }
    }

    proptest! {
        #[test]
        fn a_cursor_survives_the_round_trip(cursor in cursors()) {
            let text = cursor.encode();
            prop_assert_eq!(text.len(), 60);
            prop_assert_eq!(Cursor::decode(&text), Ok(cursor));
        }

        #[test]
        fn a_damaged_cursor_is_not_read(cursor in cursors(), place in 0..CURSOR_BYTES, flip in 1..=u8::MAX) {
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor.encode()).unwrap();
            bytes[place] ^= flip;
            prop_assert!(Cursor::decode(&BASE64_URL_SAFE_NO_PAD.encode(&bytes)).is_err());
            bytes.truncate(place);
            prop_assert!(Cursor::decode(&BASE64_URL_SAFE_NO_PAD.encode(&bytes)).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            prop_assert!(Cursor::decode(&text).is_err());
        }
    }

    #[test]
    fn a_cursor_names_its_fault() {
        let identity = Identity { feed_id: [7; 16], epoch: 1 };
        let nowhere = Cursor::new(identity, Point { next: 0, hash: Digest::ZERO }, Fingerprint([0; 4]));
        let mut newer = BASE64_URL_SAFE_NO_PAD.decode(nowhere.encode()).unwrap();
        newer[0] = VERSION + 1;
        let table = [
            ("", "it is empty"),
            ("not a cursor", "it is not base64url without padding"),
            ("AQ", "its length is wrong"),
            (&BASE64_URL_SAFE_NO_PAD.encode(newer), "its version is not known"),
            (&nowhere.encode(), "it has no place"),
        ];
        for (text, fault) in table {
            assert_eq!(Cursor::decode(text), Err(fault), "{text}");
        }
    }
}

//! A cursor: an opaque, versioned resume token.
//!
//! ```text
//! 0         1         17      21              29           37            41         45
//! | version | feed id | epoch | next sequence | prefix     | filter      | crc32c   |    base64url, 60 characters
//! ```
//!
//! `prefix` is the beginning of the hash of the event before `next`: a cursor whose prefix is not ours has seen another history.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::filter::Filter;
use crate::{
    domain::{content::canonical_json, digest::Digest},
    journal::{EventRecord, Identity},
};

const VERSION: u8 = 1;

/// Which filter a cursor belongs to. The order of a filter's values does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 4]);

impl Fingerprint {
    pub(super) fn of(filter: &Filter, include_embargoed: bool) -> Self {
        let digest = Digest::of(&[&canonical_json(&filter.sorted()), &[u8::from(include_embargoed)]]);
        Self(first(digest))
    }
}

/// A place in the feed, and the history before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    feed_id: [u8; 16],
    epoch: u32,
    next: u64,
    prefix: [u8; 8],
    fingerprint: Fingerprint,
}

impl Cursor {
    pub(super) fn new(identity: Identity, next: u64, hash_before: Digest, fingerprint: Fingerprint) -> Self {
        Self { feed_id: identity.feed_id, epoch: identity.epoch, next, prefix: first(hash_before), fingerprint }
    }

    /// The place after an event.
    pub(super) fn after(self, record: &EventRecord) -> Self {
        Self { next: record.event.head.sequence + 1, prefix: first(record.hash), ..self }
    }

    /// The sequence that comes next.
    pub(super) fn next(self) -> u64 {
        self.next
    }

    pub(super) fn epoch(self) -> u32 {
        self.epoch
    }

    pub(super) fn is_of(self, feed_id: [u8; 16]) -> bool {
        self.feed_id == feed_id
    }

    pub(super) fn has(self, fingerprint: Fingerprint) -> bool {
        self.fingerprint == fingerprint
    }

    pub(super) fn same_history(self, other: &Self) -> bool {
        self.next == other.next && self.prefix == other.prefix
    }

    pub(super) fn encode(self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.feed_id);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.next.to_be_bytes());
        bytes.extend_from_slice(&self.prefix);
        bytes.extend_from_slice(&self.fingerprint.0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor; the error says what is wrong with it.
    pub(super) fn decode(text: &str) -> Result<Self, &'static str> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| "it is not base64url")?;
        let (covered, crc) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
        if crc32c::crc32c(covered) != u32::from_be_bytes(*crc) {
            return Err("its checksum does not match");
        }
        let (version, rest) = covered.split_first().ok_or("it is too short")?;
        if *version != VERSION {
            return Err("its version is not known here");
        }
        Self::parts(rest).ok_or("its length is wrong")
    }

    fn parts(bytes: &[u8]) -> Option<Self> {
        let (feed_id, rest) = bytes.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<4>()?;
        let (next, rest) = rest.split_first_chunk::<8>()?;
        let (prefix, rest) = rest.split_first_chunk::<8>()?;
        let fingerprint: [u8; 4] = rest.try_into().ok()?;
        let next = u64::from_be_bytes(*next);
        (next > 0).then_some(Self {
            feed_id: *feed_id,
            epoch: u32::from_be_bytes(*epoch),
            next,
            prefix: *prefix,
            fingerprint: Fingerprint(fingerprint),
        })
    }
}

fn first<const N: usize>(digest: Digest) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::id::Code;

    proptest! {
        #[test]
        fn a_cursor_survives_the_round_trip_and_no_change(
            feed_id: [u8; 16], epoch: u32, next in 1_u64.., hash: [u8; 32], flipped in 0_usize..60,
        ) {
            let fingerprint = Fingerprint::of(&Filter::default(), false);
            let cursor = Cursor::new(Identity { feed_id, epoch }, next, hash.into(), fingerprint);
            let text = cursor.encode();
            prop_assert_eq!(text.len(), 60);
            prop_assert_eq!(Cursor::decode(&text), Ok(cursor));
            let mut broken = text.into_bytes();
            broken[flipped] = if broken[flipped] == b'A' { b'B' } else { b'A' };
            prop_assert!(Cursor::decode(std::str::from_utf8(&broken).unwrap()).is_err());
        }
    }

    #[test]
    fn the_order_of_a_filters_values_does_not_matter() {
        let topics =
            |names: [&str; 2]| Filter { topics: names.map(|n| Code::parse(n).unwrap()).to_vec(), ..Filter::default() };
        let of = |names| Fingerprint::of(&topics(names), false);
        assert_eq!(of(["a", "b"]), of(["b", "a"]));
        assert_ne!(of(["a", "b"]), of(["a", "c"]));
        assert_ne!(of(["a", "b"]), Fingerprint::of(&topics(["a", "b"]), true));
    }
}

//! `onrecord.v1.Snapshot`, written by hand: a part may be ready-made, encoded once for all who begin with the same state.

use bytes::Bytes;
use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{DecodeContext, WireType, message, skip_field},
};

use super::v1::{Embargo, Live};

/// Numbers of the fields in `proto/onrecord/v1/feed_service.proto`.
const LIVE: u32 = 1;
const EMBARGOES: u32 = 2;

/// A part of the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What is live. Empty where this service sends a ready-made part.
    pub live: Vec<Live>,
    /// What is under embargo. Empty without `include_embargoed`, and where this service sends a ready-made part.
    pub embargoes: Vec<Embargo>,
    /// Items, encoded one after the other: a message is the concatenation of its fields.
    ready: Bytes,
}

impl Snapshot {
    /// A part with these items.
    #[must_use]
    pub fn new(live: Vec<Live>, embargoes: Vec<Embargo>) -> Self {
        Self { live, embargoes, ready: Bytes::new() }
    }

    /// A part of items that [`add_live`] and [`add_embargo`] encoded. All subscribers share it: to send it is to copy it.
    #[cfg(feature = "server")]
    pub(super) fn of_ready(ready: Bytes) -> Self {
        Self { ready, ..Self::default() }
    }
}

/// Adds what is live to a ready-made part.
#[cfg(feature = "server")]
pub(super) fn add_live(live: &Live, part: &mut Vec<u8>) {
    message::encode(LIVE, live, part);
}

/// Adds what is under embargo.
#[cfg(feature = "server")]
pub(super) fn add_embargo(embargo: &Embargo, part: &mut Vec<u8>) {
    message::encode(EMBARGOES, embargo, part);
}

impl Message for Snapshot {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        message::encode_repeated(LIVE, &self.live, buffer);
        message::encode_repeated(EMBARGOES, &self.embargoes, buffer);
        buffer.put_slice(&self.ready);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            LIVE => message::merge_repeated(wire_type, &mut self.live, buffer, context),
            EMBARGOES => message::merge_repeated(wire_type, &mut self.embargoes, buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        message::encoded_len_repeated(LIVE, &self.live)
            + message::encoded_len_repeated(EMBARGOES, &self.embargoes)
            + self.ready.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_ready_made_part_is_on_the_wire_what_it_would_be_otherwise() {
        let live = |sequence| Live { statement: "statements/fire".to_owned(), sequence, ..Live::default() };
        let embargo = Embargo { sequence: 9, ..Embargo::default() };
        let plain = Snapshot::new(vec![live(1), live(2)], vec![embargo.clone()]);
        let mut part = Vec::new();
        // One statement after the other: a reader puts each kind in its place.
        add_live(&live(1), &mut part);
        add_embargo(&embargo, &mut part);
        add_live(&live(2), &mut part);
        let ready = Snapshot::of_ready(part.into());
        assert_eq!(ready.encoded_len(), plain.encoded_len());
        assert_eq!(Snapshot::decode(ready.encode_to_vec().as_slice()).unwrap(), plain);
        assert_eq!(Snapshot::decode(plain.encode_to_vec().as_slice()).unwrap(), plain);
    }

    #[test]
    fn fields_of_a_later_version_are_left_aside() {
        let mut bytes = Snapshot::new(vec![Live::default()], Vec::new()).encode_to_vec();
        prost::encoding::string::encode(9, &"later".to_owned(), &mut bytes);
        assert_eq!(Snapshot::decode(bytes.as_slice()).unwrap(), Snapshot::new(vec![Live::default()], Vec::new()));
    }
}

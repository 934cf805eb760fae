//! `onrecord.v1.Delivery`, written by hand: its event may be ready-made, encoded once for all subscribers.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut, Bytes},
    encoding::{DecodeContext, WireType, int32, message, skip_field},
};

use super::v1::{self, delivery::FilterChange};

/// Numbers of the fields in `proto/onrecord/v1/event.proto`.
pub(super) const FILTER_CHANGE: u32 = 1;
const EVENT: u32 = 2;

/// An event as it concerns one subscriber's filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// Change in relation to the filter, a [`FilterChange`].
    pub filter_change: i32,
    /// The event; none where this service sends a ready-made one.
    pub event: Option<v1::Event>,
    /// The field `event`, encoded before. All subscribers share it: to send it is to copy it, and nothing else.
    ready: Bytes,
}

impl Delivery {
    /// Creates the delivery of an event.
    #[must_use]
    pub fn new(filter_change: FilterChange, event: v1::Event) -> Self {
        Self { filter_change: filter_change.into(), event: Some(event), ready: Bytes::new() }
    }

    /// Change in relation to the filter.
    #[must_use]
    pub fn filter_change(&self) -> FilterChange {
        FilterChange::try_from(self.filter_change).unwrap_or_default()
    }

    /// The same with an event that is ready.
    #[cfg(feature = "server")]
    pub(super) fn of_ready(filter_change: FilterChange, ready: Bytes) -> Self {
        Self { filter_change: filter_change.into(), event: None, ready }
    }
}

/// The field `event`, encoded: itself a [`Delivery`] without a filter change.
#[cfg(feature = "server")]
pub(super) fn encoded(event: v1::Event) -> Bytes {
    Delivery { event: Some(event), ..Delivery::default() }.encode_to_vec().into()
}

impl Message for Delivery {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if self.filter_change != 0 {
            int32::encode(FILTER_CHANGE, &self.filter_change, buffer);
        }
        match &self.event {
            Some(event) => message::encode(EVENT, event, buffer),
            None => buffer.put_slice(&self.ready),
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            FILTER_CHANGE => int32::merge(wire_type, &mut self.filter_change, buffer, context),
            EVENT => message::merge(wire_type, self.event.get_or_insert_default(), buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let filter_change =
            if self.filter_change == 0 { 0 } else { int32::encoded_len(FILTER_CHANGE, &self.filter_change) };
        filter_change + self.event.as_ref().map_or(self.ready.len(), |event| message::encoded_len(EVENT, event))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_ready_made_event_is_on_the_wire_what_it_would_be_otherwise() {
        let event = v1::Event { sequence: 7, statement: "statements/fire".to_owned(), ..v1::Event::default() };
        let plain = Delivery::new(FilterChange::Stayed, event.clone());
        let shared = Delivery::of_ready(FilterChange::Stayed, encoded(event));
        assert_eq!(shared.encode_to_vec(), plain.encode_to_vec());
        assert_eq!(shared.encoded_len(), plain.encoded_len());
        let batch = v1::EventBatch { deliveries: vec![shared; 3], ..v1::EventBatch::default() };
        let read = v1::EventBatch::decode(batch.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.deliveries, vec![plain; 3]);
    }

    #[test]
    fn fields_of_a_later_version_are_left_aside() {
        let mut bytes = Delivery::new(FilterChange::Left, v1::Event::default()).encode_to_vec();
        prost::encoding::string::encode(9, &"later".to_owned(), &mut bytes);
        assert_eq!(
            Delivery::decode(bytes.as_slice()).unwrap(),
            Delivery::new(FilterChange::Left, v1::Event::default())
        );
    }
}

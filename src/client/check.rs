//! What a site can check of the order of a feed: no event comes twice, and one follows the other in the chain of hashes. What each event
//! holds is compared in `verify`.

use serde::{Deserialize, Serialize};

use super::seal::hash_of;
use crate::api::v1::Event;

/// An event that was applied: what the next one has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which.
    pub sequence: u64,
    /// SHA-256 over the hash of the event before and its seal.
    #[serde(with = "hex::serde")]
    pub hash: [u8; 32],
}

/// What a feed must never do. Nothing of it was applied: a person has to look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each says it in words")]
pub enum Breach {
    #[error("event {sequence} was sent after {newest} was applied")]
    Order { sequence: u64, newest: u64 },
    #[error("{item}: {field} is not what was sealed; somebody between here and the service may have altered it")]
    Altered { item: String, field: String },
    #[error("event {sequence} does not follow the event before, which was applied")]
    Chain { sequence: u64 },
    #[error("{came} of {wanted} items of the snapshot came")]
    Snapshot { came: u64, wanted: u64 },
}

/// Checks one event after the other. A filter leaves gaps; where there is none, one has to follow the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    pub(super) last: Option<Link>,
}

impl Chain {
    /// Takes the next event, whose hash was verified.
    pub(super) fn follow(&mut self, event: &Event) -> Result<(), Breach> {
        let sequence = event.sequence;
        let hash = hash_of(&event.hash);
        let hash =
            hash.ok_or_else(|| Breach::Altered { item: format!("event {sequence}"), field: "hash".to_owned() })?;
        if let Some(last) = self.last {
            if sequence <= last.sequence {
                return Err(Breach::Order { sequence, newest: last.sequence });
            }
            if sequence == last.sequence + 1 && event.previous_hash != hex::encode(last.hash) {
                return Err(Breach::Chain { sequence });
            }
        }
        self.last = Some(Link { sequence, hash });
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;
    use crate::{
        api::v1::{Edition, EventSeal, Live, event},
        client::seal::chained,
    };

    /// An event of a feed in which each says only its number, and that a text has expired. It is to be delivered as LEFT.
    pub(in crate::client) fn event(sequence: u64) -> Event {
        let mut previous_hash = "0".repeat(64);
        for before in 1..sequence {
            previous_hash = hash(&Event { previous_hash, ..numbered(before) });
        }
        let event = Event { previous_hash, ..numbered(sequence) };
        Event { hash: hash(&event), ..event }
    }

    fn numbered(sequence: u64) -> Event {
        let seal = format!(r#"{{"sequence":"{sequence}","type":"TYPE_EXPIRED"}}"#).into_bytes();
        Event { sequence, seal, r#type: event::Type::Expired.into(), ..Event::default() }
    }

    /// What is live in `statements/a`, without a text.
    pub(in crate::client) fn live(sequence: u64) -> Live {
        let name = "statements/a/editions/en.1";
        let seal = format!(r#"{{"edition":"{name}","sequence":"{sequence}","statement":"statements/a"}}"#).into_bytes();
        let previous_hash = "0".repeat(64);
        let hash = chained(&previous_hash, &seal).unwrap();
        Live {
            statement: "statements/a".to_owned(),
            sequence,
            edition: Some(Edition { name: name.to_owned(), number: 1, ..Edition::default() }),
            event_seal: Some(EventSeal { seal, previous_hash, hash, salt: Vec::new() }),
            ..Live::default()
        }
    }

    pub(in crate::client) fn hash(event: &Event) -> String {
        chained(&event.previous_hash, &event.seal).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::{fixture::event, *};
    use crate::{
        api::v1::{Delivery, delivery::FilterChange},
        client::verify,
    };

    /// What is said about the last of some events.
    fn verdict(events: &[Event]) -> Result<(), Breach> {
        let mut chain = Chain::default();
        let (last, before) = events.split_last().unwrap();
        for event in before {
            chain.follow(event).unwrap();
        }
        verify::delivery(&mut Delivery::new(FilterChange::Left, last.clone()))?;
        chain.follow(last)
    }

    #[test]
    fn events_follow_one_another_and_a_filter_may_leave_gaps() {
        assert_eq!(verdict(&[event(1), event(2), event(7), event(8)]), Ok(()));
        assert_eq!(verdict(&[event(4)]), Ok(()), "the first is taken as it is");
    }

    #[test]
    fn what_was_tampered_with_is_found() {
        let forged = |change: fn(&mut Event)| {
            let mut forged = event(3);
            change(&mut forged);
            verdict(&[event(1), event(2), forged])
        };
        let altered = Breach::Altered { item: "event 3".to_owned(), field: "hash, previous_hash or seal".to_owned() };
        assert_eq!(forged(|event| event.seal.push(b'x')), Err(altered.clone()));
        assert_eq!(forged(|event| event.hash.clear()), Err(altered));
        // A history that is sound in itself, and another.
        let other = forged(|event| {
            event.previous_hash = "9".repeat(64);
            event.hash = fixture::hash(event);
        });
        assert_eq!(other, Err(Breach::Chain { sequence: 3 }));
        assert_eq!(verdict(&[event(1), event(2), event(2)]), Err(Breach::Order { sequence: 2, newest: 2 }));
    }
}

//! What a site can check by itself: order, duplicates, and the chain of hashes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

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
    #[error("event {sequence} is not what was hashed")]
    Hash { sequence: u64 },
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
    pub(super) fn follow(&mut self, event: &Event) -> Result<(), Breach> {
        let sequence = event.sequence;
        let hash = hash(event);
        if event.hash != hash {
            return Err(Breach::Hash { sequence });
        }
        if let Some(last) = self.last {
            if sequence <= last.sequence {
                return Err(Breach::Order { sequence, newest: last.sequence });
            }
            if sequence == last.sequence + 1 && event.previous_hash != last.hash {
                return Err(Breach::Chain { sequence });
            }
        }
        self.last = Some(Link { sequence, hash });
        Ok(())
    }
}

/// The hash that an event says it has.
fn hash(event: &Event) -> [u8; 32] {
    Sha256::new().chain_update(&event.previous_hash).chain_update(&event.seal).finalize().into()
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;

    /// An event of a feed in which each says only its number.
    pub(in crate::client) fn event(sequence: u64) -> Event {
        let numbered = |sequence: u64| Event { sequence, seal: sequence.to_string().into_bytes(), ..Event::default() };
        let mut previous_hash = vec![0; 32];
        for before in 1..sequence {
            previous_hash = hash(&Event { previous_hash, ..numbered(before) }).to_vec();
        }
        let event = Event { previous_hash, ..numbered(sequence) };
        Event { hash: hash(&event).to_vec(), ..event }
    }

    pub(in crate::client) fn hash(event: &Event) -> [u8; 32] {
        super::hash(event)
    }
}

#[cfg(test)]
mod tests {
    use super::{fixture::event, *};

    /// What is said about the last of some events.
    fn verdict(events: &[Event]) -> Result<(), Breach> {
        let mut chain = Chain::default();
        let (last, before) = events.split_last().unwrap();
        for event in before {
            chain.follow(event).unwrap();
        }
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
        assert_eq!(forged(|event| event.seal.push(b'x')), Err(Breach::Hash { sequence: 3 }));
        assert_eq!(forged(|event| event.hash.clear()), Err(Breach::Hash { sequence: 3 }));
        // A history that is sound in itself, and another.
        let other = forged(|event| {
            event.previous_hash = vec![9; 32];
            event.hash = hash(event).to_vec();
        });
        assert_eq!(other, Err(Breach::Chain { sequence: 3 }));
        assert_eq!(verdict(&[event(1), event(2), event(2)]), Err(Breach::Order { sequence: 2, newest: 2 }));
    }
}

//! What was committed last, in memory, so that neither the feed nor the answer has to read it back.
//!
//! **Invariants**
//! - It holds what is durable, and is filled before the tail moves.
//! - It is dense, and bounded in bytes; what no longer fits is read from the store.
//! - An erasure empties it before it is answered.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{row::EventRecord, view::Words};
use crate::trace::Trace;

/// Bytes in it: more than the feed takes in at a time.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of an event beside its words: names, facts, hashes, seal.
const RECORD_BYTES: usize = 1_024;

/// An event that was just committed.
#[derive(Clone, Debug)]
pub struct RecentEvent {
    /// The event.
    pub record: EventRecord,
    /// The words it shows.
    pub words: Option<Arc<Words>>,
    /// In which it is told.
    pub trace: Trace,
}

impl RecentEvent {
    fn sequence(&self) -> u64 {
        self.record.event.head.sequence
    }

    fn bytes(&self) -> usize {
        RECORD_BYTES + self.words.as_ref().map_or(0, |words| 2 * words.canonical.len())
    }
}

/// The newest events that the feed has not taken in yet.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<RecentEvent>>);

impl Recent {
    /// Adds events that follow those that are in.
    pub(super) fn add(&self, events: Vec<RecentEvent>) {
        let mut kept = self.kept();
        kept.extend(events);
        let mut bytes: usize = kept.iter().map(RecentEvent::bytes).sum();
        while bytes > BYTES_MAX {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.bytes();
        }
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.kept().clear();
    }

    /// Takes up to `limit` of the events from `next` on, and forgets those before; none if they are not in.
    pub(super) fn take(&self, next: u64, limit: usize) -> Vec<RecentEvent> {
        let mut kept = self.kept();
        while kept.front().is_some_and(|oldest| oldest.sequence() < next) {
            kept.pop_front();
        }
        if kept.front().is_none_or(|oldest| oldest.sequence() > next) {
            return Vec::new();
        }
        let end = limit.min(kept.len());
        kept.drain(..end).collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<RecentEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        digest::Digest,
        event::{Event, EventHead, EventKind},
        id::{LanguageTag, StatementId},
        time::Timestamp,
    };

    fn recent(sequence: u64) -> RecentEvent {
        let (statement, language) = (StatementId::parse("fire").unwrap(), LanguageTag::parse("en").unwrap());
        let head =
            EventHead::new(sequence, EventKind::Published, Timestamp::from_micros(0), statement, language, sequence);
        let event = Event::hollow(head);
        let (seal, hash, previous_hash) = (Vec::new(), Digest::ZERO, Digest::ZERO);
        RecentEvent {
            record: EventRecord { event, seal, hash, previous_hash, hollow: false, reach: None },
            words: None,
            trace: Trace::default(),
        }
    }

    fn taken(recent: &Recent, next: u64, limit: usize) -> Vec<u64> {
        recent.take(next, limit).iter().map(RecentEvent::sequence).collect()
    }

    #[test]
    fn what_is_at_hand_is_taken_once_and_from_the_place_that_was_asked_for() {
        let events = Recent::default();
        events.add((5..=9).map(recent).collect());
        assert!(taken(&events, 4, 9).is_empty(), "what came before has to be read first");
        assert_eq!(taken(&events, 6, 2), [6, 7]);
        assert_eq!(taken(&events, 8, 9), [8, 9]);
        events.add(vec![recent(10)]);
        events.clear();
        assert!(taken(&events, 10, 9).is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let events = Recent::default();
        let most = u64::try_from(BYTES_MAX / RECORD_BYTES).unwrap();
        events.add((1..=most + 3).map(recent).collect());
        assert!(taken(&events, 3, 1).is_empty());
        assert_eq!(taken(&events, 4, 1), [4]);
    }
}

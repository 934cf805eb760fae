//! The feed by time: an index over how far it was.
//!
//! ```text
//! time of an event   10  20  90  30  40         a clock was ahead at 90
//! sequence            1   2   3   4   5
//! rows (time, tail)  10,2  20,3  30,5  40,6     90 is left out: 30 reads as far, and farther
//! ```
//!
//! Times are told truly, so they may fall from one event to the next. What was public at a time T is the longest prefix of the feed whose
//! last event is not later than T: the last row at T or before it. A row is taken out once a later event has the same time or an earlier
//! one, so tails rise with times, and one look-up finds the prefix. An entry by which the clock is believed again has a row too: from its time
//! on, all that was there before it is public, whatever a clock that was ahead has written on it.
//!
//! **Invariants**
//! - The rows are in no entry: they follow from the seals of entries. A store of an older format gets them when it is opened, a restore
//!   makes them anew, `verify` compares them (`journal/verify/check.rs`).
//! - A commit puts a row for the last of its events, and takes out those that it overtakes, in the same write.

use std::ops::Bound;

use super::{
    JournalError, key,
    row::{EventRow, FORMAT, Meta, decode, encode, from_seal},
    store::{Change, Store},
};
use crate::domain::{
    entry::{Action, EntryHead},
    event::EventHead,
    time::Timestamp,
};

/// First format of a store that has the index.
const FORMAT_FIRST: u32 = 4;
/// Rows in one write of a whole index.
const BATCH_ROWS: usize = 1_024;

/// Rows of the index: times and tails, both rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dates(Vec<(Timestamp, u64)>);

impl Dates {
    /// Adds the next entry that [`has_date`], by the sequence that the next event will take after it.
    pub(super) fn add(&mut self, time: Timestamp, tail: u64) {
        while self.0.last().is_some_and(|(last, _)| *last >= time) {
            self.0.pop();
        }
        if self.0.last().map_or(1, |(_, before)| *before) < tail {
            self.0.push((time, tail));
        }
    }

    /// Whether there is a row of this time.
    pub(super) fn has(&self, time: Timestamp) -> bool {
        self.0.binary_search_by_key(&time, |(time, _)| *time).is_ok()
    }

    /// What puts these rows.
    pub(super) fn puts(&self) -> impl Iterator<Item = Change> {
        self.0.iter().map(|(time, tail)| put(*time, *tail))
    }

    /// What adds these rows, of the newest events, to those of a store, and takes out what they overtake.
    pub(super) fn onto(&self, store: &Store) -> Result<Vec<Change>, JournalError> {
        let Some((first, _)) = self.0.first() else { return Ok(Vec::new()) };
        let overtaken = store.scan(&key::dates(), Bound::Included(key::date(*first)), false);
        let mut changes = overtaken.map(|row| Ok(Change::remove(row?.0))).collect::<Result<Vec<_>, JournalError>>()?;
        let before = store.scan(&key::dates(), Bound::Excluded(key::date(*first)), true).next().transpose()?;
        let before = before.map(|(_, row)| decode::<u64>(&row.value)).transpose()?.unwrap_or(1);
        let further = self.0.iter().filter(|(_, tail)| before < *tail);
        changes.extend(further.map(|(time, tail)| put(*time, *tail)));
        Ok(changes)
    }
}

/// Whether an entry has a row: it caused events, or from it on another clock is believed.
pub(super) fn has_date(head: &EntryHead) -> bool {
    head.event_count > 0 || matches!(head.action, Action::BeginEpoch | Action::ConfirmClock)
}

fn put(time: Timestamp, tail: u64) -> Change {
    Change::put(key::date(time), encode(&tail))
}

/// The sequence after the longest prefix of the feed whose last event is not later than `time`, and the entry that wrote that.
pub(super) fn tail_at(store: &Store, time: Timestamp) -> Result<Option<(u64, u64)>, JournalError> {
    let newest = store.scan(&key::dates(), Bound::Included(key::date(time)), true).next().transpose()?;
    newest.map(|(_, row)| Ok((decode(&row.value)?, row.version))).transpose()
}

/// Whether a store that was written with this format has the index.
pub(super) fn has_index(format: u32) -> bool {
    format >= FORMAT_FIRST
}

/// Makes the index of a store of an older format, which then has the newest. A start that ends in the middle of it begins it again. Times never
/// fell in such a store, so the events alone say all.
pub(super) fn upgrade(store: &Store, meta: Meta) -> Result<Meta, JournalError> {
    if has_index(meta.format) {
        return Ok(meta);
    }
    let mut dates = Dates::default();
    for row in store.scan(&key::events(), Bound::Unbounded, false) {
        let row: EventRow = decode(&row?.1.value)?;
        let head: EventHead = from_seal(&row.seal)?;
        if head.sequence < meta.next_sequence {
            dates.add(head.event_time, head.sequence + 1);
        }
    }
    let newest = meta.next_entry - 1;
    write(store, &dates, newest)?;
    let meta = Meta { format: FORMAT, ..meta };
    store.commit(&[Change::put(key::meta(), encode(&meta))], newest)?;
    Ok(meta)
}

/// Writes a whole index.
pub(super) fn write(store: &Store, dates: &Dates, newest_entry: u64) -> Result<(), JournalError> {
    let changes: Vec<_> = dates.puts().collect();
    changes.chunks(BATCH_ROWS).try_for_each(|batch| Ok(store.commit(batch, newest_entry)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// The sequence after the longest prefix that stood at an entry not later than `time`, found the slow way.
    fn slow(entries: &[(i64, u64)], time: i64) -> u64 {
        entries.iter().rev().find(|(at, _)| *at <= time).map_or(1, |(_, tail)| *tail)
    }

    fn rows(store: &Store) -> Dates {
        let rows = store.scan(&key::dates(), Bound::Unbounded, false).map(Result::unwrap);
        Dates(rows.map(|(key, row)| (key::date_of(&key).unwrap(), decode(&row.value).unwrap())).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_index_finds_the_longest_prefix(
            groups in prop::collection::vec(prop::collection::vec((-9..9_i64, 0..3_u64), 1..4), 1..12),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path(), 1 << 20).unwrap();
            let (mut entries, mut all, mut tail) = (Vec::new(), Dates::default(), 1);
            for group in groups {
                let mut dates = Dates::default();
                for (time, events) in group {
                    tail += events;
                    entries.push((time, tail));
                    dates.add(at(time), tail);
                    all.add(at(time), tail);
                }
                store.commit(&dates.onto(&store).unwrap(), 7).unwrap();
                prop_assert_eq!(&rows(&store), &all, "commit by commit, or all at once");
                for time in -10..10 {
                    let found = tail_at(&store, at(time)).unwrap();
                    prop_assert_eq!(found.map_or(1, |(tail, _)| tail), slow(&entries, time), "{:?} at {}", entries, time);
                }
            }
        }
    }
}

//! Entries and events, by their numbers.

use std::ops::Bound;

use super::View;
use crate::{
    domain::{digest::Digest, id::StatementId, time::Timestamp},
    journal::{
        JournalError, dates, key,
        row::{EntryRecord, EntryRow, EventRecord, EventRow, decode},
    },
};

/// Entries that one read looks at.
const ENTRIES: usize = 4_096;

impl View<'_> {
    /// The sequence after the longest prefix of the feed whose last event is not later than `time`; 1 if every event is. Times of events may
    /// fall, so the prefix may have events that are dated later.
    ///
    /// # Errors
    /// If the store cannot be read, or closed before what it says was durable.
    pub fn tail_at(&self, time: Timestamp) -> Result<u64, JournalError> {
        let Some((tail, entry)) = dates::tail_at(self.reader.store, time)? else { return Ok(1) };
        // It may be of a commit under way. Once that is durable, so are the events below its tail.
        self.wait_for(entry)?;
        Ok(tail)
    }

    /// Up to `limit` entries with numbers above `after` that are admitted, oldest first, of one statement if one is given. Also returns the number of
    /// the last entry that was looked at, `after` if there was none, and whether it is the newest.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn entries(
        &self,
        statement: Option<&StatementId>,
        after: u64,
        limit: usize,
        admits: impl Fn(&EntryRecord) -> bool,
    ) -> Result<(Vec<EntryRecord>, u64, bool), JournalError> {
        let (prefix, from) = match statement {
            Some(id) => (key::entries_of(id), key::entry_of(id, after)),
            None => (key::entries(), key::entry(after)),
        };
        let keys = self.reader.store.scan(&prefix, Bound::Excluded(from), false);
        let numbers = keys.map(|row| Ok(key::number_at_end(&row?.0).unwrap_or_default()));
        let durable = *self.durable.borrow();
        let numbers =
            numbers.filter(|number: &Result<u64, JournalError>| number.as_ref().map_or(true, |n| *n <= durable));
        let (mut entries, mut last) = (Vec::new(), after);
        for (place, number) in numbers.enumerate() {
            if entries.len() == limit || place == ENTRIES {
                return Ok((entries, last, false));
            }
            last = number?;
            entries.extend(Some(self.entry(last)?).filter(&admits));
        }
        Ok((entries, last, true))
    }

    /// Reads an entry.
    pub(super) fn entry(&self, number: u64) -> Result<EntryRecord, JournalError> {
        let row = self.reader.store.get(&key::entry(number))?;
        let row = row.ok_or_else(|| JournalError::Damaged(format!("entry {number} is missing")))?;
        decode::<EntryRow>(&row.value)?.into_record()
    }

    /// Up to `limit` events from `from` on, below the tail.
    ///
    /// # Errors
    /// If the store cannot be read, or an event is missing.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<EventRecord>, JournalError> {
        let mut rows = self.reader.store.scan(&key::events(), Bound::Included(key::event(from)), false);
        let mut records = Vec::new();
        for sequence in (from..self.tail).take(limit) {
            let (key, row) = rows.next().transpose()?.unzip();
            let row = row.filter(|_| key == Some(key::event(sequence)));
            let row = row.ok_or_else(|| JournalError::Damaged(format!("event {sequence} is missing")))?;
            records.push(decode::<EventRow>(&row.value)?.into_record()?);
        }
        Ok(records)
    }

    /// One event, whether or not all of it may be read now: its seal always may.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn event(&self, sequence: u64) -> Result<Option<EventRecord>, JournalError> {
        let Some(row) = self.reader.store.get(&key::event(sequence))? else { return Ok(None) };
        decode::<EventRow>(&row.value)?.into_record().map(Some)
    }

    /// The hash of the event before `sequence`: zero for 1, none if there is no such event below the tail.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn hash_before(&self, sequence: u64) -> Result<Option<Digest>, JournalError> {
        match sequence.checked_sub(1) {
            None => Ok(None),
            Some(0) => Ok(Some(Digest::ZERO)),
            Some(before) if before >= self.tail => Ok(None),
            Some(before) => Ok(self.event(before)?.map(|record| record.hash)),
        }
    }
}

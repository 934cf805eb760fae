//! The reading and comparing.
//!
//! **Invariants**
//! - It answers for every byte that can be read back: each row has a checksum, each text its digest, entries and events their
//!   chains, and what entries wrote is compared with them.
//! - It holds one row at a time, the keys of what is due and owed, the times of entries with events (16 bytes each), and at most
//!   [`FINDINGS_MAX`] findings.
//! - A repair only puts what the journal and the state say. What is lost is named, and nothing is made of it.

mod chain;
mod rows;

use std::{collections::BTreeSet, ops::Bound, path::Path};

use super::{Finding, Report};
use crate::{
    domain::{entry::EntryHead, event::EventHead, id::StatementId, time::Timestamp},
    journal::{
        JournalError, commit,
        dates::{self, Dates},
        key,
        retention::Kept,
        row::{EntryBody, EntryRow, EventRow, Meta, RowChange, decode, from_seal},
        store::{Change, Row, Store},
        view::Reader,
        watermark::{self, Watermark},
    },
};
use chain::Chain;

/// Findings that a report names; the rest are counted.
const FINDINGS_MAX: usize = 1_000;
/// Rows in one write of a repair: as with erasures, more cost sled memory.
const BATCH_ROWS: usize = 64;

/// A reading of a store that is under way.
pub(super) struct Check<'s> {
    store: &'s Store,
    directory: &'s Path,
    repairs: bool,
    /// What puts it right and is not written yet, all of one entry.
    changes: Vec<Change>,
    version: u64,
    /// Keys of the indexes over what is due and owed, as they are.
    indexed: BTreeSet<Vec<u8>>,
    /// Rows of the indexes over entries and events, and how many there should be.
    listed: u64,
    to_list: u64,
    /// Rows that the entry they name did not write.
    foreign: BTreeSet<Vec<u8>>,
    /// Answers of entries from this time on have to be there.
    answers_since: Option<Timestamp>,
    /// The number that the next entry will take, as far as that can be read.
    next_entry: u64,
    /// The index over times as the entries say it; none once one of them cannot be read.
    dates: Option<Dates>,
    /// The sequence after the events of the entries so far.
    tail: u64,
    report: Report,
}

impl<'s> Check<'s> {
    pub(super) fn new(store: &'s Store, directory: &'s Path, repairs: bool) -> Self {
        let (changes, indexed, foreign) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (version, listed, to_list, answers_since, report) = (0, 0, 0, None, Report::default());
        let next_entry = u64::MAX;
        Self {
            store,
            directory,
            repairs,
            changes,
            version,
            indexed,
            listed,
            to_list,
            foreign,
            answers_since,
            next_entry,
            dates: Some(Dates::default()),
            tail: 1,
            report,
        }
    }

    /// Reads everything.
    pub(super) fn run(mut self) -> Result<Report, JournalError> {
        if let Ok(Some(row)) = self.store.get(&key::meta())
            && let Ok(Meta { format, next_entry, .. }) = decode(&row.value)
        {
            self.report.storage_format = format;
            self.next_entry = next_entry;
        }
        self.check_rows();
        let mark = self.watermark();
        if self.report.rows == 0 && self.report.is_clean() && mark.is_none() {
            // Its first start did not get as far as a row: there is nothing to miss.
            return Ok(self.report);
        }
        let Some(meta) = self.meta() else { return Ok(self.report) };
        match mark.map(|mark| mark.missing(self.store, &meta)).transpose() {
            Ok(missing) => missing.flatten().into_iter().for_each(|fault| self.find("the store", fault)),
            Err(failure) => self.find("the newest entry", failure.to_string()),
        }
        let kept = self.store.get(&key::kept()).ok().flatten().map(|row| decode::<Kept>(&row.value)).transpose();
        match kept {
            Ok(kept) => self.answers_since = kept.map(|kept| kept.answers_since),
            Err(failure) => self.find("from when on answers are kept", failure.to_string()),
        }
        self.check_entries(&meta)?;
        self.check_events(&meta)?;
        if self.listed > self.to_list {
            let more = self.listed - self.to_list;
            self.find("the indexes over entries and events", format!("have {more} rows of nothing that is there"));
        }
        self.write()?;
        self.check_indexes()?;
        self.check_dates(&meta)?;
        self.write()?;
        self.mend_watermark(&meta)?;
        Ok(self.report)
    }

    fn find(&mut self, place: impl Into<String>, fault: impl Into<String>) {
        self.add(place.into(), fault.into(), false);
    }

    /// Something that `change`, of entry `version`, puts right.
    fn mend(&mut self, place: String, fault: &str, change: Change, version: u64) -> Result<(), JournalError> {
        self.add(place, fault.to_owned(), true);
        if !self.repairs {
            return Ok(());
        }
        if self.version != version || self.changes.len() >= BATCH_ROWS {
            self.write()?;
        }
        self.version = version;
        self.changes.push(change);
        Ok(())
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let changes = std::mem::take(&mut self.changes);
        for change in changes {
            match self.store.discard(&change.key) {
                Ok(()) => self.changes.push(change),
                // Where sled cannot read the page; what is on others is repaired.
                Err(failure) => {
                    self.find(
                        format!("row {}", hex::encode(&change.key)),
                        format!("cannot be repaired in place: {failure}"),
                    );
                }
            }
        }
        if !self.changes.is_empty() {
            self.store.commit(&self.changes, self.version)?;
        }
        self.report.repaired_rows += u64::try_from(self.changes.len()).unwrap_or(u64::MAX);
        self.changes.clear();
        Ok(())
    }

    fn add(&mut self, place: String, fault: String, repairable: bool) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { place, fault, repairable });
        } else {
            self.report.more_findings += 1;
        }
    }

    /// A row, or none with what is wrong with it noted.
    fn row<T>(&mut self, place: &str, key: &[u8], read: impl FnOnce(&Row) -> Result<T, JournalError>) -> Option<T> {
        let row = self.store.get(key).map_err(JournalError::from);
        match row.and_then(|row| row.as_ref().map(read).transpose()) {
            Ok(Some(read)) => return Some(read),
            Ok(None) => self.find(place, "is missing"),
            Err(fault) => self.find(place, fault.to_string()),
        }
        None
    }

    fn meta(&mut self) -> Option<Meta> {
        self.row("the row that says where the journal stands", &key::meta(), |row| decode::<Meta>(&row.value))
    }

    fn watermark(&mut self) -> Option<watermark::Mark> {
        match watermark::read(self.directory) {
            Ok(mark) => mark,
            Err(fault) => {
                self.add("the watermark".to_owned(), fault.to_string(), true);
                None
            }
        }
    }

    fn mend_watermark(&self, meta: &Meta) -> Result<(), JournalError> {
        if self.repairs && watermark::read(self.directory).is_err() {
            Watermark::begin(self.directory, meta)?;
        }
        Ok(())
    }

    /// Entries are dense and chained, and what they wrote is there.
    fn check_entries(&mut self, meta: &Meta) -> Result<(), JournalError> {
        let mut chain = Chain::default();
        for number in 1..meta.next_entry {
            let place = format!("entry {number}");
            let row = self.row(&place, &key::entry(number), |row| decode::<EntryRow>(&row.value));
            if !chain.goes_on(row.as_ref().map(|row| (row.previous_hash, row.hash))) {
                self.find(&place, "does not follow the entry before");
            }
            let Some(row) = row else {
                self.dates = None;
                continue;
            };
            self.report.entries += 1;
            // What is wrong with it was found with its row: nothing is made of it.
            if matches!(row.fault(), Ok(None)) {
                self.check_entry(&place, number, &row)?;
            } else {
                self.dates = None;
            }
        }
        if !chain.ends_in(meta.entry_hash) {
            self.find("the newest entry", "is not the one that was noted");
        }
        Ok(())
    }

    fn check_entry(&mut self, place: &str, number: u64, row: &EntryRow) -> Result<(), JournalError> {
        let head: EntryHead = from_seal(&row.seal)?;
        if head.number != number {
            self.find(place, format!("says that it is entry {}", head.number));
        }
        if head.event_count > 0 {
            self.tail = head.first_sequence + u64::from(head.event_count);
        }
        if let Some(dates) = self.dates.as_mut().filter(|_| dates::has_date(&head)) {
            dates.add(head.commit_time, self.tail);
        }
        if let Some(index) = commit::entry_index(&head) {
            self.to_list += 1;
            self.check_index(place, index.key, number)?;
        }
        let Some(body) = &row.body else { return Ok(()) };
        let forgotten = self.answers_since.is_some_and(|since| head.commit_time < since);
        for change in decode::<EntryBody>(body)?.rows {
            self.check_change(number, &change, forgotten)?;
        }
        for digest in &head.content_digests {
            if !matches!(self.store.get(&key::text(digest)), Ok(Some(_))) {
                self.find(place, format!("its text {digest} is missing or cannot be read"));
            }
        }
        Ok(())
    }

    /// A row that an entry wrote is there as it wrote it, or as a later one did.
    /// Of one that is `forgotten`, answers need not be there.
    fn check_change(&mut self, number: u64, change: &RowChange, forgotten: bool) -> Result<(), JournalError> {
        let (key, Some(value)) = change.parts() else { return Ok(()) };
        if matches!(key.first(), Some(b'd' | b'o')) {
            // Of these only what is due and owed now is there.
            return Ok(());
        }
        let fault = match self.store.get(key) {
            Ok(Some(_)) if self.foreign.contains(key) => "was not written by the entry that it names".to_owned(),
            Ok(None) if forgotten && key.starts_with(&key::requests()) => return Ok(()),
            Ok(Some(row)) if row.version > number => return Ok(()),
            Ok(Some(row)) if row.version == number && row.value == value => return Ok(()),
            Ok(Some(row)) if row.version == number => "is not what its entry wrote".to_owned(),
            Ok(Some(_)) => "is older than the journal".to_owned(),
            Ok(None) => "is missing".to_owned(),
            Err(fault) => fault.to_string(),
        };
        let place = format!("row {} of entry {number}", hex::encode(key));
        self.mend(place, &fault, Change::put(key.to_vec(), value.to_vec()), number)
    }

    fn check_index(&mut self, place: &str, key: Vec<u8>, version: u64) -> Result<(), JournalError> {
        if matches!(self.store.get(&key), Ok(Some(_))) {
            return Ok(());
        }
        let place = format!("{place}, row {}", hex::encode(&key));
        self.mend(place, "is not indexed", Change::put(key, Vec::new()), version)
    }

    /// Events are dense and chained, and indexed.
    fn check_events(&mut self, meta: &Meta) -> Result<(), JournalError> {
        let mut chain = Chain::default();
        for sequence in 1..meta.next_sequence {
            let place = format!("event {sequence}");
            let read = |row: &Row| Ok((decode::<EventRow>(&row.value)?, row.version));
            let row = self.row(&place, &key::event(sequence), read);
            if !chain.goes_on(row.as_ref().map(|(row, _)| (row.previous_hash, row.hash))) {
                self.find(&place, "does not follow the event before");
            }
            let Some((row, version)) = row else { continue };
            self.report.events += 1;
            if matches!(row.fault(), Ok(None)) {
                let head: EventHead = from_seal(&row.seal)?;
                self.to_list += 1;
                if head.sequence != sequence {
                    self.find(&place, format!("says that it is event {}", head.sequence));
                }
                self.check_index(&place, key::event_of(&head.statement, &head.language_code, sequence), version)?;
            }
        }
        if !chain.ends_in(meta.event_hash) {
            self.find("the newest event", "is not the one that was noted");
        }
        Ok(())
    }

    /// The index over times is what the entries say, row by row.
    fn check_dates(&mut self, meta: &Meta) -> Result<(), JournalError> {
        // Of an entry that cannot be read the time is not known: that it cannot was found.
        let Some(dates) = self.dates.take().filter(|_| dates::has_index(meta.format)) else { return Ok(()) };
        let (store, newest_entry) = (self.store, meta.next_entry - 1);
        for wanted in dates.puts() {
            if !matches!(store.get(&wanted.key), Ok(Some(row)) if wanted.value.as_ref() == Some(&row.value)) {
                self.mend_date(wanted, "is not what the entries say", newest_entry)?;
            }
        }
        // What could not be read until now can be.
        self.write()?;
        for row in store.scan(&key::dates(), Bound::Unbounded, false) {
            // After a page that cannot be read sled stays where it is; that it is so was found before.
            let Ok((key, _)) = row else { break };
            if key::date_of(&key).is_none_or(|time| !dates.has(time)) {
                self.mend_date(Change::remove(key), "is of no entry", newest_entry)?;
            }
        }
        Ok(())
    }

    fn mend_date(&mut self, change: Change, fault: &str, version: u64) -> Result<(), JournalError> {
        let place = format!("the index over times, row {}", hex::encode(&change.key));
        self.mend(place, fault, change, version)
    }

    /// What is due and owed is indexed, and nothing else.
    fn check_indexes(&mut self) -> Result<(), JournalError> {
        let (mut wanted, mut complete) = (BTreeSet::new(), true);
        let store = self.store;
        for row in store.scan(&key::statements(), Bound::Unbounded, false) {
            // After a page that cannot be read sled stays where it is; that it is so was found before.
            let Ok((key, _)) = row else {
                complete = false;
                break;
            };
            let id = Some(key).and_then(|key| StatementId::parse(key::text_after(&key::statements(), &key)?).ok());
            match id.map(|id| (Reader { store }).state(&id)) {
                Some(Ok(Some((state, _)))) => wanted.extend(commit::index_keys(&state)),
                _ => complete = false,
            }
        }
        let indexed = std::mem::take(&mut self.indexed);
        for key in wanted.difference(&indexed) {
            let place = format!("row {}", hex::encode(key));
            self.mend(place, "what is due or owed is not indexed", Change::put(key.clone(), Vec::new()), 0)?;
        }
        for key in indexed.difference(&wanted) {
            let place = format!("row {}", hex::encode(key));
            if complete {
                self.mend(place, "is indexed as due or owed and is not", Change::remove(key.clone()), 0)?;
            } else {
                // Its statement may be the one that cannot be read.
                self.find(place, "is indexed as due or owed, by a statement that cannot be read or is not there");
            }
        }
        Ok(())
    }
}

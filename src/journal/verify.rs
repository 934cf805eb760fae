//! Re-reads everything that is stored, and says what is not what was written.
//!
//! **Invariants**
//! - It answers for every byte that can be read back: each row has a checksum, each text its digest, entries and events their
//!   chains, and every other row is compared with the entry that wrote it.
//! - It holds one row at a time, the steps that time will take, the approvals that are owed, and at most [`FINDINGS_MAX`] findings.
//! - A repair only puts what the journal says. What the journal itself has lost is named and left alone.

use std::{collections::BTreeSet, path::Path};

use serde::Serialize;

use super::{
    JournalError, key,
    row::{EntryBody, EntryRow, EventRow, Meta, RowChange, decode, from_seal},
    store::{Change, Row, Store},
    watermark,
};
use crate::domain::{digest::Digest, entry::EntryHead, event::EventHead};

/// Findings that a report names; the rest are counted.
const FINDINGS_MAX: usize = 1_000;
/// Rows in one write of a repair: as with erasures, more cost sled memory.
const BATCH_ROWS: usize = 64;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Events that were read.
    pub events: u64,
    /// Rows that were read, parts of long ones not counted.
    pub rows: u64,
    /// SHA-256 over every row but the one that says where the journal stands: equal stores have equal digests.
    pub state_digest: Digest,
    /// What is broken, in the order it was found.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more_findings: u64,
    /// Rows that were put back or taken away.
    pub repaired_rows: u64,
}

impl Report {
    /// Whether everything is what was written.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, such as `entry 17` or `row 6c66…`.
    pub place: String,
    /// What is wrong with it.
    pub fault: String,
    /// Whether the journal has what is needed to put it right.
    pub repairable: bool,
}

/// Reads the whole store in `directory`, which no service may be using. With `repair`, rows and indexes that the journal can
/// rebuild are put right, and the report is of the store after that. Blocks; a store of 1,000,000 events takes minutes.
///
/// # Errors
/// If there is no store, it is in use, or it cannot be opened at all.
pub fn verify(directory: &Path, cache_bytes: u64, repair: bool) -> Result<Report, JournalError> {
    let store = Store::open_existing(directory, cache_bytes)?;
    let mut repaired_rows = 0;
    if repair {
        let mut check = Check::new(&store, directory, true);
        check.run()?;
        repaired_rows = check.repaired_rows;
    }
    Ok(Report { repaired_rows, ..check(&store, directory)? })
}

/// Reads a whole store that is open, and changes nothing.
pub(super) fn check(store: &Store, directory: &Path) -> Result<Report, JournalError> {
    let mut check = Check::new(store, directory, false);
    check.run()?;
    Ok(check.report())
}

struct Check<'s> {
    store: &'s Store,
    directory: &'s Path,
    findings: Vec<Finding>,
    more_findings: u64,
    repairs: bool,
    repaired_rows: u64,
    /// What puts it right and is not written yet, all of one entry.
    changes: Vec<Change>,
    version: u64,
    /// Keys of the indexes over what is due and owed.
    indexed: BTreeSet<Vec<u8>>,
    entries: u64,
    events: u64,
    rows: u64,
    digest: Digest,
}

impl<'s> Check<'s> {
    fn new(store: &'s Store, directory: &'s Path, repairs: bool) -> Self {
        Self {
            store,
            directory,
            findings: Vec::new(),
            more_findings: 0,
            repairs,
            repaired_rows: 0,
            changes: Vec::new(),
            version: 0,
            indexed: BTreeSet::new(),
            entries: 0,
            events: 0,
            rows: 0,
            digest: Digest::ZERO,
        }
    }

    fn report(self) -> Report {
        Report {
            entries: self.entries,
            events: self.events,
            rows: self.rows,
            state_digest: self.digest,
            findings: self.findings,
            more_findings: self.more_findings,
            repaired_rows: self.repaired_rows,
        }
    }

    fn run(&mut self) -> Result<(), JournalError> {
        self.check_rows();
        if self.rows == 0 && self.findings.is_empty() && !watermark::is_there(self.directory) {
            // Its first start did not get as far as a row: there is nothing to miss.
            return Ok(());
        }
        let Some(meta) = self.meta() else { return Ok(()) };
        match watermark::missing(self.store, self.directory, &meta) {
            Ok(fault) => fault.into_iter().for_each(|fault| self.find("the store", fault)),
            Err(fault) => self.find("the watermark", fault.to_string()),
        }
        self.check_entries(&meta)?;
        self.check_events(&meta)?;
        self.write()
    }

    fn find(&mut self, place: impl Into<String>, fault: impl Into<String>) {
        self.add(place.into(), fault.into(), false);
    }

    /// Something that `change`, which entry `version` made, puts right.
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
        for change in &self.changes {
            self.store.discard(&change.key)?;
        }
        if !self.changes.is_empty() {
            self.store.commit(&self.changes, self.version)?;
        }
        self.repaired_rows += u64::try_from(self.changes.len()).unwrap_or(u64::MAX);
        self.changes.clear();
        Ok(())
    }

    fn add(&mut self, place: String, fault: String, repairable: bool) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { place, fault, repairable });
        } else {
            self.more_findings += 1;
        }
    }

    /// A row, or none with what is wrong with it noted.
    fn row<T>(&mut self, place: &str, key: &[u8], read: impl FnOnce(&Row) -> Result<T, JournalError>) -> Option<T> {
        let row = match self.store.get(key) {
            Ok(Some(row)) => row,
            Ok(None) => {
                self.find(place, "is missing");
                return None;
            }
            Err(fault) => {
                self.find(place, fault.to_string());
                return None;
            }
        };
        read(&row).map_err(|fault| self.find(place, fault.to_string())).ok()
    }

    fn meta(&mut self) -> Option<Meta> {
        self.row("the row that says where the journal stands", &key::meta(), |row| decode::<Meta>(&row.value))
    }

    /// Every row can be read, belongs to a known space, and each text is what its digest says.
    fn check_rows(&mut self) {
        let mut rows = self.store.rows();
        for (key, read) in rows.by_ref() {
            let place = format!("row {}", hex::encode(&key));
            match read {
                Ok(row) => self.check_row(&place, &key, &row),
                Err(fault) => self.find(place, fault.to_string()),
            }
        }
        if let Some(fault) = rows.ended_early() {
            self.find("the store", format!("the rows after this cannot be reached: {fault}"));
        }
    }

    fn check_row(&mut self, place: &str, key: &[u8], row: &Row) {
        self.rows += 1;
        if *key != key::meta() {
            self.digest = Digest::of(&[self.digest.as_bytes(), Digest::of(&[key]).as_bytes(), &row.value]);
        }
        match key.first() {
            Some(b't') if key.get(1..) != Some(Digest::of(&[&row.value]).as_bytes()) => {
                self.find(place, "the text is not what was hashed");
            }
            Some(b'd' | b'o') => drop(self.indexed.insert(key.to_vec())),
            Some(b'm' | b'j' | b'a' | b'e' | b'v' | b's' | b'l' | b'n' | b't' | b'r' | b'x') => {}
            Some(_) | None => self.find(place, "is of no known space"),
        }
    }

    /// Entries are dense and chained, their bodies are what was sealed, and what they wrote is there.
    fn check_entries(&mut self, meta: &Meta) -> Result<(), JournalError> {
        let (mut hash, mut open) = (Digest::ZERO, BTreeSet::new());
        for number in 1..meta.next_entry {
            let place = format!("entry {number}");
            let Some(row) = self.row(&place, &key::entry(number), |row| decode::<EntryRow>(&row.value)) else {
                continue;
            };
            self.entries += 1;
            if row.previous_hash != hash && (number == 1 || self.entries == number) {
                self.find(&place, "does not follow the entry before");
            }
            if Digest::chain(row.previous_hash, &row.seal) != row.hash {
                self.find(&place, "is not what was hashed");
            }
            hash = row.hash;
            self.check_entry(&place, number, &row, &mut open)?;
        }
        if hash != meta.entry_hash {
            self.find("the newest entry", "is not the one that was noted");
        }
        self.check_indexes(&open)
    }

    fn check_entry(
        &mut self,
        place: &str,
        number: u64,
        row: &EntryRow,
        open: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), JournalError> {
        let head: EntryHead = match from_seal(&row.seal) {
            Ok(head) => head,
            Err(fault) => {
                self.find(place, fault.to_string());
                return Ok(());
            }
        };
        if head.number != number {
            self.find(place, format!("says that it is entry {}", head.number));
        }
        let index = key::entry_of(&head.statement, number);
        self.check_index(place, &index, number)?;
        let Some(body) = &row.body else { return Ok(()) };
        if Digest::of(&[body]) != head.rows_digest {
            self.find(place, "its rows are not what was sealed");
            return Ok(());
        }
        match decode::<EntryBody>(body) {
            Ok(body) => body.rows.iter().try_for_each(|change| self.check_change(number, change, open))?,
            Err(fault) => self.find(place, fault.to_string()),
        }
        for digest in &head.content_digests {
            if !matches!(self.store.get(&key::text(digest)), Ok(Some(_))) {
                self.find(place, format!("its text {digest} is missing or cannot be read"));
            }
        }
        Ok(())
    }

    /// A row that an entry wrote is there as it wrote it, or as a later one did.
    fn check_change(
        &mut self,
        number: u64,
        change: &RowChange,
        open: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), JournalError> {
        let (key, value) = change.parts();
        if matches!(key.first(), Some(b'd' | b'o')) {
            // What is due and owed now is compared once all entries were read.
            if value.is_some() {
                open.insert(key.to_vec())
            } else {
                open.remove(key)
            };
            return Ok(());
        }
        let Some(value) = value else { return Ok(()) };
        let fault = match self.store.get(key) {
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

    /// What is due and owed is indexed, and nothing else.
    fn check_indexes(&mut self, open: &BTreeSet<Vec<u8>>) -> Result<(), JournalError> {
        let indexed = std::mem::take(&mut self.indexed);
        for key in open.difference(&indexed) {
            let place = format!("row {}", hex::encode(key));
            self.mend(place, "what is due or owed is not indexed", Change::put(key.clone(), Vec::new()), self.entries)?;
        }
        for key in indexed.difference(open) {
            let place = format!("row {}", hex::encode(key));
            self.mend(place, "is indexed as due or owed and is not", Change::remove(key.clone()), self.entries)?;
        }
        Ok(())
    }

    fn check_index(&mut self, place: &str, key: &[u8], version: u64) -> Result<(), JournalError> {
        if matches!(self.store.get(key), Ok(Some(_))) {
            return Ok(());
        }
        let place = format!("{place}, row {}", hex::encode(key));
        self.mend(place, "is not indexed", Change::put(key.to_vec(), Vec::new()), version)
    }

    /// Events are dense and chained, and indexed.
    fn check_events(&mut self, meta: &Meta) -> Result<(), JournalError> {
        let mut hash = Digest::ZERO;
        for sequence in 1..meta.next_sequence {
            let place = format!("event {sequence}");
            let Some((row, version)) =
                self.row(&place, &key::event(sequence), |row| Ok((decode::<EventRow>(&row.value)?, row.version)))
            else {
                continue;
            };
            self.events += 1;
            if row.previous_hash != hash && (sequence == 1 || self.events == sequence) {
                self.find(&place, "does not follow the event before");
            }
            if Digest::chain(row.previous_hash, &row.seal) != row.hash {
                self.find(&place, "is not what was hashed");
            }
            hash = row.hash;
            self.check_event(&place, sequence, version, &row)?;
        }
        if hash != meta.event_hash {
            self.find("the newest event", "is not the one that was noted");
        }
        Ok(())
    }

    fn check_event(&mut self, place: &str, sequence: u64, version: u64, row: &EventRow) -> Result<(), JournalError> {
        let head: EventHead = match from_seal(&row.seal) {
            Ok(head) => head,
            Err(fault) => {
                self.find(place, fault.to_string());
                return Ok(());
            }
        };
        if head.sequence != sequence {
            self.find(place, format!("says that it is event {}", head.sequence));
        }
        if row.event.as_ref().is_some_and(|event| event.head != head) {
            self.find(place, "is not what was sealed");
        }
        self.check_index(place, &key::event_of(&head.statement, &head.language_code, sequence), version)
    }
}

/// A store for tests.
#[cfg(test)]
pub(super) mod fixture {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    /// The store of README's tour.
    pub(in crate::journal) fn store() -> TempDir {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/storage-1/sled");
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("sled");
        fs::create_dir(&to).unwrap();
        for file in ["conf", "db"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        directory
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::{fixture::store, *};
    use crate::{domain::id::StatementId, journal::row::encode};

    const CACHE_BYTES: u64 = 1 << 20;

    /// Makes a change that no entry made.
    fn tamper(directory: &TempDir, change: Change, version: u64) {
        let store = Store::open_existing(directory.path(), CACHE_BYTES).unwrap();
        store.commit(&[change], version).unwrap();
    }

    fn rows(directory: &TempDir) -> Vec<(Vec<u8>, u64)> {
        let store = Store::open_existing(directory.path(), CACHE_BYTES).unwrap();
        store.rows().map(|(key, row)| (key, row.unwrap().version)).collect()
    }

    #[test]
    fn whatever_row_is_taken_away_is_missed_and_put_back_if_the_journal_has_it() {
        let whole = store();
        let expected = verify(whole.path(), CACHE_BYTES, false).unwrap();
        assert!(expected.is_clean(), "{:?}", expected.findings);
        for (key, version) in rows(&whole) {
            let damaged = store();
            tamper(&damaged, Change::remove(key.clone()), version);
            let report = verify(damaged.path(), CACHE_BYTES, false).unwrap();
            assert!(!report.is_clean(), "{}", hex::encode(&key));
            let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
            if matches!(key.first(), Some(b'm' | b'j' | b't')) {
                assert!(!repaired.is_clean(), "{}: only a backup has it", hex::encode(&key));
            } else {
                assert!(repaired.is_clean() && repaired.repaired_rows > 0, "{}", hex::encode(&key));
                assert_eq!(repaired.state_digest, expected.state_digest);
            }
        }
    }

    #[test]
    fn a_row_that_no_entry_wrote_so_is_found_and_put_right() {
        let expected = verify(store().path(), CACHE_BYTES, false).unwrap();
        let whole = store();
        for (key, version) in
            rows(&whole).into_iter().filter(|(key, _)| matches!(key.first(), Some(b's' | b'l' | b'n')))
        {
            let damaged = store();
            tamper(&damaged, Change::put(key, encode(&"another")), version);
            assert!(!verify(damaged.path(), CACHE_BYTES, false).unwrap().is_clean());
            let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
            assert_eq!((repaired.is_clean(), repaired.state_digest), (true, expected.state_digest));
        }
        let damaged = store();
        let id = StatementId::parse("nobody").unwrap();
        tamper(&damaged, Change::put([b"d", id.as_str().as_bytes()].concat(), Vec::new()), 3);
        let report = verify(damaged.path(), CACHE_BYTES, false).unwrap();
        assert_eq!(report.findings[0].fault, "is indexed as due or owed and is not");
        assert!(verify(damaged.path(), CACHE_BYTES, true).unwrap().is_clean());
    }

    #[test]
    fn there_has_to_be_a_store() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(verify(directory.path(), CACHE_BYTES, false), Err(JournalError::Store(_))));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "and none is made");
    }
}

//! Copies of a journal: entry by entry, with the rows that an entry does not hold itself.
//!
//! **Invariants**
//! - A copy is a prefix of the journal: entries come in order and without gaps.
//! - What is restored is checked as it comes: chains, seals, digests of texts. What does not fit is refused, and nothing is served.
//! - An erasure is repeated on what was copied before it: no restore brings a text back that was erased by an entry of the copy.

use std::path::{Path, PathBuf};

use super::{
    Identity, JournalError, erase, key,
    row::{self, EntryBody, EntryRow, EventRow, FORMAT, Meta, decode, encode, format_fault, from_seal},
    store::{Change, Store},
    verify::{Report, verify},
    view::{Reader, View},
};
use crate::domain::{
    digest::Digest, entry::EntryHead, event::EventHead, id::StatementId, state::Statement, time::Timestamp,
};

/// A key and a value.
type Stored = (Vec<u8>, Vec<u8>);

/// One entry, with all that is needed to put it into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupEntry {
    /// Its number.
    pub number: u64,
    /// Keys and values of the rows that it does not hold itself.
    pub rows: Vec<Stored>,
}

impl BackupEntry {
    /// About how much it weighs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl View<'_> {
    /// Entries after `after`, at least one if there is one, until they have `bytes_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn backup_entries(&self, after: u64, bytes_max: usize) -> Result<Vec<BackupEntry>, JournalError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for number in after + 1..=self.newest_entry() {
            let entry = Reader { store: self.store() }.backup_entry(number)?;
            bytes += entry.bytes();
            entries.push(entry);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    /// The hash of an entry; zero for 0, none if there is no such entry.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn entry_hash(&self, number: u64) -> Result<Option<Digest>, JournalError> {
        if number == 0 {
            return Ok(Some(Digest::ZERO));
        }
        if number > self.newest_entry() {
            return Ok(None);
        }
        let row = self.store().get(&key::entry(number))?;
        Ok(row.map(|row| decode::<EntryRow>(&row.value)).transpose()?.map(|row| row.hash))
    }
}

impl Reader<'_> {
    /// An entry, with the rows that it does not hold itself.
    pub(super) fn backup_entry(self, number: u64) -> Result<BackupEntry, JournalError> {
        let entry = self.must(key::entry(number))?;
        let row: EntryRow = decode(&entry.1)?;
        let head: EntryHead = from_seal(&row.seal)?;
        let mut rows = vec![entry];
        if row.body.is_none() {
            for sequence in head.first_sequence..head.first_sequence + u64::from(head.event_count) {
                let event = self.must(key::event(sequence))?;
                let head: EventHead = from_seal(&decode::<EventRow>(&event.1)?.seal)?;
                rows.push(event);
                if let Some(name) = head.edition {
                    rows.extend(self.may(key::edition(&name.statement, &name.language, name.number))?);
                }
            }
        }
        for digest in &head.content_digests {
            rows.extend(self.may(key::text(digest))?);
        }
        Ok(BackupEntry { number, rows })
    }

    fn must(self, key: Vec<u8>) -> Result<Stored, JournalError> {
        let words = format!("row {} is missing", hex::encode(&key));
        self.may(key)?.ok_or(JournalError::Damaged(words))
    }

    fn may(self, key: Vec<u8>) -> Result<Option<Stored>, JournalError> {
        Ok(self.store.get(&key)?.map(|row| (key, row.value)))
    }
}

/// Bytes of rows in one write.
const GROUP_BYTES_MAX: usize = 512 * 1024;

/// A store that is being built from a copy.
#[derive(Debug)]
pub struct Restore {
    store: Store,
    directory: PathBuf,
    cache_bytes: u64,
    meta: Meta,
    group: Vec<(Change, u64)>,
    bytes: usize,
    /// Statements that were erased, and the entries that did it.
    erased: Vec<(StatementId, u64)>,
}

impl Restore {
    /// Begins a store in `directory`, which must not hold one. Blocks, as all of this does.
    ///
    /// # Errors
    /// If there is something already, the copy has another format, or nothing can be written there.
    pub fn begin(directory: &Path, cache_bytes: u64, identity: Identity, format: u32) -> Result<Self, JournalError> {
        if let Some(words) = format_fault(format) {
            return Err(JournalError::Damaged(words));
        }
        if directory.exists() && std::fs::read_dir(directory)?.next().is_some() {
            return Err(JournalError::Store(format!("{} is not empty: restore elsewhere", directory.display())));
        }
        let meta = Meta {
            format: FORMAT,
            feed_id: identity.feed_id,
            epoch: identity.epoch,
            next_entry: 1,
            entry_hash: Digest::ZERO,
            next_sequence: 1,
            event_hash: Digest::ZERO,
            time: Timestamp::from_micros(0),
            restored: false,
        };
        Ok(Self {
            store: Store::open(directory, cache_bytes)?,
            directory: directory.to_owned(),
            cache_bytes,
            meta,
            group: Vec::new(),
            bytes: 0,
            erased: Vec::new(),
        })
    }

    /// Puts the next entry.
    ///
    /// # Errors
    /// If it is not the next, or not what was written; or the store fails.
    pub fn put(&mut self, entry: &BackupEntry) -> Result<(), JournalError> {
        let number = self.meta.next_entry;
        let fault = |words: &str| JournalError::Damaged(format!("entry {number} of the backup {words}"));
        let first = entry.rows.first().filter(|(key, _)| *key == key::entry(number));
        let (_, value) = first.ok_or_else(|| fault("is not the next"))?;
        let row: EntryRow = decode(value)?;
        let head: EntryHead = from_seal(&row.seal)?;
        if row.previous_hash != self.meta.entry_hash {
            return Err(fault("does not follow the one before"));
        }
        let mut rows = held(&row)?;
        for (key, value) in &entry.rows {
            let allowed: &[u8] = if row.body.is_some() { b"jt" } else { b"jten" };
            if !key.first().is_some_and(|space| allowed.contains(space)) {
                return Err(fault("has a row that is not its own"));
            }
            if let Some(words) = row::fault(key, value) {
                return Err(fault(&format!("is damaged: {words}")));
            }
            rows.push(Change::put(key.clone(), value.clone()));
        }
        rows.push(Change::put(key::entry_of(&head.statement, number), Vec::new()));
        self.follow_events(&head, &mut rows, &fault)?;
        self.note_erasure(&head, &rows)?;
        self.meta = Meta { next_entry: number + 1, entry_hash: row.hash, time: head.commit_time, ..self.meta.clone() };
        self.bytes += rows.iter().map(Change::bytes).sum::<usize>();
        self.group.extend(rows.into_iter().map(|row| (row, number)));
        if self.bytes >= GROUP_BYTES_MAX { self.write() } else { Ok(()) }
    }

    /// The events of an entry go on with the chain.
    fn follow_events(
        &mut self,
        head: &EntryHead,
        rows: &mut Vec<Change>,
        fault: &impl Fn(&str) -> JournalError,
    ) -> Result<(), JournalError> {
        for _ in 0..head.event_count {
            let sequence = self.meta.next_sequence;
            let found = rows.iter().find(|row| row.key == key::event(sequence)).and_then(|row| row.value.as_ref());
            let row: EventRow = decode(found.ok_or_else(|| fault("lacks an event"))?)?;
            if row.previous_hash != self.meta.event_hash || row.fault()?.is_some() {
                return Err(fault("has an event that does not follow the one before"));
            }
            let event: EventHead = from_seal(&row.seal)?;
            rows.push(Change::put(key::event_of(&event.statement, &event.language_code, sequence), Vec::new()));
            self.meta.next_sequence = sequence + 1;
            self.meta.event_hash = row.hash;
        }
        Ok(())
    }

    fn note_erasure(&mut self, head: &EntryHead, rows: &[Change]) -> Result<(), JournalError> {
        let row = rows.iter().find(|row| row.key == key::statement(&head.statement));
        let Some(value) = row.and_then(|row| row.value.as_ref()) else { return Ok(()) };
        let statement: Statement = decode(value)?;
        let known = self.erased.iter().any(|(id, _)| *id == statement.id);
        if statement.expunge_time.is_some() && !known {
            self.erased.push((statement.id, head.number));
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let newest = self.meta.next_entry - 1;
        self.group.push((Change::put(key::meta(), encode(&self.meta)), newest));
        self.store.commit_many(self.group.iter().map(|(change, entry)| (change, *entry)))?;
        self.group.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Repeats erasures, and reads the whole store again.
    ///
    /// # Errors
    /// If the store is not what the copy says, or fails.
    pub(super) fn close(mut self) -> Result<Report, JournalError> {
        self.write()?;
        let newest = self.meta.next_entry - 1;
        for (id, entry) in &self.erased {
            erase::erase(&self.store, id, *entry, newest)?;
        }
        let Self { store, directory, cache_bytes, .. } = self;
        drop(store);
        let report = verify(&directory, cache_bytes, false)?;
        match report.findings.first() {
            None => Ok(report),
            Some(finding) => Err(JournalError::Damaged(format!("{} {}", finding.place, finding.fault))),
        }
    }

    /// The same, and raises the epoch: whoever saw entries that the copy lacks is told that the history differs.
    ///
    /// # Errors
    /// If the store is not what the copy says, or fails.
    pub fn finish(self) -> Result<Report, JournalError> {
        let (directory, cache_bytes) = (self.directory.clone(), self.cache_bytes);
        let meta = Meta { epoch: self.meta.epoch + 1, ..self.meta.clone() };
        let report = self.close()?;
        let store = Store::open_existing(&directory, cache_bytes)?;
        store.commit(&[Change::put(key::meta(), encode(&meta))], meta.next_entry - 1)?;
        Ok(report)
    }
}

/// The rows that an entry holds itself.
fn held(row: &EntryRow) -> Result<Vec<Change>, JournalError> {
    let Some(body) = &row.body else { return Ok(Vec::new()) };
    let change = |(key, value): (&[u8], Option<&[u8]>)| Change { key: key.to_vec(), value: value.map(<[u8]>::to_vec) };
    Ok(decode::<EntryBody>(body)?.rows.iter().map(|row| change(row.parts())).collect())
}

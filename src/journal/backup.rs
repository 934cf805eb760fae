//! Copies of a journal: entry by entry, with the rows that an entry does not hold itself.
//!
//! **Invariants**
//! - A copy is a prefix of the journal: entries come in order and without gaps.
//! - What is restored is checked as it comes: chains, seals, digests of texts. What does not fit is refused, and nothing is served.
//! - An erasure is repeated on what was copied before it: no restore brings a text back that was erased by an entry of the copy, or
//!   that is in the register of erasures, which a copy keeps beside itself.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Identity, Journal, JournalError, Refusal, commit, erase, key,
    retention::Kept,
    row::{self, EntryBody, EntryRow, EventRow, FORMAT, Meta, check_format, decode, encode, from_seal},
    store::{Change, Store},
    verify::{Report, check},
    view::{Reader, View},
};
use crate::domain::{
    command::{Call, Command, Step},
    digest::Digest,
    entry::{Action, EntryHead},
    event::EventHead,
    id::{Caller, StatementId},
    state::{State, Statement},
    time::Timestamp,
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
    /// The erasure that it is, if it is one.
    pub erasure: Option<Erasure>,
}

/// A statement whose texts were erased: enough to erase them again where an older copy brings them back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    /// Which.
    pub statement: StatementId,
    /// When it was created: a later one of the same name is another.
    pub create_time: Timestamp,
    /// When it was erased.
    pub expunge_time: Timestamp,
}

impl Erasure {
    fn of(statement: Statement) -> Option<Self> {
        let Statement { id, create_time, expunge_time, .. } = statement;
        Some(Self { statement: id, create_time, expunge_time: expunge_time? })
    }

    /// Whether a statement has texts that were erased once.
    fn is_missing(&self, state: Option<&State>) -> bool {
        state.is_some_and(|state| state.statement.create_time == self.create_time && !state.is_expunged())
    }
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
        let erasure = erased(&head, &held(&row)?)?.and_then(Erasure::of);
        Ok(BackupEntry { number, rows, erasure })
    }

    fn must(self, key: Vec<u8>) -> Result<Stored, JournalError> {
        let words = format!("row {} is missing", hex::encode(&key));
        self.may(key)?.ok_or(JournalError::Damaged(words))
    }

    fn may(self, key: Vec<u8>) -> Result<Option<Stored>, JournalError> {
        Ok(self.store.get(&key)?.map(|row| (key, row.value)))
    }
}

/// The statement, if this is the entry that erased it.
fn erased(head: &EntryHead, rows: &[Change]) -> Result<Option<Statement>, JournalError> {
    let erases = matches!(head.action, Action::ExpungeStatement | Action::RepeatErasure);
    let Some(id) = head.statement.as_ref().filter(|_| erases) else { return Ok(None) };
    let row = rows.iter().find(|row| row.key == key::statement(id)).and_then(|row| row.value.as_ref());
    let statement: Option<Statement> = row.map(|value| decode(value)).transpose()?;
    Ok(statement.filter(|statement| statement.expunge_time.is_some()))
}

/// Lies in a directory for as long as a store is being built there.
const HALF: &str = "restoring";

/// # Errors
/// If what is in a directory is a part of a copy, because a restore did not end.
pub(super) fn refuse_half(directory: &Path) -> Result<(), JournalError> {
    if directory.join(HALF).exists() {
        let place = directory.display();
        return Err(JournalError::Store(format!(
            "{place} holds a part of a copy, as the restore did not end: empty it and restore again"
        )));
    }
    Ok(())
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
    /// Answers of entries before this are not put; of a copy of a store that has forgotten them.
    kept: Option<Kept>,
    /// Statements that were erased, and the entries that did it.
    erased: Vec<(StatementId, u64)>,
}

impl Restore {
    /// Begins a store in `directory`, which must not hold one. Blocks, as all of this does.
    ///
    /// # Errors
    /// If there is something already, the copy has another format, or nothing can be written there.
    pub fn begin(directory: &Path, cache_bytes: u64, identity: Identity, format: u32) -> Result<Self, JournalError> {
        check_format(format)?;
        if directory.exists() && fs::read_dir(directory)?.next().is_some() {
            return Err(JournalError::Store(format!("{} is not empty: restore elsewhere", directory.display())));
        }
        fs::create_dir_all(directory)?;
        File::create(directory.join(HALF))?;
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
            kept: None,
            erased: Vec::new(),
        })
    }

    /// What the store that is copied has forgotten is not put.
    pub(super) fn forget(&mut self, kept: Option<Kept>) {
        self.group.extend(kept.map(|kept| (Change::put(key::kept(), encode(&kept)), 0)));
        self.kept = kept;
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
        if self.kept.is_some_and(|kept| head.commit_time < kept.answers_since) {
            rows.retain(|row| !row.key.starts_with(&key::requests()));
        }
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
        rows.extend(commit::entry_index(&head));
        self.follow_events(&head, &mut rows, &fault)?;
        self.erased.extend(erased(&head, &rows)?.map(|statement| (statement.id, number)));
        let epoch = self.meta.epoch.max(head.epoch.unwrap_or_default());
        let (next_entry, entry_hash, time) = (number + 1, row.hash, head.commit_time);
        self.meta = Meta { epoch, next_entry, entry_hash, time, ..self.meta.clone() };
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

    fn write(&mut self) -> Result<(), JournalError> {
        let newest = self.meta.next_entry - 1;
        self.group.push((Change::put(key::meta(), encode(&self.meta)), newest));
        self.store.commit_many(self.group.iter().map(|(change, entry)| (change, *entry)))?;
        self.group.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Of the erasures those that the copy does not have.
    ///
    /// # Errors
    /// If the store fails.
    pub fn missing(&mut self, erasures: Vec<Erasure>) -> Result<Vec<Erasure>, JournalError> {
        self.write()?;
        let mut missing = Vec::new();
        for erasure in erasures {
            let state = Reader { store: &self.store }.state(&erasure.statement)?;
            if erasure.is_missing(state.as_ref().map(|(state, _)| state)) {
                missing.push(erasure);
            }
        }
        Ok(missing)
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
        // From its files, not from what sled remembers of them.
        let store = Store::open_existing(&directory, cache_bytes)?;
        let report = check(&store, &directory)?;
        drop(store);
        match report.findings.first() {
            None => {
                fs::remove_file(directory.join(HALF))?;
                File::open(&directory)?.sync_all()?;
                Ok(report)
            }
            Some(finding) => Err(JournalError::Damaged(format!("{} {}", finding.place, finding.fault))),
        }
    }

    /// The same. The first start of the store raises the epoch: whoever saw entries that the copy lacks is told that the history
    /// differs.
    ///
    /// # Errors
    /// If the store is not what the copy says, or fails.
    pub fn finish(mut self) -> Result<Report, JournalError> {
        self.meta.restored = true;
        self.close()
    }
}

impl Journal {
    /// Erases again what is not erased.
    ///
    /// # Errors
    /// If the journal is closed, or its store fails.
    pub async fn repeat_erasures(&self, erasures: Vec<Erasure>) -> Result<(), JournalError> {
        for erasure in erasures {
            let id = erasure.statement.clone();
            let state = self.read(move |view| view.state(&id)).await?;
            if !erasure.is_missing(state.as_ref()) {
                continue;
            }
            let step = Step::RepeatErasure { expunge_time: erasure.expunge_time };
            let command = Command { statement: erasure.statement, step };
            let call = Call { caller: Caller::service(), request_id: None, validate_only: false, command };
            self.submit(call).await.map_err(|refusal| match refusal {
                Refusal::Journal(failure) => failure,
                Refusal::Rejected(rejection) => JournalError::Damaged(rejection.to_string()),
            })?;
        }
        Ok(())
    }
}

/// The rows that an entry holds itself.
fn held(row: &EntryRow) -> Result<Vec<Change>, JournalError> {
    let Some(body) = &row.body else { return Ok(Vec::new()) };
    let change = |(key, value): (&[u8], Option<&[u8]>)| Change { key: key.to_vec(), value: value.map(<[u8]>::to_vec) };
    Ok(decode::<EntryBody>(body)?.rows.iter().map(|row| change(row.parts())).collect())
}

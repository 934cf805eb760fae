//! A store from a copy.
//!
//! **Invariants**
//! - What is restored is checked as it comes: chains, seals, digests of texts. What does not fit is refused.
//! - An erasure is repeated on what was copied before it: no restore brings a text back that was erased by an entry of the copy, or
//!   that is in the register of erasures, which a copy keeps beside itself.
//! - Until all of that is done nothing is served from the directory, whatever ends the restore (`refuse_half`). The next restore into it
//!   begins anew. Test: `tests/faults/kills.py` at each step.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    ops::Bound,
    path::{Path, PathBuf},
};

use super::{
    Identity, Journal, JournalError, Options, Refusal,
    backup::{BackupEntry, Erasure, erased, held},
    blocking, commit, compact,
    dates::{self, Dates},
    erase, key,
    retention::Kept,
    row::{self, EntryRow, EventRow, FORMAT, Meta, check_format, decode, encode, from_seal},
    store::{Change, LOCK, Places, Row, Store, lock, remove_half_files},
    verify::{Report, check},
    view::Reader,
};
use crate::domain::{
    command::{Call, Command, Step},
    digest::Digest,
    entry::EntryHead,
    event::EventHead,
    id::StatementId,
    time::Timestamp,
};

/// Lies in a directory for as long as a store is being built there.
const HALF: &str = "restoring";

/// # Errors
/// If what is in a directory is a part of a copy, because a restore did not end.
pub(super) fn refuse_half(directory: &Path) -> Result<(), JournalError> {
    if directory.join(HALF).exists() {
        let place = directory.display();
        return Err(JournalError::Store(format!(
            "{place} holds a part of a copy, as the restore did not end: restore into it again"
        )));
    }
    Ok(())
}

/// Empties a directory that holds a part of a copy, of all that a restore writes; the mark comes last.
fn clear(directory: &Path) -> Result<(), JournalError> {
    let remove = |path: PathBuf| {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    };
    let Places { current, old, fresh } = Places::of(directory)?;
    [current, old, fresh].into_iter().try_for_each(remove)?;
    ["watermark", "ballast", "last-copy", "clock"].into_iter().try_for_each(|name| remove(directory.join(name)))?;
    remove_half_files(directory)?;
    File::open(directory)?.sync_all()?;
    Ok(remove(directory.join(HALF))?)
}

/// What is in a directory is a store like any other from now on.
fn serve(directory: &Path) -> Result<(), JournalError> {
    fs::remove_file(directory.join(HALF))?;
    Ok(File::open(directory)?.sync_all()?)
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
    /// When the events happened.
    dates: Dates,
}

impl Restore {
    /// Begins a store in `directory`, which must not hold one; what a restore that was interrupted left there is deleted. Blocks, as all of
    /// this does.
    ///
    /// # Errors
    /// If there is something already, the copy has another format, or nothing can be written there.
    pub fn begin(directory: &Path, cache_bytes: u64, identity: Identity, format: u32) -> Result<Self, JournalError> {
        check_format(format)?;
        if directory.join(HALF).exists() {
            // Another restore may be at it.
            let _lock = lock(directory)?;
            clear(directory)?;
        }
        if directory.exists() && fs::read_dir(directory)?.any(|item| item.map_or(true, |item| item.file_name() != LOCK))
        {
            return Err(JournalError::Store(format!("{} is not empty: restore elsewhere", directory.display())));
        }
        fs::create_dir_all(directory)?;
        File::create(directory.join(HALF))?;
        let store = Store::open(directory, cache_bytes).inspect_err(|_| drop(clear(directory)))?;
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
            store,
            directory: directory.to_owned(),
            cache_bytes,
            meta,
            group: Vec::new(),
            bytes: 0,
            kept: None,
            erased: Vec::new(),
            dates: Dates::default(),
        })
    }

    /// Deletes what a restore wrote that failed: half a store must not look like a whole one.
    ///
    /// # Errors
    /// If that cannot be written. What is left is refused, by all that open a store.
    pub fn discard(directory: &Path) -> Result<(), JournalError> {
        if directory.join(HALF).exists() {
            clear(directory)?;
            fs::remove_file(directory.join(LOCK))?;
        }
        Ok(())
    }

    /// What the store that is copied has forgotten is not put.
    pub(super) fn forget(&mut self, kept: Option<Kept>) {
        self.group.extend(kept.map(|kept| (Change::put(key::kept(), encode(&kept)), 0)));
        self.kept = kept;
    }

    /// Puts rows that no entry wrote.
    pub(super) fn put_beside(&mut self, rows: Vec<(Vec<u8>, Row)>) {
        self.group.extend(rows.into_iter().map(|(key, row)| (Change::put(key, row.value), row.version)));
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
        if dates::has_date(&head) {
            self.dates.add(head.commit_time, self.meta.next_sequence);
        }
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

    /// The newest entry that was put; 0 if none.
    #[must_use]
    pub fn newest_entry(&self) -> u64 {
        self.meta.next_entry - 1
    }

    /// Writes the rest, repeats the erasures of the copy, and reads the store from its files, not from what sled remembers of them.
    fn settle(mut self) -> Result<(Store, Report), JournalError> {
        self.write()?;
        let Self { store, directory, cache_bytes, meta, erased, dates, .. } = self;
        let newest = meta.next_entry - 1;
        dates::write(&store, &dates, newest)?;
        for (id, entry) in &erased {
            erase::erase(&store, id, *entry, &|changes| Ok(store.commit(changes, newest)?))?;
        }
        clear_indexes(&store, erased, newest)?;
        // Nobody else may open it in between.
        let lock = store.close();
        let store = Store::open_locked(&directory, cache_bytes, lock)?;
        let report = check(&store, &directory)?;
        match report.findings.first() {
            None => Ok((store, report)),
            Some(finding) => Err(JournalError::Damaged(format!("{} {}", finding.place, finding.fault))),
        }
    }

    /// Repeats the erasures of the copy, and reads the whole store again. If it is `restored` its first start raises the epoch.
    ///
    /// # Errors
    /// If the store is not what the copy says, or fails.
    pub(super) fn close(mut self, restored: bool) -> Result<Report, JournalError> {
        self.meta.restored = restored;
        let directory = self.directory.clone();
        let (store, report) = self.settle()?;
        drop(store);
        serve(&directory)?;
        Ok(report)
    }

    /// The same, and repeats what of `erasures` the copy lacks: no file of the store has the words then. The first start raises the
    /// epoch: whoever saw entries that the copy lacks is told that the history differs. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the store is not what the copy says, or fails. What is in the directory is of no use then, and refused.
    pub async fn finish(mut self, erasures: Vec<Erasure>) -> Result<Report, JournalError> {
        self.meta.restored = true;
        let options = Options { cache_bytes: self.cache_bytes, ..Options::new(self.directory.clone()) };
        let (report, missing) = blocking(move || {
            let (store, report) = self.settle()?;
            Ok((report, missing(&store, erasures)?))
        })
        .await?;
        let report = if missing.is_empty() { report } else { erase_again(options.clone(), missing).await? };
        serve(&options.directory)?;
        Ok(report)
    }
}

/// Of some erasures those that a store does not have.
fn missing(store: &Store, erasures: Vec<Erasure>) -> Result<Vec<Erasure>, JournalError> {
    let mut found = Vec::new();
    for erasure in erasures {
        let state = Reader { store }.state(&erasure.statement)?;
        if erasure.is_missing(state.as_ref().map(|(state, _)| state)) {
            found.push(erasure);
        }
    }
    Ok(found)
}

/// Takes erasures as steps of the journal, and the words out of the files, where they were written a moment ago.
async fn erase_again(options: Options, erasures: Vec<Erasure>) -> Result<Report, JournalError> {
    let Options { directory, cache_bytes, .. } = options.clone();
    let journal = blocking(move || Journal::open_any(options)).await?;
    let erased = journal.repeat_erasures(erasures).await;
    journal.close().await;
    drop(journal);
    erased?;
    Ok(blocking(move || compact::rewrite(&directory, cache_bytes)).await?.report)
}

/// Removes what is indexed as due or owed of statements that were erased and is not: the entries that would have done it were emptied
/// before they were copied.
fn clear_indexes(store: &Store, erased: Vec<(StatementId, u64)>, newest: u64) -> Result<(), JournalError> {
    let mut wanted = BTreeMap::new();
    for (id, _) in erased {
        let state = Reader { store }.state(&id)?;
        wanted.insert(id, state.map(|(state, _)| commit::index_keys(&state)).unwrap_or_default());
    }
    let mut stale = Vec::new();
    for row in [key::dues(), key::owed_all()].iter().flat_map(|prefix| store.scan(prefix, Bound::Unbounded, false)) {
        let (key, _) = row?;
        if key::indexed(&key).and_then(|id| wanted.get(&id)).is_some_and(|wanted| !wanted.contains(&key)) {
            stale.push(Change::remove(key));
        }
    }
    for batch in stale.chunks(erase::BATCH_ROWS) {
        store.commit(batch, newest)?;
    }
    Ok(())
}

impl Journal {
    /// Erases again what is not erased.
    async fn repeat_erasures(&self, erasures: Vec<Erasure>) -> Result<(), JournalError> {
        for erasure in erasures {
            let id = erasure.statement.clone();
            let state = self.read(move |view| view.state(&id)).await?;
            if !erasure.is_missing(state.as_ref()) {
                continue;
            }
            let step = Step::RepeatErasure { expunge_time: erasure.expunge_time };
            let command = Command { statement: erasure.statement, step };
            let call = Call::of_service(command);
            self.submit(call).await.map_err(|refusal| match refusal {
                Refusal::Journal(failure) => failure,
                Refusal::Rejected(rejection) => JournalError::Damaged(rejection.to_string()),
            })?;
        }
        Ok(())
    }
}

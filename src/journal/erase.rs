//! Takes the texts of a statement out of the store, past events and entries included.
//!
//! It runs after the entry that erases is durable, on the writer's thread, in small batches, because bulk deletes cost sled
//! memory. A crash in between leaves the statement erased (no reader is shown it) and the rest to the next start, `verify --repair` or
//! `compact`, which begin by finishing what the rows of [`key::erasing`] name. A plain `verify` finishes it on its private copy.

use tracing::error;

use super::{
    JournalError, key,
    row::{EntryRow, EventRow, decode, encode, from_seal},
    store::{Change, Store},
    view::Reader,
};
use crate::domain::{entry::EntryHead, event::EventHead, id::StatementId, live::Edition};

/// Rows in one batch of deletes: 64 kept memory flat where 2,000 took gigabytes.
pub(super) const BATCH_ROWS: usize = 64;

/// Erases the texts of a statement. May be repeated. What is damaged stays as it is, and so does the row of [`key::erasing`]: the rest is
/// erased, and the next start tries again.
///
/// `entry` is the number of the entry that erases it; `commit` makes a batch durable.
pub(super) fn erase(
    store: &Store,
    id: &StatementId,
    entry: u64,
    commit: &dyn Fn(&[Change]) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let reader = Reader { store };
    let mut batch = Batch { commit, changes: Vec::new() };
    let mut damaged = 0_u32;
    let mut whole = |hollow: Result<Vec<Change>, JournalError>| match hollow {
        Err(JournalError::Damaged(_)) => {
            damaged += 1;
            Ok(Vec::new())
        }
        hollow => hollow,
    };
    for language in reader.state(id)?.map(|(state, _)| state.languages).unwrap_or_default().keys() {
        for number in reader.numbers(&key::events_of(id, language))? {
            batch.add(whole(hollow_event(store, number, entry))?)?;
        }
        for (key, row) in reader.rows(&key::editions(id, language))? {
            let erased = decode::<Edition>(&row.value).map(|edition| encode(&edition.erased()));
            batch.add(whole(erased.map(|erased| vec![Change::put(key, erased)]))?)?;
        }
    }
    for number in reader.numbers(&key::entries_of(id))? {
        for change in whole(hollow_entry(store, number, entry))? {
            batch.add(vec![change])?;
        }
    }
    if damaged == 0 {
        batch.add(vec![Change::remove(key::erasing(id))])?;
    } else {
        error!(statement = %id, damaged, "rows of an erased statement are damaged, and may still hold words: verify, and restore from a copy");
    }
    batch.write()
}

/// Statements whose erasure was interrupted, each with the entry that erases it.
pub(super) fn under_way(store: &Store) -> Result<Vec<(StatementId, u64)>, JournalError> {
    let prefix = key::erasing_all();
    let mut found = Vec::new();
    for (key, row) in (Reader { store }).rows(&prefix)? {
        if let Some(id) = key::text_after(&prefix, &key).and_then(|id| StatementId::parse(id).ok()) {
            found.push((id, decode(&row.value)?));
        }
    }
    Ok(found)
}

/// Finishes what a crash left half done, and gives the statements.
pub(super) fn resume(store: &Store, version: u64) -> Result<Vec<StatementId>, JournalError> {
    let mut resumed = Vec::new();
    for (id, entry) in under_way(store)? {
        match erase(store, &id, entry, &|changes| Ok(store.commit(changes, version)?)) {
            // Whoever can repair it needs a service that starts.
            Err(failure @ JournalError::Damaged(_)) => {
                error!(statement = %id, %failure, "an erasure cannot be finished: verify, and restore from a copy");
            }
            done => done?,
        }
        resumed.push(id);
    }
    Ok(resumed)
}

struct Batch<'c> {
    commit: &'c dyn Fn(&[Change]) -> Result<(), JournalError>,
    changes: Vec<Change>,
}

impl Batch<'_> {
    fn add(&mut self, changes: Vec<Change>) -> Result<(), JournalError> {
        self.changes.extend(changes);
        if self.changes.len() >= BATCH_ROWS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), JournalError> {
        (self.commit)(&self.changes)?;
        self.changes.clear();
        Ok(())
    }
}

/// The event without its text. Those that told of the erasure have none; they stay as they are.
fn hollow_event(store: &Store, sequence: u64, erasing: u64) -> Result<Vec<Change>, JournalError> {
    let Some(row) = store.get(&key::event(sequence))? else { return Ok(Vec::new()) };
    let row: EventRow = decode(&row.value)?;
    if from_seal::<EventHead>(&row.seal)?.entry >= erasing {
        return Ok(Vec::new());
    }
    Ok(vec![Change::put(key::event(sequence), encode(&EventRow { event: None, ..row }))])
}

/// The entry without its rows, the texts it wrote, and the remembered answer. The entry that erases stays as it is, and so do
/// those that came after it.
fn hollow_entry(store: &Store, number: u64, erasing: u64) -> Result<Vec<Change>, JournalError> {
    let Some(row) = store.get(&key::entry(number))?.filter(|_| number < erasing) else { return Ok(Vec::new()) };
    let row: EntryRow = decode(&row.value)?;
    let head: EntryHead = from_seal(&row.seal)?;
    let mut changes: Vec<_> = head.content_digests.iter().map(|digest| Change::remove(key::text(digest))).collect();
    if let Ok(id) = head.request_id.parse() {
        changes.push(Change::remove(key::request(&head.caller, id)));
    }
    changes.push(Change::put(key::entry(number), encode(&EntryRow { body: None, ..row })));
    Ok(changes)
}

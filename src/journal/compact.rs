//! Writes a store anew, so that what was erased or outlived is in no file of it any more.
//!
//! **Invariants**
//! - The old store is only taken away once the new one was read back and is equal to it.
//! - Until then it lies there. Whatever ends a compaction, the next opening of the store deletes what it left behind, and puts the old store
//!   back if it was killed between the two renames (`store/places.rs`). Test: `tests/faults/kills.py` at each step.
//! - Where `sled` is a symbolic link, the folder it leads to is replaced and the link stays: no file keeps what was erased.
//!   Test: `a_compaction_follows_a_link_and_leaves_nothing_behind`.

use std::{fs, path::Path};

use super::{
    Identity, JournalError, key,
    restore::{Restore, refuse_half},
    row::{Meta, decode},
    store::{Places, Store},
    verify::{Report, check, finish},
    view::Reader,
};

/// What a compaction did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Compaction {
    /// Bytes of the store's files before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// What is in it.
    pub report: Report,
}

/// Writes the store in `directory` anew; no service may be using it. Needs room for both. Blocks; a store of 1,000,000 events takes
/// minutes.
///
/// # Errors
/// If there is no store, it is in use or damaged, or the new one cannot be written. The old one is then as it was.
pub fn compact(directory: &Path, cache_bytes: u64) -> Result<Compaction, JournalError> {
    refuse_half(directory)?;
    rewrite(directory, cache_bytes)
}

/// The same, of a store that nobody may open yet.
pub(super) fn rewrite(directory: &Path, cache_bytes: u64) -> Result<Compaction, JournalError> {
    let places = Places::of(directory)?;
    refuse_links(&places)?;
    let store = Store::open_existing(directory, cache_bytes)?;
    let under_way = finish(&store)?;
    let before = check(&store, directory)?;
    if let Some(finding) = before.findings.first() {
        let words = format!("{} {}: `onrecord verify` says what can be repaired", finding.place, finding.fault);
        return Err(JournalError::Damaged(words));
    }
    let written = write(&store, &places.fresh, cache_bytes).and_then(|report| {
        let equal = report.state_digest == before.state_digest;
        let unequal = || JournalError::Damaged("the new store is not equal to the old one, which is kept".to_owned());
        equal.then_some(report).ok_or_else(unequal)
    });
    let bytes_before = size(&places.current)?;
    // Nobody else may open it meanwhile.
    let _lock = store.close();
    let report = written.and_then(|report| Ok(places.swap().map(|()| report)?)).inspect_err(|_| {
        // If that fails too, the next opening does it.
        let _ = places.clean_up();
    })?;
    let report = Report { under_way, ..report };
    Ok(Compaction { bytes_before, bytes_after: size(&places.current)?, report })
}

/// A file that is a link would be left behind, with all that was erased.
fn refuse_links(places: &Places) -> Result<(), JournalError> {
    let folder = places.current.display();
    for item in fs::read_dir(&places.current).into_iter().flatten() {
        let item = item?;
        if item.file_type()?.is_symlink() {
            return Err(JournalError::Store(format!(
                "{} is a symbolic link, and the file it leads to would be left behind: move that file to its place, or let {folder} as a \
                 whole be a link",
                item.path().display()
            )));
        }
    }
    Ok(())
}

fn write(store: &Store, fresh: &Path, cache_bytes: u64) -> Result<Report, JournalError> {
    let reader = Reader { store };
    let meta = store.get(&key::meta())?.ok_or_else(|| JournalError::Damaged("it says nothing of itself".to_owned()))?;
    let Meta { feed_id, epoch, format, next_entry, restored, .. } = decode(&meta.value)?;
    let mut restore = Restore::begin(fresh, cache_bytes, Identity { feed_id, epoch }, format)?;
    restore.forget(store.get(&key::kept())?.map(|row| decode(&row.value)).transpose()?);
    for number in 1..next_entry {
        restore.put(&reader.backup_entry(number)?.0)?;
    }
    restore.put_beside(reader.rows(&key::progresses())?);
    restore.close(restored)
}

fn size(folder: &Path) -> Result<u64, JournalError> {
    let mut bytes = 0;
    for item in fs::read_dir(folder)? {
        let item = item?;
        bytes += if item.path().is_dir() { size(&item.path())? } else { item.metadata()?.len() };
    }
    Ok(bytes)
}

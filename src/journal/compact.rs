//! Writes a store anew, so that what was erased or outlived is in no file of it any more.
//!
//! **Invariants**
//! - The old store is only taken away once the new one was read back and is equal to it.
//! - Until then it lies there; a crash between the two renames is mended when the store is opened (`store/open.rs`).

use std::{
    fs::{self, File},
    path::Path,
};

use super::{
    Identity, JournalError, key,
    restore::{Restore, refuse_half},
    row::{Meta, decode},
    store::{OLD, SLED, Store},
    verify::{Report, check},
    view::Reader,
};

/// Where the new store is written.
const FRESH: &str = "compacting";

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
    let store = Store::open_existing(directory, cache_bytes)?;
    let fresh = directory.join(FRESH);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let before = check(&store, directory)?;
    if let Some(finding) = before.findings.first() {
        let words = format!("{} {}: `onrecord verify` says what can be repaired", finding.place, finding.fault);
        return Err(JournalError::Damaged(words));
    }
    let report = write(&store, &fresh, cache_bytes)?;
    if report.state_digest != before.state_digest {
        fs::remove_dir_all(&fresh)?;
        return Err(JournalError::Damaged("the new store is not equal to the old one, which is kept".to_owned()));
    }
    let bytes_before = size(&directory.join(SLED))?;
    // Nobody else may open it meanwhile.
    let _lock = store.close();
    swap(directory, &fresh)?;
    Ok(Compaction { bytes_before, bytes_after: size(&directory.join(SLED))?, report })
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

fn swap(directory: &Path, fresh: &Path) -> Result<(), JournalError> {
    let (new, current, old) = (fresh.join(SLED), directory.join(SLED), directory.join(OLD));
    fs::rename(&current, &old)?;
    fs::rename(new, &current)?;
    File::open(directory)?.sync_all()?;
    fs::remove_dir_all(old)?;
    fs::remove_dir_all(fresh)?;
    Ok(File::open(directory)?.sync_all()?)
}

fn size(folder: &Path) -> Result<u64, JournalError> {
    let mut bytes = 0;
    for item in fs::read_dir(folder)? {
        let item = item?;
        bytes += if item.path().is_dir() { size(&item.path())? } else { item.metadata()?.len() };
    }
    Ok(bytes)
}

//! Re-reads everything that is stored, and says what is not what was written.
//!
//! `check` reads and compares; here is what comes of it.
//!
//! **Invariants**
//! - Without a repair nothing in the directory changes: what is read is a private copy (`store/private.rs`). So it works on a read-only
//!   mount and on a full disk. Test: `a_verify_changes_no_file`.
//! - What a crash interrupted and the next start finishes is no damage. It is finished first, on the copy or, by a repair, in the store;
//!   then what is left is compared. Test: `an_interrupted_erasure_is_under_way_and_no_damage`.

mod check;

use std::path::Path;

use serde::Serialize;

use super::{
    JournalError, erase, key,
    restore::refuse_half,
    row::{Meta, decode},
    store::{Places, Store},
};
use crate::domain::digest::Digest;
use check::Check;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The format that it was last written with; 0 if there is nothing in it.
    pub storage_format: u32,
    /// Entries that were read.
    pub entries: u64,
    /// Events that were read.
    pub events: u64,
    /// Rows that were read, parts of long ones not counted.
    pub rows: u64,
    /// SHA-256 over every row but the one that says where the journal stands, answers, progress of subscriptions, and the index over times
    /// (which a store of an older format lacks): equal stores have equal digests.
    pub state_digest: Digest,
    /// What is broken, in the order it was found.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more_findings: u64,
    /// Rows that were put back or taken away.
    pub repaired_rows: u64,
    /// What was interrupted and is no damage: the next start finishes it, and so does a repair, which says here what it finished.
    pub under_way: Vec<String>,
}

impl Default for Report {
    fn default() -> Self {
        let (storage_format, entries, events, rows, more_findings, repaired_rows) = (0, 0, 0, 0, 0, 0);
        let (state_digest, findings, under_way) = (Digest::ZERO, Vec::new(), Vec::new());
        Self { storage_format, entries, events, rows, state_digest, findings, more_findings, repaired_rows, under_way }
    }
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
    /// Whether what is needed to put it right is there.
    pub repairable: bool,
}

/// Reads the whole store in `directory`, which no service may be using. Nothing is changed there: a private copy is read, which takes as
/// much room as the store in `$TMPDIR` or `/var/tmp`. With `repair` the store itself is opened, rows and indexes that the journal can
/// rebuild are put right, and the report is of the store after that. Blocks; a store of 1,000,000 events takes minutes.
///
/// # Errors
/// If there is no store, it is in use, it cannot be opened at all, there is no room for a copy, or a repair cannot write.
pub fn verify(directory: &Path, cache_bytes: u64, repair: bool) -> Result<Report, JournalError> {
    refuse_half(directory)?;
    let mut under_way = left_behind(directory)?;
    let store = if repair {
        Store::open_existing(directory, cache_bytes)?
    } else {
        Store::open_unchanged(directory, cache_bytes)?
    };
    under_way.extend(finish(&store)?);
    let mut repaired_rows = 0;
    if repair {
        repaired_rows = Check::new(&store, directory, true).run()?.repaired_rows;
        // What was put back may be of a statement whose erasure could not be finished before.
        finish(&store)?;
    }
    Ok(Report { repaired_rows, under_way, ..check(&store, directory)? })
}

/// What an interrupted compaction left behind.
fn left_behind(directory: &Path) -> Result<Vec<String>, JournalError> {
    let folders = Places::of(directory).map_err(JournalError::from)?;
    let named = |folder: &Path| format!("{} was left behind by a compaction that was interrupted", folder.display());
    Ok(folders.left_behind().into_iter().map(named).collect())
}

/// Finishes the erasures that were interrupted, and names them.
pub(super) fn finish(store: &Store) -> Result<Vec<String>, JournalError> {
    // If it does not say where it stands, that is found later, and nothing is written on it.
    let Ok(Some(row)) = store.get(&key::meta()) else { return Ok(Vec::new()) };
    let Ok(Meta { next_entry, .. }) = decode(&row.value) else { return Ok(Vec::new()) };
    let resumed = erase::resume(store, next_entry - 1)?;
    Ok(resumed.into_iter().map(|id| format!("the erasure of statements/{id} was interrupted")).collect())
}

/// Reads a whole store that is open, and changes nothing.
pub(super) fn check(store: &Store, directory: &Path) -> Result<Report, JournalError> {
    Check::new(store, directory, false).run()
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
mod tests;

//! Re-reads everything that is stored, and says what is not what was written.
//!
//! `check` reads and compares; here is what comes of it.

mod check;

use std::path::Path;

use serde::Serialize;

use super::{JournalError, restore::refuse_half, store::Store};
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
}

impl Default for Report {
    fn default() -> Self {
        let (storage_format, entries, events, rows, more_findings, repaired_rows) = (0, 0, 0, 0, 0, 0);
        let (state_digest, findings) = (Digest::ZERO, Vec::new());
        Self { storage_format, entries, events, rows, state_digest, findings, more_findings, repaired_rows }
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

/// Reads the whole store in `directory`, which no service may be using. With `repair`, rows and indexes that the journal can
/// rebuild are put right, and the report is of the store after that. Blocks; a store of 1,000,000 events takes minutes.
///
/// # Errors
/// If there is no store, it is in use, or it cannot be opened at all.
pub fn verify(directory: &Path, cache_bytes: u64, repair: bool) -> Result<Report, JournalError> {
    refuse_half(directory)?;
    let store = Store::open_existing(directory, cache_bytes)?;
    let repaired_rows = if repair { Check::new(&store, directory, true).run()?.repaired_rows } else { 0 };
    Ok(Report { repaired_rows, ..check(&store, directory)? })
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

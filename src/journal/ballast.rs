//! Room that is kept on the disk for the day when it is full: sled writes as it opens, and a start has to serve readers all the same.
//!
//! **Invariants**
//! - It is laid only while the journal opens, so that it never takes what a commit was to have.
//! - The journal takes writes only if it was there, or could be laid, when it opened: what is left of a full disk is for readers.
//!   Test: `tests/faults/full.py`.
//! - It is no part of the record: it may be removed at any time, and is laid again at the next start that has room for it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use super::{
    JournalError,
    store::{SEGMENT_BYTES, StoreError},
};

/// Bytes of a store for each byte of ballast beside one segment: sled's snapshot, which is what it writes, takes half of that.
const STORE_SHARE: u64 = 64;
/// What is written over and over; random, since some file systems keep no zeros.
const BLOCK_BYTES: usize = 64 * 1024;

fn path(directory: &Path) -> PathBuf {
    directory.join("ballast")
}

/// Lays it, or more of it if the store has grown.
///
/// # Errors
/// [`JournalError::Unwritable`] if there is none, and no room for it.
pub(super) fn lay(directory: &Path, store_bytes: u64) -> Result<(), JournalError> {
    let bytes = SEGMENT_BYTES + store_bytes / STORE_SHARE;
    let path = path(directory);
    let laid = fs::metadata(&path).map_or(0, |laid| laid.len());
    if laid >= bytes {
        return Ok(());
    }
    match (fill(&path, laid, bytes).map_err(StoreError::from), laid) {
        (Ok(()), _) => Ok(()),
        (Err(failure), 0) => {
            drop(directory);
            let mib = bytes.div_ceil(1 << 20);
            Err(JournalError::Unwritable(format!(
                "there is no room for the reserve of {mib} MiB (`ballast`): {failure}"
            )))
        }
        (Err(failure), _) => {
            let _ = File::options().write(true).open(&path).and_then(|file| file.set_len(laid));
            warn!(%failure, bytes, laid, "no room for more ballast: once the disk is full, reads may fail");
            Ok(())
        }
    }
}

fn fill(path: &Path, laid: u64, bytes: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    getrandom::fill(&mut block).map_err(io::Error::other)?;
    let mut file = File::options().create(true).append(true).open(path)?;
    for _ in 0..(bytes - laid).div_ceil(u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX)) {
        file.write_all(&block)?;
    }
    Ok(())
}

/// Releases it.
pub(super) fn drop(directory: &Path) {
    // Most likely it is not there.
    if fs::remove_file(path(directory)).is_ok() {
        info!("the reserve (`ballast`) was deleted to make room on the disk");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_the_store_and_is_laid_again() {
        let directory = tempfile::tempdir().unwrap();
        let length = || fs::metadata(path(directory.path())).map(|laid| laid.len()).ok();
        lay(directory.path(), 0).unwrap();
        assert_eq!(length(), Some(SEGMENT_BYTES));
        lay(directory.path(), SEGMENT_BYTES * STORE_SHARE).unwrap();
        assert_eq!(length(), Some(2 * SEGMENT_BYTES));
        drop(directory.path());
        assert_eq!(length(), None);
    }
}

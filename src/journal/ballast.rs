//! Room that is kept on the disk for the day when it is full: sled writes as it opens, and then has to be opened anew for readers.
//!
//! **Invariants**
//! - It is laid only while the journal opens, so that it never takes what a commit was to have.
//! - It is no part of the record: it may be removed at any time, and is laid again at the next start.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::store::SEGMENT_BYTES;

/// Bytes of a store for each byte of ballast beside one segment: sled's snapshot, which is what it writes, takes half of that.
const STORE_SHARE: u64 = 64;
/// What is written over and over; random, since some file systems keep no zeros.
const BLOCK_BYTES: usize = 64 * 1024;

fn path(directory: &Path) -> PathBuf {
    directory.join("ballast")
}

/// Lays it, or more of it if the store has grown. Without room for it there is none, and a line in the log.
pub(super) fn lay(directory: &Path, store_bytes: u64) {
    let bytes = SEGMENT_BYTES + store_bytes / STORE_SHARE;
    let path = path(directory);
    if fs::metadata(&path).is_ok_and(|laid| laid.len() >= bytes) {
        return;
    }
    if let Err(failure) = fill(&path, bytes) {
        let _ = fs::remove_file(&path);
        warn!(%failure, bytes, "no room for ballast: once the disk is full, reads may fail");
    }
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    getrandom::fill(&mut block).map_err(io::Error::other)?;
    let mut file = File::create(path)?;
    for _ in 0..bytes.div_ceil(u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX)) {
        file.write_all(&block)?;
    }
    Ok(())
}

/// Throws it off.
pub(super) fn drop(directory: &Path) {
    // Most likely it is not there.
    let _ = fs::remove_file(path(directory));
}

//! What is asked of a copy, and what comes back from one.

use super::Faults;
use crate::{
    api::v1,
    domain::{digest::Digest, id::Malformed, rejection::Rejection},
    journal::{BackupEntry, Identity},
};

/// The newest entry that a copy has, and its hash.
pub(in crate::api) fn backup(given: &v1::BackupRequest) -> Result<(u64, Digest), Rejection> {
    let mut faults = Faults::default();
    let hash = match given.after_entry {
        0 if given.after_hash.is_empty() => Some(Digest::ZERO),
        _ => faults.take("after_hash", digest(&given.after_hash)),
    };
    faults.finish_some(hash).map(|hash| (given.after_entry, hash))
}

/// Which feed a copy is of.
///
/// # Errors
/// If the header is not one of a backup.
pub fn backup_identity(given: &v1::BackupHeader) -> Result<Identity, Malformed> {
    let feed_id = given.feed_id.as_slice().try_into().map_err(|_| Malformed::new("the feed id must have 16 bytes"))?;
    Ok(Identity { feed_id, epoch: given.epoch })
}

/// An entry of a copy.
#[must_use]
pub fn backup_entry(given: v1::BackupEntry) -> BackupEntry {
    let rows = given.rows.into_iter().map(|row| (row.key, row.value)).collect();
    BackupEntry { number: given.number, rows }
}

fn digest(bytes: &[u8]) -> Result<Digest, Malformed> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| Malformed::new("must have 32 bytes"))?;
    Ok(bytes.into())
}

//! What is asked of a copy, and what comes back from one.

use super::Faults;
use crate::{
    api::v1,
    domain::{
        digest::Digest,
        id::{Malformed, StatementId},
        rejection::Rejection,
        time::Timestamp,
    },
    journal::{BackupEntry, Erasure, Identity},
};

/// The newest entry that a copy has, and its hash.
pub(in crate::api) fn backup(given: &v1::BackupRequest) -> Result<(u64, Digest), Rejection> {
    let mut faults = Faults::default();
    let hash = match given.after_entry {
        0 if given.after_hash.is_empty() => Some(Digest::ZERO),
        _ => faults.take("after_hash", Digest::parse(&given.after_hash)),
    };
    faults.finish_some(hash).map(|hash| (given.after_entry, hash))
}

/// Which feed a copy is of.
///
/// # Errors
/// If the header is not one of a backup.
pub fn backup_identity(given: &v1::BackupHeader) -> Result<Identity, Malformed> {
    let mut feed_id = [0; 16];
    let malformed = |_| Malformed::new("the feed id must have 32 hexadecimal digits");
    hex::decode_to_slice(&given.feed_id, &mut feed_id).map_err(malformed)?;
    Ok(Identity { feed_id, epoch: given.epoch })
}

/// An entry of a copy.
///
/// # Errors
/// If it is not one.
pub fn backup_entry(given: v1::BackupEntry) -> Result<BackupEntry, Malformed> {
    let rows = given.rows.into_iter().map(|row| (row.key, row.value)).collect();
    let erasure = given.erasure.as_ref().map(erasure).transpose()?;
    Ok(BackupEntry { number: given.number, rows, erasure })
}

fn erasure(given: &v1::Erasure) -> Result<Erasure, Malformed> {
    let time = |given: Option<prost_types::Timestamp>| {
        let given = given.ok_or_else(|| Malformed::new("an erasure must have its times"))?;
        Timestamp::from_parts(given.seconds, given.nanos)
    };
    let (create_time, expunge_time) = (time(given.create_time)?, time(given.expunge_time)?);
    Ok(Erasure { statement: StatementId::parse_name(&given.statement)?, create_time, expunge_time })
}

//! What a copy is sent.

use super::time;
use crate::{
    api::v1::{self, backup_response::Message},
    domain::digest::Digest,
    journal::{BackupEntry, Identity, STORAGE_FORMAT},
};

/// What is copied.
pub(in crate::api) fn backup_header(identity: Identity) -> v1::BackupResponse {
    let Identity { feed_id, epoch } = identity;
    message(Message::Header(v1::BackupHeader { feed_id: hex::encode(feed_id), epoch, storage_format: STORAGE_FORMAT }))
}

/// Entries.
pub(in crate::api) fn backup_part(entries: Vec<BackupEntry>) -> v1::BackupResponse {
    let entries = entries.into_iter().map(|BackupEntry { number, rows, erasure }| v1::BackupEntry {
        number,
        erasure: erasure.map(|it| v1::Erasure {
            statement: it.statement.name(),
            create_time: time(it.create_time),
            expunge_time: time(it.expunge_time),
        }),
        rows: rows.into_iter().map(|(key, value)| v1::BackupRow { key, value }).collect(),
    });
    message(Message::Part(v1::BackupPart { entries: entries.collect() }))
}

/// The copy is complete for now.
pub(in crate::api) fn backup_end(entry: u64, hash: Digest) -> v1::BackupResponse {
    message(Message::End(v1::BackupEnd { entry, hash: hash.to_string() }))
}

fn message(message: Message) -> v1::BackupResponse {
    v1::BackupResponse { message: Some(message) }
}

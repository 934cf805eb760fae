//! The seal of an event, as a client reads it.

use prost_types::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::api::{
    json,
    v1::{Correction, Notice, Rendition},
};

/// From this version on a seal covers every field of an event. One before covers those of the first list in `docs/feed.md`.
const COMPLETE: u32 = 2;

/// What an event was sealed with. A member that is not known is left aside: it was hashed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Seal {
    version: u32,
    #[serde(deserialize_with = "json::decimal")]
    pub(super) sequence: u64,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(deserialize_with = "json::time")]
    pub(super) event_time: Option<Timestamp>,
    pub(super) statement: String,
    pub(super) language_code: String,
    pub(super) edition: String,
    pub(super) previous_edition: String,
    pub(super) content_digest: String,
    pub(super) notice_digest: String,
    #[serde(rename = "kind")]
    pub(super) statement_kind: String,
    pub(super) notify: bool,
    pub(super) channel_action: String,
    pub(super) embargo_lifted: bool,
    #[serde(deserialize_with = "json::time")]
    pub(super) embargo_end_time: Option<Timestamp>,
    pub(super) state: String,
    pub(super) change_kind: String,
    pub(super) change_note_digest: String,
    pub(super) correction_digest: String,
    #[serde(deserialize_with = "json::time")]
    pub(super) publish_time: Option<Timestamp>,
    #[serde(deserialize_with = "json::time")]
    pub(super) first_publish_time: Option<Timestamp>,
    #[serde(deserialize_with = "json::time")]
    pub(super) major_change_time: Option<Timestamp>,
    pub(super) stale_since_edition: String,
    pub(super) redirect_statement: String,
    pub(super) source_language_code: String,
    #[serde(deserialize_with = "json::time")]
    pub(super) withdraw_time: Option<Timestamp>,
}

impl Seal {
    /// Reads a seal; none if it is not JSON of this kind.
    pub(super) fn read(seal: &[u8]) -> Option<Self> {
        serde_json::from_slice(seal).ok()
    }

    /// Whether it covers every field.
    pub(super) fn is_complete(&self) -> bool {
        self.version >= COMPLETE
    }

    /// Whether the notice is the one that was sealed; none, if none was.
    pub(super) fn has_notice(&self, notice: Option<&Notice>) -> bool {
        let parts = notice.map(|it| {
            let parts: [&[u8]; 4] = [&it.salt, it.text_media_type.as_bytes(), b"\0", it.text.as_bytes()];
            [&parts[..], &channel_parts(&it.renditions)].concat()
        });
        is_digest(parts.as_deref(), &self.notice_digest)
    }

    /// The same of a correction.
    pub(super) fn has_correction(&self, salt: &[u8], correction: Option<&Correction>) -> bool {
        let parts = correction.map(|it| {
            let parts = [salt, it.corrected_edition.as_bytes(), b"\0", it.text.as_bytes()];
            [&parts[..], &channel_parts(&it.renditions)].concat()
        });
        is_digest(parts.as_deref(), &self.correction_digest)
    }

    /// The same of a change note, which is empty if there is none.
    pub(super) fn has_change_note(&self, salt: &[u8], note: &str) -> bool {
        let parts = [salt, note.as_bytes()];
        is_digest((!note.is_empty()).then_some(&parts), &self.change_note_digest)
    }
}

/// What the digest of a correction or a notice has of its renditions.
fn channel_parts(renditions: &[Rendition]) -> Vec<&[u8]> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for Rendition { channel, text } in renditions {
        parts.extend([b"\0", channel.as_bytes(), b"\0", text.as_bytes()]);
    }
    parts
}

/// Returns the hash of an event: SHA-256 over the hash of the event before, from hexadecimal digits, and the seal. `None` if there are no such
/// digits.
pub(super) fn chained(previous_hash: &str, seal: &[u8]) -> Option<String> {
    Some(hex::encode(digest(&[&hash_of(previous_hash)?, seal])))
}

/// Reads a hash: 64 lower-case hexadecimal digits.
pub(super) fn hash_of(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    (hex::encode(hash) == digits).then_some(hash)
}

/// SHA-256 of the parts, one after the other.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn is_digest(parts: Option<&[&[u8]]>, sealed: &str) -> bool {
    parts.map_or_else(String::new, |parts| hex::encode(digest(parts))) == sealed
}

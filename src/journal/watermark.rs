//! How far the journal was, in a small file beside the store.
//!
//! sled takes some kinds of damage for the end of its log and opens without what came after. A store that is whole and older than
//! it was would say nothing of it; this file does.
//!
//! ```text
//! 0         4              12                 20             52
//! | "ORW1"  | next entry   | next sequence    | entry hash   | crc32c |     56 bytes, numbers big-endian
//! ```
//!
//! **Invariants**
//! - It is never ahead of what is on the device: it is written after the commit, over itself, in one write.
//! - It is not synced with every commit: after a loss of power it may be older than the store, which it then does not accuse.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use super::{
    JournalError, key,
    row::{EntryRow, Meta, decode},
    store::Store,
};
use crate::domain::digest::Digest;

const MAGIC: [u8; 4] = *b"ORW1";
const BODY_BYTES: usize = 52;
const BYTES: usize = BODY_BYTES + 4;

/// The open file.
#[derive(Debug)]
pub(super) struct Watermark(File);

/// How far the journal was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    next_entry: u64,
    next_sequence: u64,
    entry_hash: Digest,
}

impl Watermark {
    /// Opens the file in a store's directory, or begins one, durably.
    pub(super) fn begin(directory: &Path, meta: &Meta) -> io::Result<Self> {
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path(directory));
        let watermark = Self(options?);
        watermark.advance(meta)?;
        watermark.0.set_len(u64::try_from(BYTES).unwrap_or_default())?;
        watermark.0.sync_all()?;
        Ok(watermark)
    }

    /// Notes that everything below this is on the device.
    pub(super) fn advance(&self, meta: &Meta) -> io::Result<()> {
        let Meta { next_entry, next_sequence, entry_hash, .. } = *meta;
        self.0.write_all_at(&encode(Mark { next_entry, next_sequence, entry_hash }), 0)
    }
}

impl Mark {
    /// Entries that were there.
    pub(super) fn entries(self) -> u64 {
        self.next_entry - 1
    }

    /// What a store lacks that was there once; nothing if it lacks nothing.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn missing(self, store: &Store, meta: &Meta) -> Result<Option<String>, JournalError> {
        if self.next_entry > meta.next_entry || self.next_sequence > meta.next_sequence {
            let lost = self.next_entry.saturating_sub(meta.next_entry);
            return Ok(Some(format!("its newest {lost} entries are gone: it once had {}", self.entries())));
        }
        let row = store.get(&key::entry(self.entries()))?.map(|row| decode::<EntryRow>(&row.value)).transpose()?;
        let hash = row.map_or(Digest::ZERO, |row| row.hash);
        let fault = || format!("entry {} is not the one that was written", self.entries());
        Ok((hash != self.entry_hash).then(fault))
    }
}

/// The mark of the store in `directory`; none if it has none yet.
///
/// # Errors
/// If it cannot be read, or is damaged.
pub(super) fn read(directory: &Path) -> Result<Option<Mark>, JournalError> {
    match std::fs::read(path(directory)) {
        // A crash between the making of the file and its first writing.
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => parse(&bytes)
            .map(Some)
            .ok_or_else(|| JournalError::Damaged("the watermark is not what was written".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn path(directory: &Path) -> std::path::PathBuf {
    directory.join("watermark")
}

fn encode(mark: Mark) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let (body, sum) = bytes.split_at_mut(BODY_BYTES);
    let parts = [
        MAGIC.as_slice(),
        &mark.next_entry.to_be_bytes(),
        &mark.next_sequence.to_be_bytes(),
        mark.entry_hash.as_bytes(),
    ];
    body.copy_from_slice(&parts.concat());
    sum.copy_from_slice(&crc32c::crc32c(body).to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let (body, sum) = bytes.split_at(BODY_BYTES);
    let rest = body.strip_prefix(&MAGIC)?;
    let (next_entry, rest) = rest.split_first_chunk()?;
    let (next_sequence, hash) = rest.split_first_chunk()?;
    let entry_hash = Digest::from(*hash.first_chunk::<32>()?);
    let mark = Mark {
        next_entry: u64::from_be_bytes(*next_entry),
        next_sequence: u64::from_be_bytes(*next_sequence),
        entry_hash,
    };
    (crc32c::crc32c(body).to_be_bytes() == *sum && mark.next_entry > 0).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_round_trip_and_a_damaged_one_is_none() {
        let mark = Mark { next_entry: 7, next_sequence: 3, entry_hash: Digest::of(&[b"entry"]) };
        let bytes = encode(mark);
        assert_eq!(parse(&bytes), Some(mark));
        for place in 0..BYTES {
            let mut damaged = bytes;
            damaged[place] ^= 1;
            assert_eq!(parse(&damaged), None, "{place}");
        }
        assert_eq!(parse(&bytes[1..]), None);
    }
}

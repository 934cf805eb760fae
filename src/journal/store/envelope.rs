//! What is around every stored value: format, checksum, the entry that wrote it.
//!
//! ```text
//! 0       1         5                13             17
//! | format | crc32c  | version (BE)   | chunks (BE)  | payload …
//! ```
//!
//! The checksum (CRC32C, RFC 3720) covers the key and everything after itself. A value longer than [`CHUNK_BYTES`] goes on in
//! `chunks` further rows.

use super::StoreError;

/// The format of stored values. A value of another format is refused.
const FORMAT: u8 = 1;
/// Payload bytes of one row: with the envelope it stays under 64 KiB, above which sled may make blob files.
pub(super) const CHUNK_BYTES: usize = 60 * 1024;
/// Keys of chunks begin with this.
const CHUNK_SPACE: u8 = b'~';

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Row {
    /// Number of the entry that wrote it.
    pub(in crate::journal) version: u64,
    /// The value.
    pub(in crate::journal) value: Vec<u8>,
}

pub(super) struct Head<'b> {
    pub(super) version: u64,
    pub(super) chunks: u32,
    pub(super) payload: &'b [u8],
}

pub(super) fn seal(key: &[u8], payload: &[u8], version: u64, chunks: u32) -> Vec<u8> {
    let mut covered = Vec::with_capacity(payload.len() + 12);
    covered.extend_from_slice(&version.to_be_bytes());
    covered.extend_from_slice(&chunks.to_be_bytes());
    covered.extend_from_slice(payload);
    let mut sealed = vec![FORMAT];
    sealed.extend_from_slice(&checksum(key, &covered).to_be_bytes());
    sealed.append(&mut covered);
    sealed
}

pub(super) fn open<'b>(key: &[u8], stored: &'b [u8]) -> Result<Head<'b>, StoreError> {
    let fault = |words: &str| StoreError::Damaged(format!("row {}: {words}", hex::encode(key)));
    let (format, rest) = stored.split_first().ok_or_else(|| fault("empty"))?;
    if *format != FORMAT {
        return Err(fault(&format!("format {format} is not known: a newer onrecord may have written it")));
    }
    let (crc, covered) = rest.split_first_chunk::<4>().ok_or_else(|| fault("too short"))?;
    if u32::from_be_bytes(*crc) != checksum(key, covered) {
        return Err(fault("the checksum does not match"));
    }
    let (version, rest) = covered.split_first_chunk::<8>().ok_or_else(|| fault("too short"))?;
    let (chunks, payload) = rest.split_first_chunk::<4>().ok_or_else(|| fault("too short"))?;
    Ok(Head { version: u64::from_be_bytes(*version), chunks: u32::from_be_bytes(*chunks), payload })
}

/// What the keys of all chunks of a row begin with.
pub(super) fn chunk_space(key: &[u8]) -> Vec<u8> {
    let mut space = vec![CHUNK_SPACE];
    space.extend_from_slice(key);
    space
}

/// The row that a chunk belongs to, and which one it is; none if the key is not that of a chunk.
pub(super) fn chunk_of(key: &[u8]) -> Option<(&[u8], u32)> {
    let (head, number) = key.strip_prefix(&[CHUNK_SPACE])?.split_last_chunk::<4>()?;
    Some((head, u32::from_be_bytes(*number)))
}

pub(super) fn chunk_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut chunk = chunk_space(key);
    chunk.extend_from_slice(&number.to_be_bytes());
    chunk
}

fn checksum(key: &[u8], covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), covered)
}

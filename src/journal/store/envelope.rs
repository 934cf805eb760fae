//! What is around every stored value: format, checksum, the entry that wrote it; and the value itself, compressed.
//!
//! ```text
//! 0       1         5                13             17            21
//! | format | crc32c  | version (BE)   | chunks (BE)  | size (BE)   | payload …
//! ```
//!
//! The checksum (CRC32C, RFC 3720) covers the key and everything after itself. The payload is a Zstandard frame (RFC 8878) of a
//! value of `size` bytes, or, where `size` is 0, the value as it is. A payload longer than [`CHUNK_BYTES`] goes on in `chunks`
//! further rows.
//!
//! Format 1, which is still read, has no `size` and is never compressed.

use super::{StoreError, compression};

/// The format of stored values. A value of a newer format is refused.
const FORMAT: u8 = 2;
const FORMAT_PLAIN: u8 = 1;
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

/// One stored row of a value, opened.
pub(super) struct Head<'b> {
    pub(super) version: u64,
    pub(super) chunks: u32,
    /// Bytes of the value, if it is compressed.
    size: Option<usize>,
    pub(super) payload: &'b [u8],
}

impl Head<'_> {
    /// The value, whose payload is `payload` once its chunks were added.
    pub(super) fn value(&self, payload: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        match self.size {
            None => Ok(payload),
            Some(size) => compression::expand(&payload, size).map_err(StoreError::Damaged),
        }
    }
}

/// The rows that hold a value: the first under its key, then its chunks.
pub(super) fn seal(key: &[u8], value: &[u8], version: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let compressed = compression::compress(value);
    let (payload, size) = match &compressed {
        Some(payload) => (payload.as_slice(), u32::try_from(value.len()).unwrap_or(u32::MAX)),
        None => (value, 0),
    };
    let mut parts = payload.chunks(CHUNK_BYTES);
    let first = parts.next().unwrap_or_default();
    let chunks = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let mut rows = vec![(key.to_vec(), seal_row(key, first, version, chunks, size))];
    for (part, number) in parts.zip(1..) {
        let key = chunk_key(key, number);
        let sealed = seal_row(&key, part, version, 0, 0);
        rows.push((key, sealed));
    }
    rows
}

fn seal_row(key: &[u8], payload: &[u8], version: u64, chunks: u32, size: u32) -> Vec<u8> {
    let covered = [&version.to_be_bytes(), chunks.to_be_bytes().as_slice(), &size.to_be_bytes(), payload].concat();
    [&[FORMAT], checksum(key, &covered).to_be_bytes().as_slice(), &covered].concat()
}

pub(super) fn open<'b>(key: &[u8], stored: &'b [u8]) -> Result<Head<'b>, StoreError> {
    let fault = |words: &str| StoreError::Damaged(format!("row {}: {words}", hex::encode(key)));
    let short = || fault("too short");
    let (format, rest) = stored.split_first().ok_or_else(|| fault("empty"))?;
    if ![FORMAT, FORMAT_PLAIN].contains(format) {
        return Err(fault(&format!("format {format} is not known: a newer onrecord may have written it")));
    }
    let (crc, covered) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    if u32::from_be_bytes(*crc) != checksum(key, covered) {
        return Err(fault("the checksum does not match"));
    }
    let (version, rest) = covered.split_first_chunk().ok_or_else(short)?;
    let (chunks, mut payload) = rest.split_first_chunk().ok_or_else(short)?;
    let mut size = None;
    if *format == FORMAT {
        let (stated, rest) = payload.split_first_chunk().ok_or_else(short)?;
        let stated = usize::try_from(u32::from_be_bytes(*stated)).map_err(|_| fault("too long"))?;
        (size, payload) = ((stated > 0).then_some(stated), rest);
    }
    Ok(Head { version: u64::from_be_bytes(*version), chunks: u32::from_be_bytes(*chunks), size, payload })
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

/// What is stored under a key is what was put there; and what nobody put there is refused, also where its checksum is right.
#[cfg(any(test, fuzzing))]
#[expect(clippy::unwrap_used, reason = "a fuzzer finds what must not be by a panic")]
pub(in crate::journal) fn fuzz(input: &[u8]) {
    let rows = seal(b"key", input, 7);
    let heads: Vec<_> = rows.iter().map(|(key, stored)| open(key, stored).unwrap()).collect();
    let payload = heads.iter().flat_map(|head| head.payload).copied().collect();
    assert_eq!(heads.first().unwrap().value(payload).unwrap(), input);
    let signed = [&[FORMAT], checksum(b"key", input).to_be_bytes().as_slice(), input].concat();
    for stored in [input, &signed] {
        if let Ok(head) = open(b"key", stored) {
            head.value(head.payload.to_vec()).ok();
        }
    }
}

fn checksum(key: &[u8], covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), covered)
}

//! Values, compressed: Zstandard (RFC 8878) with a dictionary.
//!
//! Rows are CBOR with named fields and entries repeat the rows they write, so they shrink to a quarter, the texts of the corpus to a
//! third. The dictionary holds what our own rows have in common; it was trained (`zstd --train`, 4 KiB) on the rows of an import
//! whose words had been replaced by random letters. Without it, rows shrink to a half.
//!
//! **Invariants**
//! - The dictionary belongs to the format of stored values: another one needs another format, and this one has to stay.

use std::{cell::RefCell, sync::LazyLock};

use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

const DICTIONARY: &[u8] = include_bytes!("dictionary.zstd");
/// The fastest: higher levels save 2 % of a row.
const LEVEL: i32 = 1;
/// Shorter values are left as they are.
const BYTES_MIN: usize = 64;

static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    // A new context for each value would cost ten times as much as the value.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A value, compressed; none if it would not be shorter.
pub(super) fn compress(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() < BYTES_MIN {
        return None;
    }
    let compressed = COMPRESSOR.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some(context) => context,
            None => Compressor::with_prepared_dictionary(&ENCODER).ok()?,
        };
        let compressed = context.compress(value).ok();
        *kept = Some(context);
        compressed
    })?;
    (compressed.len() < value.len()).then_some(compressed)
}

/// A value of `size` bytes, from what [`compress`] made of it.
pub(super) fn expand(compressed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| format!("a compressed row cannot be read: {error}");
    let value = DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some(context) => context,
            None => Decompressor::with_prepared_dictionary(&DECODER).map_err(fault)?,
        };
        let value = context.decompress(compressed, size).map_err(fault);
        *kept = Some(context);
        value
    })?;
    if value.len() == size { Ok(value) } else { Err("a compressed row is shorter than it was".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_comes_back() {
        for value in [b"word ".repeat(40), b"word ".repeat(40_000), (0..=255).cycle().take(700).collect()] {
            let compressed = compress(&value).unwrap();
            assert!(compressed.len() < value.len());
            assert_eq!(expand(&compressed, value.len()).unwrap(), value);
            assert!(expand(&compressed, value.len() - 1).is_err());
            assert!(expand(&compressed, value.len() + 1).is_err());
            assert!(expand(&compressed[..compressed.len() / 2], value.len()).is_err());
        }
    }

    #[test]
    fn what_would_not_shrink_is_left_alone() {
        assert_eq!(compress(b"short"), None);
        let mut noise = vec![0; 4_096];
        getrandom::fill(&mut noise).unwrap();
        assert_eq!(compress(&noise), None);
    }
}

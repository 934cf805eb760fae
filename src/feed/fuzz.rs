//! Cursors, as anybody may send them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::cursor::Cursor;

/// A cursor as it came, and one that somebody sealed who knows how.
///
/// # Panics
/// If one that is read is another text once it was written again.
pub fn cursor(input: &[u8]) {
    read(&String::from_utf8_lossy(input));
    let sealed = [input, &crc32c::crc32c(input).to_be_bytes()].concat();
    read(&BASE64_URL_SAFE_NO_PAD.encode(sealed));
}

fn read(text: &str) {
    if let Ok(cursor) = Cursor::decode(text) {
        assert_eq!(cursor.encode(), text);
    }
}

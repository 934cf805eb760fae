//! Files that somebody gives us.

#![expect(clippy::unwrap_used, reason = "a fuzzer finds what must not be by a panic")]

use std::path::Path;

use super::{
    backup::{Reader, copy_of},
    draft_file, import,
};
use crate::api::{
    self,
    v1::{Draft, backup_response::Message},
};

/// A draft file.
///
/// # Panics
/// If a draft that is read is another one once it was written again.
pub fn draft_file(input: &[u8]) {
    let Ok(file) = std::str::from_utf8(input).map_err(Into::into).and_then(draft_file::parse) else { return };
    let draft = Draft {
        name: file.slot.draft(),
        base_edition: file.base_edition.clone(),
        content: Some(file.content.clone()),
        ..Draft::default()
    };
    let again = draft_file::parse(&draft_file::text(&draft).unwrap()).unwrap();
    assert_eq!((again.slot, again.base_edition, again.content), (file.slot, file.base_edition, file.content));
}

/// A file to import.
///
/// # Panics
/// If a line that can be planned becomes no edition.
pub fn import_file(input: &[u8]) {
    import::fuzz(&String::from_utf8_lossy(input));
}

/// A copy as it came, and one with a message that somebody sealed who knows how.
///
/// # Panics
/// If reading on does not end.
pub fn backup_file(input: &[u8]) {
    read(input);
    read(&copy_of(input));
}

fn read(copy: &[u8]) {
    let Ok(mut reader) = Reader::of(copy, Path::new("copy")) else { return };
    let mut messages = 0;
    while let Ok(Some(message)) = reader.next() {
        messages += 1;
        assert!(messages <= copy.len());
        match message {
            Message::Header(header) => drop(api::backup_identity(&header)),
            Message::Part(part) => part.entries.into_iter().for_each(|entry| drop(api::backup_entry(entry))),
            Message::End(_) => {}
        }
    }
}

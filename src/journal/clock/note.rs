//! The trusted relation of the clocks, in a small file beside the store: a restart in the middle of a jump must not make it true.
//!
//! ```text
//! 1 6fa1… 1795746000000000       format, name of the boot, microseconds by which the wall clock is ahead of the time since that boot
//! ```
//!
//! **Invariants**
//! - It counts for one boot of one machine: the steady clock begins anew with the next. So it need not be synced.
//! - It is no part of the record: without it the wall clock is believed as it is at the start.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

const FORMAT: &str = "1";

/// The file, for the boot that goes on.
#[derive(Debug)]
pub(super) struct Note {
    path: PathBuf,
    boot: String,
    /// Offset in the file.
    kept: Option<i64>,
}

impl Note {
    /// The file in a store's directory.
    pub(super) fn of(directory: &Path, boot: String) -> Self {
        let path = directory.join("clock");
        let kept = fs::read_to_string(&path).ok().and_then(|text| parse(&text, &boot));
        Self { path, boot, kept }
    }

    /// The offset that was trusted last; none if that was in another boot, or is not known.
    pub(super) fn offset(&self) -> Option<i64> {
        self.kept
    }

    /// Replaces what is in the file, unless it is about the same.
    pub(super) fn keep(&mut self, offset: i64) -> io::Result<()> {
        if self.kept.is_some_and(|kept| !super::trust::is_moved(offset.saturating_sub(kept).saturating_mul(100))) {
            return Ok(());
        }
        // What fails is not tried again until there is something else to keep.
        self.kept = Some(offset);
        let mut file = NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
        writeln!(file, "{FORMAT} {} {offset}", self.boot)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn parse(text: &str, boot: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let is_known = words.next()? == FORMAT && words.next()? == boot;
    is_known.then(|| words.next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_trusted_is_known_to_the_same_boot_only() {
        let directory = tempfile::tempdir().unwrap();
        let of = |boot: &str| Note::of(directory.path(), boot.to_owned());
        let mut note = of("a");
        assert_eq!(note.offset(), None);
        note.keep(5_000_000).unwrap();
        assert_eq!((of("a").offset(), of("b").offset()), (Some(5_000_000), None));
        // Less than a person or a time service would notice is not worth a write.
        note.keep(5_010_000).unwrap();
        assert_eq!(of("a").offset(), Some(5_000_000));
        note.keep(5_030_000).unwrap();
        assert_eq!(of("a").offset(), Some(5_030_000));
        for damaged in ["", "1", "1 a", "1 a b", "2 a 5"] {
            fs::write(directory.path().join("clock"), damaged).unwrap();
            assert_eq!(of("a").offset(), None, "{damaged:?}");
        }
    }
}

//! When the record was last copied whole, in a small file beside the store: a copy that nobody makes is what an operator has to hear of,
//! and a restart must not hide it.
//!
//! ```text
//! 1 1795746000000000 5210        format, microseconds since 1970, newest entry that is in the copy
//! ```
//!
//! **Invariants**
//! - It is no part of the record: without it, or if it cannot be read, it is only not known when that was.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tracing::warn;

use super::{Journal, blocking};
use crate::domain::time::Timestamp;

const FORMAT: &str = "1";
/// Between two times that the file is written: a copy that follows is whole again after every step.
const KEEP_EVERY_MICROS: i64 = 10_000_000;

/// What is known of copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// When one was last sent whole, in microseconds since 1970; none if none is known of.
    pub completed_micros: Option<i64>,
    /// The newest entry in it; 0 if none is known of.
    pub newest_entry: u64,
    /// Copies since the start that were sent whole.
    pub completed: u64,
    /// Copies since the start that were not.
    pub failed: u64,
}

#[derive(Debug)]
pub(super) struct Register {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    copies: Copies,
    kept_micros: i64,
}

impl Register {
    /// Reads the file in a store's directory.
    pub(super) fn read(directory: &Path) -> Self {
        let path = directory.join("last-copy");
        let copies = match fs::read_to_string(&path) {
            Ok(text) => parse(&text).unwrap_or_else(|| {
                warn!(file = %path.display(), "cannot be read: when the record was last copied is not known");
                Copies::default()
            }),
            Err(_) => Copies::default(),
        };
        Self { path, known: Mutex::new(Known { copies, kept_micros: 0 }) }
    }

    /// Notes a copy, and says whether the file has to be written.
    fn completed(&self, entry: u64, is_first: bool, now: Timestamp) -> bool {
        let mut known = self.known();
        let copies = known.copies;
        known.copies = Copies {
            completed_micros: Some(now.micros()),
            newest_entry: entry,
            completed: copies.completed + u64::from(is_first),
            ..copies
        };
        // The clock may have been set back.
        let is_due = now.micros().saturating_sub(known.kept_micros).saturating_abs() >= KEEP_EVERY_MICROS;
        if is_due {
            known.kept_micros = now.micros();
        }
        is_due
    }

    fn keep(&self, entry: u64, now: Timestamp) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(directory)?;
        writeln!(file, "{FORMAT} {} {entry}", now.micros())?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &str) -> Option<Copies> {
    let mut words = text.split_whitespace();
    if words.next()? != FORMAT {
        return None;
    }
    let completed_micros = Some(words.next()?.parse().ok()?);
    Some(Copies { completed_micros, newest_entry: words.next()?.parse().ok()?, completed: 0, failed: 0 })
}

impl Journal {
    /// What is known of copies.
    #[must_use]
    pub fn copies(&self) -> Copies {
        self.copies.known().copies
    }

    /// Notes that a copy up to `entry` was sent whole, for the first time or, by who follows, once more.
    pub async fn copied(&self, entry: u64, is_first: bool) {
        let now = self.now();
        if !self.copies.completed(entry, is_first, now) {
            return;
        }
        let register = Arc::clone(&self.copies);
        if let Err(failure) = blocking(move || Ok(register.keep(entry, now)?)).await {
            warn!(%failure, "it cannot be noted that the record was copied");
        }
    }

    /// Notes that a copy was not sent whole.
    pub fn copy_failed(&self) {
        self.copies.known().copies.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Options;

    #[tokio::test(flavor = "multi_thread")]
    async fn when_it_was_copied_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Journal::open(Options::new(directory.path().to_owned())).unwrap();
        let journal = open();
        assert_eq!(journal.copies(), Copies::default());
        journal.copied(7, true).await;
        journal.copied(9, false).await;
        journal.copy_failed();
        let copies = journal.copies();
        assert_eq!((copies.newest_entry, copies.completed, copies.failed), (9, 1, 1));
        journal.close().await;
        drop(journal);
        let kept = open().copies();
        assert_eq!((kept.newest_entry, kept.completed, kept.failed), (7, 0, 0));
        assert!(kept.completed_micros.is_some() && kept.completed_micros <= copies.completed_micros);
        // As the first version wrote it, and as none has yet.
        fs::write(directory.path().join("last-copy"), "1 1795746000000000 5210\n").unwrap();
        let first = Register::read(directory.path()).known().copies;
        assert_eq!((first.completed_micros, first.newest_entry), (Some(1_795_746_000_000_000), 5_210));
        fs::write(directory.path().join("last-copy"), "2 later").unwrap();
        assert_eq!(Register::read(directory.path()).known().copies, Copies::default());
    }
}

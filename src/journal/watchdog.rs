//! Notices a commit that does not end.
//!
//! A device that hangs, or a failure that leaves sled waiting for itself (one `sync_file_range` that fails can), would leave every caller
//! waiting too. After a while the journal is closed instead, and callers are told.
//!
//! **Invariants**
//! - A commit that took too long counts as failed, whatever comes of it: the tail never moves past it.
//! - The lock is never held while a commit runs.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::error;

use super::JournalError;

/// How long a commit may take.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches the writer's commits from a thread of its own, which ends with the last handle.
#[derive(Debug)]
pub(super) struct Watchdog(Arc<Mutex<Watched>>);

#[derive(Debug)]
enum Watched {
    Idle,
    Commit(Instant),
    /// It took too long: the journal is closed.
    Given,
}

impl Watchdog {
    /// Closes the journal, through `closed`, if a commit takes too long.
    pub(super) fn start(closed: watch::Sender<Option<String>>) -> Result<Self, JournalError> {
        Self::with_patience(closed, COMMIT_TIME_MAX)
    }

    fn with_patience(closed: watch::Sender<Option<String>>, patience: Duration) -> Result<Self, JournalError> {
        let watched = Arc::new(Mutex::new(Watched::Idle));
        let weak = Arc::downgrade(&watched);
        thread::Builder::new().name("journal-watchdog".to_owned()).spawn(move || look(&weak, &closed, patience))?;
        Ok(Self(watched))
    }

    /// Runs a commit. If it took too long it counts as failed, though what it wrote may be there.
    pub(super) fn watch(&self, commit: impl FnOnce() -> Result<(), JournalError>) -> Result<(), JournalError> {
        *self.watched() = Watched::Commit(Instant::now());
        let done = commit();
        let mut watched = self.watched();
        if matches!(*watched, Watched::Given) {
            return Err(JournalError::Closed(too_long()));
        }
        *watched = Watched::Idle;
        done
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_long() -> String {
    format!("a commit took more than {} s", COMMIT_TIME_MAX.as_secs())
}

fn look(watched: &Weak<Mutex<Watched>>, closed: &watch::Sender<Option<String>>, patience: Duration) {
    while let Some(watched) = watched.upgrade() {
        let mut state = watched.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, Watched::Commit(since) if since.elapsed() > patience) {
            *state = Watched::Given;
            error!(failure = too_long(), "journal closed for writing");
            closed.send_replace(Some(too_long()));
            return;
        }
        drop(state);
        drop(watched);
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_does_not_end_closes_the_journal() {
        let closed = watch::Sender::new(None);
        let watchdog = Watchdog::with_patience(closed.clone(), Duration::ZERO).unwrap();
        let hangs = || {
            while closed.borrow().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        assert!(matches!(watchdog.watch(hangs), Err(JournalError::Closed(_))));
    }

    #[test]
    fn a_commit_that_ends_is_left_alone() {
        let closed = watch::Sender::new(None);
        let watchdog = Watchdog::start(closed.clone()).unwrap();
        watchdog.watch(|| Ok(())).unwrap();
        let failed = watchdog.watch(|| Err(JournalError::Busy));
        assert_eq!((failed, closed.borrow().clone()), (Err(JournalError::Busy), None));
    }
}

//! Why the journal does not do what was asked.

use tokio::task::JoinError;

use super::{Doubt, STORAGE_FORMAT, WAITING_CALLS_MAX, store::StoreError};
use crate::domain::{rejection::Rejection, time::Timestamp};

/// Why the journal cannot do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A write failed, or the service stops: reads go on.
    #[error("the journal takes no writes: {0}")]
    Closed(String),
    /// Too many calls wait.
    #[error("the journal is busy: {WAITING_CALLS_MAX} calls wait")]
    Busy,
    /// The store is as large as it may become.
    #[error(
        "the store has {mib} of {mib_max} MiB: new statements are refused from nine tenths on, new words when it is full; \
         compact the store or allow it more"
    )]
    Full {
        /// What it has.
        mib: u64,
        /// What it may have.
        mib_max: u64,
    },
    /// The wall clock has moved against the steady clock, so nothing is dated by it but what protects readers.
    #[error(
        "the service's clock is in doubt: the wall clock has moved by {moved_seconds} s at {since}; only withdrawals, removals, erasures, \
         legal holds and cancellations of releases are taken until it returns, stays for an hour, or an operator confirms it"
    )]
    ClockInDoubt {
        /// Seconds by which the wall clock is ahead of the trusted time; less than 0 if it is behind.
        moved_seconds: i64,
        /// Trusted time when that was noticed.
        since: Timestamp,
    },
    /// The store could not be read, written or opened.
    #[error("the store failed: {0}")]
    Store(String),
    /// Nothing can be written to the store: no room, a quota, a read-only mount, permissions.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
    /// What is stored is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store, or a copy of one, was written by a newer onrecord.
    #[error(
        "the store has format {0}, and this onrecord reads 1 to {STORAGE_FORMAT}: use the onrecord that wrote it, or a newer one"
    )]
    Format(u32),
}

impl JournalError {
    pub(super) fn of_doubt(doubt: Doubt) -> Self {
        Self::ClockInDoubt { moved_seconds: doubt.moved_seconds(), since: doubt.since }
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io(words) => Self::Store(words),
            StoreError::Unwritable(words) => Self::Unwritable(words),
            StoreError::Damaged(words) => Self::Damaged(words),
        }
    }
}

/// A read ended without an answer. What it said as it fell may be of a text.
pub(crate) fn ended_early(error: &JoinError) -> JournalError {
    let why = if error.is_panic() { "it panicked" } else { "it was cancelled" };
    JournalError::Store(format!("a read ended early: {why}"))
}

impl From<std::io::Error> for JournalError {
    fn from(error: std::io::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl JournalError {
    /// Whether the store failed, so that opening it again may help.
    pub(super) fn is_of_store(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Unwritable(_))
    }

    /// The same failure with more words, if nothing can be written.
    pub(super) fn and(self, more: &str) -> Self {
        if let Self::Unwritable(words) = self { Self::Unwritable(words + more) } else { self }
    }
}

/// Why a call was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The rule book refuses it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The journal cannot.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

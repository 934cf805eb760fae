//! Why a subscription or a page is refused.

use crate::{domain::rejection::Rejection, journal::JournalError};

/// Why a subscription or a page is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedRefusal {
    /// It is not a cursor of this service, or not where one can start.
    #[error("the cursor is not one of this service: {0}")]
    CursorInvalid(&'static str),
    /// Its events may no longer be replayed.
    #[error("the events after this cursor are no longer there (the earliest is {earliest}): take a new snapshot")]
    CursorTrimmed {
        /// The first sequence that may be replayed.
        earliest: u64,
    },
    /// It saw events that this feed does not have.
    #[error("this cursor's history is not the history of this feed: take a new snapshot, and raise an alarm")]
    CursorDiverged,
    /// It is ahead of this node.
    #[error("this replica has not reached the cursor yet: wait and try again")]
    ReplicaBehind,
    /// It was made for another filter, another choice of texts under embargo, or under other grants.
    #[error("the cursor belongs to another filter, or to other grants: take a new snapshot")]
    FilterChanged,
    /// As many streams are open as may be.
    #[error("{most} streams are open, as many as may be: try again later, elsewhere if you can")]
    TooManyStreams {
        /// How many may be.
        most: usize,
    },
    /// As many snapshots are being sent as may be. Who resumes from a cursor is not affected.
    #[error("{most} snapshots are being sent, as many as may be: try again later, or resume from a cursor")]
    TooManySnapshots {
        /// How many may be.
        most: usize,
    },
    /// The service takes no new subscribers.
    #[error("the service is stopping")]
    Draining,
    /// The rule book refuses it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

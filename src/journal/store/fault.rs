//! Errors below the journal.

use std::io::{self, ErrorKind};

/// What can go wrong below the journal.
#[derive(Debug, thiserror::Error)]
pub(in crate::journal) enum StoreError {
    /// The device, the file system or sled.
    #[error("{0}")]
    Io(String),
    /// Nothing can be written there: no room, a quota, a read-only mount, permissions.
    #[error("{0}")]
    Unwritable(String),
    /// What is stored is not what was written.
    #[error("{0}")]
    Damaged(String),
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Corruption { .. } => Self::Damaged(error.to_string()),
            sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
                Self::Io(error.to_string())
            }
            sled::Error::Io(error) => error.into(),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match advice(error.kind()) {
            Some(advice) => Self::Unwritable(format!("{error}: {advice}")),
            None => Self::Io(error.to_string()),
        }
    }
}

impl StoreError {
    /// Whether a failure of this kind means that nothing can be written there.
    pub(super) fn is_unwritable(kind: ErrorKind) -> bool {
        advice(kind).is_some()
    }
}

/// What to do where nothing can be written.
const ADVICE: [(ErrorKind, &str); 4] = [
    (ErrorKind::StorageFull, "make room on the disk of the store"),
    (ErrorKind::QuotaExceeded, "raise the quota, or make room on the disk of the store"),
    (ErrorKind::ReadOnlyFilesystem, "mount the disk of the store for writing"),
    (ErrorKind::PermissionDenied, "let the user of this process read and write the directory of the store"),
];

/// The same for one kind of error; none if that is not why something failed.
fn advice(kind: ErrorKind) -> Option<&'static str> {
    ADVICE.iter().find(|(it, _)| *it == kind).map(|(_, advice)| *advice)
}

//! How a stream ends, and what comes after it.

use std::{fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::check::Breach;

/// Why a follower ended. Only a person can help.
#[derive(Debug, thiserror::Error)]
pub enum FollowError<E> {
    /// The site failed.
    #[error("the site failed")]
    Site(E),
    /// The feed did what it must never do.
    #[error(transparent)]
    Breach(#[from] Breach),
    /// The history that was followed is not the history of this feed: it was restored from an older copy, or this is another service.
    #[error("the feed is not the one that was followed before: {0}")]
    Diverged(Status),
    /// The position belongs to another filter, or to what the caller might have before: forget it, and begin anew.
    #[error("this was followed with another filter or another grant: {0}")]
    FilterChanged(Status),
    /// The service closed the stream for good.
    #[error("somebody else follows under this name, or the subscription was changed or deleted")]
    Superseded,
    /// The service refuses, and trying again cannot help: the right or the credential ended, say.
    #[error("the service refuses: {0}")]
    Refused(Status),
    /// The service was not to be reached, and somebody waits: see [`Options::until_current`](super::Options::until_current).
    #[error("{0}")]
    GaveUp(Lost),
}

/// How a stream was lost.
#[derive(Debug)]
pub enum Lost {
    /// It broke, or could not be opened.
    Status(Status),
    /// Nothing was heard for three heartbeats.
    Silent(Duration),
    /// It ended without a word.
    Ended,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{}", status.message()),
            Self::Silent(silence) => write!(f, "nothing was heard for {} s", silence.as_secs()),
            Self::Ended => f.write_str("the stream ended without a word"),
        }
    }
}

/// What a lost stream asks for.
pub(super) enum Remedy<E> {
    /// Connect again, after this long at least.
    Again(Duration),
    /// Take a new snapshot.
    Trimmed,
    /// The same, and raise an alarm.
    Diverged(Status),
    /// Nothing helps.
    End(FollowError<E>),
}

impl Lost {
    pub(super) fn remedy<E>(&self) -> Remedy<E> {
        let Self::Status(status) = self else { return Remedy::Again(Duration::ZERO) };
        let details = status.get_error_details();
        match details.error_info().map_or("", |info| info.reason.as_str()) {
            "CURSOR_TRIMMED" => Remedy::Trimmed,
            "CURSOR_DIVERGED" => Remedy::Diverged(status.clone()),
            "FILTER_CHANGED" => Remedy::End(FollowError::FilterChanged(status.clone())),
            // It waits for what this position has seen already: never a reason to begin anew.
            "REPLICA_BEHIND" => Remedy::Again(asked(status)),
            _ if is_final(status.code()) => Remedy::End(FollowError::Refused(status.clone())),
            _ => Remedy::Again(asked(status)),
        }
    }
}

fn asked(status: &Status) -> Duration {
    status.get_error_details().retry_info().and_then(|retry| retry.retry_delay).unwrap_or_default()
}

/// True if trying again cannot help.
fn is_final(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => true,
        // A broken connection comes as any of these.
        Code::Unavailable
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unknown
        | Code::Internal
        | Code::Ok => false,
    }
}

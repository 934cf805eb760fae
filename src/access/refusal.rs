//! Why a call is refused before it is looked at.

use std::{fmt, time::Duration};

use super::Role;
use crate::domain::{id::Caller, time::Timestamp};

/// Why a call is refused before it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    /// Nobody is named, where nothing is checked.
    #[error("{0}")]
    CallerMissing(String),
    /// Nothing shows who calls.
    #[error("show who calls: a token in the metadata `authorization: Bearer …`, or a client certificate")]
    CredentialMissing,
    /// It is not known here. Which part of it is wrong is not told.
    #[error("the credential is not known here: it may be mistyped, revoked, or meant for another service")]
    CredentialUnknown,
    /// It will be good.
    #[error("the credential begins at {0}: wait, or set the clock right")]
    CredentialEarly(Timestamp, Caller),
    /// It was good once.
    #[error("the credential ended at {0}: ask for a new one")]
    CredentialExpired(Timestamp, Caller),
    /// The caller is known, and may not do this.
    #[error("{caller} may not call this: it takes {}", any_of(.roles))]
    RoleMissing {
        /// Who.
        caller: Caller,
        /// Any of these would do.
        roles: &'static [Role],
    },
    /// The caller takes more than one may.
    #[error("too many {limit} of one caller: at most {most}; try again a little later")]
    TooMany {
        /// The limit.
        limit: Limit,
        /// How many there may be.
        most: u32,
        /// How long until there may be another, if that is known.
        wait: Duration,
    },
    /// All callers together take more than the service gives.
    #[error("too many {limit} of all callers together: at most {most}; try again a little later")]
    TooManyInAll {
        /// The limit.
        limit: Limit,
        /// How many there may be.
        most: u32,
        /// How long until there may be another, if that is known.
        wait: Duration,
    },
}

/// A limit on calls and connections, or on a request message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is in words below")]
pub enum Limit {
    CallsPerSecond,
    CallsInFlight,
    Streams,
    SnapshotsPerMinute,
    Backups,
    UnreadResponseBytes,
    RequestBytesInFlight,
    HealthWatches,
    HealthCallsInFlight,
    MessageBytes,
    MessageFields,
}

impl Limit {
    /// The code of the limit in the metadata of a refusal, as `error_reason.proto` lists it, and its words in messages.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::CallsPerSecond => ("CALLS_PER_SECOND", "calls a second"),
            Self::CallsInFlight => ("CALLS_IN_FLIGHT", "calls in flight"),
            Self::Streams => ("STREAMS", "streams"),
            Self::SnapshotsPerMinute => ("SNAPSHOTS_PER_MINUTE", "snapshots a minute"),
            Self::Backups => ("BACKUPS", "backups"),
            Self::UnreadResponseBytes => ("UNREAD_RESPONSE_BYTES", "bytes of unread responses"),
            Self::RequestBytesInFlight => ("REQUEST_BYTES_IN_FLIGHT", "bytes of requests in flight"),
            Self::HealthWatches => ("HEALTH_WATCHES", "watchers of health on one connection"),
            Self::HealthCallsInFlight => ("HEALTH_CALLS_IN_FLIGHT", "health checks in flight on one connection"),
            Self::MessageBytes => ("MESSAGE_BYTES", "bytes of a request message"),
            Self::MessageFields => ("MESSAGE_FIELDS", "fields of a request message"),
        }
    }

    /// Code of the limit in the metadata of a refusal.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.names().0
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().1)
    }
}

impl AccessRefusal {
    /// Who was refused, if that is known.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::CredentialEarly(_, caller)
            | Self::CredentialExpired(_, caller)
            | Self::RoleMissing { caller, .. } => Some(caller),
            Self::CallerMissing(_)
            | Self::CredentialMissing
            | Self::CredentialUnknown
            | Self::TooMany { .. }
            | Self::TooManyInAll { .. } => None,
        }
    }
}

fn any_of(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    format!("the role {}", names.join(" or "))
}

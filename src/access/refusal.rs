//! Why a call is refused before it is looked at.

use std::time::Duration;

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
    #[error("too many {what} of one caller: at most {most}; try again a little later")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: u32,
        /// How long until there may be another, if that is known.
        wait: Duration,
    },
    /// All callers together take more than the service gives.
    #[error("too many {what} of all callers together: at most {most}; try again a little later")]
    TooManyInAll {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: u32,
        /// How long until there may be another, if that is known.
        wait: Duration,
    },
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

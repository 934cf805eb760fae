//! What a site follows, and how.

use std::time::Duration;

use super::Credentials;
use crate::api::v1::Filter;

const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(10);

/// Which statements a site wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Those that a filter admits; an empty one admits all.
    These {
        /// Which.
        filter: Filter,
        /// Also texts under embargo; needs embargo clearance.
        include_embargoed: bool,
    },
    /// What a named subscription (`subscriptions/{subscription}`) says. What was kept is acknowledged.
    Named(String),
}

/// Where a site begins that has no position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// The state now, then what follows.
    #[default]
    Snapshot,
    /// Everything that is still there.
    Beginning,
    /// What happens from now on.
    Now,
    /// After what was acknowledged under the name; the state now, if nothing was. For a site that keeps no state of its own.
    Acknowledged,
}

/// How to follow.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which statements.
    pub wanted: Wanted,
    /// Where to begin, without a position.
    pub begin: Begin,
    /// Who calls.
    pub credentials: Credentials,
    /// How long the stream may be quiet before a heartbeat, 1 to 60 s: 10 s by default. After three that did not come it counts as lost.
    pub heartbeat: Duration,
    /// End once there is nothing new, and give up after five attempts.
    pub until_current: bool,
    /// Where the feed turns out to have another history, take a new snapshot instead of ending. Somebody still has to be told:
    /// [`Note::Diverged`](super::Note::Diverged).
    pub snapshot_when_diverged: bool,
}

impl Options {
    /// For everything.
    #[must_use]
    pub fn all() -> Self {
        Self::wanting(Wanted::These { filter: Filter::default(), include_embargoed: false })
    }

    /// For what is wanted.
    #[must_use]
    pub fn wanting(wanted: Wanted) -> Self {
        Self {
            wanted,
            begin: Begin::default(),
            credentials: Credentials::none(),
            heartbeat: HEARTBEAT_DEFAULT,
            until_current: false,
            snapshot_when_diverged: false,
        }
    }
}

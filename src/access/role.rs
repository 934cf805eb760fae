//! What somebody is there for.

use serde::Deserialize;

/// What somebody is there for. One caller may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Writes.
    Author,
    /// Approves what others wrote.
    Reviewer,
    /// Publishes, and withdraws.
    Publisher,
    /// Removes, erases, holds.
    Legal,
    /// Reads who did what.
    Auditor,
    /// Reads and follows what is public, and what its grant clears it for.
    Subscriber,
    /// Names subscriptions, takes copies.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Author, Self::Reviewer, Self::Publisher, Self::Legal, Self::Auditor, Self::Subscriber, Self::Operator];

    /// As a policy writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Reviewer => "reviewer",
            Self::Publisher => "publisher",
            Self::Legal => "legal",
            Self::Auditor => "auditor",
            Self::Subscriber => "subscriber",
            Self::Operator => "operator",
        }
    }
}

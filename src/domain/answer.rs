//! What a step answers. An answer is kept with the request id and given again, word for word.

use serde::{Deserialize, Serialize};

use super::{
    content::Outline,
    draft::{Approval, Draft, Release},
    id::LanguageTag,
    live::Live,
    state::{Proposal, Statement},
    subscription::Subscription,
};

/// What a step answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Create, update, legal hold: the statement as it now is.
    Statement(Box<Statement>),
    /// Save, submit, approve, reject: the draft as it now is.
    Draft(LanguageTag, Box<Draft>),
    /// Discarded, or a cancelled proposal: there is nothing to return.
    Discarded,
    /// Publish: what is now live, and what now waits.
    Published {
        /// What is now live.
        live: Vec<(LanguageTag, Live)>,
        /// What now waits.
        releases: Vec<(LanguageTag, Release)>,
    },
    /// The approval of a forced edition.
    Approval(Approval),
    /// A release was called off; the draft it became again, if it did.
    Cancelled(LanguageTag, Option<Box<Draft>>),
    /// Withdrawn.
    Withdrawn {
        /// What is now live.
        live: Vec<(LanguageTag, Live)>,
        /// Scheduled releases that are now held.
        held: Vec<LanguageTag>,
        /// Releases under embargo that were cancelled.
        cancelled: Vec<LanguageTag>,
    },
    /// A second person is awaited.
    Proposed(Box<Proposal>),
    /// Reinstated, removed or erased: what is now live.
    Seconded(Vec<(LanguageTag, Live)>),
    /// A step that time took.
    Due,
    /// The clock is trusted.
    Confirmed,
    /// Create, update or delete of a subscription: as it now is.
    Subscription(Box<Subscription>),
}

impl Answer {
    /// The texts that it names, in order, each with its language.
    #[must_use]
    pub fn texts(&self) -> Vec<(&LanguageTag, &Outline)> {
        match self {
            Self::Draft(language, draft) | Self::Cancelled(language, Some(draft)) => vec![(language, &draft.outline)],
            Self::Published { live, releases } => {
                lives(live).chain(releases.iter().map(|(language, release)| (language, &release.outline))).collect()
            }
            Self::Withdrawn { live, .. } | Self::Seconded(live) => lives(live).collect(),
            Self::Statement(_)
            | Self::Discarded
            | Self::Approval(_)
            | Self::Cancelled(_, None)
            | Self::Proposed(_)
            | Self::Due
            | Self::Confirmed
            | Self::Subscription(_) => Vec::new(),
        }
    }
}

fn lives(lives: &[(LanguageTag, Live)]) -> impl Iterator<Item = (&LanguageTag, &Outline)> {
    lives.iter().map(|(language, live)| (language, &live.edition.outline))
}

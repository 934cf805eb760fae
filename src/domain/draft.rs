//! What is not public yet: drafts and releases.

use serde::{Deserialize, Serialize};

use super::{
    content::Outline,
    id::{Caller, LanguageTag},
    time::Timestamp,
};

/// The one working copy of a (statement, language).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The text, by its digest.
    pub outline: Outline,
    /// Where it is on its way.
    pub state: DraftState,
    /// 1 for the first save, +1 with each.
    pub revision: u32,
    /// Number of the edition it was begun on; 0 if none existed.
    pub base: u32,
    /// Everybody who saved a revision of it.
    pub authors: Vec<Caller>,
    /// Who saved last.
    pub editor: Caller,
    /// When it was begun.
    pub create_time: Timestamp,
    /// When it was saved last.
    pub update_time: Timestamp,
    /// What stands against submitting the text as such; see [`Draft::problems`].
    pub faults: Vec<FieldFault>,
    /// Set while approved.
    pub approval: Option<Approval>,
    /// The newest rejection; none after the next save.
    #[serde(default)]
    pub rejection: Option<ReviewRejection>,
    /// Number of the entry that changed it last: its etag.
    pub version: u64,
}

impl Draft {
    /// What stands against submitting or publishing it.
    #[must_use]
    pub fn problems(&self) -> Vec<FieldFault> {
        let mut problems = self.faults.clone();
        problems.extend(super::decide::change_problem(&self.outline, self.base == 0));
        problems
    }
}

/// Where a draft is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DraftState {
    /// Being written.
    Draft,
    /// Waits for a reviewer.
    InReview,
    /// Can be published.
    Approved,
}

/// What is wrong with a field, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldFault {
    /// Path of the field in the request or resource.
    pub field: String,
    /// What is wrong, and what would be right.
    pub description: String,
}

impl FieldFault {
    /// Puts a fault together.
    #[must_use]
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Rejection of a text by a reviewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewRejection {
    /// The reviewer.
    pub reviewer: Caller,
    /// Time of the rejection.
    pub time: Timestamp,
    /// Digest of the rejected text.
    pub digest: super::digest::Digest,
    /// Changes to make.
    pub comment: String,
}

/// Somebody other than its authors approved a text. What was approved is the text beside it, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub approver: Caller,
    /// When.
    pub time: Timestamp,
    /// What they read.
    pub digest: super::digest::Digest,
    /// What they said.
    pub comment: String,
}

/// An approved draft, frozen, waiting for its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The text, by its digest.
    pub outline: Outline,
    /// How it waits.
    pub state: ReleaseState,
    /// When it goes out.
    pub time: Timestamp,
    /// Seconds after `time` from which on it is held.
    pub lateness_seconds_max: i64,
    /// Number of the edition it supersedes; 0 if none.
    pub base: u32,
    /// Why it is held.
    pub blocked: Option<Blocked>,
    /// Who decided that it goes out.
    pub publisher: Caller,
    /// Who wrote it.
    pub authors: Vec<Caller>,
    /// Absent if it was forced.
    pub approval: Option<Approval>,
    /// Why it was forced.
    pub force_reason: String,
    /// When it was scheduled.
    pub create_time: Timestamp,
    /// The languages of the same call, its own among them.
    pub companions: Vec<LanguageTag>,
    /// The revision of the draft it was.
    pub revision: u32,
    /// Sequence of the event that told the holders; 0 unless it is under embargo.
    pub sequence: u64,
    /// Number of the entry that changed it last: its etag.
    pub version: u64,
}

/// How a release waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseState {
    /// Nobody is told that it exists.
    Scheduled,
    /// Cleared subscribers have it.
    Embargoed,
}

/// Why a release is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocked {
    /// An edition was published after the draft was begun.
    BaseSuperseded,
    /// The statement was withdrawn or removed in this language.
    Withdrawn,
    /// The service was down at the time and came back too late, or the record was restored since, so that what was decided meanwhile is lost.
    Missed,
    /// Another language of the same call is held.
    CompanionHeld,
    /// The text would already have expired.
    Expired,
}

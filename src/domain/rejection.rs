//! Why a step is refused. `api/status.rs` maps each to a code and a reason.

use super::{
    draft::{Draft, DraftState, FieldFault},
    id::{Caller, LanguageTag},
    time::Timestamp,
};

/// Why a step is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<FieldFault>),
    /// The request id belongs to another call.
    #[error("the request id was used for another call: take a new one")]
    RequestIdReused,
    /// The id is taken.
    #[error("a statement with this id exists: choose another id")]
    StatementExists,
    /// No such statement.
    #[error("there is no such statement")]
    StatementNotFound,
    /// The caller may do this, but not here.
    #[error("the policy does not let the caller do this to this statement, in this language or with this text")]
    OutOfMandate,
    /// A backup has the whole record.
    #[error(
        "a backup has the whole record: it takes a grant with the role operator that is limited in nothing, and the policy limits the caller's"
    )]
    BackupLimited,
    /// The id is taken.
    #[error("a subscription with this id exists: choose another id")]
    SubscriptionExists,
    /// No such subscription.
    #[error("there is no such subscription")]
    SubscriptionNotFound,
    /// Somebody else follows under this name by now.
    #[error("somebody else follows under this name by now (generation {generation}): follow anew, or leave it to them")]
    SubscriptionSuperseded {
        /// The generation that may speak.
        generation: u64,
    },
    /// What was applied cannot be refused.
    #[error("sequence is of an event that was acknowledged: what comes next is {next}")]
    AlreadyApplied {
        /// The first sequence that was not acknowledged.
        next: u64,
    },
    /// No such draft.
    #[error("there is no draft in {0}")]
    DraftNotFound(LanguageTag),
    /// No such revision, or its text is no longer stored.
    #[error("the draft has no such revision, or its text is no longer stored")]
    RevisionNotFound,
    /// No such release.
    #[error("no release waits in {0}")]
    ReleaseNotFound(LanguageTag),
    /// No such edition.
    #[error("there is no such edition")]
    EditionNotFound,
    /// No such proposal, or it lapsed, or it is about another step.
    #[error("no such proposal waits for a second person: it may have lapsed or been replaced")]
    ProposalNotFound,
    /// What was read is not what is there now.
    #[error("{}", .0.words())]
    EtagMismatch(Box<Conflict>),
    /// The named base is not the newest edition.
    #[error("base_edition is not the newest edition: the newest is number {newest}")]
    BaseNotLive {
        /// Number of the newest edition; 0 if none exists.
        newest: u32,
    },
    /// The step needs another state.
    #[error("the draft in {language} is {actual}, but it has to be {needed}")]
    DraftNotInState {
        /// Which draft.
        language: LanguageTag,
        /// What it is.
        actual: &'static str,
        /// What it has to be.
        needed: &'static str,
    },
    /// The draft cannot go out as it is.
    #[error("the draft is not complete")]
    DraftIncomplete(Vec<FieldFault>),
    /// The draft is not approved.
    #[error("the draft in {0} is not approved: have somebody approve it, or publish with force and a reason")]
    DraftNotApproved(LanguageTag),
    /// The draft would undo an edition.
    #[error(
        "an edition was published in {language} after this draft was begun (now number {newest}): \
         save the draft with base_edition set to it, and have it approved again"
    )]
    BaseSuperseded {
        /// Which draft.
        language: LanguageTag,
        /// Number of the newest edition.
        newest: u32,
    },
    /// A release already waits.
    #[error("a release already waits in {0}: cancel it first")]
    ReleaseSlotFull(LanguageTag),
    /// Who wrote a text may not approve it.
    #[error("a text is approved by somebody who did not write it")]
    OwnText,
    /// Who proposed a step may not second it.
    #[error("this step takes a second person")]
    SecondPersonRequired,
    /// The edition owes no approval.
    #[error("this edition owes no approval")]
    ApprovalNotPending,
    /// Nothing public to act on.
    #[error("nothing is public in {}", languages(.0))]
    NothingLive(Vec<LanguageTag>),
    /// Nothing withdrawn to reinstate.
    #[error("nothing is withdrawn in {}", languages(.0))]
    NotWithdrawn(Vec<LanguageTag>),
    /// The hold forbids it.
    #[error("the statement is under a legal hold")]
    LegalHold,
    /// The texts are gone for ever.
    #[error("the texts of this statement were erased")]
    Expunged,
    /// Readers cannot be sent there.
    #[error("redirect_statement is not a statement that readers can read, or leads back here")]
    RedirectTargetNotPublic,
    /// The text of this edition is not public any more.
    #[error("the text of this edition is no longer public")]
    TextNotPublic,
}

/// What is there instead of what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The etag that would be right now.
    pub etag: String,
    /// Revision of the draft; 0 where a draft is not what is changed.
    pub revision: u32,
    /// Who changed it last, if that is known.
    pub editor: Option<Caller>,
    /// When.
    pub time: Timestamp,
}

impl Conflict {
    /// The draft that is there.
    #[must_use]
    pub fn with_draft(draft: &Draft) -> Self {
        Self {
            etag: etag(draft.version),
            revision: draft.revision,
            editor: Some(draft.editor.clone()),
            time: draft.update_time,
        }
    }

    fn words(&self) -> String {
        let mut words = "etag is not the current one: read again and re-apply".to_owned();
        if let Some(editor) = &self.editor {
            words = format!("{words} (now revision {}, saved by {editor} at {})", self.revision, self.time);
        }
        words
    }
}

/// The etag of what an entry changed last (AIP-154).
#[must_use]
pub fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// How a draft's state is called in refusals.
#[must_use]
pub fn state_name(state: DraftState) -> &'static str {
    match state {
        DraftState::Draft => "DRAFT",
        DraftState::InReview => "IN_REVIEW",
        DraftState::Approved => "APPROVED",
    }
}

fn languages(tags: &[LanguageTag]) -> String {
    if tags.is_empty() {
        return "any language".to_owned();
    }
    tags.iter().map(LanguageTag::as_str).collect::<Vec<_>>().join(", ")
}

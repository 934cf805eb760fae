//! What callers ask for, and what time asks for. Every value in a command was parsed.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    content::Content,
    digest::Digest,
    draft::FieldFault,
    entry::{Action, Origin},
    id::{Caller, Code, LanguageTag, StatementId},
    live::Notice,
    mandate::Mandate,
    state::{DueStep, Removal, State},
    time::Timestamp,
};

/// A step that somebody wants taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// On which statement.
    pub statement: StatementId,
    /// What.
    pub step: Step,
}

/// What is to be done to a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the RPC of the same name; see proto/onrecord/v1/editorial_service.proto")]
pub enum Step {
    CreateStatement { kind: Code, source_language: LanguageTag, owner: String, annotations: BTreeMap<String, String> },
    UpdateStatement { etag: String, owner: Option<String>, annotations: Option<BTreeMap<String, String>> },
    SaveDraft(Box<SaveDraft>),
    SubmitDraft { language: LanguageTag, etag: String },
    ApproveDraft { language: LanguageTag, etag: String, comment: String },
    RejectDraft { language: LanguageTag, etag: String, comment: String },
    DiscardDraft { language: LanguageTag, etag: String },
    PublishDrafts(PublishDrafts),
    ApproveEdition { language: LanguageTag, number: u32, digest: Digest, comment: String },
    CancelRelease { language: LanguageTag, etag: String, reason: String },
    Withdraw { languages: Vec<LanguageTag>, notice: Notice },
    Reinstate(Seconded<Reinstate>),
    Remove(Seconded<Remove>),
    Expunge(Seconded<Expunge>),
    CancelProposal { proposal_id: String, reason: String },
    SetLegalHold { legal_hold: bool, reason: String },
    Due { language: LanguageTag, step: DueStep },
    RepeatErasure { expunge_time: Timestamp },
}

impl Step {
    /// The languages that it names; none if it is about the whole statement, or about whatever is there.
    #[must_use]
    pub fn languages(&self) -> Option<Vec<LanguageTag>> {
        let some = |languages: &[LanguageTag]| Some(languages.to_vec()).filter(|languages| !languages.is_empty());
        match self {
            Self::SaveDraft(save) => some(std::slice::from_ref(&save.content.language_code)),
            Self::SubmitDraft { language, .. }
            | Self::ApproveDraft { language, .. }
            | Self::RejectDraft { language, .. }
            | Self::DiscardDraft { language, .. }
            | Self::ApproveEdition { language, .. }
            | Self::CancelRelease { language, .. }
            | Self::Due { language, .. } => some(std::slice::from_ref(language)),
            Self::PublishDrafts(publish) => Some(publish.drafts.iter().map(|(language, _)| language.clone()).collect()),
            Self::Withdraw { languages, .. } => some(languages),
            Self::Reinstate(Seconded::Propose(reinstate)) => some(&reinstate.languages),
            Self::Remove(Seconded::Propose(remove)) => some(&remove.languages),
            Self::CreateStatement { .. }
            | Self::UpdateStatement { .. }
            | Self::Reinstate(Seconded::Second(_))
            | Self::Remove(Seconded::Second(_))
            | Self::Expunge(_)
            | Self::CancelProposal { .. }
            | Self::SetLegalHold { .. }
            | Self::RepeatErasure { .. } => None,
        }
    }

    /// The languages that it names, to be changed to the tags that a statement has them by. Of the words of a draft that is so for
    /// the editions they name; their own language may be new.
    fn named_languages(&mut self) -> Vec<&mut LanguageTag> {
        match self {
            Self::SaveDraft(save) => save.content.editions_mut().map(|edition| &mut edition.language).collect(),
            Self::SubmitDraft { language, .. }
            | Self::ApproveDraft { language, .. }
            | Self::RejectDraft { language, .. }
            | Self::DiscardDraft { language, .. }
            | Self::ApproveEdition { language, .. }
            | Self::CancelRelease { language, .. } => vec![language],
            Self::PublishDrafts(publish) => publish.drafts.iter_mut().map(|(language, _)| language).collect(),
            Self::Withdraw { languages, .. }
            | Self::Reinstate(Seconded::Propose(Reinstate { languages, .. }))
            | Self::Remove(Seconded::Propose(Remove { languages, .. })) => languages.iter_mut().collect(),
            Self::CreateStatement { .. }
            | Self::UpdateStatement { .. }
            | Self::Reinstate(Seconded::Second(_))
            | Self::Remove(Seconded::Second(_))
            | Self::Expunge(_)
            | Self::CancelProposal { .. }
            | Self::SetLegalHold { .. }
            | Self::Due { .. }
            | Self::RepeatErasure { .. } => Vec::new(),
        }
    }

    /// Whether each language that it names is spelled as the statement has it, or is new to it.
    #[must_use]
    pub fn is_resolved(&self, state: &State) -> bool {
        let is_exact = |language: &LanguageTag| state.tag(language).is_none_or(|tag| tag == language);
        let editions_are = |content: &Content| content.editions().all(|edition| is_exact(&edition.language));
        let content = if let Self::SaveDraft(save) = self { Some(&save.content) } else { None };
        content.is_none_or(editions_are) && self.languages().iter().flatten().all(is_exact)
    }

    /// The same step with each language under the tag that the statement has it by, if it has it or an equal one. A draft is saved
    /// under another spelling only if both have one canonical form.
    #[must_use]
    pub fn resolved(mut self, state: &State) -> Self {
        for language in self.named_languages() {
            if let Some(tag) = state.tag(language) {
                language.clone_from(tag);
            }
        }
        if let Self::SaveDraft(save) = &mut self {
            let language = &mut save.content.language_code;
            if let Some(tag) = state.tag(language).filter(|tag| tag.is_alias_of(language)) {
                language.clone_from(tag);
            }
        }
        self
    }

    /// Whether it takes words from readers or keeps them from being published, so that it is taken also while the clock is in doubt. A legal
    /// hold is here as the order of a court may not wait.
    #[must_use]
    pub fn protects_readers(&self) -> bool {
        match self {
            Self::CancelRelease { .. }
            | Self::Withdraw { .. }
            | Self::Remove(_)
            | Self::Expunge(_)
            | Self::SetLegalHold { .. }
            | Self::RepeatErasure { .. } => true,
            Self::CreateStatement { .. }
            | Self::UpdateStatement { .. }
            | Self::SaveDraft(_)
            | Self::SubmitDraft { .. }
            | Self::ApproveDraft { .. }
            | Self::RejectDraft { .. }
            | Self::DiscardDraft { .. }
            | Self::PublishDrafts(_)
            | Self::ApproveEdition { .. }
            | Self::Reinstate(_)
            | Self::CancelProposal { .. }
            | Self::Due { .. } => false,
        }
    }

    /// How the audit trail names it.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::CreateStatement { .. } => Action::CreateStatement,
            Self::UpdateStatement { .. } => Action::UpdateStatement,
            Self::SaveDraft(_) => Action::SaveDraft,
            Self::SubmitDraft { .. } => Action::SubmitDraft,
            Self::ApproveDraft { .. } => Action::ApproveDraft,
            Self::RejectDraft { .. } => Action::RejectDraft,
            Self::DiscardDraft { .. } => Action::DiscardDraft,
            Self::PublishDrafts(_) => Action::PublishDrafts,
            Self::ApproveEdition { .. } => Action::ApproveEdition,
            Self::CancelRelease { .. } => Action::CancelRelease,
            Self::Withdraw { .. } => Action::WithdrawStatement,
            Self::Reinstate(_) => Action::ReinstateStatement,
            Self::Remove(_) => Action::RemoveStatement,
            Self::Expunge(_) => Action::ExpungeStatement,
            Self::CancelProposal { .. } => Action::CancelProposal,
            Self::SetLegalHold { .. } => Action::SetLegalHold,
            Self::Due { step: DueStep::Release, .. } => Action::ReleaseDue,
            Self::Due { step: DueStep::Expiry, .. } => Action::ExpireDue,
            Self::RepeatErasure { .. } => Action::RepeatErasure,
        }
    }
}

/// Begins a draft or replaces its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveDraft {
    /// The words; the salt is set when the draft is saved.
    pub content: Content,
    /// The draft that was read; empty to begin one.
    pub etag: String,
    /// The edition that the author has seen; absent to keep the base.
    pub base: Option<u32>,
    /// What stands against submitting the text as such.
    pub faults: Vec<FieldFault>,
}

/// Publishes drafts of one statement: all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishDrafts {
    /// Language and etag of each, without repetition.
    pub drafts: Vec<(LanguageTag, String)>,
    /// When.
    pub when: When,
    /// Seconds that it may be late.
    pub lateness_seconds_max: i64,
    /// Break glass: why. Absent unless forced.
    pub force: Option<String>,
}

/// When drafts are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Now.
    Now,
    /// At that time, and nobody is told before.
    Later(Timestamp),
    /// At that time, and cleared subscribers get it now.
    Embargoed(Timestamp),
}

/// A step that takes two people: the first proposes, the second names the proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seconded<T> {
    /// What is proposed.
    Propose(T),
    /// The proposal that is seconded.
    Second(String),
}

/// Lets withdrawn texts stand again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reinstate {
    /// None means every withdrawn one.
    pub languages: Vec<LanguageTag>,
    /// The change note of the new edition.
    pub reason: String,
}

/// Takes a statement from the public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// None means every public one.
    pub languages: Vec<LanguageTag>,
    /// How.
    pub removal: Removal,
    /// Why, for the audit trail.
    pub reason: String,
}

/// Erases every text of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expunge {
    /// Code of the legal basis.
    pub reason_code: Code,
}

/// Who calls, and with which request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who.
    pub caller: Caller,
    /// From where, and by what it showed who it is; none for the service itself.
    pub origin: Option<Origin>,
    /// What of it may do this.
    pub mandate: Arc<Mandate>,
    /// A UUID, if the caller wants to be able to repeat the call.
    pub request_id: Option<uuid::Uuid>,
    /// Answer as if, change nothing.
    pub validate_only: bool,
    /// What.
    pub command: Command,
}

impl Call {
    /// A step of the service itself.
    #[must_use]
    pub fn of_service(command: Command) -> Self {
        let mandate = Mandate::of_everybody();
        Self { caller: Caller::service(), origin: None, mandate, request_id: None, validate_only: false, command }
    }
}

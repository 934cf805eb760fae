//! The audit trail: what an entry says about the step it commits.

use serde::{Deserialize, Serialize};

use super::{
    content::{Facts, canonical_json},
    digest::Digest,
    id::{Caller, LanguageTag, StatementId, SubscriptionId},
    state::{Slots, State},
    time::Timestamp,
};

/// The part of an entry that its hash covers: who, what, when, and digests. It holds no text and outlives an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryHead {
    /// 1, 2, 3 …
    #[serde(with = "super::event::decimal")]
    pub number: u64,
    /// When it was committed. It may be earlier than that of the entry before.
    pub commit_time: Timestamp,
    /// Who called.
    pub caller: Caller,
    /// From where, and by what it showed who it is; none for the service's own steps, and in entries written before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was done.
    pub action: Action,
    /// To which statement; none where a subscription or the journal itself is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementId>,
    /// To which subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// Which languages it changed.
    pub language_codes: Vec<LanguageTag>,
    /// The caller's request id; empty if none was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The texts it wrote or published.
    pub content_digests: Vec<Digest>,
    /// The first event it caused; 0 if it caused none.
    #[serde(with = "super::event::decimal")]
    pub first_sequence: u64,
    /// How many it caused.
    pub event_count: u32,
    /// SHA-256 of the rows it wrote, as stored.
    pub rows_digest: Digest,
    /// The epoch that it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
}

impl EntryHead {
    /// The bytes that the entry's hash covers: canonical JSON (RFC 8785).
    #[must_use]
    pub fn seal(&self) -> Vec<u8> {
        canonical_json(self)
    }
}

/// A text that a step concerns: it was there before the step or is there after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concerned {
    /// In which language.
    pub language: LanguageTag,
    /// What filters look at in it.
    pub facts: Facts,
}

impl Concerned {
    /// The texts that a step concerns, each once: those in the languages that it names (all of them if it names none), in those of a
    /// proposal that it makes or takes up, and in those that it changes.
    #[must_use]
    pub fn by(named: Option<&[LanguageTag]>, before: Option<&State>, after: &State) -> Vec<Self> {
        let proposed = |state: &State| state.statement.proposal.clone().map(|proposal| proposal.languages);
        let (was, is) = (before.and_then(proposed), proposed(after));
        let proposed: Vec<_> = if was == is { Vec::new() } else { was.into_iter().chain(is).flatten().collect() };
        let slots = |language: &LanguageTag| before.and_then(|state| state.languages.get(language));
        let mut all = Vec::new();
        for (language, now) in &after.languages {
            let was = slots(language);
            let is_named = named.is_none_or(|named| named.contains(language));
            if !is_named && !proposed.contains(language) && was == Some(now) {
                continue;
            }
            for facts in was.into_iter().chain([now]).flat_map(Slots::facts) {
                let text = Self { language: language.clone(), facts: facts.clone() };
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        }
        all
    }
}

/// From where a call came, and by what its caller showed who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Address and port of the connection's other end: of the proxy, if there is one.
    pub address: String,
    /// What the credential was, with enough of its digest to know which; never the credential.
    pub credential: String,
}

/// What a step did: the name of its RPC, or of the step that the service took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the name of an RPC, or described in proto/onrecord/v1/entry.proto")]
pub enum Action {
    CreateStatement,
    UpdateStatement,
    SaveDraft,
    SubmitDraft,
    ApproveDraft,
    RejectDraft,
    DiscardDraft,
    PublishDrafts,
    ApproveEdition,
    CancelRelease,
    WithdrawStatement,
    ReinstateStatement,
    RemoveStatement,
    ExpungeStatement,
    CancelProposal,
    SetLegalHold,
    ReleaseDue,
    ExpireDue,
    RepeatErasure,
    BeginEpoch,
    ConfirmClock,
    CreateSubscription,
    UpdateSubscription,
    DeleteSubscription,
}

impl Action {
    /// The name, as in the audit trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateStatement => "CreateStatement",
            Self::UpdateStatement => "UpdateStatement",
            Self::SaveDraft => "SaveDraft",
            Self::SubmitDraft => "SubmitDraft",
            Self::ApproveDraft => "ApproveDraft",
            Self::RejectDraft => "RejectDraft",
            Self::DiscardDraft => "DiscardDraft",
            Self::PublishDrafts => "PublishDrafts",
            Self::ApproveEdition => "ApproveEdition",
            Self::CancelRelease => "CancelRelease",
            Self::WithdrawStatement => "WithdrawStatement",
            Self::ReinstateStatement => "ReinstateStatement",
            Self::RemoveStatement => "RemoveStatement",
            Self::ExpungeStatement => "ExpungeStatement",
            Self::CancelProposal => "CancelProposal",
            Self::SetLegalHold => "SetLegalHold",
            Self::ReleaseDue => "ReleaseDue",
            Self::ExpireDue => "ExpireDue",
            Self::RepeatErasure => "RepeatErasure",
            Self::BeginEpoch => "BeginEpoch",
            Self::ConfirmClock => "ConfirmClock",
            Self::CreateSubscription => "CreateSubscription",
            Self::UpdateSubscription => "UpdateSubscription",
            Self::DeleteSubscription => "DeleteSubscription",
        }
    }
}

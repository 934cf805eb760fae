//! What editors are shown.

use bytes::Bytes;

use super::{Words, content, edition, live, notice, time};
use crate::{
    api::{
        trial::{all_settled, settled},
        v1,
    },
    domain::{
        answer::Answer,
        content::Content,
        digest::Digest,
        draft::{Approval, Blocked, Draft, DraftState, Release, ReleaseState, ReviewRejection},
        id::{Caller, EditionName, LanguageTag, StatementId, SubscriptionId},
        live::{Edition, Live},
        rejection::etag,
        state::{Approved, Owed, Proposal, ProposedStep, Removal, Slots, State, Statement},
    },
    journal::{EntryRecord, Revision},
};

fn names(callers: &[Caller]) -> Vec<String> {
    callers.iter().map(ToString::to_string).collect()
}

fn base(id: &StatementId, language: &LanguageTag, number: u32) -> String {
    if number == 0 { String::new() } else { EditionName::new(id, language, number).to_string() }
}

/// A statement.
pub(in crate::api) fn statement(statement: &Statement) -> v1::Statement {
    v1::Statement {
        name: statement.id.name(),
        kind: statement.kind.to_string(),
        source_language_code: statement.source_language.to_string(),
        owner: statement.owner.clone(),
        annotations: statement.annotations.clone().into_iter().collect(),
        legal_hold: statement.legal_hold,
        creator: statement.creator.to_string(),
        create_time: time(statement.create_time),
        update_time: time(statement.update_time),
        etag: etag(statement.version),
    }
}

/// A draft, with its words if they are given.
pub(in crate::api) fn draft(
    id: &StatementId,
    language: &LanguageTag,
    draft: &Draft,
    words: Option<&Content>,
) -> v1::Draft {
    v1::Draft {
        name: format!("{}/drafts/{language}", id.name()),
        content: words.map(content),
        state: draft_state(draft.state).into(),
        revision: draft.revision,
        base_edition: base(id, language, draft.base),
        content_digest: draft.outline.digest.to_string(),
        authors: names(&draft.authors),
        editor: draft.editor.to_string(),
        create_time: time(draft.create_time),
        update_time: time(draft.update_time),
        submit_problems: draft
            .problems()
            .into_iter()
            .map(|fault| v1::SubmitProblem { field: fault.field, description: fault.description })
            .collect(),
        approval: draft.approval.as_ref().map(approval),
        rejection: draft.rejection.as_ref().map(rejection),
        etag: etag(draft.version),
        canonical_content: Bytes::new(),
    }
}

/// A revision of a draft, without its text.
pub(in crate::api) fn draft_revision(revision: &Revision, pruned: bool) -> v1::DraftRevision {
    v1::DraftRevision {
        revision: revision.number,
        editor: revision.editor.to_string(),
        save_time: time(revision.time),
        content_digest: revision.digest.to_string(),
        pruned,
        content: None,
        canonical_content: Bytes::new(),
    }
}

fn draft_state(state: DraftState) -> v1::draft::State {
    match state {
        DraftState::Draft => v1::draft::State::Draft,
        DraftState::InReview => v1::draft::State::InReview,
        DraftState::Approved => v1::draft::State::Approved,
    }
}

fn rejection(rejection: &ReviewRejection) -> v1::ReviewRejection {
    v1::ReviewRejection {
        reviewer: rejection.reviewer.to_string(),
        reject_time: time(rejection.time),
        content_digest: rejection.digest.to_string(),
        comment: rejection.comment.clone(),
    }
}

/// An approval.
pub(in crate::api) fn approval(approval: &Approval) -> v1::Approval {
    v1::Approval {
        approver: approval.approver.to_string(),
        approve_time: time(approval.time),
        content_digest: approval.digest.to_string(),
        comment: approval.comment.clone(),
    }
}

/// A release, with its words if they are given.
pub(in crate::api) fn release(
    id: &StatementId,
    language: &LanguageTag,
    release: &Release,
    words: Option<&Content>,
) -> v1::Release {
    let name = |language: &LanguageTag| format!("{}/releases/{language}", id.name());
    v1::Release {
        name: name(language),
        content: words.map(content),
        content_digest: release.outline.digest.to_string(),
        state: match release.state {
            ReleaseState::Scheduled => v1::release::State::Scheduled.into(),
            ReleaseState::Embargoed => v1::release::State::Embargoed.into(),
        },
        release_time: time(release.time),
        max_lateness: Some(prost_types::Duration { seconds: release.lateness_seconds_max, nanos: 0 }),
        base_edition: base(id, language, release.base),
        blocked_reason: release.blocked.map_or(0, |reason| blocked(reason).into()),
        publisher: release.publisher.to_string(),
        approval: release.approval.as_ref().map(approval),
        create_time: time(release.create_time),
        companions: release.companions.iter().map(name).collect(),
        etag: etag(release.version),
        canonical_content: Bytes::new(),
    }
}

fn blocked(reason: Blocked) -> v1::release::BlockedReason {
    match reason {
        Blocked::BaseSuperseded => v1::release::BlockedReason::BaseSuperseded,
        Blocked::Withdrawn => v1::release::BlockedReason::Withdrawn,
        Blocked::Missed => v1::release::BlockedReason::Missed,
        Blocked::CompanionHeld => v1::release::BlockedReason::CompanionBlocked,
        Blocked::Expired => v1::release::BlockedReason::Expired,
    }
}

/// The editor's view of a statement.
pub(in crate::api) fn overview(state: &State) -> v1::StatementOverview {
    let id = &state.statement.id;
    v1::StatementOverview {
        statement: Some(statement(&state.statement)),
        languages: state.languages.iter().map(|(language, slots)| language_slots(state, id, language, slots)).collect(),
        proposal: state.statement.proposal.as_ref().map(proposal),
    }
}

fn language_slots(state: &State, id: &StatementId, language: &LanguageTag, slots: &Slots) -> v1::LanguageOverview {
    v1::LanguageOverview {
        language_code: language.to_string(),
        draft: slots.draft.as_ref().map(|it| draft(id, language, it, None)),
        release: slots.release.as_ref().map(|it| release(id, language, it, None)),
        live: slots.live.as_ref().map(|it| live(id, state.statement.kind.as_str(), language, it, None)),
        hidden: slots.live.as_ref().is_some_and(|live| !live.is_visible()),
        edition_count: slots.edition_count(),
        approvals: slots.approved.iter().rev().map(|it| edition_approval(id, language, it)).collect(),
    }
}

fn edition_approval(id: &StatementId, language: &LanguageTag, approved: &Approved) -> v1::EditionApproval {
    v1::EditionApproval {
        edition: EditionName::new(id, language, approved.number).to_string(),
        approval: Some(approval(&approved.approval)),
    }
}

/// What waits for a second person.
pub(in crate::api) fn proposal(proposal: &Proposal) -> v1::Proposal {
    let mut shown = v1::Proposal {
        proposal_id: proposal.id.clone(),
        proposer: proposal.proposer.to_string(),
        create_time: time(proposal.time),
        expire_time: time(proposal.expire_time),
        language_codes: proposal.languages.iter().map(ToString::to_string).collect(),
        reason: proposal.reason.clone(),
        ..v1::Proposal::default()
    };
    match &proposal.step {
        ProposedStep::Reinstate => shown.set_action(v1::proposal::Action::Reinstate),
        ProposedStep::Expunge => shown.set_action(v1::proposal::Action::Expunge),
        ProposedStep::Remove(removal) => {
            shown.set_action(v1::proposal::Action::Remove);
            show_removal(&mut shown, removal);
        }
    }
    shown
}

fn show_removal(shown: &mut v1::Proposal, removal: &Removal) {
    match removal {
        Removal::Gone(words) => {
            shown.set_removal_mode(v1::RemovalMode::Gone);
            shown.notice = Some(notice(words));
        }
        Removal::Redirect(target, words) => {
            shown.set_removal_mode(v1::RemovalMode::Redirect);
            shown.notice = words.as_ref().map(notice);
            shown.redirect_statement = target.name();
        }
        Removal::Hidden => shown.set_removal_mode(v1::RemovalMode::Hidden),
    }
}

/// An owed approval.
pub(in crate::api) fn owed(
    id: &StatementId,
    language: &LanguageTag,
    owed: &Owed,
    forced: &Edition,
) -> v1::PendingApproval {
    v1::PendingApproval {
        edition: Some(edition(id, language, forced, None, true)),
        publisher: owed.publisher.to_string(),
        authors: names(&owed.authors),
        reason: owed.reason.clone(),
        publish_time: time(owed.publish_time),
    }
}

/// An entry of the audit trail.
pub(in crate::api) fn entry(record: &EntryRecord) -> v1::Entry {
    let head = &record.head;
    let sequences = head.first_sequence..head.first_sequence + u64::from(head.event_count);
    v1::Entry {
        name: format!("entries/{}", head.number),
        commit_time: time(head.commit_time),
        caller: head.caller.to_string(),
        caller_address: head.origin.as_ref().map(|origin| origin.address.clone()).unwrap_or_default(),
        credential: head.origin.as_ref().map(|origin| origin.credential.clone()).unwrap_or_default(),
        action: head.action.as_str().to_owned(),
        statement: head.statement.as_ref().map(StatementId::name).unwrap_or_default(),
        subscription: head.subscription.as_ref().map(SubscriptionId::name).unwrap_or_default(),
        language_codes: head.language_codes.iter().map(ToString::to_string).collect(),
        request_id: head.request_id.clone(),
        reason: record.reason.clone(),
        content_digests: head.content_digests.iter().map(ToString::to_string).collect(),
        event_sequences: sequences.collect(),
        epoch: head.epoch.unwrap_or_default(),
        hash: record.hash.to_string(),
        previous_hash: record.previous_hash.to_string(),
        seal: record.seal.clone(),
    }
}

/// What an answer says, in pieces that the responses pick from.
#[derive(Debug, Default)]
pub(in crate::api) struct Answered {
    pub(in crate::api) statement: Option<v1::Statement>,
    pub(in crate::api) draft: Option<v1::Draft>,
    pub(in crate::api) live: Vec<v1::Live>,
    pub(in crate::api) releases: Vec<v1::Release>,
    pub(in crate::api) held: Vec<String>,
    pub(in crate::api) cancelled: Vec<String>,
    pub(in crate::api) approval: Option<v1::Approval>,
    pub(in crate::api) proposal: Option<v1::Proposal>,
}

impl Answered {
    /// What of it is the same in another commit.
    pub(in crate::api) fn settled(self, other: &Self) -> Self {
        Self {
            statement: self.statement.zip(other.statement.as_ref()).map(|(one, other)| settled(&one, other)),
            draft: self.draft.zip(other.draft.as_ref()).map(|(one, other)| settled(&one, other)),
            live: all_settled(&self.live, &other.live),
            releases: all_settled(&self.releases, &other.releases),
            approval: self.approval.zip(other.approval.as_ref()).map(|(one, other)| settled(&one, other)),
            proposal: self.proposal.zip(other.proposal.as_ref()).map(|(one, other)| settled(&one, other)),
            ..self
        }
    }
}

/// Shows an answer, with the words of its texts.
pub(in crate::api) fn answered(id: &StatementId, kind: &str, answer: &Answer, words: &Words) -> Answered {
    let mut shown = Answered::default();
    let words = |digest: &Digest| words.get(digest).map(|words| &words.content);
    let release_name = |language: &LanguageTag| format!("{}/releases/{language}", id.name());
    match answer {
        Answer::Statement(it) => shown.statement = Some(statement(it)),
        Answer::Draft(language, it) => shown.draft = Some(draft(id, language, it, words(&it.outline.digest))),
        Answer::Cancelled(language, it) => {
            shown.draft = it.as_ref().map(|it| draft(id, language, it, words(&it.outline.digest)));
        }
        Answer::Published { live, releases } => {
            shown.live = lives(id, kind, live, words);
            let releases = releases.iter().map(|(language, it)| release(id, language, it, words(&it.outline.digest)));
            shown.releases = releases.collect();
        }
        Answer::Approval(it) => shown.approval = Some(approval(it)),
        Answer::Withdrawn { live, held, cancelled } => {
            shown.live = lives(id, kind, live, words);
            shown.held = held.iter().map(release_name).collect();
            shown.cancelled = cancelled.iter().map(release_name).collect();
        }
        Answer::Proposed(it) => shown.proposal = Some(proposal(it)),
        Answer::Seconded(live) => shown.live = lives(id, kind, live, words),
        Answer::Discarded | Answer::Due | Answer::Confirmed | Answer::Subscription(_) => {}
    }
    shown
}

fn lives<'w>(
    id: &StatementId,
    kind: &str,
    lives: &[(LanguageTag, Live)],
    words: impl Fn(&Digest) -> Option<&'w Content>,
) -> Vec<v1::Live> {
    // What readers are not shown is shown by GetStatementOverview alone.
    let shown = lives.iter().filter(|(_, it)| it.is_visible());
    shown.map(|(language, it)| live(id, kind, language, it, words(&it.edition.outline.digest))).collect()
}

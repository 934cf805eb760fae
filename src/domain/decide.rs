//! The rule book: what a step does to a statement, or why it is refused.
//!
//! **Invariants** (`tests/it/model.rs` and `tests/it/awkward_cases.rs` would catch a breach)
//! - Pure: the same state, command and context give the same decision.
//! - An edition is published only on the edition its draft was begun on, and only as the very text that was approved.
//! - A step on one language changes no other, but for the stale mark.
//! - A withdrawal is never refused because of drafts or releases.

mod drafts;
mod publish;
mod releases;
mod removal;
mod statement;
mod withdrawal;
mod work;

use super::{
    answer::Answer,
    command::{Command, Seconded, Step},
    content::{Content, Text},
    digest::{Digest, Salt},
    event::Event,
    id::{Caller, LanguageTag, StatementId},
    live::Edition,
    rejection::Rejection,
    state::{DueStep, ProposedStep, Removal, State},
    time::Timestamp,
};
pub(super) use drafts::change_problem;
use work::Work;

/// What a decision takes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of the step. It may be earlier than that of the step before.
    pub now: Timestamp,
    /// Who calls.
    pub caller: &'a Caller,
    /// Number of the entry that the step will be.
    pub entry: u64,
    /// Sequence of the first event that it causes.
    pub sequence: u64,
    /// Random; for the text or notice that the step writes.
    pub salt: Salt,
    /// Whether the statement that [`redirect_target`] names can be redirected to.
    pub redirect_fits: bool,
    /// Up to when the record was restored from a copy: what was decided between the copy and then is not known. None if it never was.
    pub restored: Option<Timestamp>,
}

/// What a step does: the state after it, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state after the step.
    pub state: State,
    /// The events it causes, in order.
    pub events: Vec<Event>,
    /// The editions it publishes.
    pub editions: Vec<(LanguageTag, Edition)>,
    /// The text it writes.
    pub text: Option<Text>,
    /// The same, as its fields.
    pub content: Option<Content>,
    /// The texts it writes or publishes, by digest.
    pub digests: Vec<Digest>,
    /// Why, for the audit trail.
    pub reason: String,
    /// What the caller is answered.
    pub answer: Answer,
}

/// Decides what a step does to a statement, given its state; none if it does not exist.
///
/// # Errors
/// Why the step is refused. It then changes nothing.
pub fn decide(state: Option<&State>, command: &Command, context: Context<'_>) -> Result<Decision, Rejection> {
    if let Step::CreateStatement { kind, source_language, owner, annotations } = &command.step {
        return statement::create(state, command, context, kind, source_language, owner, annotations);
    }
    let mut work = Work::new(state.ok_or(Rejection::StatementNotFound)?, context);
    let answer = take(&mut work, &command.step)?;
    Ok(work.finish(answer))
}

fn take(work: &mut Work<'_>, step: &Step) -> Result<Answer, Rejection> {
    match step {
        Step::CreateStatement { .. } => Err(Rejection::StatementExists),
        Step::UpdateStatement { etag, owner, annotations } => {
            statement::update(work, etag, owner.as_ref(), annotations.as_ref())
        }
        Step::SetLegalHold { legal_hold, reason } => Ok(statement::set_legal_hold(work, *legal_hold, reason)),
        Step::SaveDraft(save) => drafts::save(work, save),
        Step::SubmitDraft { language, etag } => drafts::submit(work, language, etag),
        Step::ApproveDraft { language, etag, comment } => drafts::approve(work, language, etag, comment),
        Step::RejectDraft { language, etag, comment } => drafts::reject(work, language, etag, comment),
        Step::DiscardDraft { language, etag } => drafts::discard(work, language, etag),
        Step::PublishDrafts(publish) => publish::publish(work, publish),
        Step::ApproveEdition { language, number, digest, comment } => {
            publish::approve_edition(work, language, *number, *digest, comment)
        }
        Step::CancelRelease { language, etag, reason } => releases::cancel(work, language, etag, reason),
        Step::Withdraw { languages, notice } => withdrawal::withdraw(work, languages, notice),
        Step::Reinstate(reinstate) => withdrawal::reinstate(work, reinstate),
        Step::Remove(remove) => removal::remove(work, remove),
        Step::Expunge(expunge) => removal::expunge(work, expunge),
        Step::CancelProposal { proposal_id, reason } => statement::cancel_proposal(work, proposal_id, reason),
        Step::Due { language, step: DueStep::Release } => releases::release_due(work, language),
        Step::Due { language, step: DueStep::Expiry } => Ok(releases::expire_due(work, language)),
        Step::RepeatErasure { expunge_time } => removal::repeat_erasure(work, *expunge_time),
    }
}

/// The statement that readers are to be sent to, if the step sends them: [`Context::redirect_fits`] is about it.
#[must_use]
pub fn redirect_target<'a>(state: Option<&'a State>, step: &'a Step) -> Option<&'a StatementId> {
    let removal = if let Step::Remove(Seconded::Propose(remove)) = step {
        &remove.removal
    } else if let Step::Remove(Seconded::Second(id)) = step {
        let proposal = state?.statement.proposal.as_ref().filter(|proposal| proposal.id == *id)?;
        let ProposedStep::Remove(removal) = &proposal.step else { return None };
        removal
    } else {
        return None;
    };
    match removal {
        Removal::Redirect(target, _) => Some(target),
        Removal::Gone(_) | Removal::Hidden => None,
    }
}

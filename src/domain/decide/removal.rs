//! What takes two people: the first proposes, the second makes it happen. And the two gravest such steps.

use super::{
    releases::{hold, take_off},
    withdrawal::choose,
    work::Work,
};
use crate::domain::{
    answer::Answer,
    command::{Expunge, Remove, Seconded},
    draft::ReleaseState,
    event::{ChannelAction, EventKind},
    id::LanguageTag,
    limits,
    live::{Live, LiveState},
    rejection::Rejection,
    state::{Proposal, ProposedStep, Removal, Slots},
    time::Timestamp,
};

/// What is proposed.
pub(super) struct Offer {
    pub(super) step: ProposedStep,
    pub(super) languages: Vec<LanguageTag>,
    pub(super) reason: String,
}

/// Records a proposal, which is then the answer; or takes up the one that is seconded.
pub(super) fn settle(
    work: &mut Work<'_>,
    offer: Seconded<Offer>,
    fits: impl Fn(&ProposedStep) -> bool,
) -> Result<Result<Proposal, Answer>, Rejection> {
    match offer {
        Seconded::Propose(offer) => Ok(Err(propose(work, offer))),
        Seconded::Second(id) => second(work, &id, fits).map(Ok),
    }
}

fn propose(work: &mut Work<'_>, offer: Offer) -> Answer {
    let context = work.context;
    let proposal = Proposal {
        id: format!("p{}", context.entry),
        step: offer.step,
        proposer: context.caller.clone(),
        time: context.now,
        expire_time: context.now.plus_seconds(limits::PROPOSAL_SECONDS),
        languages: offer.languages,
        reason: offer.reason,
    };
    work.reason.clone_from(&proposal.reason);
    work.state.statement.proposal = Some(proposal.clone());
    Answer::Proposed(Box::new(proposal))
}

fn second(work: &mut Work<'_>, id: &str, fits: impl Fn(&ProposedStep) -> bool) -> Result<Proposal, Rejection> {
    let context = work.context;
    let waiting =
        |proposal: &Proposal| proposal.id == id && context.now <= proposal.expire_time && fits(&proposal.step);
    let proposal = work.state.statement.proposal.clone().filter(waiting).ok_or(Rejection::ProposalNotFound)?;
    if proposal.proposer == *context.caller {
        return Err(Rejection::SecondPersonRequired);
    }
    work.state.statement.proposal = None;
    work.reason.clone_from(&proposal.reason);
    Ok(proposal)
}

pub(super) fn remove(work: &mut Work<'_>, step: &Seconded<Remove>) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    let offer = match step {
        Seconded::Propose(remove) => {
            refuse_bad_redirect(work, &remove.removal)?;
            let languages = choose(work, &remove.languages, is_public_or_waits, Rejection::NothingLive)?;
            let step = ProposedStep::Remove(remove.removal.salted(work.context.salt));
            Seconded::Propose(Offer { step, languages, reason: remove.reason.clone() })
        }
        Seconded::Second(id) => Seconded::Second(id.clone()),
    };
    let fits = |step: &ProposedStep| matches!(step, ProposedStep::Remove(_));
    let proposal = match settle(work, offer, fits)? {
        Ok(proposal) => proposal,
        Err(answer) => return Ok(answer),
    };
    let ProposedStep::Remove(removal) = &proposal.step else { return Err(Rejection::ProposalNotFound) };
    refuse_bad_redirect(work, removal)?;
    let languages = choose(work, &proposal.languages, is_public_or_waits, Rejection::NothingLive)?;
    for language in &languages {
        overtake_release(work, language);
        if is_public(work.slots(language)) {
            remove_live(work, language, removal);
        }
    }
    Ok(Answer::Seconded(now_live(work, &languages)))
}

fn is_public(slots: &Slots) -> bool {
    slots.live.as_ref().is_some_and(|live| live.is_visible() && live.state != LiveState::Expunged)
}

/// What waits would become public later.
fn is_public_or_waits(slots: &Slots) -> bool {
    is_public(slots) || slots.release.is_some()
}

fn refuse_bad_redirect(work: &Work<'_>, removal: &Removal) -> Result<(), Rejection> {
    match removal {
        Removal::Redirect(target, _) if *target == work.state.statement.id || !work.context.redirect_fits => {
            Err(Rejection::RedirectTargetNotPublic)
        }
        Removal::Redirect(..) | Removal::Gone(_) | Removal::Hidden => Ok(()),
    }
}

/// What waits must not undo a removal.
fn overtake_release(work: &mut Work<'_>, language: &LanguageTag) {
    match work.slots(language).release.clone() {
        Some(release) if release.state == ReleaseState::Embargoed => take_off(work, language, &release),
        Some(_) => hold(work, language),
        None => {}
    }
}

fn remove_live(work: &mut Work<'_>, language: &LanguageTag, removal: &Removal) {
    let Some(mut live) = work.state.live(language).cloned() else { return };
    let (state, notice, redirect) = match removal {
        Removal::Gone(notice) => (LiveState::Gone, Some(notice), None),
        Removal::Redirect(target, notice) => (LiveState::Redirected, notice.as_ref(), Some(target)),
        Removal::Hidden => (LiveState::Hidden, None, None),
    };
    live.state = state;
    live.notice = notice.cloned();
    live.redirect = redirect.cloned();
    let event = work.show(language, EventKind::Removed, live).with_action(true, ChannelAction::Delete);
    if let Some(notice) = notice {
        event.with_notice(notice);
    }
    if let Some(target) = redirect {
        event.with_redirect(target);
    }
}

pub(super) fn expunge(work: &mut Work<'_>, step: &Seconded<Expunge>) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    if work.state.statement.legal_hold {
        return Err(Rejection::LegalHold);
    }
    let offer = match step {
        Seconded::Propose(expunge) => Seconded::Propose(Offer {
            step: ProposedStep::Expunge,
            languages: work.state.languages.keys().cloned().collect(),
            reason: expunge.reason_code.as_str().to_owned(),
        }),
        Seconded::Second(id) => Seconded::Second(id.clone()),
    };
    if let Err(answer) = settle(work, offer, |step| *step == ProposedStep::Expunge)?.map(|_| ()) {
        return Ok(answer);
    }
    let now = work.context.now;
    Ok(erase_all(work, now))
}

/// What was erased once is erased again where a copy brought it back. It was decided then, whatever the copy says of it.
pub(super) fn repeat_erasure(work: &mut Work<'_>, expunge_time: Timestamp) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    work.reason = format!("erased at {expunge_time}, and restored from an older copy");
    work.state.statement.proposal = None;
    Ok(erase_all(work, expunge_time))
}

fn erase_all(work: &mut Work<'_>, expunge_time: Timestamp) -> Answer {
    let languages: Vec<_> = work.state.languages.keys().cloned().collect();
    for language in &languages {
        erase(work, language);
    }
    let statement = &mut work.state.statement;
    statement.expunge_time = Some(expunge_time);
    statement.owner.clear();
    statement.annotations.clear();
    Answer::Seconded(now_live(work, &languages))
}

/// Takes every text out of a language's slots. Whoever had the text is told, hidden or not: there may be copies.
fn erase(work: &mut Work<'_>, language: &LanguageTag) {
    if let Some(release) = work.slots(language).release.clone() {
        take_off(work, language, &release);
    }
    let slots = work.slots(language);
    slots.draft = None;
    slots.owed.clear();
    slots.approved.clear();
    let Some(old) = slots.live.clone() else { return };
    let live = Live {
        state: LiveState::Expunged,
        hidden: !old.is_visible(),
        edition: old.edition.erased(),
        notice: None,
        redirect: None,
        stale_since: None,
        ..old.clone()
    };
    let event = work.show(language, EventKind::Expunged, live).with_action(true, ChannelAction::Delete);
    event.before = Some(old.edition.outline.facts.clone());
}

fn now_live(work: &Work<'_>, languages: &[LanguageTag]) -> Vec<(LanguageTag, Live)> {
    let live = |language: &LanguageTag| Some((language.clone(), work.state.live(language)?.clone()));
    languages.iter().filter_map(live).collect()
}

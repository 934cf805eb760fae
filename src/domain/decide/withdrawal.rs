//! Withdrawn, and made to stand again.

use super::{
    publish::stand,
    releases::{hold, take_off},
    removal::{Offer, settle},
    work::Work,
};
use crate::domain::{
    answer::Answer,
    command::{Reinstate, Seconded},
    content::ChangeKind,
    draft::ReleaseState,
    event::{ChannelAction, EventKind},
    id::LanguageTag,
    live::{Edition, Live, LiveState, Notice},
    rejection::Rejection,
    state::{ProposedStep, Slots},
};

pub(super) fn withdraw(work: &mut Work<'_>, languages: &[LanguageTag], notice: &Notice) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    let languages =
        choose(work, languages, |slots| has_text(slots) || slots.release.is_some(), Rejection::NothingLive)?;
    let notice = notice.salted(work.context.salt);
    let (mut live, mut held, mut cancelled) = (Vec::new(), Vec::new(), Vec::new());
    for language in languages {
        match work.slots(&language).release.clone() {
            Some(release) if release.state == ReleaseState::Embargoed => {
                take_off(work, &language, &release);
                cancelled.push(language.clone());
            }
            Some(_) => {
                hold(work, &language);
                held.push(language.clone());
            }
            None => {}
        }
        if let Some(withdrawn) = withdraw_live(work, &language, &notice) {
            live.push((language, withdrawn));
        }
    }
    Ok(Answer::Withdrawn { live, held, cancelled })
}

fn withdraw_live(work: &mut Work<'_>, language: &LanguageTag, notice: &Notice) -> Option<Live> {
    let mut live = work.state.live(language).cloned().filter(|live| live.state.has_text())?;
    let again = live.state == LiveState::Withdrawn;
    live.state = LiveState::Withdrawn;
    live.withdraw_time.get_or_insert(work.context.now);
    live.notice = Some(notice.clone());
    let (kind, action) = if again {
        (EventKind::NoticeChanged, ChannelAction::Edit)
    } else {
        (EventKind::Withdrawn, ChannelAction::Reply)
    };
    work.show(language, kind, live).with_notice(notice).with_action(!again, action);
    work.state.live(language).cloned()
}

pub(super) fn reinstate(work: &mut Work<'_>, step: &Seconded<Reinstate>) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    let withdrawn = |slots: &Slots| slots.live.as_ref().is_some_and(|live| live.state == LiveState::Withdrawn);
    let offer = match step {
        Seconded::Propose(reinstate) => {
            let languages = choose(work, &reinstate.languages, withdrawn, Rejection::NotWithdrawn)?;
            Seconded::Propose(Offer { step: ProposedStep::Reinstate, languages, reason: reinstate.reason.clone() })
        }
        Seconded::Second(id) => Seconded::Second(id.clone()),
    };
    let fits = |step: &ProposedStep| *step == ProposedStep::Reinstate;
    let proposal = match settle(work, offer, fits)? {
        Ok(proposal) => proposal,
        Err(answer) => return Ok(answer),
    };
    let languages = choose(work, &proposal.languages, withdrawn, Rejection::NotWithdrawn)?;
    let live = languages.into_iter().filter_map(|language| {
        let edition = again(work.state.live(&language)?, &proposal.reason, work.context.now);
        let live = stand(work, &language, edition, EventKind::Reinstated, false);
        Some((language, live))
    });
    Ok(Answer::Seconded(live.collect()))
}

/// A new edition with the same text, by the same digest.
fn again(live: &Live, reason: &str, now: crate::domain::time::Timestamp) -> Edition {
    Edition {
        number: live.edition.number + 1,
        outline: live.edition.outline.clone(),
        change_kind: ChangeKind::Reinstatement,
        change_note: reason.to_owned(),
        correction: None,
        publish_time: now,
        expunged: false,
    }
}

pub(super) fn has_text(slots: &Slots) -> bool {
    slots.live.as_ref().is_some_and(|live| live.state.has_text())
}

/// The languages that a step concerns: those named, all of which have to fit, or else every one that fits.
pub(super) fn choose(
    work: &Work<'_>,
    named: &[LanguageTag],
    fits: impl Fn(&Slots) -> bool,
    refusal: impl Fn(Vec<LanguageTag>) -> Rejection,
) -> Result<Vec<LanguageTag>, Rejection> {
    let all = &work.state.languages;
    let fitting = |language: &LanguageTag| all.get(language).is_some_and(&fits);
    if named.is_empty() {
        let chosen: Vec<_> = all.keys().filter(|language| fitting(language)).cloned().collect();
        return if chosen.is_empty() { Err(refusal(Vec::new())) } else { Ok(chosen) };
    }
    let unfit: Vec<_> = named.iter().filter(|language| !fitting(language)).cloned().collect();
    if unfit.is_empty() { Ok(named.to_vec()) } else { Err(refusal(unfit)) }
}

//! Releases: called off, gone out, held; and texts that expire.

use super::{
    publish::{Words, put_out, source_first},
    work::Work,
};
use crate::domain::{
    answer::Answer,
    draft::{Blocked, Draft, DraftState, Release, ReleaseState},
    event::{ChannelAction, EventKind},
    id::LanguageTag,
    live::LiveState,
    rejection::{Conflict, Rejection, etag},
};

pub(super) fn cancel(
    work: &mut Work<'_>,
    language: &LanguageTag,
    given: &str,
    reason: &str,
) -> Result<Answer, Rejection> {
    let release = work.release(language)?.clone();
    if etag(release.version) != given {
        let conflict = Conflict { etag: etag(release.version), revision: 0, editor: None, time: release.create_time };
        return Err(Rejection::EtagMismatch(Box::new(conflict)));
    }
    reason.clone_into(&mut work.reason);
    let embargoed = release.state == ReleaseState::Embargoed;
    take_off(work, language, &release);
    if embargoed || work.slots(language).draft.is_some() {
        return Ok(Answer::Cancelled(language.clone(), None));
    }
    let draft = back_to_draft(work, release);
    work.slots(language).draft = Some(draft.clone());
    Ok(Answer::Cancelled(language.clone(), Some(Box::new(draft))))
}

/// Empties the release slot, tells those who hold the text, and takes it off the list of its companions.
pub(super) fn take_off(work: &mut Work<'_>, language: &LanguageTag, release: &Release) {
    work.slots(language).release = None;
    for companion in &release.companions {
        if let Ok(other) = work.release(companion) {
            other.companions.retain(|name| name != language);
        }
    }
    if release.state == ReleaseState::Embargoed {
        work.tell_holders(language, EventKind::EmbargoCancelled, release);
    }
}

/// A scheduled text has told nobody anything: it may be edited again.
fn back_to_draft(work: &Work<'_>, release: Release) -> Draft {
    let editor = release.authors.last().unwrap_or(&release.publisher).clone();
    Draft {
        outline: release.outline,
        state: if release.approval.is_some() { DraftState::Approved } else { DraftState::Draft },
        revision: release.revision,
        base: release.base,
        authors: release.authors,
        editor,
        create_time: release.create_time,
        update_time: work.context.now,
        faults: Vec::new(),
        approval: release.approval,
        rejection: None,
        version: work.context.entry,
    }
}

/// The time of a release has come: it goes out with its companions, or all of them are held.
pub(super) fn release_due(work: &mut Work<'_>, language: &LanguageTag) -> Result<Answer, Rejection> {
    let companions = work.release(language)?.companions.clone();
    let reasons: Vec<_> = companions.iter().map(|companion| (companion.clone(), obstacle(work, companion))).collect();
    if reasons.iter().all(|(_, reason)| reason.is_none()) {
        for companion in source_first(work, companions.iter()) {
            go_out(work, &companion);
        }
        return Ok(Answer::Due);
    }
    for (companion, reason) in reasons {
        let version = work.context.entry;
        let release = work.release(&companion)?;
        release.blocked = Some(reason.unwrap_or(Blocked::CompanionHeld));
        release.version = version;
    }
    Ok(Answer::Due)
}

fn go_out(work: &mut Work<'_>, language: &LanguageTag) {
    let Some(release) = work.slots(language).release.take() else {
        unreachable!("its obstacles were looked at just now")
    };
    let embargo_lifted = release.state == ReleaseState::Embargoed;
    put_out(work, language, Words::of_release(release), embargo_lifted);
}

/// Why a release cannot go out now. Checked in the very step that publishes.
fn obstacle(work: &Work<'_>, language: &LanguageTag) -> Option<Blocked> {
    let now = work.context.now;
    let slots = work.state.languages.get(language)?;
    let release = slots.release.as_ref()?;
    if release.blocked.is_some() {
        return release.blocked;
    }
    if slots.edition_count() != release.base {
        return Some(Blocked::BaseSuperseded);
    }
    // Whether it was called off after the copy nobody knows.
    let is_doubtful = work.context.restored.is_some_and(|restored| release.time <= restored);
    if is_doubtful || now > release.time.plus_seconds(release.lateness_seconds_max) {
        return Some(Blocked::Missed);
    }
    if release.outline.expire_time.is_some_and(|expire| expire <= now) {
        return Some(Blocked::Expired);
    }
    None
}

/// Holds a scheduled release that a withdrawal or removal has overtaken.
pub(super) fn hold(work: &mut Work<'_>, language: &LanguageTag) {
    let version = work.context.entry;
    if let Ok(release) = work.release(language) {
        release.blocked = Some(Blocked::Withdrawn);
        release.version = version;
    }
}

/// A text has come to its end.
pub(super) fn expire_due(work: &mut Work<'_>, language: &LanguageTag) -> Answer {
    if let Some(mut live) = work.state.live(language).cloned() {
        live.state = LiveState::Expired;
        work.show(language, EventKind::Expired, live).with_action(false, ChannelAction::None);
    }
    Answer::Due
}

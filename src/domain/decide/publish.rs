//! Publishing: now, later or under embargo; several languages all or none.

use super::{
    drafts::refuse_superseded,
    work::{Work, stands_again},
};
use crate::domain::{
    answer::Answer,
    command::{PublishDrafts, When},
    content::{ChangeKind, Outline},
    digest::Digest,
    draft::{Approval, Draft, DraftState, FieldFault, Release, ReleaseState},
    event::{ChannelAction, EventKind},
    id::{Caller, EditionName, LanguageTag},
    live::{Edition, Live, LiveState},
    rejection::Rejection,
    state::{Approved, Owed},
    time::Timestamp,
};

pub(super) fn publish(work: &mut Work<'_>, publish: &PublishDrafts) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    refuse_past(work.context.now, publish.when)?;
    let mut problems = Vec::new();
    for (place, (language, etag)) in publish.drafts.iter().enumerate() {
        let faults = check(work, publish, language, etag)?.into_iter();
        problems.extend(faults.map(|fault| FieldFault { field: format!("drafts[{place}].{}", fault.field), ..fault }));
    }
    if !problems.is_empty() {
        return Err(Rejection::DraftIncomplete(problems));
    }
    if let Some(reason) = &publish.force {
        reason.clone_into(&mut work.reason);
    }
    match publish.when {
        When::Now => Ok(publish_now(work, publish)),
        When::Later(time) => Ok(schedule(work, publish, time, ReleaseState::Scheduled)),
        When::Embargoed(time) => Ok(schedule(work, publish, time, ReleaseState::Embargoed)),
    }
}

fn refuse_past(now: Timestamp, when: When) -> Result<(), Rejection> {
    let (field, time) = match when {
        When::Now => return Ok(()),
        When::Later(time) => ("release_time", time),
        When::Embargoed(time) => ("embargo_end_time", time),
    };
    if time > now {
        return Ok(());
    }
    let words = format!("must lie in the future; the service's clock reads {now}. To publish now, leave it out");
    Err(Rejection::Invalid(vec![FieldFault::new(field, words)]))
}

/// Whether a draft may be published, but for the problems of its text.
fn check(
    work: &mut Work<'_>,
    publish: &PublishDrafts,
    language: &LanguageTag,
    etag: &str,
) -> Result<Vec<FieldFault>, Rejection> {
    let now = work.context.now;
    let draft = work.draft(language, etag)?.clone();
    let newest = work.slots(language).edition_count();
    refuse_superseded(language, &draft, newest)?;
    if draft.state != DraftState::Approved && publish.force.is_none() {
        return Err(Rejection::DraftNotApproved(language.clone()));
    }
    if publish.when != When::Now && work.slots(language).release.is_some() {
        return Err(Rejection::ReleaseSlotFull(language.clone()));
    }
    let mut problems = draft.problems();
    let time = match publish.when {
        When::Now => now,
        When::Later(time) | When::Embargoed(time) => time,
    };
    if draft.outline.expire_time.is_some_and(|expire| expire <= time) {
        problems.push(FieldFault::new("content.expire_time", "must lie after the time of publication"));
    }
    Ok(problems)
}

fn publish_now(work: &mut Work<'_>, publish: &PublishDrafts) -> Answer {
    let mut live = Vec::new();
    for language in source_first(work, publish.drafts.iter().map(|(language, _)| language)) {
        let Some(draft) = work.slots(&language).draft.take() else { unreachable!("the draft was checked just now") };
        let words = Words::of_draft(draft, work.context.caller, publish.force.as_deref());
        live.push((language.clone(), put_out(work, &language, words, false)));
    }
    Answer::Published { live, releases: Vec::new() }
}

fn schedule(work: &mut Work<'_>, publish: &PublishDrafts, time: Timestamp, state: ReleaseState) -> Answer {
    let context = work.context;
    let companions: Vec<_> = publish.drafts.iter().map(|(language, _)| language.clone()).collect();
    let mut releases = Vec::new();
    for language in &companions {
        let Some(draft) = work.slots(language).draft.take() else { unreachable!("the draft was checked just now") };
        let forced = draft.approval.is_none();
        let release = Release {
            outline: draft.outline,
            state,
            time,
            lateness_seconds_max: publish.lateness_seconds_max,
            base: draft.base,
            blocked: None,
            publisher: context.caller.clone(),
            authors: draft.authors,
            approval: draft.approval,
            force_reason: publish.force.clone().filter(|_| forced).unwrap_or_default(),
            create_time: context.now,
            companions: companions.clone(),
            revision: draft.revision,
            sequence: if state == ReleaseState::Embargoed { work.next_sequence() } else { 0 },
            version: context.entry,
        };
        work.digests.push(release.outline.digest);
        work.slots(language).release = Some(release.clone());
        if state == ReleaseState::Embargoed {
            work.tell_holders(language, EventKind::Embargoed, &release);
        }
        releases.push((language.clone(), release));
    }
    Answer::Published { live: Vec::new(), releases }
}

/// The languages of one call in the order they go out: the source language first, so that what goes out with it is not stale.
pub(super) fn source_first<'l>(work: &Work<'_>, languages: impl Iterator<Item = &'l LanguageTag>) -> Vec<LanguageTag> {
    let source = &work.state.statement.source_language;
    let mut languages: Vec<_> = languages.cloned().collect();
    languages.sort_by_key(|language| (language != source, language.clone()));
    languages
}

/// A text on its way out, and who answers for it.
pub(super) struct Words {
    outline: Outline,
    authors: Vec<Caller>,
    publisher: Caller,
    approval: Option<Approval>,
    force_reason: String,
}

impl Words {
    fn of_draft(draft: Draft, publisher: &Caller, force: Option<&str>) -> Self {
        Self {
            outline: draft.outline,
            authors: draft.authors,
            publisher: publisher.clone(),
            approval: draft.approval,
            force_reason: force.unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn of_release(release: Release) -> Self {
        Self {
            outline: release.outline,
            authors: release.authors,
            publisher: release.publisher,
            approval: release.approval,
            force_reason: release.force_reason,
        }
    }
}

/// Publishes a text as the next edition.
pub(super) fn put_out(work: &mut Work<'_>, language: &LanguageTag, words: Words, embargo_lifted: bool) -> Live {
    if let Some(approval) = &words.approval {
        assert_eq!(approval.digest, words.outline.digest, "what goes out is what was approved");
    }
    let before = work.state.live(language).cloned();
    let change_kind = words.outline.change_kind.unwrap_or(ChangeKind::Initial);
    let edition = Edition {
        number: before.as_ref().map_or(0, |live| live.edition.number) + 1,
        change_kind,
        change_note: words.outline.change_note.clone(),
        correction: words.outline.correction.clone(),
        publish_time: work.context.now,
        expunged: false,
        outline: words.outline,
    };
    let (number, facts) = (edition.number, edition.outline.facts.clone());
    match words.approval {
        Some(approval) => work.slots(language).approve(Approved { number, facts, approval }),
        None => work.slots(language).owed.push(Owed {
            number,
            facts,
            digest: edition.outline.digest,
            publisher: words.publisher,
            authors: words.authors,
            reason: words.force_reason,
            publish_time: edition.publish_time,
        }),
    }
    let kind = kind_of(change_kind, before.as_ref());
    let live = stand(work, language, edition, kind, embargo_lifted);
    mark_stale(work, language, &live);
    live
}

/// Keeps an edition, shows it and tells subscribers.
pub(super) fn stand(
    work: &mut Work<'_>,
    language: &LanguageTag,
    edition: Edition,
    kind: EventKind,
    embargo_lifted: bool,
) -> Live {
    let now = work.context.now;
    let before = work.state.live(language).cloned();
    let minor = edition.change_kind == ChangeKind::Minor;
    let live = Live {
        state: LiveState::Published,
        hidden: false,
        notice: None,
        redirect: None,
        first_publish_time: before.as_ref().map_or(now, |live| live.first_publish_time),
        major_change_time: before.as_ref().filter(|_| minor).map_or(now, |live| live.major_change_time),
        update_time: now,
        stale_since: stale_since(work, language, &edition, before.as_ref()),
        major_number: match edition.change_kind {
            ChangeKind::Initial | ChangeKind::Major | ChangeKind::Correction => edition.number,
            ChangeKind::Minor | ChangeKind::Reinstatement => before.as_ref().map_or(0, |live| live.major_number),
        },
        sequence: 0,
        source_language: None,
        withdraw_time: None,
        edition,
    };
    work.keep_edition(language, live.edition.clone());
    let correction = live.edition.correction.clone();
    let removed = before.as_ref().is_some_and(|live| !live.state.has_text());
    let event = work.show(language, kind, live);
    event.with_correction(correction.as_ref()).with_action(!minor, action_of(kind, minor, removed));
    event.embargo_lifted = embargo_lifted;
    let sequence = event.head.sequence;
    let slots = work.slots(language);
    if embargo_lifted {
        slots.embargo_sequence = sequence;
    }
    match &slots.live {
        Some(live) => live.clone(),
        None => unreachable!("it was shown just now"),
    }
}

fn kind_of(change: ChangeKind, before: Option<&Live>) -> EventKind {
    match (before, change) {
        (None, _) => EventKind::Published,
        (Some(live), _) if stands_again(live.state) => EventKind::Reinstated,
        (Some(_), ChangeKind::Correction) => EventKind::Corrected,
        (Some(_), ChangeKind::Reinstatement) => EventKind::Reinstated,
        (Some(_), ChangeKind::Initial | ChangeKind::Major | ChangeKind::Minor) => EventKind::Updated,
    }
}

fn action_of(kind: EventKind, minor: bool, removed: bool) -> ChannelAction {
    if kind == EventKind::Published || (kind == EventKind::Reinstated && removed) {
        ChannelAction::Post
    } else if minor {
        ChannelAction::Edit
    } else {
        ChannelAction::Reply
    }
}

/// What a translation that goes out does not reflect: what it did not before, if its text only stands again; else the newest
/// source edition that says something else than the one it names.
fn stale_since(
    work: &Work<'_>,
    language: &LanguageTag,
    edition: &Edition,
    before: Option<&Live>,
) -> Option<EditionName> {
    if edition.change_kind == ChangeKind::Reinstatement {
        return before?.stale_since.clone();
    }
    let source = &work.state.statement.source_language;
    let newest = work.state.live(source).filter(|_| language != source)?.major_number;
    let translated = edition.outline.source_edition.as_ref()?;
    (translated.number < newest).then(|| EditionName::new(&work.state.statement.id, source, newest))
}

/// A MAJOR or CORRECTION in the source language leaves the translations behind.
fn mark_stale(work: &mut Work<'_>, language: &LanguageTag, live: &Live) {
    let moves_on = matches!(live.edition.change_kind, ChangeKind::Major | ChangeKind::Correction);
    if *language != work.state.statement.source_language || !moves_on {
        return;
    }
    let fresh = |other: &Live| other.stale_since.is_none() && other.state.has_text();
    let behind: Vec<_> = work
        .state
        .languages
        .iter()
        .filter(|(other, _)| *other != language)
        .filter_map(|(other, slots)| Some((other.clone(), slots.live.clone().filter(fresh)?)))
        .collect();
    let source = EditionName::new(&work.state.statement.id, language, live.edition.number);
    for (other, mut translation) in behind {
        translation.stale_since = Some(source.clone());
        work.show(&other, EventKind::TranslationStale, translation).with_action(false, ChannelAction::None);
    }
}

pub(super) fn approve_edition(
    work: &mut Work<'_>,
    language: &LanguageTag,
    number: u32,
    digest: Digest,
    comment: &str,
) -> Result<Answer, Rejection> {
    let context = work.context;
    let slots = work.state.languages.get_mut(language).ok_or(Rejection::EditionNotFound)?;
    if number > slots.edition_count() {
        return Err(Rejection::EditionNotFound);
    }
    let place = slots.owed.iter().position(|owed| owed.number == number);
    let place = place.ok_or(Rejection::ApprovalNotPending)?;
    let owed = slots.owed.remove(place);
    let approver = context.caller.clone();
    if owed.publisher == *context.caller || owed.authors.contains(context.caller) {
        return Err(Rejection::OwnText);
    }
    if owed.digest != digest {
        let words = format!("must be the digest of the edition that is approved, {}", owed.digest);
        return Err(Rejection::Invalid(vec![FieldFault::new("content_digest", words)]));
    }
    let approval = Approval { approver, time: context.now, digest, comment: comment.to_owned() };
    slots.approve(Approved { number, facts: owed.facts, approval: approval.clone() });
    comment.clone_into(&mut work.reason);
    work.digests.push(digest);
    Ok(Answer::Approval(approval))
}

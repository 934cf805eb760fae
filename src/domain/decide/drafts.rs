//! Drafts: written, submitted, approved, sent back, discarded.

use super::work::Work;
use crate::domain::{
    answer::Answer,
    command::SaveDraft,
    content::{ChangeKind, Content, Outline},
    draft::{Approval, Draft, DraftState, FieldFault, ReviewRejection},
    id::{EditionName, LanguageTag},
    limits,
    rejection::{Conflict, Rejection, etag, state_name},
    state::Slots,
    text::is_visible,
};

pub(super) fn save(work: &mut Work<'_>, save: &SaveDraft) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    let language = save.content.language_code.clone();
    refuse_second_tag(work, &language)?;
    refuse_too_many_languages(work, &language)?;
    let newest = work.state.live(&language).map_or(0, |live| live.edition.number);
    if save.base.is_some_and(|base| base != newest) {
        return Err(Rejection::BaseNotLive { newest });
    }
    let old = work.state.languages.get(&language).and_then(|slots| slots.draft.clone());
    refuse_stale(old.as_ref(), &language, &save.etag)?;
    refuse_unknown_editions(work, &save.content, newest)?;
    let base = save.base.or(old.as_ref().map(|draft| draft.base)).unwrap_or(newest);
    let outline = write(work, &save.content, newest, base);
    let draft = draft(work, old.as_ref(), outline, save, base);
    work.slots(&language).draft = Some(draft.clone());
    Ok(Answer::Draft(language, Box::new(draft)))
}

/// A statement has each language once: readers who ask for one of two equal tags would be served by chance.
fn refuse_second_tag(work: &Work<'_>, language: &LanguageTag) -> Result<(), Rejection> {
    match work.state.tag(language) {
        Some(tag) if tag != language => {
            let words =
                format!("must name the language as {tag}: the statement has it by that tag, and {language} equals it");
            Err(Rejection::Invalid(vec![FieldFault::new("draft.name", words)]))
        }
        Some(_) | None => Ok(()),
    }
}

fn refuse_too_many_languages(work: &Work<'_>, language: &LanguageTag) -> Result<(), Rejection> {
    let full = work.state.languages.len() >= limits::LANGUAGES_MAX;
    if !full || work.state.languages.contains_key(language) {
        return Ok(());
    }
    let words = format!("a statement has at most {} languages", limits::LANGUAGES_MAX);
    Err(Rejection::Invalid(vec![FieldFault::new("draft.name", words)]))
}

/// A text may only name editions that are there.
fn refuse_unknown_editions(work: &Work<'_>, content: &Content, newest: u32) -> Result<(), Rejection> {
    let source = &work.state.statement.source_language;
    let mut faults = Vec::new();
    if let Some(named) = &content.source_edition {
        let there = work.state.live(source).map_or(0, |live| live.edition.number);
        if content.language_code == *source || named.language != *source || named.number > there {
            let words =
                format!("must be an edition in {source}, the source language, that exists; for translations only");
            faults.push(FieldFault::new("draft.content.source_edition", words));
        }
    }
    let corrected = content.correction.as_ref().and_then(|correction| correction.corrected_edition.as_ref());
    if corrected.is_some_and(|named| named.number > newest) {
        let words = format!("must be an edition that exists; the newest is {newest}");
        faults.push(FieldFault::new("draft.content.correction.corrected_edition", words));
    }
    if faults.is_empty() { Ok(()) } else { Err(Rejection::Invalid(faults)) }
}

fn refuse_stale(old: Option<&Draft>, language: &LanguageTag, given: &str) -> Result<(), Rejection> {
    match old {
        None if given.is_empty() => Ok(()),
        None => Err(Rejection::DraftNotFound(language.clone())),
        Some(draft) if etag(draft.version) == given => Ok(()),
        Some(draft) => Err(Rejection::EtagMismatch(Box::new(Conflict::with_draft(draft)))),
    }
}

/// Fixes a text and takes its digest: adds the salt, the kind of change of a first edition, and the edition that a correction is about.
fn write(work: &mut Work<'_>, content: &Content, newest: u32, base: u32) -> Outline {
    let mut content = Content { salt: work.context.salt, ..content.clone() };
    if newest == 0 && content.change_kind.is_none() {
        content.change_kind = Some(ChangeKind::Initial);
    }
    if let Some(correction) = content.correction.as_mut().filter(|_| base > 0) {
        let base = || EditionName::new(&work.state.statement.id, &content.language_code, base);
        correction.corrected_edition.get_or_insert_with(base);
    }
    let text = content.canonical();
    let outline = content.outline(text.digest);
    work.digests.push(text.digest);
    work.text = Some(text);
    work.content = Some(content);
    outline
}

fn draft(work: &Work<'_>, old: Option<&Draft>, outline: Outline, save: &SaveDraft, base: u32) -> Draft {
    let context = work.context;
    let mut authors = old.map(|draft| draft.authors.clone()).unwrap_or_default();
    if !authors.contains(context.caller) {
        authors.push(context.caller.clone());
    }
    Draft {
        outline,
        state: DraftState::Draft,
        revision: old.map_or(0, |draft| draft.revision) + 1,
        base,
        authors,
        editor: context.caller.clone(),
        create_time: old.map_or(context.now, |draft| draft.create_time),
        update_time: context.now,
        faults: save.faults.clone(),
        approval: None,
        rejection: None,
        version: context.entry,
    }
}

pub(super) fn submit(work: &mut Work<'_>, language: &LanguageTag, given: &str) -> Result<Answer, Rejection> {
    let version = work.context.entry;
    let newest = work.slots_of(language).map_or(0, Slots::edition_count);
    let draft = work.draft(language, given)?;
    require(language, draft, DraftState::Draft)?;
    refuse_superseded(language, draft, newest)?;
    let problems = draft.problems();
    if !problems.is_empty() {
        return Err(Rejection::DraftIncomplete(problems));
    }
    draft.state = DraftState::InReview;
    draft.version = version;
    Ok(Answer::Draft(language.clone(), Box::new(draft.clone())))
}

pub(super) fn approve(
    work: &mut Work<'_>,
    language: &LanguageTag,
    given: &str,
    comment: &str,
) -> Result<Answer, Rejection> {
    let context = work.context;
    let newest = work.slots_of(language).map_or(0, Slots::edition_count);
    let draft = work.draft(language, given)?;
    require(language, draft, DraftState::InReview)?;
    refuse_superseded(language, draft, newest)?;
    if draft.authors.contains(context.caller) {
        return Err(Rejection::OwnText);
    }
    draft.state = DraftState::Approved;
    draft.approval = Some(Approval {
        approver: context.caller.clone(),
        time: context.now,
        digest: draft.outline.digest,
        comment: comment.to_owned(),
    });
    draft.version = context.entry;
    let draft = draft.clone();
    work.digests.push(draft.outline.digest);
    comment.clone_into(&mut work.reason);
    Ok(Answer::Draft(language.clone(), Box::new(draft)))
}

pub(super) fn reject(
    work: &mut Work<'_>,
    language: &LanguageTag,
    given: &str,
    comment: &str,
) -> Result<Answer, Rejection> {
    let context = work.context;
    let draft = work.draft(language, given)?;
    if draft.state == DraftState::Draft {
        return Err(not_in_state(language, draft, "IN_REVIEW or APPROVED"));
    }
    draft.state = DraftState::Draft;
    draft.approval = None;
    draft.rejection = Some(ReviewRejection {
        reviewer: context.caller.clone(),
        time: context.now,
        digest: draft.outline.digest,
        comment: comment.to_owned(),
    });
    draft.version = context.entry;
    let draft = draft.clone();
    comment.clone_into(&mut work.reason);
    Ok(Answer::Draft(language.clone(), Box::new(draft)))
}

pub(super) fn discard(work: &mut Work<'_>, language: &LanguageTag, given: &str) -> Result<Answer, Rejection> {
    work.draft(language, given)?;
    work.slots(language).draft = None;
    Ok(Answer::Discarded)
}

/// What cannot be published any more is told to those who work on it, and not only to the publisher.
pub(super) fn refuse_superseded(language: &LanguageTag, draft: &Draft, newest: u32) -> Result<(), Rejection> {
    if draft.base == newest {
        return Ok(());
    }
    Err(Rejection::BaseSuperseded { language: language.clone(), newest })
}

fn require(language: &LanguageTag, draft: &Draft, needed: DraftState) -> Result<(), Rejection> {
    if draft.state == needed { Ok(()) } else { Err(not_in_state(language, draft, state_name(needed))) }
}

fn not_in_state(language: &LanguageTag, draft: &Draft, needed: &'static str) -> Rejection {
    Rejection::DraftNotInState { language: language.clone(), actual: state_name(draft.state), needed }
}

/// What stands against what a text says it does; `first` if no edition exists yet.
pub(in crate::domain) fn change_problem(outline: &Outline, first: bool) -> Option<FieldFault> {
    // Of a draft that was saved before such words were refused, none may be visible.
    let note = is_visible(&outline.change_note);
    let correction = outline.correction.as_ref().is_some_and(|correction| is_visible(&correction.text));
    let (field, words) = match outline.change_kind {
        None => ("content.change_kind", "must be MAJOR, MINOR or CORRECTION: an edition exists"),
        Some(ChangeKind::Initial) if !first => {
            ("content.change_kind", "must be MAJOR, MINOR or CORRECTION: an edition exists")
        }
        Some(ChangeKind::Major | ChangeKind::Minor | ChangeKind::Correction) if first => {
            ("content.change_kind", "must be INITIAL: no edition exists yet")
        }
        Some(ChangeKind::Reinstatement) => ("content.change_kind", "is set by ReinstateStatement only"),
        Some(ChangeKind::Major) if !note => {
            ("content.change_note", "is required for MAJOR: say what changed, for readers")
        }
        Some(ChangeKind::Minor) if note => ("content.change_note", "is not allowed for MINOR: readers are not told"),
        Some(ChangeKind::Correction) if !correction => {
            ("content.correction", "is required for CORRECTION: say what was wrong, for readers")
        }
        Some(ChangeKind::Initial | ChangeKind::Major | ChangeKind::Minor) if correction => {
            ("content.correction", "is allowed for CORRECTION only")
        }
        Some(ChangeKind::Initial | ChangeKind::Major | ChangeKind::Minor | ChangeKind::Correction) => return None,
    };
    Some(FieldFault::new(field, words))
}

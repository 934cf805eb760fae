//! Compares what a service sent with what the feed was sealed with, field by field, and decodes the text from the bytes that were hashed.
//!
//! **Invariants**
//! - Every field of `Event`, `Live`, `Edition`, `Embargo` and what they hold is compared, or must be absent: a field that is added to the
//!   proto without a check fails `tests/it/forgery.rs`.
//! - What is verified is the bytes that were served, never a message that was serialised again: a newer service may have fields that this
//!   client has no name for.
//! - What a seal names that this client does not know was hashed, is not compared, and is no fault.

use prost::bytes::Bytes;

use super::{
    check::Breach,
    seal::{Seal, chained, digest},
};
use crate::api::v1::{
    ChangeKind, Content, Delivery, Edition, Embargo, Event, EventSeal, Live, Snapshot, delivery::FilterChange, event,
    live,
};

/// What a message must be that a caller asked for with `CONTENT_VIEW_CANONICAL`. A field is named from the item on: `live.edition.number`.
struct Altered(String);

type Verified = Result<(), Altered>;

fn same(field: &str, is_same: bool) -> Verified {
    if is_same { Ok(()) } else { Err(Altered(field.to_owned())) }
}

/// Names the field from one level further out.
fn within(field: &str, verified: Verified) -> Verified {
    verified.map_err(|Altered(inner)| Altered(format!("{field}.{inner}")))
}

/// Whether a value is the one of a name that was sealed. A name that is not known is that of a value that is not known.
fn named<E: Into<i32> + TryFrom<i32>>(value: i32, sealed: &str, known: fn(&str) -> Option<E>) -> bool {
    known(sealed).map_or_else(|| E::try_from(value).is_err(), |known| known.into() == value)
}

/// Compares an event, and decodes its text into `content`.
///
/// # Errors
/// The first field that is not what was sealed.
pub fn delivery(delivery: &mut Delivery) -> Result<(), Breach> {
    let filter_change = delivery.filter_change();
    let Some(event) = &mut delivery.event else { return Ok(()) };
    let item = format!("event {}", event.sequence);
    self::event(filter_change, event).map_err(|Altered(field)| Breach::Altered { item, field })
}

/// Compares all items of a part of a snapshot, and decodes their texts into `content`.
///
/// # Errors
/// The first field that is not what was sealed.
pub fn snapshot(part: &mut Snapshot) -> Result<(), Breach> {
    part.live.iter_mut().try_for_each(live)?;
    part.embargoes.iter_mut().try_for_each(embargo)
}

/// Compares what is live, as `GetStatement`, `ListStatements` and snapshots give it, and decodes its text into `content`.
///
/// # Errors
/// The first field that is not what was sealed.
pub fn live(live: &mut Live) -> Result<(), Breach> {
    let item = format!("{}/{} (sequence {})", live.statement, live.language_code, live.sequence);
    let seal = live.event_seal.take();
    let verified = opened(seal.as_ref()).and_then(|(seal, salt)| {
        shown(live, &seal, salt)?;
        let uses = live.edition.as_ref().is_some_and(has_remarks);
        within("event_seal", salted(&seal, salt, uses))
    });
    live.event_seal = seal;
    verified.map_err(|Altered(field)| Breach::Altered { item, field })
}

/// Compares a text under embargo, and decodes it into `content`.
///
/// # Errors
/// The first field that is not what was sealed.
pub fn embargo(embargo: &mut Embargo) -> Result<(), Breach> {
    let item = format!("embargo of {}/{} (sequence {})", embargo.statement, embargo.language_code, embargo.sequence);
    let seal = embargo.event_seal.take();
    let verified = opened(seal.as_ref()).and_then(|(seal, salt)| {
        same("event_seal.seal", seal.kind == event::Type::Embargoed.as_str_name())?;
        embargoed(embargo, &seal)?;
        within("event_seal", salted(&seal, salt, false))
    });
    embargo.event_seal = seal;
    verified.map_err(|Altered(field)| Breach::Altered { item, field })
}

/// Compares an edition, as `GetEdition` gives it, and decodes its text into `content`.
///
/// # Errors
/// The first field that is not what was sealed.
pub fn edition(edition: &mut Edition) -> Result<(), Breach> {
    let item = edition.name.clone();
    let (seal, withheld) = (edition.event_seal.take(), edition.withheld_seal.take());
    let verified = opened(seal.as_ref()).and_then(|(seal, salt)| {
        let state = withheld_state(edition, &seal, withheld.as_ref())?;
        edition_shown(edition, &seal, salt, state)?;
        within("event_seal", salted(&seal, salt, has_remarks(edition)))
    });
    (edition.event_seal, edition.withheld_seal) = (seal, withheld);
    verified.map_err(|Altered(field)| Breach::Altered { item, field })
}

/// How an edition stands: it can be read, or an event says why not.
fn withheld_state(edition: &Edition, seal: &Seal, withheld: Option<&EventSeal>) -> Result<live::State, Altered> {
    let Some(withheld) = withheld else {
        same("canonical_content or withheld_seal", !edition.canonical_content.is_empty())?;
        return Ok(live::State::Published);
    };
    let read = |withheld| {
        let (since, salt) = opened_seal(withheld)?;
        let is_about = (&since.statement, &since.language_code) == (&seal.statement, &seal.language_code);
        let state = live::State::from_str_name(&since.state).unwrap_or_default();
        let is_later = since.sequence >= seal.sequence;
        same("seal", is_about && is_later && (!since.is_complete() || !is_readable(state)))?;
        same("salt", salt.is_empty())?;
        Ok(if since.is_complete() { state } else { stated(edition) })
    };
    read(withheld).map_err(|Altered(inner)| Altered(format!("withheld_seal.{inner}")))
}

/// What an old seal does not say.
fn stated(edition: &Edition) -> live::State {
    if edition.expunged { live::State::Expunged } else { live::State::Gone }
}

fn opened(seal: Option<&EventSeal>) -> Result<(Seal, &[u8]), Altered> {
    let seal = seal.ok_or_else(|| Altered("event_seal".to_owned()))?;
    opened_seal(seal).map_err(|Altered(inner)| Altered(format!("event_seal.{inner}")))
}

fn opened_seal(seal: &EventSeal) -> Result<(Seal, &[u8]), Altered> {
    let read = sealed(&seal.seal, &seal.previous_hash, &seal.hash)?;
    Ok((read, &seal.salt))
}

/// Reads a seal that has its hash.
fn sealed(seal: &[u8], previous_hash: &str, hash: &str) -> Result<Seal, Altered> {
    same("hash, previous_hash or seal", chained(previous_hash, seal).is_some_and(|chained| chained == hash))?;
    Seal::read(seal).ok_or_else(|| Altered("seal".to_owned()))
}

/// A salt is there where there is something that was digested with it.
fn salted(seal: &Seal, salt: &[u8], is_used: bool) -> Verified {
    same("salt", !seal.is_complete() || salt.len() == if is_used { 16 } else { 0 })
}

fn has_remarks(edition: &Edition) -> bool {
    !edition.change_note.is_empty() || edition.correction.is_some()
}

fn is_readable(state: live::State) -> bool {
    matches!(state, live::State::Published | live::State::Withdrawn | live::State::Expired)
}

fn event(filter_change: FilterChange, event: &mut Event) -> Verified {
    let seal = sealed(&event.seal, &event.previous_hash, &event.hash)?;
    same("sequence", event.sequence == seal.sequence)?;
    same("type", named(event.r#type, &seal.kind, event::Type::from_str_name))?;
    same("event_time", event.event_time == seal.event_time)?;
    same("statement", event.statement == seal.statement)?;
    same("language_code", event.language_code == seal.language_code)?;
    same("edition", event.edition == seal.edition)?;
    same("previous_edition", event.previous_edition == seal.previous_edition)?;
    same("content_digest", event.content_digest == seal.content_digest)?;
    if seal.is_complete() {
        same("notify", event.notify == seal.notify)?;
        let action = event::ChannelAction::from_str_name;
        same("channel_action", named(event.channel_action, &seal.channel_action, action))?;
        same("embargo_lifted", event.embargo_lifted == seal.embargo_lifted)?;
        let (redirect, kind) = (&event.redirect_statement, event.r#type());
        let has_redirect = matches!(kind, event::Type::Removed | event::Type::Unspecified);
        let is_redirect = has_redirect && *redirect == seal.redirect_statement;
        same("redirect_statement", is_redirect || (kind != event::Type::Removed && redirect.is_empty()))?;
    }
    announced(filter_change, event, &seal)?;
    state_after(filter_change, event, &seal)?;
    let edition = event.live.as_ref().and_then(|live| live.edition.as_ref());
    salted(&seal, &event.salt, event.correction.is_some() || edition.is_some_and(has_remarks))
}

/// The words that an event has beside its state. Delivered as LEFT, it may have none: they may be no longer public.
fn announced(filter_change: FilterChange, event: &Event, seal: &Seal) -> Verified {
    use event::Type;
    let kind = event.r#type();
    let publishes = matches!(kind, Type::Published | Type::Updated | Type::Corrected | Type::Reinstated);
    let has_notice = matches!(kind, Type::Withdrawn | Type::NoticeChanged | Type::Removed);
    let notice = event.notice.as_ref();
    let correction = event.correction.as_ref();
    let may_lack = filter_change == FilterChange::Left || kind == Type::Unspecified;
    let right = |is_there: bool, is_told: bool, is_sealed: bool| {
        if is_there { (is_told || kind == Type::Unspecified) && is_sealed } else { may_lack || !is_told || is_sealed }
    };
    same("notice", right(notice.is_some(), has_notice, seal.has_notice(notice)))?;
    let is_sealed = !seal.is_complete() || seal.has_correction(&event.salt, correction);
    same("correction or its salt", right(correction.is_some(), publishes, is_sealed))
}

/// The state after an event is there unless it is delivered as LEFT. What a type means that is not known, nobody can say.
fn state_after(filter_change: FilterChange, event: &mut Event, seal: &Seal) -> Verified {
    use event::Type;
    let Event { live, embargo, salt, .. } = event;
    let is_left = filter_change == FilterChange::Left;
    let kind = Type::from_str_name(&seal.kind);
    let is_embargo = matches!(kind, Some(Type::Embargoed | Type::EmbargoCancelled));
    same("live", live.is_some() == (!is_left && !is_embargo) || (kind.is_none() && !is_left))?;
    same("embargo", embargo.is_some() == (!is_left && is_embargo) || (kind.is_none() && !is_left))?;
    if let Some(live) = live {
        within("live", shown(live, seal, salt))?;
    }
    if let Some(embargo) = embargo {
        within("embargo", embargoed(embargo, seal))?;
    }
    Ok(())
}

/// What is live, against the seal of the event that made it so.
fn shown(live: &mut Live, seal: &Seal, salt: &[u8]) -> Verified {
    same("statement", live.statement == seal.statement)?;
    same("language_code", live.language_code == seal.language_code)?;
    same("sequence", live.sequence == seal.sequence)?;
    same("update_time", live.update_time == seal.event_time)?;
    same("event_seal", live.event_seal.is_none())?;
    if seal.is_complete() {
        same("kind", live.kind == seal.statement_kind)?;
        same("state", named(live.state, &seal.state, live::State::from_str_name))?;
        same("first_publish_time", live.first_publish_time == seal.first_publish_time)?;
        same("major_change_time", live.major_change_time == seal.major_change_time)?;
        same("stale_since_edition", live.stale_since_edition == seal.stale_since_edition)?;
        same("redirect_statement", live.redirect_statement == seal.redirect_statement)?;
        same("source_language_code", live.source_language_code == seal.source_language_code)?;
        same("withdraw_time", live.withdraw_time == seal.withdraw_time)?;
    }
    if seal.is_complete() || !seal.notice_digest.is_empty() {
        same("notice", seal.has_notice(live.notice.as_ref()))?;
    }
    let state = live.state();
    let edition = live.edition.as_mut().ok_or_else(|| Altered("edition".to_owned()))?;
    within("edition", edition_shown(edition, seal, salt, state))
}

fn edition_shown(edition: &mut Edition, seal: &Seal, salt: &[u8], state: live::State) -> Verified {
    same("name", edition.name == seal.edition)?;
    same("language_code", edition.language_code == seal.language_code)?;
    same("number", edition.name.ends_with(&format!(".{}", edition.number)))?;
    same("content_digest", edition.content_digest == seal.content_digest)?;
    same("expunged", edition.expunged == (state == live::State::Expunged))?;
    same("event_seal", edition.event_seal.is_none())?;
    same("withheld_seal", edition.withheld_seal.is_none())?;
    if seal.is_complete() {
        same("change_kind", named(edition.change_kind, &seal.change_kind, ChangeKind::from_str_name))?;
        same("publish_time", edition.publish_time == seal.publish_time)?;
        remarks(edition, seal, salt, state)?;
    }
    let Edition { content, canonical_content, content_digest, .. } = edition;
    let is_known = state != live::State::Unspecified;
    text(content, canonical_content, content_digest, is_known.then(|| is_readable(state)))
}

/// What is said about an edition; nothing where its text is not public.
fn remarks(edition: &Edition, seal: &Seal, salt: &[u8], state: live::State) -> Verified {
    let (note, correction) = (edition.change_note.as_str(), edition.correction.as_ref());
    let is_told = is_readable(state);
    same("change_note or its salt", if is_told { seal.has_change_note(salt, note) } else { note.is_empty() })?;
    let is_right = if is_told { seal.has_correction(salt, correction) } else { correction.is_none() };
    same("correction or its salt", is_right)
}

/// A text under embargo, against the seal of the event that sent it.
fn embargoed(embargo: &mut Embargo, seal: &Seal) -> Verified {
    same("statement", embargo.statement == seal.statement)?;
    same("language_code", embargo.language_code == seal.language_code)?;
    same("sequence", embargo.sequence == seal.sequence)?;
    same("content_digest", embargo.content_digest == seal.content_digest)?;
    same("event_seal", embargo.event_seal.is_none())?;
    if seal.is_complete() {
        same("kind", embargo.kind == seal.statement_kind)?;
        same("embargo_end_time", embargo.embargo_end_time == seal.embargo_end_time)?;
    }
    let Embargo { content, canonical_content, content_digest, .. } = embargo;
    text(content, canonical_content, content_digest, Some(true))
}

/// The words, against their digest. `is_readable` is none where it cannot be known.
fn text(content: &mut Option<Content>, canonical: &Bytes, sealed: &str, is_readable: Option<bool>) -> Verified {
    same("content, which was not asked for", content.is_none())?;
    same("canonical_content", is_readable.is_none_or(|is_readable| is_readable != canonical.is_empty()))?;
    if canonical.is_empty() {
        return Ok(());
    }
    same("canonical_content", hex::encode(digest(&[canonical])) == sealed)?;
    let decoded = serde_json::from_slice(canonical);
    *content = Some(decoded.map_err(|_| Altered("canonical_content".to_owned()))?);
    Ok(())
}

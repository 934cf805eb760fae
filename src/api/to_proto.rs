//! From the domain to the wire.

mod backup;
mod clock;
mod content;
mod editorial;
mod feed;
mod subscription;

pub(super) use backup::{backup_end, backup_header, backup_part};
pub(super) use clock::clock;
pub(super) use content::content;
pub(super) use editorial::{Answered, answered, draft, draft_revision, entry, overview, owed, release};
pub use feed::ENCODER;
pub(super) use feed::{delivery, filter_change, message};
pub(super) use subscription::{delivery_report, filter, subscription};

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::v1;
use crate::{
    access::Role,
    domain::{
        content::{ChangeKind, Content, Correction},
        diff::FieldDiff,
        digest::Digest,
        filter::Filter,
        id::{EditionName, LanguageTag, StatementId, SubscriptionId},
        live::{Edition, Live, LiveState, Notice},
        mandate::Grant,
        time::Timestamp,
    },
    journal::{self, EventRecord, Text},
};

/// A point in time, as the fields of messages take it.
#[expect(clippy::unnecessary_wraps, reason = "every message field is optional")]
pub(super) fn time(time: Timestamp) -> Option<prost_types::Timestamp> {
    let (seconds, nanos) = time.parts();
    Some(prost_types::Timestamp { seconds, nanos })
}

/// The words of texts, by digest: what a message is filled with.
pub(super) type Words = BTreeMap<Digest, Arc<journal::Words>>;

pub(super) fn change_kind(kind: ChangeKind) -> v1::ChangeKind {
    match kind {
        ChangeKind::Initial => v1::ChangeKind::Initial,
        ChangeKind::Major => v1::ChangeKind::Major,
        ChangeKind::Minor => v1::ChangeKind::Minor,
        ChangeKind::Correction => v1::ChangeKind::Correction,
        ChangeKind::Reinstatement => v1::ChangeKind::Reinstatement,
    }
}

pub(super) fn correction(correction: &Correction) -> v1::Correction {
    v1::Correction {
        text: correction.text.clone(),
        corrected_edition: correction.corrected_edition.as_ref().map(ToString::to_string).unwrap_or_default(),
        renditions: content::renditions(&correction.renditions),
    }
}

pub(super) fn notice(notice: &Notice) -> v1::Notice {
    v1::Notice {
        text: notice.text.clone(),
        text_media_type: notice.media_type.as_str().to_owned(),
        salt: notice.salt.0.to_vec(),
        renditions: content::renditions(&notice.renditions),
    }
}

/// An edition. What `public` says is not public is left out: the words, and the words about them.
pub(super) fn edition(
    statement: &StatementId,
    language: &LanguageTag,
    edition: &Edition,
    words: Option<&Content>,
    public: bool,
) -> v1::Edition {
    let told = public && !edition.expunged;
    v1::Edition {
        name: EditionName::new(statement, language, edition.number).to_string(),
        language_code: language.to_string(),
        number: edition.number,
        content: words.filter(|_| told).map(content),
        content_digest: edition.outline.digest.to_string(),
        change_kind: change_kind(edition.change_kind).into(),
        change_note: if told { edition.change_note.clone() } else { String::new() },
        correction: edition.correction.as_ref().filter(|_| told).map(correction),
        publish_time: time(edition.publish_time),
        canonical_content: Bytes::new(),
        expunged: edition.expunged,
        event_seal: None,
        withheld_seal: None,
    }
}

/// A text, as `content` and `canonical_content` take it: one of them or none.
pub(super) fn text(text: Option<&Text>) -> (Option<v1::Content>, Bytes) {
    match text {
        Some(Text::Content(it)) => (Some(content(it)), Bytes::new()),
        Some(Text::Canonical(bytes)) => (None, bytes.clone()),
        None => (None, Bytes::new()),
    }
}

/// A grant.
pub(super) fn grant((roles, grant): &(Vec<Role>, Grant)) -> v1::Grant {
    v1::Grant {
        roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
        scope: (grant.what != Filter::default()).then(|| filter(&grant.what)),
        embargoed: grant.embargoed,
        subscriptions: grant.subscriptions.iter().map(SubscriptionId::name).collect(),
    }
}

/// Differences between two texts.
pub(super) fn differences(differences: Vec<FieldDiff>) -> Vec<v1::FieldDiff> {
    let shown = |it: FieldDiff| v1::FieldDiff { field: it.field.to_owned(), unified_diff: it.unified };
    differences.into_iter().map(shown).collect()
}

/// The seal of an event.
pub(super) fn event_seal(record: &EventRecord) -> v1::EventSeal {
    v1::EventSeal {
        seal: record.seal.clone(),
        previous_hash: record.previous_hash.to_string(),
        hash: record.hash.to_string(),
        salt: record.event.salt.map(|salt| salt.0.to_vec()).unwrap_or_default(),
    }
}

/// What is live.
pub(super) fn live(
    statement: &StatementId,
    kind: &str,
    language: &LanguageTag,
    live: &Live,
    words: Option<&Content>,
) -> v1::Live {
    v1::Live {
        statement: statement.name(),
        language_code: language.to_string(),
        kind: kind.to_owned(),
        state: state(live.state).into(),
        edition: Some(edition(statement, language, &live.edition, words, live.state.has_text())),
        notice: live.notice.as_ref().map(notice),
        redirect_statement: live.redirect.as_ref().map(StatementId::name).unwrap_or_default(),
        first_publish_time: time(live.first_publish_time),
        major_change_time: time(live.major_change_time),
        update_time: time(live.update_time),
        stale_since_edition: live.stale_since.as_ref().map(ToString::to_string).unwrap_or_default(),
        sequence: live.sequence,
        event_seal: None,
        source_language_code: live.source_language.as_ref().map(ToString::to_string).unwrap_or_default(),
        withdraw_time: live.withdraw_time.and_then(time),
    }
}

fn state(state: LiveState) -> v1::live::State {
    match state {
        LiveState::Published => v1::live::State::Published,
        LiveState::Withdrawn => v1::live::State::Withdrawn,
        LiveState::Expired => v1::live::State::Expired,
        LiveState::Gone => v1::live::State::Gone,
        LiveState::Redirected => v1::live::State::Redirected,
        LiveState::Hidden => v1::live::State::Unspecified,
        LiveState::Expunged => v1::live::State::Expunged,
    }
}

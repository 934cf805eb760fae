//! What subscribers are sent.

use bytes::Bytes;
use prost::Message as _;

use super::{correction, event_seal, live, notice, text, time};
use crate::{
    api::{
        delivery::encoded,
        snapshot,
        v1::{self, subscribe_response::Message as Wire},
    },
    domain::{
        content::Content,
        event::{ChannelAction, EventKind},
        id::StatementId,
    },
    feed::{ClosingReason, Delivery, Encoder, FilterChange, Message, SnapshotEmbargo, SnapshotLive},
    journal::EventRecord,
};

/// A message of a subscription.
pub(in crate::api) fn message(message: Message) -> v1::SubscribeResponse {
    let wire = match message {
        Message::Opened { feed_id, epoch, tail, start_sequence, resumed, earliest_sequence, cursor, generation } => {
            Wire::Opened(v1::Opened {
                feed_id,
                epoch,
                tail,
                start_sequence,
                resumed,
                earliest_sequence,
                cursor,
                generation,
            })
        }
        Message::Snapshot(part) => Wire::Snapshot(v1::Snapshot::of_ready(part.bytes().clone())),
        Message::SnapshotEnd { cursor, item_count } => Wire::SnapshotEnd(v1::SnapshotEnd { cursor, item_count }),
        Message::Batch { deliveries, cursor, tail, more } => Wire::EventBatch(v1::EventBatch {
            deliveries: deliveries.iter().map(delivery).collect(),
            cursor,
            tail,
            more,
        }),
        Message::Heartbeat { cursor, next, tail, server_time } => {
            Wire::Heartbeat(v1::Heartbeat { cursor, tail, server_time: time(server_time), next_sequence: next })
        }
        Message::Closing { reason, cursor, reconnect_after } => Wire::Closing(v1::Closing {
            reason: closing(reason).into(),
            cursor,
            reconnect_after: prost_types::Duration::try_from(reconnect_after).ok(),
        }),
    };
    v1::SubscribeResponse { message: Some(wire) }
}

fn closing(reason: ClosingReason) -> v1::closing::Reason {
    match reason {
        ClosingReason::Lifetime => v1::closing::Reason::Lifetime,
        ClosingReason::Drain => v1::closing::Reason::Drain,
        ClosingReason::Stalled => v1::closing::Reason::Stalled,
        ClosingReason::Trimmed => v1::closing::Reason::Trimmed,
        ClosingReason::AccessRevoked => v1::closing::Reason::AccessRevoked,
        ClosingReason::StoreFailed => v1::closing::Reason::StoreFailed,
        ClosingReason::Superseded => v1::closing::Reason::Superseded,
    }
}

fn snapshot_live(item: &SnapshotLive) -> v1::Live {
    let mut shown = live(&item.statement, item.kind.as_str(), &item.language, &item.live, None);
    if let Some(edition) = &mut shown.edition {
        (edition.content, edition.canonical_content) = text(item.text.as_ref());
    }
    shown.event_seal = item.event.as_ref().map(event_seal);
    shown
}

fn snapshot_embargo(item: &SnapshotEmbargo) -> v1::Embargo {
    let (content, canonical_content) = text(item.text.as_ref());
    v1::Embargo {
        statement: item.statement.name(),
        language_code: item.language.to_string(),
        kind: item.kind.to_string(),
        content,
        content_digest: item.release.outline.digest.to_string(),
        embargo_end_time: time(item.release.time),
        sequence: item.release.sequence,
        canonical_content,
        event_seal: item.event.as_ref().map(event_seal),
    }
}

/// An event as it concerns one subscriber.
pub(in crate::api) fn delivery(delivery: &Delivery) -> v1::Delivery {
    v1::Delivery::of_ready(filter_change(delivery.filter_change), delivery.bytes().clone())
}

/// Makes events and states ready to be sent.
pub const ENCODER: Encoder = Encoder {
    whole: |record, text| encoded(event(record, text.unwrap_or_default(), false)),
    message: as_message,
    left: |record| encoded(event(record, Bytes::new(), true)),
    live: |item, part| snapshot::add_live(&snapshot_live(item), part),
    embargo: |item, part| snapshot::add_embargo(&snapshot_embargo(item), part),
};

/// The same event with its text as a message.
fn as_message(canonical: &Bytes) -> Bytes {
    let Ok(v1::Delivery { event: Some(mut event), .. }) = v1::Delivery::decode(canonical.clone()) else {
        unreachable!("it was encoded here")
    };
    let edition = event.live.as_mut().and_then(|live| live.edition.as_mut());
    if let Some(edition) = edition {
        edition.content = decoded(&std::mem::take(&mut edition.canonical_content));
    }
    if let Some(embargo) = &mut event.embargo {
        embargo.content = decoded(&std::mem::take(&mut embargo.canonical_content));
    }
    encoded(event)
}

fn decoded(canonical: &Bytes) -> Option<v1::Content> {
    if canonical.is_empty() {
        return None;
    }
    match Content::from_canonical(canonical) {
        Ok(content) => Some(super::content(&content)),
        Err(fault) => unreachable!("a text that has its digest is one that was stored: {fault}"),
    }
}

/// How an event stands to a filter.
pub(in crate::api) fn filter_change(filter_change: FilterChange) -> v1::delivery::FilterChange {
    match filter_change {
        FilterChange::Entered => v1::delivery::FilterChange::Entered,
        FilterChange::Stayed => v1::delivery::FilterChange::Stayed,
        FilterChange::Left => v1::delivery::FilterChange::Left,
    }
}

fn event(record: &EventRecord, text: Bytes, left: bool) -> v1::Event {
    let event = &record.event;
    let head = &event.head;
    let kind = event.statement_kind.as_ref().map(ToString::to_string).unwrap_or_default();
    let name =
        |name: &Option<crate::domain::id::EditionName>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let shown = event.live.as_ref().filter(|live| !left && live.facts().is_some());
    let salt = event.salt.filter(|_| shown.is_some() || event.correction.is_some());
    let embargo = event.embargo.as_ref().filter(|_| !left);
    let mut live = shown.map(|it| live(&head.statement, &kind, &head.language_code, it, None));
    if let Some(edition) = live.as_mut().and_then(|live| live.edition.as_mut()) {
        edition.canonical_content = text.clone();
    }
    v1::Event {
        sequence: head.sequence,
        r#type: event_type(head.kind).into(),
        event_time: time(head.event_time),
        statement: head.statement.name(),
        language_code: head.language_code.to_string(),
        notify: event.notify,
        channel_action: action(event.channel_action).into(),
        live,
        embargo: embargo.map(|release| v1::Embargo {
            statement: head.statement.name(),
            language_code: head.language_code.to_string(),
            kind: kind.clone(),
            content: None,
            content_digest: release.outline.digest.to_string(),
            embargo_end_time: time(release.time),
            sequence: head.sequence,
            canonical_content: text,
            event_seal: None,
        }),
        embargo_lifted: event.embargo_lifted,
        edition: name(&head.edition),
        previous_edition: name(&head.previous_edition),
        content_digest: head.content_digest.map(|digest| digest.to_string()).unwrap_or_default(),
        correction: event.correction.as_ref().map(correction),
        notice: event.notice.as_ref().map(notice),
        redirect_statement: event.redirect.as_ref().map(StatementId::name).unwrap_or_default(),
        hash: record.hash.to_string(),
        previous_hash: record.previous_hash.to_string(),
        seal: record.seal.clone(),
        salt: salt.map(|salt| salt.0.to_vec()).unwrap_or_default(),
    }
}

fn event_type(kind: EventKind) -> v1::event::Type {
    match kind {
        EventKind::Published => v1::event::Type::Published,
        EventKind::Updated => v1::event::Type::Updated,
        EventKind::Corrected => v1::event::Type::Corrected,
        EventKind::Embargoed => v1::event::Type::Embargoed,
        EventKind::EmbargoCancelled => v1::event::Type::EmbargoCancelled,
        EventKind::Withdrawn => v1::event::Type::Withdrawn,
        EventKind::NoticeChanged => v1::event::Type::NoticeChanged,
        EventKind::Reinstated => v1::event::Type::Reinstated,
        EventKind::Expired => v1::event::Type::Expired,
        EventKind::Removed => v1::event::Type::Removed,
        EventKind::Expunged => v1::event::Type::Expunged,
        EventKind::TranslationStale => v1::event::Type::TranslationStale,
    }
}

fn action(action: ChannelAction) -> v1::event::ChannelAction {
    match action {
        ChannelAction::None => v1::event::ChannelAction::None,
        ChannelAction::Post => v1::event::ChannelAction::Post,
        ChannelAction::Edit => v1::event::ChannelAction::Edit,
        ChannelAction::Reply => v1::event::ChannelAction::Reply,
        ChannelAction::Delete => v1::event::ChannelAction::Delete,
    }
}

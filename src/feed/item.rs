//! Events with their words, as all subscribers share them.
//!
//! **Invariants**
//! - What is read is dense: a sequence that is missing is damage, never a gap (`a_gap_is_damage`).
//! - Nothing of a past event is shown that readers may not see now: one visibility rule serves reads and the feed
//!   (`what_is_not_public_now_is_not_shown_of_the_past` in the tests at the boundary).

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    message::{SnapshotEmbargo, SnapshotLive},
    selection::FilterChange,
};
use crate::{
    domain::{
        content::Facts,
        event::{EventHead, EventKind},
        id::{Code, LanguageTag, StatementId},
        live::{Live, Openness},
        subscription::Point,
    },
    journal::{EventRecord, Form, JournalError, RecentEvent, View},
};

/// Bytes of an event in memory beside what is sent of it: names, facts, hashes, seal.
const RECORD_BYTES: usize = 1_024;

/// Makes of an event, and of a state, what is sent: once, for all subscribers.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// The event, with the canonical text of its `live` or `embargo` where it may be read: [`Form::Canonical`].
    pub whole: fn(&EventRecord, Option<Bytes>) -> Bytes,
    /// Makes [`Form::Message`] of that.
    pub message: fn(&Bytes) -> Bytes,
    /// The event as it is told to those it has left: without any text.
    pub left: fn(&EventRecord) -> Bytes,
    /// Adds what is live to a part of a snapshot.
    pub live: fn(&SnapshotLive, &mut Vec<u8>),
    /// Adds what is under embargo.
    pub embargo: fn(&SnapshotEmbargo, &mut Vec<u8>),
}

/// An event, and what is sent of it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The event.
    pub record: EventRecord,
    /// With the stored text, verbatim.
    canonical: Bytes,
    /// Made of that once somebody asks for it: the text is not held a second time for it.
    message: OnceLock<Bytes>,
    left: Bytes,
    encoder: Encoder,
    /// What its forms keep, where it was read for those who are behind.
    room: Option<Room>,
}

/// An event as it concerns one subscriber.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// How it stands to the filter.
    pub filter_change: FilterChange,
    /// How its text is sent.
    pub form: Form,
    /// The event.
    pub item: Arc<Item>,
}

impl Item {
    fn new(record: EventRecord, canonical: Bytes, left: Bytes, encoder: Encoder) -> Self {
        Self { record, canonical, message: OnceLock::new(), left, encoder, room: None }
    }

    /// What is sent of it, as the [`Encoder`] made it: once for each form, for all subscribers.
    #[must_use]
    pub fn whole(&self, form: Form) -> &Bytes {
        match form {
            Form::Canonical => &self.canonical,
            Form::Message => self.message.get_or_init(|| {
                let message = (self.encoder.message)(&self.canonical);
                match &self.room {
                    Some(room) => within(message, room),
                    None => message,
                }
            }),
        }
    }

    /// What is sent of it to those it has left.
    #[must_use]
    pub fn left(&self) -> &Bytes {
        &self.left
    }
}

impl Delivery {
    /// What is sent.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        if self.filter_change == FilterChange::Left { self.item.left() } else { self.item.whole(self.form) }
    }
}

/// The room that a read took in memory. It is given back once nobody has any of the bytes: no cache, and no stream that sends them.
pub(super) type Room = Arc<OwnedSemaphorePermit>;

struct Roomed {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes, which keep their room.
pub(super) fn within(bytes: Bytes, room: &Room) -> Bytes {
    Bytes::from_owner(Roomed { bytes, _room: Arc::clone(room) })
}

/// An item, and what it weighs.
#[derive(Clone, Debug)]
pub(super) struct Weighed {
    pub(super) item: Arc<Item>,
}

impl Weighed {
    fn new(record: EventRecord, text: Option<Bytes>, encoder: Encoder) -> Self {
        let (canonical, left) = ((encoder.whole)(&record, text), (encoder.left)(&record));
        Self { item: Arc::new(Item::new(record, canonical, left, encoder)) }
    }

    /// Of an event that was just committed.
    pub(super) fn of_recent(recent: RecentEvent, encoder: Encoder) -> Self {
        Self::new(recent.record, recent.words.map(|words| words.canonical.clone()), encoder)
    }

    pub(super) fn head(&self) -> &EventHead {
        &self.item.record.event.head
    }

    /// The place after it.
    pub(super) fn end(&self) -> Point {
        Point { next: self.head().sequence.saturating_add(1), hash: self.item.record.hash }
    }

    /// About how many bytes it takes, once both forms were asked for: the message is no longer than the canonical text.
    pub(super) fn bytes(&self) -> usize {
        RECORD_BYTES + 2 * self.item.canonical.len() + self.item.left.len()
    }

    /// The same, which keeps its room.
    pub(super) fn within(self, room: &Room) -> Self {
        let mut item = Arc::unwrap_or_clone(self.item);
        item.canonical = within(item.canonical, room);
        item.room = Some(Arc::clone(room));
        Self { item: Arc::new(item) }
    }

    /// As it concerns one subscriber.
    pub(super) fn deliver(self, filter_change: FilterChange, form: Form) -> Delivery {
        Delivery { filter_change, form, item: self.item }
    }
}

/// At least one and at most `limit` of the events from `from` on, which must be below the tail, with their words; no more once
/// they have `bytes_max`. Blocks.
pub(super) fn read_items(
    view: &View<'_>,
    from: u64,
    limit: usize,
    bytes_max: usize,
    encoder: Encoder,
) -> Result<Vec<Weighed>, JournalError> {
    let (mut items, mut bytes, mut known) = (Vec::new(), 0_usize, Reached::new());
    for record in dense(from, view.events(from, limit)?)? {
        let record = as_shown(view, record)?;
        let text = record.event.words().map(|digest| view.canonical(&digest)).transpose()?.flatten();
        // Erased since it was looked at: an event is never sent without the text that its seal names, unless as its head.
        let is_erased = text.is_none() && record.event.words().is_some();
        let record = if is_erased { record.hollowed() } else { record };
        let record = with_reach(view, record, &mut known)?;
        let item = Weighed::new(record, text.map(Bytes::from), encoder);
        bytes = bytes.saturating_add(item.bytes());
        items.push(item);
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(items)
}

/// An event as readers may see it now. Blocks.
pub(super) fn as_shown(view: &View<'_>, record: EventRecord) -> Result<EventRecord, JournalError> {
    Ok(if is_concealed(view, &record)? { record.hollowed() } else { record })
}

/// The kind of a statement, and what filters looked at in its editions in one language.
type Reached = BTreeMap<(StatementId, LanguageTag), (Option<Code>, Vec<Facts>)>;

/// An event whose text is gone, with what says whom it may concern. Blocks.
fn with_reach(view: &View<'_>, mut record: EventRecord, known: &mut Reached) -> Result<EventRecord, JournalError> {
    let head = &record.event.head;
    if !record.hollow && head.kind != EventKind::Expunged {
        return Ok(record);
    }
    let lane = (head.statement.clone(), head.language_code.clone());
    if !known.contains_key(&lane) {
        known.insert(lane.clone(), (view.kind(&lane.0)?, view.facts_of_editions(&lane.0, &lane.1)?));
    }
    if let Some((kind, facts)) = known.get(&lane) {
        record.event.statement_kind.clone_from(kind);
        record.reach = Some(facts.clone());
    }
    Ok(record)
}

/// Nothing may be skipped: neither the first nor one in between.
fn dense(from: u64, records: Vec<EventRecord>) -> Result<Vec<EventRecord>, JournalError> {
    if records.is_empty() {
        return Err(JournalError::Damaged(format!("event {from} is missing")));
    }
    for (expected, record) in (from..).zip(&records) {
        if record.event.head.sequence != expected {
            return Err(JournalError::Damaged(format!("event {expected} is missing")));
        }
    }
    Ok(records)
}

/// Whether less may be seen now than this event shows. Blocks.
fn is_concealed(view: &View<'_>, record: &EventRecord) -> Result<bool, JournalError> {
    let event = &record.event;
    let shows_nothing = event.live.is_none() && event.embargo.is_none();
    if shows_nothing || view.is_as_of(&event.head)? {
        return Ok(false);
    }
    let (live, embargo) = view.standing(&event.head.statement, &event.head.language_code)?;
    let waits = embargo.is_some_and(|embargo| embargo.sequence == event.head.sequence);
    let shown = event.live.as_ref().map_or(Openness::Words, Live::openness);
    Ok(!waits && live.as_ref().map_or(Openness::Nothing, Live::openness) < shown)
}

/// Events made up for tests.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::domain::{digest::Digest, event::Event, time::Timestamp};

    /// An event about a press release in English without topics, in an entry of its own unless `more`.
    pub(in crate::feed) fn event(sequence: u64, kind: EventKind, more: bool) -> EventRecord {
        let (statement, language) = (StatementId::parse("fire").unwrap(), LanguageTag::parse("en").unwrap());
        let mut head = EventHead::new(sequence, kind, Timestamp::from_micros(0), statement, language, sequence);
        head.more = more;
        let seal = head.seal();
        let mut event = Event::hollow(head);
        event.statement_kind = Some(Code::parse("press-release").unwrap());
        EventRecord { event, hash: Digest::of(&[&seal]), previous_hash: Digest::ZERO, seal, hollow: false, reach: None }
    }

    /// An item of that many bytes which a filter for nothing but energy admits or not.
    pub(in crate::feed) fn item(sequence: u64, more: bool, admitted: bool, text_bytes: usize) -> Weighed {
        let mut record = event(sequence, EventKind::Published, more);
        let topic = if admitted { "energy" } else { "health" };
        record.event.after = Some(Facts { topics: vec![Code::parse(topic).unwrap()], ..Facts::default() });
        let whole = Bytes::from(vec![0; text_bytes]);
        let encoder = Encoder {
            whole: |_, _| Bytes::new(),
            message: Clone::clone,
            left: |_| Bytes::new(),
            live: |_, _| {},
            embargo: |_, _| {},
        };
        Weighed { item: Arc::new(Item::new(record, whole, Bytes::new(), encoder)) }
    }

    /// Such an item as it concerns one subscriber.
    pub(crate) fn delivery(sequence: u64, text_bytes: usize, filter_change: FilterChange) -> Delivery {
        item(sequence, false, true, text_bytes).deliver(filter_change, Form::Canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            content::{ChangeKind, Outline},
            digest::Digest,
            live::{Edition, LiveState},
            time::Timestamp,
        },
        feed::item::fixture::event,
    };

    fn live(state: LiveState) -> Live {
        let (digest, time) = (Digest::of(&[b"words"]), Timestamp::from_micros(0));
        let outline = Outline {
            digest,
            title: String::new(),
            facts: Facts::default(),
            change_kind: None,
            change_note: String::new(),
            correction: None,
            expire_time: None,
            source_edition: None,
        };
        Live {
            state,
            hidden: false,
            edition: Edition {
                number: 1,
                outline,
                change_kind: ChangeKind::Initial,
                change_note: String::new(),
                correction: None,
                publish_time: time,
                expunged: false,
            },
            notice: None,
            redirect: None,
            source_language: None,
            withdraw_time: None,
            first_publish_time: time,
            major_change_time: time,
            update_time: time,
            stale_since: None,
            major_number: 1,
            sequence: 1,
        }
    }

    #[test]
    fn only_what_may_be_read_is_looked_up() {
        for (state, looked_up) in [
            (LiveState::Published, true),
            (LiveState::Withdrawn, true),
            (LiveState::Gone, false),
            (LiveState::Hidden, false),
        ] {
            let mut record = event(1, EventKind::Updated, false);
            record.event.live = Some(live(state));
            assert_eq!(record.event.words().is_some(), looked_up, "{state:?}");
            assert_eq!(record.hollowed().event.words(), None);
        }
    }

    #[test]
    fn a_gap_is_damage() {
        let event = |sequence| event(sequence, EventKind::Published, false);
        assert!(dense(3, vec![event(3), event(4)]).is_ok());
        assert!(dense(3, vec![]).is_err());
        assert!(dense(3, vec![event(4)]).is_err());
        assert!(dense(3, vec![event(3), event(5)]).is_err());
    }
}

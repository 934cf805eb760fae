//! A subscriber that folds its stream.

use std::collections::BTreeMap;

use onrecord::{
    api::v1::{self, delivery::FilterChange, event, live, subscribe_response::Message},
    client::verify,
};

use super::{
    Key, key,
    state::{Model, Seen, Slots},
    steps::Plan,
};
use crate::harness::{Service, Stream, chained};

/// A site that folds its stream as `docs/feed.md` says.
pub(super) struct Site {
    pub(super) plan: Plan,
    pub(super) stream: Option<Stream>,
    pub(super) cursor: String,
    pub(super) last: u64,
    pub(super) parts: Vec<v1::Delivery>,
    pub(super) live: BTreeMap<Key, Seen>,
    pub(super) embargoes: BTreeMap<Key, String>,
    pub(super) incoming: (BTreeMap<Key, Seen>, BTreeMap<Key, String>),
    /// For a start NOW: how often had been told what, when it started.
    pub(super) told: BTreeMap<Key, (u64, u64)>,
    pub(super) events: Vec<v1::Event>,
}

impl Site {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            stream: None,
            cursor: String::new(),
            last: 0,
            parts: Vec::new(),
            live: BTreeMap::new(),
            embargoes: BTreeMap::new(),
            incoming: Default::default(),
            told: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Reads up to so many messages, but none after the mark. Nothing is waited for that does not come.
    pub(super) async fn read(&mut self, service: &Service, model: &Model, mark: u32, most: usize) {
        let (first, joins) = (self.cursor.is_empty(), self.stream.is_none());
        if joins {
            let request = v1::SubscribeRequest {
                start: if first { self.plan.start } else { v1::Start::Cursor }.into(),
                cursor: self.cursor.clone(),
                filter: Some(self.plan.wanted.filter()),
                include_embargoed: self.plan.include_embargoed,
                heartbeat_interval: None,
                subscription: String::new(),
                content_view: v1::ContentView::Canonical.into(),
            };
            self.parts.clear();
            self.incoming = Default::default();
            self.stream = Some(service.person("site").follow(request).await.unwrap());
        }
        for _ in 0..most {
            let message = self.stream.as_mut().unwrap().next().await;
            match message {
                Message::Opened(opened) => {
                    assert_eq!(opened.resumed, !first);
                    if !opened.cursor.is_empty() {
                        self.cursor = opened.cursor;
                    }
                    if first && self.plan.start == v1::Start::Now {
                        let told = |(key, slots): (&Key, &Slots)| (*key, (slots.told, slots.told_holders));
                        self.told = model.slots.iter().map(told).collect();
                        return;
                    }
                }
                Message::Snapshot(mut part) => {
                    verify::snapshot(&mut part).unwrap();
                    for live in &part.live {
                        if let Some(key) = key(&live.statement, &live.language_code) {
                            assert_eq!(self.incoming.0.insert(key, Seen::of(live)), None);
                        }
                    }
                    for embargo in part.embargoes {
                        let title = embargo.content.unwrap().title;
                        let key = key(&embargo.statement, &embargo.language_code).unwrap();
                        assert_eq!(self.incoming.1.insert(key, title), None);
                    }
                }
                Message::SnapshotEnd(end) => {
                    (self.live, self.embargoes) = std::mem::take(&mut self.incoming);
                    self.cursor = end.cursor;
                    // It began after the mark if it began now.
                    if joins {
                        return;
                    }
                }
                Message::EventBatch(mut batch) => {
                    batch.deliveries.iter_mut().for_each(|delivery| verify::delivery(delivery).unwrap());
                    assert!(!batch.deliveries.is_empty());
                    self.parts.extend(batch.deliveries);
                    if batch.more {
                        assert_eq!(batch.cursor, "");
                        continue;
                    }
                    self.cursor = batch.cursor;
                    let mut marked = false;
                    for delivery in std::mem::take(&mut self.parts) {
                        marked |= self.apply(delivery, mark);
                    }
                    if marked {
                        return;
                    }
                }
                Message::Heartbeat(beat) => self.cursor = beat.cursor,
                Message::Closing(closing) => panic!("{closing:?}"),
            }
        }
    }

    /// Folds a delivery; whether it is the mark.
    pub(super) fn apply(&mut self, delivery: v1::Delivery, mark: u32) -> bool {
        let filter_change = delivery.filter_change();
        let event = delivery.event.unwrap();
        assert!(event.sequence > self.last, "{} after {}", event.sequence, self.last);
        self.last = event.sequence;
        self.events.push(event.clone());
        let Some(key) = key(&event.statement, &event.language_code) else {
            return event.live.as_ref().is_some_and(|live| live.edition.as_ref().unwrap().number == mark);
        };
        let held_before = self.live.contains_key(&key);
        match (event.r#type(), filter_change) {
            (event::Type::Embargoed | event::Type::EmbargoCancelled, _) if !self.plan.include_embargoed => {
                panic!("no clearance was asked for: {event:?}")
            }
            (event::Type::Embargoed, FilterChange::Entered | FilterChange::Stayed) => {
                let title = event.embargo.as_ref().unwrap().content.as_ref().unwrap().title.clone();
                self.embargoes.insert(key, title);
            }
            (event::Type::Embargoed | event::Type::EmbargoCancelled, _) => drop(self.embargoes.remove(&key)),
            (_, FilterChange::Left) => {
                assert_eq!(event.live, None, "what left has no text");
                self.live.remove(&key);
            }
            (_, FilterChange::Entered | FilterChange::Stayed) => {
                assert!(filter_change == FilterChange::Stayed || !held_before, "entered, and was there: {event:?}");
                let seen = Seen::of(event.live.as_ref().unwrap());
                // What is gone now shows nothing of what it was before.
                let gone = matches!(seen.state, live::State::Gone | live::State::Redirected);
                let complete = self.plan.start != v1::Start::Now && !gone;
                assert!(
                    filter_change == FilterChange::Entered || held_before || !complete,
                    "within, and was not there: {event:?}"
                );
                self.live.insert(key, seen);
            }
            (_, FilterChange::Unspecified) => panic!("no filter_change: {event:?}"),
        }
        // Whoever is told of an erasure deletes every copy.
        if event.embargo_lifted || event.r#type() == event::Type::Expunged {
            self.embargoes.remove(&key);
        }
        false
    }

    pub(super) fn check(&self, model: &Model) {
        let (mut live, mut embargoes) = (model.live(&self.plan.wanted), model.embargoes(&self.plan.wanted));
        if !self.plan.include_embargoed {
            embargoes.clear();
        }
        if self.plan.start == v1::Start::Now {
            let told = |key: &Key| self.told.get(key).copied().unwrap_or_default();
            live.retain(|key, _| model.slots[key].told > told(key).0);
            embargoes.retain(|key, _| model.slots[key].told_holders > told(key).1);
        }
        assert_eq!(self.live, live, "live, folded and filtered: {:?}", self.plan);
        assert_eq!(self.embargoes, embargoes, "under embargo, folded and filtered: {:?}", self.plan);
    }

    /// Everything there is, without a gap, and chained.
    pub(super) fn check_chain(&self) {
        let mut previous = "0".repeat(64);
        for (place, event) in (1..).zip(&self.events) {
            assert_eq!(event.sequence, place);
            assert_eq!(event.previous_hash, previous);
            assert_eq!(event.hash, chained(&previous, &event.seal));
            previous.clone_from(&event.hash);
        }
    }
}

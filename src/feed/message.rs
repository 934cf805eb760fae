//! What a subscriber is sent.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        content::Content,
        draft::Release,
        id::{Code, LanguageTag, StatementId},
        live::Live,
        time::Timestamp,
    },
    journal::EventRecord,
};

/// An event with its words, as all subscribers share it.
#[derive(Debug)]
pub struct Item {
    /// The event.
    pub record: EventRecord,
    /// The words of its `live` or `embargo`, where they may be read.
    pub content: Option<Content>,
    /// About how much it weighs on the wire, in bytes.
    pub weight: usize,
}

/// How an event stands to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It did not match before and does now.
    Entered,
    /// It matched before and does now.
    Within,
    /// It matched before and no longer does.
    Left,
}

/// An event as it concerns one subscriber.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// How it stands to the filter.
    pub scope: Scope,
    /// The event.
    pub item: Arc<Item>,
}

/// What is live, in a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotLive {
    /// Which statement.
    pub statement: StatementId,
    /// What sort.
    pub kind: Code,
    /// In which language.
    pub language: LanguageTag,
    /// How it stands.
    pub live: Live,
    /// The words, where they may be read.
    pub content: Option<Content>,
}

/// What is under embargo, in a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotEmbargo {
    /// Which statement.
    pub statement: StatementId,
    /// What sort.
    pub kind: Code,
    /// In which language.
    pub language: LanguageTag,
    /// What waits.
    pub release: Release,
    /// The words.
    pub content: Option<Content>,
}

/// A message of a subscription.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is described once, in proto/onrecord/v1/feed_service.proto")]
pub enum Message {
    Opened {
        feed_id: String,
        epoch: u32,
        tail: u64,
        start_sequence: u64,
        resumed: bool,
        earliest_sequence: u64,
        cursor: String,
    },
    Snapshot {
        live: Vec<SnapshotLive>,
        embargoes: Vec<SnapshotEmbargo>,
    },
    SnapshotEnd {
        cursor: String,
        item_count: u64,
    },
    Batch {
        deliveries: Vec<Delivery>,
        cursor: String,
        tail: u64,
        more: bool,
    },
    Heartbeat {
        cursor: String,
        tail: u64,
        server_time: Timestamp,
    },
    Closing {
        reason: ClosingReason,
        cursor: String,
        reconnect_after: Duration,
    },
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosingReason {
    /// It reached its lifetime.
    Lifetime,
    /// The service stops.
    Drain,
    /// The subscriber took nothing for too long.
    Stalled,
    /// The next event is no longer there.
    Trimmed,
    /// The caller lost the right to follow.
    AccessRevoked,
    /// The store cannot be read.
    StoreFailed,
}

/// One page of the feed.
#[derive(Clone, Debug)]
pub struct Page {
    /// What the filter admits of it.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins.
    pub cursor: String,
    /// The sequence that the next event will take.
    pub tail: u64,
}

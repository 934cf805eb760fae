//! Stub of signatures.
#![allow(missing_docs, clippy::all, clippy::pedantic, unused)]
use std::{sync::Arc, time::Duration};
use tokio_stream::wrappers::ReceiverStream;
use crate::{journal::{Journal, JournalError, EventRecord}, domain::{content::{Content, Facts}, digest::Digest, id::{Code, LanguageTag, Region, StatementId}, live::Live, draft::Release, time::Timestamp}};

/// Which statements: any of the values inside a field, all of the fields; an empty field admits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter { pub kinds: Vec<Code>, pub topics: Vec<Code>, pub languages: Vec<LanguageTag>, pub regions: Vec<Region>, pub audiences: Vec<Code>, pub channels: Vec<Code>, pub statements: Vec<StatementId> }
impl Filter {
    pub fn admits(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool { unreachable!() }
}
#[derive(Clone, Debug)]
pub enum Start { Snapshot, Cursor(String), Beginning, Now }
#[derive(Clone, Debug)]
pub struct Subscription { pub start: Start, pub filter: Filter, pub include_embargoed: bool, pub heartbeat: Duration }
/// Why a subscription is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedRefusal {
    #[error("the cursor is not one of this service: {0}")] CursorInvalid(&'static str),
    #[error("the events after this cursor are no longer there (the earliest is {earliest}): take a new snapshot")] CursorTrimmed { earliest: u64 },
    #[error("this cursor's history is not the history of this feed: take a new snapshot, and raise an alarm")] CursorDiverged,
    #[error("this replica has not reached the cursor yet: wait and try again")] ReplicaBehind,
    #[error("the cursor belongs to another filter: take a new snapshot")] FilterChanged,
    #[error("the service is stopping")] Draining,
    #[error(transparent)] Journal(#[from] JournalError),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope { Entered, Within, Left }
/// An event with its text, as the window holds it.
#[derive(Clone, Debug)]
pub struct Item { pub record: EventRecord, /** the words of `live` or `embargo`, if they may be sent */ pub content: Option<Content> }
#[derive(Clone, Debug)]
pub struct Delivery { pub scope: Scope, pub item: Arc<Item> }
#[derive(Clone, Debug)]
pub enum Message {
    Opened { feed_id: String, epoch: u32, tail: u64, start_sequence: u64, resumed: bool, earliest_sequence: u64 },
    Snapshot { live: Vec<(StatementId, Code, LanguageTag, Live, Option<Content>)>, embargoes: Vec<(StatementId, Code, LanguageTag, Release, Option<Content>)> },
    SnapshotEnd { cursor: String, item_count: u64 },
    Batch { deliveries: Vec<Delivery>, cursor: String, tail: u64, more: bool },
    Heartbeat { cursor: String, tail: u64, server_time: Timestamp },
    Closing { reason: ClosingReason, cursor: String, reconnect_after: Duration },
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosingReason { Lifetime, Drain, Stalled, Trimmed, AccessRevoked, StoreFailed }
#[derive(Clone, Debug)]
pub struct Page { pub deliveries: Vec<Delivery>, pub cursor: String, pub tail: u64 }
#[derive(Clone, Debug)]
pub struct Feed { }
impl Feed {
    pub async fn subscribe(&self, subscription: Subscription) -> Result<ReceiverStream<Message>, FeedRefusal> { unreachable!() }
    pub async fn read(&self, start: Start, filter: Filter, include_embargoed: bool, max_events: usize) -> Result<Page, FeedRefusal> { unreachable!() }
}

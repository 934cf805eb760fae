//! What a subscriber asks for, and what it is sent.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{item::Delivery, snapshot::Part};
use crate::{
    domain::{
        draft::Release,
        filter::Filter,
        id::{Code, LanguageTag, StatementId, SubscriptionId},
        live::Live,
        mandate::Mandate,
        time::Timestamp,
    },
    journal::{EventRecord, Form, Text},
};

/// Where to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The state now, then what follows.
    Snapshot,
    /// After what the cursor has seen.
    Cursor(String),
    /// The first event that may be replayed.
    Beginning,
    /// The next event.
    Now,
    /// After what was applied under the name; the state now, if nothing was. Of an unnamed stream, refused.
    Applied,
}

/// The right to follow: of what, and how long.
#[derive(Clone)]
pub struct Right {
    /// Of what.
    pub mandate: Arc<Mandate>,
    /// When it ends by itself, if it does.
    pub ends: Option<Ends>,
    /// What it rests on, which is kept as long as the stream.
    pub ground: Arc<dyn Ground>,
}

/// The end of a right, by both clocks: it ends when the first of them says so. Timers stand still while the machine is suspended, and the wall
/// clock may be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// By the service's clock.
    pub time: Timestamp,
    /// By the timers of the process.
    pub timer: Instant,
}

impl Ends {
    /// The end of a right that ends at `time` by a clock whose latest reading is `latest`.
    #[must_use]
    pub fn at(time: Timestamp, latest: Timestamp) -> Self {
        let left = u64::try_from(time.micros_since(latest)).unwrap_or_default();
        Self { time, timer: Instant::now() + Duration::from_micros(left) }
    }
}

/// What a right rests on.
pub trait Ground: Send + Sync {
    /// Whether it holds. Asked again after [`Feed::review`](super::Feed::review); must not block.
    fn holds(&self) -> bool;

    /// It does not any more, and the stream is about to end.
    fn lost(&self);
}

/// What never gives way.
struct Solid;

impl Ground for Solid {
    fn holds(&self) -> bool {
        true
    }

    fn lost(&self) {}
}

impl Right {
    /// To everything, for ever.
    #[must_use]
    pub fn to_everything() -> Self {
        Self { mandate: Mandate::of_everybody(), ends: None, ground: Arc::new(Solid) }
    }
}

impl fmt::Debug for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Right").field("mandate", &self.mandate).field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// What a subscriber wants.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// Where to start.
    pub start: Start,
    /// Which statements.
    pub wanted: Wanted,
    /// How texts are sent.
    pub form: Form,
    /// How long the stream may be quiet before a heartbeat, give or take 10 %.
    pub heartbeat: Duration,
    /// What it may have.
    pub right: Right,
}

/// Which statements a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those that a filter admits.
    These {
        /// Which.
        filter: Filter,
        /// Also texts under embargo.
        include_embargoed: bool,
    },
    /// What a named subscription says; whoever followed under this name ends.
    Named(SubscriptionId),
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
    pub text: Option<Text>,
    /// The event that made it so, where its seal is sent.
    pub event: Option<EventRecord>,
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
    /// The words, where they may be read.
    pub text: Option<Text>,
    /// The event that made it so, where its seal is sent.
    pub event: Option<EventRecord>,
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
        /// 0 without a name.
        generation: u64,
    },
    Snapshot(Arc<Part>),
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
        next: u64,
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
    /// The subscriber took nothing for too long. Never sent by the feed: who takes nothing cannot be told.
    Stalled,
    /// The subscriber's next event may no longer be replayed.
    Trimmed,
    /// The right to follow ended, or is another one: begin anew with what may be had now.
    AccessRevoked,
    /// The store cannot be read.
    StoreFailed,
    /// Somebody else follows under this name, or it stands for something else by now.
    Superseded,
}

/// One page of the feed.
#[derive(Clone, Debug)]
pub struct Page {
    /// What the filter leaves of it.
    pub deliveries: Vec<Delivery>,
    /// Where the next page goes on.
    pub cursor: String,
    /// The sequence that the next event will take.
    pub tail: u64,
}

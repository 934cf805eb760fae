//! The feed: every publication, correction and withdrawal, in order, with nothing lost, to whoever subscribes.
//!
//! **Invariants**
//! - A subscriber is a position and a filter. It has no queue: recent events come from one shared window, older ones from
//!   the journal, in one loop.
//! - What is sent is durable, and a read on this node shows it.
//! - Folding a filtered stream gives the filtered state.

mod batch;
mod cursor;
mod filter;
mod follow;
mod jitter;
mod message;
mod scope;
mod snapshot;
mod window;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

pub use filter::Filter;
pub use message::{ClosingReason, Delivery, Item, Message, Page, Scope, SnapshotEmbargo, SnapshotLive};

use crate::journal::{Journal, JournalError};
use cursor::{Cursor, Fingerprint};
use follow::Follower;
use window::Window;

/// Bytes of recent events that are kept ready unless the options say otherwise.
const WINDOW_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// How long a cursor ahead of this node is waited for.
const BEHIND_WAIT: Duration = Duration::from_secs(3);
/// Reads of older events at a time, over all subscribers.
const COLD_READS_MAX: usize = 8;
/// Snapshots under way at a time.
const SNAPSHOTS_MAX: usize = 4;
/// Events that one call of [`Feed::read`] looks at, at most.
const READ_EVENTS_MAX: u64 = 10_000;
/// Events in one page of the journal.
const PAGE_EVENTS: usize = 64;

/// How the feed is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of recent events that are kept ready.
    pub window_bytes_max: usize,
    /// How many events a subscriber may replay; none means all. An older cursor is TRIMMED.
    pub replay_events_max: Option<u64>,
    /// How long a stream lives, give or take 20 %.
    pub lifetime: Duration,
    /// How long a subscriber may take nothing while there is something to take.
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_bytes_max: WINDOW_BYTES_DEFAULT,
            replay_events_max: None,
            lifetime: Duration::from_mins(30),
            stall: Duration::from_mins(1),
        }
    }
}

/// Where to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The state now, then what follows.
    Snapshot,
    /// After what the cursor has seen.
    Cursor(String),
    /// The first event that is still there.
    Beginning,
    /// The next event.
    Now,
}

/// What a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Where to start.
    pub start: Start,
    /// Which statements.
    pub filter: Filter,
    /// Also texts under embargo.
    pub include_embargoed: bool,
    /// How long the stream may be quiet, give or take 10 %.
    pub heartbeat: Duration,
}

/// Why a subscription is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedRefusal {
    /// Not a cursor.
    #[error("the cursor is not one of this service: {0}")]
    CursorInvalid(&'static str),
    /// Its events are gone.
    #[error("the events after this cursor are no longer there (the earliest is {earliest}): take a new snapshot")]
    CursorTrimmed {
        /// The oldest sequence that is still there.
        earliest: u64,
    },
    /// Its history is not ours.
    #[error("this cursor's history is not the history of this feed: take a new snapshot, and raise an alarm")]
    CursorDiverged,
    /// It is ahead of us.
    #[error("this replica has not reached the cursor yet: wait and try again")]
    ReplicaBehind,
    /// It belongs to another filter.
    #[error("the cursor belongs to another filter: take a new snapshot")]
    FilterChanged,
    /// No new streams.
    #[error("the service is stopping: connect again, elsewhere if you can")]
    Draining,
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A handle on the feed; clone it freely.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

/// What all subscribers share.
#[derive(Debug)]
struct Shared {
    journal: Journal,
    options: Options,
    window: Window,
    drain: CancellationToken,
    cold_reads: Semaphore,
    snapshots: Semaphore,
}

impl Shared {
    /// The oldest sequence that may be replayed.
    fn earliest(&self, tail: u64) -> u64 {
        self.options.replay_events_max.map_or(1, |most| tail.saturating_sub(most).max(1))
    }

    /// The items from `next` on, up to a page; from the window if it has them.
    async fn page(&self, next: u64) -> Result<Vec<Arc<Item>>, JournalError> {
        if let Some(items) = self.window.page(next, PAGE_EVENTS) {
            return Ok(items);
        }
        let _turn = self.cold_reads.acquire().await;
        self.journal.read(move |view| window::load(view, next, PAGE_EVENTS)).await
    }

    async fn cursor_at(&self, next: u64, fingerprint: Fingerprint) -> Result<Cursor, JournalError> {
        let hash = self.journal.read(move |view| view.hash_before(next)).await?;
        let hash = hash.ok_or_else(|| JournalError::Damaged(format!("event {} is missing", next - 1)))?;
        Ok(Cursor::new(self.journal.identity(), next, hash, fingerprint))
    }
}

impl Feed {
    /// Starts the feed of a journal. Its one task ends when `drain` is cancelled.
    #[must_use]
    pub fn start(journal: Journal, options: Options, drain: CancellationToken) -> Self {
        let window = Window::new(*journal.tail().borrow(), options.window_bytes_max);
        let shared = Arc::new(Shared {
            journal,
            options,
            window,
            drain,
            cold_reads: Semaphore::new(COLD_READS_MAX),
            snapshots: Semaphore::new(SNAPSHOTS_MAX),
        });
        tokio::spawn(window::fill(Arc::clone(&shared)));
        Self { shared }
    }

    /// Follows the feed. The first message is [`Message::Opened`]; the last, unless the subscriber leaves or stalls,
    /// [`Message::Closing`].
    ///
    /// # Errors
    /// If the cursor cannot be resumed, or the service is stopping.
    pub async fn subscribe(&self, subscription: Subscription) -> Result<ReceiverStream<Message>, FeedRefusal> {
        if self.shared.drain.is_cancelled() {
            return Err(FeedRefusal::Draining);
        }
        let fingerprint = Fingerprint::of(&subscription.filter, subscription.include_embargoed);
        let cursor = self.resolve(&subscription.start, fingerprint).await?;
        let (messages, stream) = mpsc::channel(1);
        let follower = Follower::new(Arc::clone(&self.shared), subscription, cursor, messages);
        tokio::spawn(follower.run());
        Ok(ReceiverStream::new(stream))
    }

    /// One page of the feed: whole commits, until `max_events` or about 1 MiB.
    ///
    /// # Errors
    /// As [`Feed::subscribe`].
    pub async fn read(
        &self,
        start: Start,
        filter: Filter,
        include_embargoed: bool,
        max_events: usize,
    ) -> Result<Page, FeedRefusal> {
        let fingerprint = Fingerprint::of(&filter, include_embargoed);
        let mut cursor = self.resolve(&start, fingerprint).await?;
        let (first, tail) = (cursor.next(), self.tail().await);
        let mut page = batch::Page::default();
        while cursor.next() < tail && cursor.next() - first < READ_EVENTS_MAX && !page.is_full(max_events) {
            for item in self.shared.page(cursor.next()).await? {
                cursor = cursor.after(&item.record);
                page.push(scope::deliver(&filter, include_embargoed, &item));
                if !item.record.event.head.more && page.is_full(max_events) {
                    break;
                }
            }
        }
        Ok(Page { deliveries: page.deliveries, cursor: cursor.encode(), tail })
    }

    /// Where the feed is now: a caller that was answered finds what it wrote below this, though the window fills a moment later.
    async fn tail(&self) -> u64 {
        let now = *self.shared.journal.tail().borrow();
        let mut window = self.shared.window.subscribe();
        // It fails only when the service stops, and then nothing comes after.
        let reached = timeout(BEHIND_WAIT, window.wait_for(|tail| now <= *tail)).await;
        reached.ok().and_then(Result::ok).map_or_else(|| self.shared.window.tail(), |tail| *tail)
    }

    /// The position that a start means.
    async fn resolve(&self, start: &Start, fingerprint: Fingerprint) -> Result<Cursor, FeedRefusal> {
        let tail = self.tail().await;
        let next = match start {
            Start::Snapshot | Start::Now => tail,
            Start::Beginning => self.shared.earliest(tail),
            Start::Cursor(text) => return self.resume(text, fingerprint).await,
        };
        Ok(self.shared.cursor_at(next, fingerprint).await?)
    }

    /// Whether a cursor can be resumed: its history has to be a prefix of ours.
    async fn resume(&self, text: &str, fingerprint: Fingerprint) -> Result<Cursor, FeedRefusal> {
        let cursor = Cursor::decode(text).map_err(FeedRefusal::CursorInvalid)?;
        let identity = self.shared.journal.identity();
        if !cursor.is_of(identity.feed_id) {
            return Err(diverged("another feed"));
        }
        if !cursor.has(fingerprint) {
            return Err(FeedRefusal::FilterChanged);
        }
        let mut tail = self.shared.window.subscribe();
        if cursor.next() > *tail.borrow() {
            if cursor.epoch() < identity.epoch {
                return Err(diverged("it is ahead of a feed that was restored"));
            }
            let reached = timeout(BEHIND_WAIT, tail.wait_for(|tail| cursor.next() <= *tail)).await;
            if !matches!(reached, Ok(Ok(_))) {
                return Err(FeedRefusal::ReplicaBehind);
            }
        }
        let earliest = self.shared.earliest(self.shared.window.tail());
        if cursor.next() < earliest {
            return Err(FeedRefusal::CursorTrimmed { earliest });
        }
        let ours = self.shared.cursor_at(cursor.next(), fingerprint).await?;
        if cursor.same_history(&ours) { Ok(ours) } else { Err(diverged("the hash of its prefix differs")) }
    }
}

/// Somebody has to look: a subscriber has seen a history that this feed does not have.
fn diverged(why: &'static str) -> FeedRefusal {
    tracing::error!(why, "a cursor's history is not the history of this feed");
    FeedRefusal::CursorDiverged
}

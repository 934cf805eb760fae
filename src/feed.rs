//! The feed: every publication, correction and withdrawal, in order, with nothing lost, to whoever subscribes.
//!
//! ```text
//! sequence   1 … floor … … … … window start … … … … window tail        journal tail
//!            └ TRIMMED ┘└ paged from the journal ┘└ shared in memory ┘└ being taken in ┘
//! ```
//!
//! The floor is the first sequence that may be replayed (inclusive), the window holds `[start, tail)`, and a tail is exclusive:
//! whoever stands at the tail has seen everything. A sequence below the window tail is durable, and a read on this node shows it.
//!
//! **Invariants**
//! - A subscriber is a position and a filter. It has no queue: recent events come from one shared window, older ones from the
//!   journal, in one loop (`follow`).
//! - The window tail stands only between commits (`window`: `the_tail_stands_only_after_whole_commits`), so nobody is ever told
//!   half of one: what starts, resumes or snapshots does so between commits.
//! - All that a filter leaves of a commit goes in one message, or in parts of which only the last has a cursor (`batch`:
//!   `every_commit_arrives_whole_and_in_order`).
//! - A cursor resumes only on the history it was made from (`start`: `a_cursor_is_judged_in_order`).
//! - Folding a filtered stream gives the filtered state (`selection`: `an_event_is_scoped_by_what_filters_saw_before_and_after`).
//!
//! Nothing here knows of gRPC, of sled or of who calls: whoever calls [`Feed::subscribe`] was authorised before, and brings a [`Right`].

mod batch;
mod cold;
mod cursor;
mod follow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod groups;
mod item;
mod ledger;
mod message;
mod once;
mod outbox;
mod page;
mod refusal;
mod selection;
mod snapshot;
mod standing;
mod start;
mod window;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use item::fixture;
pub use item::{Delivery, Encoder, Item};
pub use message::{
    ClosingReason, Ends, Ground, Message, Page, Right, SnapshotEmbargo, SnapshotLive, Start, StreamRequest, Wanted,
};
pub use outbox::Messages;
pub use refusal::FeedRefusal;
pub use selection::FilterChange;
pub use snapshot::Part;
pub use standing::{Occupancy, Outcome, Standing, StandingState, Target, Told};

use crate::{
    domain::{filter::Filter, mandate::Mandate, subscription::Point},
    journal::{Form, Journal, JournalError},
};
use cold::Cold;
use cursor::Cursor;
use follow::Follower;
use item::{Room, Weighed};
use ledger::{Hold, Ledger};
use selection::{Fingerprint, Selection};
use snapshot::Parts;
use window::Window;

/// Bytes of recent events that are kept in memory unless the options say otherwise: 64 MiB.
const WINDOW_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// How long a stream lives unless the options say otherwise: 30 min.
const LIFETIME_DEFAULT: Duration = Duration::from_mins(30);
/// How long a subscriber may take nothing unless the options say otherwise.
const STALL_DEFAULT: Duration = Duration::from_mins(1);
/// How long a cursor ahead of this node is waited for unless the options say otherwise.
const BEHIND_WAIT_DEFAULT: Duration = Duration::from_secs(3);
/// Streams that may be open unless the options say otherwise: a quiet one takes 25 KiB, with TLS 39 KiB.
pub const STREAMS_MAX_DEFAULT: usize = 20_000;
/// Snapshots that may be under way unless the options say otherwise.
pub const SNAPSHOTS_MAX_DEFAULT: usize = 256;
/// Reads of events older than the window at a time, over all subscribers.
const COLD_READS_MAX: usize = 8;
/// Reads for snapshots at a time, over all subscribers.
const SNAPSHOT_READS_MAX: usize = 4;
/// KiB that events and parts of snapshots may take which are not in the window: cached, or on their way to subscribers. 64 MiB.
const ROOM_KIB: u32 = 64 * 1024;
/// KiB of one read, at most: [`ITEMS_BYTES`] and one event more.
const READ_KIB_MAX: u32 = 2 * 1024;
/// Events that a follower looks at in one go.
const ITEMS_MAX: u64 = 64;
/// Bytes after which it looks at no more in one go.
const ITEMS_BYTES: usize = 1024 * 1024;

/// How the feed is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of recent events that are kept in memory, about; 64 MiB by default.
    pub window_bytes_max: usize,
    /// How many events before the tail may be replayed; none, the default, means all. An older cursor is refused as trimmed and
    /// a subscriber that falls behind this far is closed, so it should be well above the events of the largest commit.
    pub replay_events_max: Option<u64>,
    /// How long a stream lives, give or take 20 %; 30 min by default.
    pub lifetime: Duration,
    /// How long a subscriber, or any caller, may take next to nothing while there is something to take; 60 s by default.
    pub stall: Duration,
    /// How long a cursor ahead of this node is waited for; 3 s by default.
    pub behind_wait: Duration,
    /// Streams that may be open; 20,000 by default.
    pub streams_max: usize,
    /// Snapshots that may be under way; 256 by default. Those who resume are not counted, so that a crowd of newcomers cannot hurt them.
    pub snapshots_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_bytes_max: WINDOW_BYTES_DEFAULT,
            replay_events_max: None,
            lifetime: LIFETIME_DEFAULT,
            stall: STALL_DEFAULT,
            behind_wait: BEHIND_WAIT_DEFAULT,
            streams_max: STREAMS_MAX_DEFAULT,
            snapshots_max: SNAPSHOTS_MAX_DEFAULT,
        }
    }
}

/// A handle on the feed; clone it freely.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    /// Starts the feed of a journal. Every stream ends once `drain` is cancelled, and the last of its tasks with [`Feed::end`]. Does not block, and
    /// needs a tokio runtime around it.
    #[must_use]
    pub fn start(journal: Journal, options: Options, encoder: Encoder, drain: CancellationToken) -> Self {
        let tail = *journal.tail().borrow();
        let shared = Arc::new(Shared {
            window: Window::new(tail, options.window_bytes_max),
            streams: Arc::new(Semaphore::new(options.streams_max)),
            leaving: OnceLock::new(),
            snapshots: Arc::new(Semaphore::new(options.snapshots_max)),
            journal,
            options,
            encoder,
            drain,
            ended: CancellationToken::new(),
            cold: Cold::default(),
            snapshot_parts: Parts::default(),
            cold_reads: Semaphore::new(COLD_READS_MAX),
            snapshot_reads: Semaphore::new(SNAPSHOT_READS_MAX),
            room: Arc::new(Semaphore::new(usize::try_from(ROOM_KIB).unwrap_or(usize::MAX))),
            ledger: Ledger::default(),
        });
        tokio::spawn(window::fill(Arc::clone(&shared)));
        tokio::spawn(window::wake(Arc::clone(&shared)));
        tokio::spawn(review_after_moves(Arc::clone(&shared)));
        tokio::spawn(ledger::note(Arc::clone(&shared)));
        Self { shared }
    }

    /// Follows the feed. The first message is [`Message::Opened`]; the last [`Message::Closing`], unless the subscriber leaves.
    /// Dropping the stream ends the subscription: of a subscriber that takes nothing for [`Options::stall`], the server does.
    ///
    /// # Errors
    /// If there are too many streams or snapshots, there is no such subscription, the cursor cannot be resumed, the store cannot be read, or the service is stopping. A cursor ahead of this node is
    /// waited for, for up to [`Options::behind_wait`].
    pub async fn subscribe(&self, request: StreamRequest) -> Result<Messages, FeedRefusal> {
        loop {
            if let Some(messages) = self.try_subscribe(&request).await? {
                return Ok(messages);
            }
        }
    }

    /// The same; nothing if the subscription was changed in between.
    async fn try_subscribe(&self, request: &StreamRequest) -> Result<Option<Messages>, FeedRefusal> {
        let StreamRequest { start, wanted, form, heartbeat, right } = request;
        let (mut start, heartbeat, shared) = (start.clone(), *heartbeat, Arc::clone(&self.shared));
        let (selection, named) = match wanted {
            Wanted::These { filter, include_embargoed } => {
                (Selection::new(filter.clone(), *include_embargoed).within(&right.mandate), None)
            }
            Wanted::Named(id) => {
                let named = shared.subscription(id.clone()).await?;
                (standing::selection(&named).within(&right.mandate), Some(named))
            }
        };
        let selection = selection.in_form(*form);
        let mandate = Fingerprint::of_mandate(&right.mandate);
        if let (Start::Applied, Some(named)) = (&start, &named) {
            let applied = shared.applied(named, mandate).await?;
            start = applied.map_or(Start::Snapshot, |cursor| Start::Cursor(cursor.encode()));
        }
        let admission = shared.admit(&start, right.clone())?;
        let origin = start::resolve(&shared, &start, &selection).await?;
        let mut hold = None;
        if let Some(named) = &named {
            hold = Some(Box::new(Hold::take(Arc::clone(&shared), named, mandate).await?));
            // From here on whoever changes it ends this stream; what was changed before is seen now.
            if shared.subscription(named.id.clone()).await?.version != named.version {
                return Ok(None);
            }
        }
        let follow =
            |outbox| Box::new(Follower::new(shared, admission, selection, origin, hold, heartbeat, outbox)).run();
        Ok(Some(Messages::of(follow)))
    }

    /// The connections have ended, so nobody can acknowledge anything more: until then who is told that the service stops may say how far it
    /// got. Returns once what was said is on the device, or cannot be.
    pub async fn end(&self) {
        self.shared.ended.cancel();
        self.shared.ledger.ended().await;
    }

    /// Has every stream see whether its right still holds; those whose does not end at once. Does not block.
    pub fn review(&self) {
        self.shared.window.review();
    }

    /// One page of the feed: whole commits, until the next one would make it more than `max_events` (1 to 1,000) or about
    /// 1 MiB. One commit that is itself larger comes whole if it has at most 1,000 events and 1 MiB, and otherwise goes on in the
    /// next page. Looks at no more than about 10,000 events, so a page may be empty before the tail is reached.
    ///
    /// # Errors
    /// As [`Feed::subscribe`]; and [`Start::Snapshot`], which is for streams, is refused as an invalid cursor,
    /// and so is [`Start::Applied`].
    pub async fn read(
        &self,
        start: Start,
        filter: Filter,
        include_embargoed: bool,
        form: Form,
        mandate: &Arc<Mandate>,
        max_events: usize,
    ) -> Result<Page, FeedRefusal> {
        if matches!(start, Start::Snapshot | Start::Applied) {
            return Err(FeedRefusal::CursorInvalid("a page of the feed starts with a cursor, the beginning or now"));
        }
        let selection = Selection::new(filter, include_embargoed).in_form(form).within(mandate);
        let origin = start::resolve(&self.shared, &start, &selection).await?;
        page::read(&self.shared, &selection, origin.point, max_events).await
    }
}

/// What all subscribers share.
#[derive(Debug)]
struct Shared {
    journal: Journal,
    options: Options,
    encoder: Encoder,
    window: Window,
    drain: CancellationToken,
    /// Nobody can say anything more.
    ended: CancellationToken,
    cold: Cold,
    cold_reads: Semaphore,
    snapshot_parts: Parts,
    snapshot_reads: Semaphore,
    /// For what is read of the past, a permit a KiB.
    room: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// How many there were when the first of them was told to go with all others.
    leaving: OnceLock<u64>,
    snapshots: Arc<Semaphore>,
    ledger: Ledger,
}

/// The right to follow, a place among those who do, and until the snapshot is sent one among those who are sent one.
#[derive(Debug)]
struct Admission {
    right: Right,
    _stream: OwnedSemaphorePermit,
    snapshot: Option<OwnedSemaphorePermit>,
}

impl Shared {
    /// How many streams go together: there are fewer as each goes.
    fn leaving(&self) -> u64 {
        *self.leaving.get_or_init(|| self.occupancy().streams)
    }

    fn admit(&self, start: &Start, right: Right) -> Result<Admission, FeedRefusal> {
        let Options { streams_max, snapshots_max, .. } = self.options;
        let place = |among: &Arc<Semaphore>| Arc::clone(among).try_acquire_owned();
        let stream = place(&self.streams).map_err(|_| FeedRefusal::TooManyStreams { most: streams_max })?;
        let snapshot = match start {
            Start::Snapshot => {
                Some(place(&self.snapshots).map_err(|_| FeedRefusal::TooManySnapshots { most: snapshots_max })?)
            }
            Start::Cursor(_) | Start::Applied | Start::Beginning | Start::Now => None,
        };
        Ok(Admission { right, _stream: stream, snapshot })
    }

    /// The first sequence that may be replayed.
    fn floor(&self, tail: u64) -> u64 {
        self.options.replay_events_max.map_or(1, |most| tail.saturating_sub(most).max(1))
    }

    /// At least one of the events from `next` on, below `tail`: from the window if it has them, else from the journal. `next`
    /// must be below `tail`, and `tail` at most the window's.
    async fn items(self: &Arc<Self>, next: u64, tail: u64) -> Result<Vec<Weighed>, JournalError> {
        let limit = usize::try_from(ITEMS_MAX.min(tail.saturating_sub(next))).unwrap_or(1);
        if let Some(items) = self.window.items(next, limit, ITEMS_BYTES) {
            return Ok(items);
        }
        // Apart, so that those who follow live do not have the room for it.
        Box::pin(self.cold_items(next, tail, limit)).await
    }

    /// Room for one read. Waits for it: what is only cached makes room at once, what is on its way to a subscriber once it has left, or the
    /// subscriber has stalled for too long.
    async fn room(&self) -> Result<OwnedSemaphorePermit, JournalError> {
        let wanted = usize::try_from(READ_KIB_MAX).unwrap_or(usize::MAX);
        if self.room.available_permits() < wanted {
            self.cold.forget();
            self.snapshot_parts.forget();
        }
        let room = Arc::clone(&self.room).acquire_many_owned(READ_KIB_MAX).await;
        room.map_err(|_| JournalError::Closed("the feed has ended".to_owned()))
    }

    /// The cursor of a place in this feed, as text.
    fn cursor(&self, point: Point, selection: &Selection) -> String {
        Cursor::new(self.journal.identity(), point, selection.fingerprint()).encode()
    }
}

/// The room that so many bytes take, of what was taken for a read.
fn taken(mut room: OwnedSemaphorePermit, bytes: usize) -> Room {
    let kib = bytes.div_ceil(1_024).min(room.num_permits());
    Arc::new(room.split(kib).unwrap_or(room))
}

/// Has every stream look again at the end of its right once the clock has moved against the timers, as after a suspension: until the service
/// stops.
async fn review_after_moves(shared: Arc<Shared>) {
    let mut moves = shared.journal.clock().moves();
    let review = async {
        while moves.changed().await.is_ok() {
            shared.window.review();
        }
    };
    tokio::select! {
        () = shared.drain.cancelled() => {}
        () = review => {}
    }
}

async fn permit(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, JournalError> {
    semaphore.acquire().await.map_err(|_| JournalError::Closed("the feed has ended".to_owned()))
}

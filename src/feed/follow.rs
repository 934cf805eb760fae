//! The one loop: wait for the tail, look at the next events, send what the filter leaves of them. Replay and live are the same.
//!
//! **Invariants**
//! - A follower waits on a level (the window tail is beyond its place), never on an edge, so no wake-up can be missed.
//! - The cursor it tells is the end of a commit of which everything was sent.
//! - A heartbeat comes one interval after the message before it, and never sooner, but for the one before the end and the one that refreshes a
//!   cursor (`a_quiet_stream_has_one_heartbeat_an_interval`).
//! - It ends by a `Closing`, unless its subscriber left or stalled; a heartbeat comes right before it, once there is a cursor.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};
use tracing::error;

use super::{
    Admission, Shared,
    batch::{Batch, Packer},
    ledger::Hold,
    message::{ClosingReason, Message},
    outbox::Outbox,
    selection::Selection,
    snapshot::Snapshot,
    start::Origin,
    window::Position,
};
use crate::{cores::cores, domain::subscription::Point, jitter, journal::JournalError};

/// Events that the filter may leave out in a row before the subscriber's cursor is refreshed.
const FILTERED_EVENTS_MAX: u64 = 1_000;
/// How long a subscriber is asked to wait before it connects again, at most, where it goes alone.
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(2);
/// Where all go together, for each of them, on one core: a third of it is for their handshakes (`docs/sizing.md`).
const RECONNECT_AFTER_EACH: Duration = Duration::from_millis(2);
/// By how much heartbeats vary from one stream to another.
const HEARTBEAT_PERCENT: u32 = 10;
/// By how much lifetimes vary.
const LIFETIME_PERCENT: u32 = 20;
/// While events come faster than this, they leave together: a message costs as much as ten events.
const GATHER: Duration = Duration::from_millis(5);
/// The shortest interval between heartbeats, whatever was asked for.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);

/// A subscriber: a place in the feed, and a filter.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
    admission: Admission,
    selection: Selection,
    /// [`Position::reviews`] when its right was seen to hold.
    reviewed: u64,
    origin: Origin,
    /// The name under which it follows, if it has one.
    hold: Option<Box<Hold>>,
    packer: Packer,
    /// The place after what was sent; none until the snapshot is complete.
    sent: Option<Point>,
    outbox: Outbox,
    position: watch::Receiver<Position>,
    /// What it was when this turn began: looking at it is a lock that all share.
    seen: Position,
    /// When this turn began.
    now: Instant,
    /// When something was sent last.
    sent_at: Option<Instant>,
    heartbeat: Duration,
    heartbeat_at: Instant,
    expires_at: Instant,
    /// Goes off when the sooner of the two is due, or before.
    timer: Pin<Box<Sleep>>,
}

/// Why the loop ends: what the subscriber is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End(ClosingReason);

impl From<JournalError> for End {
    fn from(failure: JournalError) -> Self {
        error!(%failure, "a stream ends: the feed cannot read the journal");
        Self(ClosingReason::StoreFailed)
    }
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        admission: Admission,
        selection: Selection,
        origin: Origin,
        hold: Option<Box<Hold>>,
        heartbeat: Duration,
        outbox: Outbox,
    ) -> Self {
        let now = Instant::now();
        let heartbeat = jitter::around(heartbeat.max(HEARTBEAT_MIN), HEARTBEAT_PERCENT);
        let heartbeat_at = now + heartbeat;
        let position = shared.window.position();
        let seen = *position.borrow();
        let lifetime_at = now + jitter::around(shared.options.lifetime, LIFETIME_PERCENT);
        Self {
            seen,
            now,
            // It may have changed since it was given.
            reviewed: seen.reviews.wrapping_sub(1),
            sent_at: None,
            packer: Packer::new(origin.point),
            sent: (!origin.snapshot).then_some(origin.point),
            outbox,
            position,
            heartbeat,
            heartbeat_at,
            timer: Box::pin(sleep_until(heartbeat_at)),
            expires_at: admission.right.ends.map_or(lifetime_at, |ends| ends.timer.min(lifetime_at)),
            shared,
            admission,
            selection,
            origin,
            hold,
        }
    }

    /// Follows until the stream ends. In a box: a future that is given a value has room for it twice.
    pub(super) async fn run(mut self: Box<Self>) {
        let Err(End(reason)) = self.follow().await;
        self.close(reason).await;
    }

    async fn follow(&mut self) -> Result<Infallible, End> {
        self.open().await;
        if self.origin.snapshot {
            // Apart, so that there is no room for it once it was sent.
            Box::pin(self.send_snapshot()).await?;
        }
        loop {
            self.look();
            self.check()?;
            let tail = self.seen.tail;
            if self.packer.next() < tail { self.advance(tail).await? } else { self.wait().await? }
        }
    }

    /// Begins a turn.
    fn look(&mut self) {
        (self.seen, self.now) = (*self.position.borrow_and_update(), Instant::now());
    }

    async fn open(&mut self) {
        let identity = self.shared.journal.identity();
        let tail = self.seen.tail;
        let opened = Message::Opened {
            feed_id: hex::encode(identity.feed_id),
            epoch: identity.epoch,
            tail,
            start_sequence: self.origin.point.next,
            resumed: self.origin.resumed,
            earliest_sequence: self.shared.floor(tail),
            cursor: self.sent.map(|point| self.shared.cursor(point, &self.selection)).unwrap_or_default(),
            generation: self.hold.as_ref().map_or(0, |hold| hold.generation),
        };
        self.send(opened).await;
    }

    async fn send_snapshot(&mut self) -> Result<(), End> {
        let point = self.origin.point;
        let mut snapshot = Snapshot::new(Arc::clone(&self.shared), self.selection.clone(), point.next);
        while let Some(part) = snapshot.next().await? {
            self.look();
            self.refuse_to_stay()?;
            if !part.bytes().is_empty() {
                self.send(Message::Snapshot(part)).await;
            }
        }
        let cursor = self.shared.cursor(point, &self.selection);
        self.send(Message::SnapshotEnd { cursor, item_count: snapshot.item_count() }).await;
        self.admission.snapshot = None;
        self.sent = Some(point);
        Ok(())
    }

    /// Ends the stream if it is time.
    fn check(&mut self) -> Result<(), End> {
        self.refuse_to_stay()?;
        if self.seen.failed {
            return Err(End(ClosingReason::StoreFailed));
        }
        if self.packer.next() < self.shared.floor(self.seen.tail) {
            return Err(End(ClosingReason::Trimmed));
        }
        if self.now >= self.expires_at {
            return Err(End(ClosingReason::Lifetime));
        }
        Ok(())
    }

    /// What also ends a snapshot.
    fn refuse_to_stay(&mut self) -> Result<(), End> {
        if self.seen.draining {
            return Err(End(ClosingReason::Drain));
        }
        let right = &self.admission.right;
        let mut is_lost = right.ends.is_some_and(|ends| ends.timer <= self.now);
        if self.reviewed != self.seen.reviews {
            self.reviewed = self.seen.reviews;
            is_lost |= !right.ground.holds();
            // Only then may the clock be ahead of the timers: see `review_after_moves`.
            is_lost |= right.ends.is_some_and(|ends| ends.time <= self.shared.journal.clock().latest());
        }
        if is_lost {
            right.ground.lost();
            return Err(End(ClosingReason::AccessRevoked));
        }
        if self.hold.as_ref().is_some_and(|hold| hold.is_superseded()) {
            return Err(End(ClosingReason::Superseded));
        }
        Ok(())
    }

    /// Looks at the next events and sends what the filter leaves of them.
    async fn advance(&mut self, tail: u64) -> Result<(), End> {
        let items = self.shared.items(self.packer.next(), tail).await?;
        let batches = self.packer.pack(&self.selection, items);
        if batches.is_empty() {
            yield_now().await;
        }
        let mut batches = batches.into_iter();
        if let Some(first) = batches.next() {
            self.send_batch(first).await;
        }
        for batch in batches {
            // A slow subscriber may have lost its right while it took the one before.
            self.look();
            self.refuse_to_stay()?;
            self.send_batch(batch).await;
        }
        self.sent = Some(self.packer.boundary());
        if self.packer.filtered() >= FILTERED_EVENTS_MAX {
            self.beat().await;
        }
        Ok(())
    }

    async fn send_batch(&mut self, batch: Batch) {
        let Batch { deliveries, end } = batch;
        let cursor = end.map(|end| self.shared.cursor(end, &self.selection)).unwrap_or_default();
        self.send(Message::Batch { deliveries, cursor, tail: self.seen.tail, more: end.is_none() }).await;
        self.sent = end.or(self.sent);
    }

    /// Waits until there is something to look at, to say, or to end for.
    async fn wait(&mut self) -> Result<(), End> {
        let (next, due) = (self.packer.next(), self.heartbeat_at.min(self.expires_at));
        // What is due moves with every message; the timer is only set again once it went off too early.
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        tokio::select! {
            biased;
            moved = moved(&mut self.position, next, self.reviewed) => {
                moved?;
                self.gather().await;
                Ok(())
            }
            () = superseded(self.hold.as_deref()) => Err(End(ClosingReason::Superseded)),
            () = self.timer.as_mut() => {
                if Instant::now() >= self.heartbeat_at {
                    self.beat().await;
                }
                Ok(())
            }
        }
    }

    /// What comes right after something was sent waits a moment for more. What comes when it was quiet does not.
    async fn gather(&mut self) {
        let until = self.sent_at.map(|sent| sent + GATHER);
        if let Some(until) = until.filter(|until| Instant::now() < *until) {
            self.timer.as_mut().reset(until);
            self.timer.as_mut().await;
        }
    }

    /// Says that there is nothing new, and where to resume.
    async fn beat(&mut self) {
        self.packer.reset_filtered();
        let Some(point) = self.sent else { return };
        let cursor = self.shared.cursor(point, &self.selection);
        let (next, tail, server_time) = (point.next, self.seen.tail, self.shared.journal.now());
        self.send(Message::Heartbeat { cursor, next, tail, server_time }).await;
    }

    async fn close(&mut self, reason: ClosingReason) {
        self.beat().await;
        let cursor = self.sent.map(|point| self.shared.cursor(point, &self.selection)).unwrap_or_default();
        let reconnect_after = jitter::up_to(reconnect_after_max(reason, || self.shared.leaving(), cores().get()));
        self.send(Message::Closing { reason, cursor, reconnect_after }).await;
    }

    async fn send(&mut self, message: Message) {
        self.outbox.send(message).await;
        // Not the beginning of the turn: it may have waited for a whole interval since.
        let now = Instant::now();
        self.heartbeat_at = now + self.heartbeat;
        self.sent_at = Some(now);
    }
}

/// Waits until there is an event at `next`, rights may have changed, the journal cannot be read, or the service stops.
async fn moved(position: &mut watch::Receiver<Position>, next: u64, reviewed: u64) -> Result<(), End> {
    let has_moved = |position: &Position| {
        position.failed || position.draining || position.reviews != reviewed || next < position.tail
    };
    let moved = position.wait_for(has_moved).await;
    moved.map(drop).map_err(|_| End(ClosingReason::StoreFailed))
}

/// Waits until somebody else follows under the same name: for ever, without one.
async fn superseded(hold: Option<&Hold>) {
    match hold {
        Some(hold) => hold.superseded().await,
        None => std::future::pending().await,
    }
}

/// Who has to take a new snapshot may do so at once; the others come back one by one.
fn reconnect_after_max(reason: ClosingReason, leaving: impl Fn() -> u64, cores: u32) -> Duration {
    match reason {
        ClosingReason::Trimmed | ClosingReason::Superseded => Duration::ZERO,
        ClosingReason::Lifetime | ClosingReason::Stalled | ClosingReason::AccessRevoked => RECONNECT_AFTER_MAX,
        ClosingReason::Drain | ClosingReason::StoreFailed => {
            let all = RECONNECT_AFTER_EACH.saturating_mul(u32::try_from(leaving()).unwrap_or(u32::MAX)) / cores.max(1);
            all.max(RECONNECT_AFTER_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_with_many_others_has_more_time_to_come_back() {
        let most = |reason, streams| reconnect_after_max(reason, || streams, 2);
        assert_eq!(most(ClosingReason::Lifetime, 20_000), Duration::from_secs(2));
        assert_eq!(most(ClosingReason::AccessRevoked, 20_000), Duration::from_secs(2));
        assert_eq!(most(ClosingReason::Drain, 100), Duration::from_secs(2));
        assert_eq!(most(ClosingReason::Drain, 20_000), Duration::from_secs(20));
        assert_eq!(reconnect_after_max(ClosingReason::Drain, || 20_000, 8), Duration::from_secs(5));
        assert_eq!(most(ClosingReason::Trimmed, 20_000), Duration::ZERO);
    }
}

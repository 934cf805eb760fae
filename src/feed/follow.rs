//! The one loop: wait for the tail, read a page, send what the filter leaves of it. Replay and live are the same.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, error};

use super::{
    Shared, Start, Subscription,
    batch::{Batch, Then},
    cursor::Cursor,
    jitter,
    message::{ClosingReason, Message},
    scope::deliver,
    snapshot,
};
use crate::journal::JournalError;

/// Events that a filter may leave out before the subscriber's cursor is refreshed.
const SILENT_EVENTS_MAX: u64 = 1_000;
/// How long a subscriber is asked to wait before it connects again, at most.
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(2);
/// A stream's lifetime varies by this much, a heartbeat's interval by that.
const LIFETIME_PERCENT: u32 = 20;
const HEARTBEAT_PERCENT: u32 = 10;

/// A subscriber: a position and a filter.
pub(super) struct Follower {
    shared: Arc<Shared>,
    subscription: Subscription,
    cursor: Cursor,
    messages: mpsc::Sender<Message>,
    tail: watch::Receiver<u64>,
    end: Instant,
    heartbeat: Instant,
    silent: u64,
    batch: Batch,
}

/// Why the loop ends.
enum Ended {
    /// The client left, or took nothing for too long: nobody is there to be told.
    Gone,
    /// The client is told.
    Closed(ClosingReason),
}

impl From<JournalError> for Ended {
    fn from(failure: JournalError) -> Self {
        error!(%failure, "a stream ends: the store cannot be read");
        Self::Closed(ClosingReason::StoreFailed)
    }
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        subscription: Subscription,
        cursor: Cursor,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let now = Instant::now();
        Self {
            tail: shared.window.subscribe(),
            end: now + jitter::around(shared.options.lifetime, LIFETIME_PERCENT),
            heartbeat: now + jitter::around(subscription.heartbeat, HEARTBEAT_PERCENT),
            shared,
            subscription,
            cursor,
            messages,
            silent: 0,
            batch: Batch::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let (reason, cursor) = match self.opening().await {
            Err(Ended::Gone) => return,
            Err(Ended::Closed(reason)) => (reason, String::new()),
            Ok(()) => match self.follow().await {
                Ended::Gone => return,
                Ended::Closed(reason) => {
                    if self.beat().await.is_err() {
                        return;
                    }
                    (reason, self.cursor.encode())
                }
            },
        };
        let reconnect_after = jitter::up_to(RECONNECT_AFTER_MAX);
        let _ = self.send(Message::Closing { reason, cursor, reconnect_after }).await;
    }

    async fn opening(&mut self) -> Result<(), Ended> {
        let identity = self.shared.journal.identity();
        let tail = *self.tail.borrow();
        let snapshot = self.subscription.start == Start::Snapshot;
        self.send(Message::Opened {
            feed_id: hex::encode(identity.feed_id),
            epoch: identity.epoch,
            tail,
            start_sequence: self.cursor.next(),
            resumed: matches!(self.subscription.start, Start::Cursor(_)),
            earliest_sequence: self.shared.earliest(tail),
            cursor: if snapshot { String::new() } else { self.cursor.encode() },
        })
        .await?;
        if snapshot { self.snapshot().await } else { Ok(()) }
    }

    /// The state as it is at the cursor, in parts.
    async fn snapshot(&mut self) -> Result<(), Ended> {
        let shared = Arc::clone(&self.shared);
        let _turn = shared.snapshots.acquire().await;
        let (mut after, mut item_count) = (None, 0);
        loop {
            let (filter, embargoed, at) =
                (self.subscription.filter.clone(), self.subscription.include_embargoed, self.cursor.next());
            let read = shared.journal.read(move |view| snapshot::read(view, after.as_ref(), &filter, embargoed, at));
            let part = read.await?;
            after = part.last.clone();
            if shared.drain.is_cancelled() {
                return Err(Ended::Closed(ClosingReason::Drain));
            }
            if part.items() > 0 {
                item_count += part.items();
                self.send(part.into_message()).await?;
            }
            if after.is_none() {
                break;
            }
        }
        self.send(Message::SnapshotEnd { cursor: self.cursor.encode(), item_count }).await
    }

    async fn follow(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.round().await {
                return ended;
            }
        }
    }

    /// Sends what there is, or waits for something to happen.
    async fn round(&mut self) -> Result<(), Ended> {
        if self.shared.drain.is_cancelled() {
            return Err(Ended::Closed(ClosingReason::Drain));
        }
        if Instant::now() >= self.end {
            return Err(Ended::Closed(ClosingReason::Lifetime));
        }
        let tail = *self.tail.borrow();
        if self.cursor.next() < self.shared.earliest(tail) {
            return Err(Ended::Closed(ClosingReason::Trimmed));
        }
        if self.cursor.next() < tail {
            return self.advance().await;
        }
        let (mut tail, heartbeat, next) = (self.tail.clone(), self.heartbeat, self.cursor.next());
        tokio::select! {
            moved = async { tail.wait_for(|tail| next < *tail).await.is_ok() } => {
                if moved { Ok(()) } else { Err(Ended::Closed(ClosingReason::StoreFailed)) }
            }
            () = sleep_until(heartbeat) => self.beat().await,
            () = sleep_until(self.end) => Ok(()),
            () = self.shared.drain.cancelled() => Ok(()),
            () = self.messages.closed() => Err(Ended::Gone),
        }
    }

    /// Goes through one page, and on to the end of the commit at which it stops.
    async fn advance(&mut self) -> Result<(), Ended> {
        let mut inside = true;
        while inside {
            for item in self.shared.page(self.cursor.next()).await? {
                let more = item.record.event.head.more;
                let delivery = deliver(&self.subscription.filter, self.subscription.include_embargoed, &item);
                self.silent = if delivery.is_some() { 0 } else { self.silent + 1 };
                self.cursor = self.cursor.after(&item.record);
                inside = more;
                match self.batch.push(delivery, more) {
                    Then::GoOn => {}
                    Then::Send => self.flush(false).await?,
                    Then::SendPart => self.flush(true).await?,
                }
            }
        }
        if !self.batch.is_empty() {
            self.flush(false).await?;
        }
        if self.silent >= SILENT_EVENTS_MAX {
            self.beat().await?;
        }
        Ok(())
    }

    async fn flush(&mut self, more: bool) -> Result<(), Ended> {
        let deliveries = self.batch.take(more);
        let cursor = if more { String::new() } else { self.cursor.encode() };
        let tail = *self.tail.borrow();
        self.quiet_from_now();
        self.send(Message::Batch { deliveries, cursor, tail, more }).await
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        self.silent = 0;
        self.quiet_from_now();
        let tail = *self.tail.borrow();
        let server_time = self.shared.journal.now();
        self.send(Message::Heartbeat { cursor: self.cursor.encode(), tail, server_time }).await
    }

    fn quiet_from_now(&mut self) {
        self.heartbeat = Instant::now() + jitter::around(self.subscription.heartbeat, HEARTBEAT_PERCENT);
    }

    /// Hands a message over. The stream holds one; a subscriber that does not take it is given up after a while, and cannot be
    /// told, since it takes nothing.
    async fn send(&self, message: Message) -> Result<(), Ended> {
        match timeout(self.shared.options.stall, self.messages.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => {
                debug!(reason = ?ClosingReason::Stalled, "a subscriber took nothing for too long");
                Err(Ended::Gone)
            }
        }
    }
}

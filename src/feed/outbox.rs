//! The way out to one subscriber: the follower puts a message down, and its stream takes it up, in the same task.
//!
//! **Invariants**
//! - There is no queue: the follower goes on once its message was taken and the next one is asked for.
//! - Whoever takes nothing for [`Options::stall`](super::Options::stall) while there is something loses the follower, with all that it
//!   holds (`a_subscriber_that_takes_nothing_is_given_up`). It is not told, since a `Closing` would have to wait in the same place: its
//!   stream ends when it is looked at next.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, interval};
use tokio_stream::Stream;
use tracing::debug;

use super::message::{ClosingReason, Message};

/// Where a message lies until it is taken. Never contended: both sides are one task.
type Slot = Arc<Mutex<Option<Message>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The follower's side.
#[derive(Debug)]
pub(super) struct Outbox(Slot);

impl Outbox {
    /// Puts a message down and returns once it was taken. The stream, which alone runs the follower, needs no waking.
    pub(super) async fn send(&self, message: Message) {
        *lock(&self.0) = Some(message);
        std::future::poll_fn(|_| if lock(&self.0).is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// A follower, and since when its subscriber has taken nothing.
struct Lane {
    /// None once it has ended.
    follower: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When the message was handed out that is not sent yet.
    handed_at: Option<Instant>,
}

impl Lane {
    /// Lets go of the follower if its subscriber has stalled.
    fn sweep(&mut self, now: Instant, stall: Duration) {
        if self.follower.is_some() && self.handed_at.is_some_and(|handed| now.duration_since(handed) > stall) {
            debug!(reason = ?ClosingReason::Stalled, "a subscriber took nothing for too long");
            self.follower = None;
        }
    }
}

/// The messages of a subscription. Dropping it ends the subscription.
pub struct Messages {
    lane: Arc<Mutex<Lane>>,
    slot: Slot,
    stall: Duration,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("stall", &self.stall).finish_non_exhaustive()
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let (mut lane, now) = (lock(&self.lane), Instant::now());
        lane.sweep(now, self.stall);
        lane.handed_at = None;
        let Some(follower) = &mut lane.follower else { return Poll::Ready(None) };
        if follower.as_mut().poll(context).is_ready() {
            lane.follower = None;
        }
        let message = lock(&self.slot).take();
        match message {
            Some(message) => {
                lane.handed_at = Some(now);
                Poll::Ready(Some(message))
            }
            None if lane.follower.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// All streams that are open.
#[derive(Default)]
pub(super) struct Lanes(Mutex<Vec<Weak<Mutex<Lane>>>>);

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lanes").field(&lock(&self.0).len()).finish()
    }
}

impl Lanes {
    /// A stream of what a follower puts into the outbox it is given.
    pub(super) fn open<F: Future<Output = ()> + Send + 'static>(
        &self,
        stall: Duration,
        follower: impl FnOnce(Outbox) -> F,
    ) -> Messages {
        let slot = Slot::default();
        let follower = Box::pin(follower(Outbox(Arc::clone(&slot))));
        let lane = Arc::new(Mutex::new(Lane { follower: Some(follower), handed_at: None }));
        lock(&self.0).push(Arc::downgrade(&lane));
        Messages { lane, slot, stall }
    }

    /// Lets go, for ever, of the followers whose subscribers have stalled: HTTP/2 does not ask for more while it has no room, so
    /// nobody else would notice.
    pub(super) async fn sweep(&self, stall: Duration) {
        let mut rounds = interval((stall / 4).max(Duration::from_millis(1)));
        loop {
            let now = rounds.tick().await;
            lock(&self.0).retain(|lane| {
                let Some(lane) = lane.upgrade() else { return false };
                // Who is being looked at has not stalled.
                if let Ok(mut lane) = lane.try_lock() {
                    lane.sweep(now, stall);
                }
                true
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;
    use tokio_stream::StreamExt as _;

    use super::*;

    const STALL: Duration = Duration::from_millis(20);

    fn three_messages() -> Messages {
        Lanes::default().open(STALL, async |outbox: Outbox| {
            for item_count in 0..3 {
                outbox.send(Message::SnapshotEnd { cursor: String::new(), item_count }).await;
            }
        })
    }

    async fn number(messages: &mut Messages) -> Option<u64> {
        let Message::SnapshotEnd { item_count, .. } = messages.next().await? else { return None };
        Some(item_count)
    }

    #[tokio::test]
    async fn every_message_is_taken_once_and_in_order() {
        let mut messages = three_messages();
        for expected in [Some(0), Some(1), Some(2), None, None] {
            assert_eq!(number(&mut messages).await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_takes_nothing_is_given_up() {
        let mut messages = three_messages();
        assert_eq!(number(&mut messages).await, Some(0));
        sleep(STALL).await;
        assert_eq!(number(&mut messages).await, Some(1), "slow is not stalled");
        sleep(STALL * 2).await;
        assert_eq!(number(&mut messages).await, None);
        assert_eq!(number(&mut messages).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_follower_holds_is_let_go_though_nobody_looks_at_its_stream() {
        let (lanes, held) = (Arc::new(Lanes::default()), Arc::new(()));
        let open = || {
            let held = Arc::clone(&held);
            let send = async move |outbox: Outbox| {
                outbox.send(Message::SnapshotEnd { cursor: String::new(), item_count: 0 }).await;
                std::future::pending::<()>().await;
                drop(held);
            };
            lanes.open(STALL, send)
        };
        let (mut stalled, mut quiet) = (open(), open());
        let sweeper = Arc::clone(&lanes);
        tokio::spawn(async move { sweeper.sweep(STALL).await });
        assert_eq!((number(&mut stalled).await, number(&mut quiet).await), (Some(0), Some(0)));
        // It asks for more, and there is nothing.
        assert!(tokio::time::timeout(STALL / 2, quiet.next()).await.is_err());
        assert_eq!(Arc::strong_count(&held), 3);
        sleep(STALL * 2).await;
        assert_eq!(Arc::strong_count(&held), 2);
        assert_eq!(number(&mut stalled).await, None);
        drop(quiet);
        sleep(STALL).await;
        assert!(lock(&lanes.0).iter().all(|lane| lane.upgrade().is_some()));
    }
}

//! The way out to one subscriber: the follower puts a message down, and its stream takes it up, in the same task.
//!
//! **Invariants**
//! - There is no queue: the follower goes on once its message was taken and the next one is asked for.
//! - Who takes nothing for [`Options::stall`](super::Options::stall) while there is something is not told, since a `Closing` would
//!   have to wait in the same place: the stream just ends when it is looked at next (`a_subscriber_that_takes_nothing_is_given_up`).

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tokio_stream::Stream;
use tracing::debug;

use super::message::{ClosingReason, Message};

/// Where a message lies until it is taken. Never contended: both sides are one task.
type Slot = Arc<Mutex<Option<Message>>>;

fn look(slot: &Slot) -> MutexGuard<'_, Option<Message>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The follower's side.
#[derive(Debug)]
pub(super) struct Outbox(Slot);

impl Outbox {
    /// Puts a message down and returns once it was taken. The stream, which alone runs the follower, needs no waking.
    pub(super) async fn send(&self, message: Message) {
        *look(&self.0) = Some(message);
        std::future::poll_fn(|_| if look(&self.0).is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// The messages of a subscription. Dropping it ends the subscription.
pub struct Messages {
    follower: Pin<Box<dyn Future<Output = ()> + Send>>,
    slot: Slot,
    stall: Duration,
    /// When the message was handed out that is not sent yet.
    handed_at: Option<Instant>,
    ended: bool,
}

impl Messages {
    /// Those that a follower puts into the outbox it is given.
    pub(super) fn of<F: Future<Output = ()> + Send + 'static>(
        stall: Duration,
        follower: impl FnOnce(Outbox) -> F,
    ) -> Self {
        let slot = Slot::default();
        let follower = Box::pin(follower(Outbox(Arc::clone(&slot))));
        Self { follower, slot, stall, handed_at: None, ended: false }
    }

    /// Whether the message before took too long to be sent.
    fn has_stalled(&mut self) -> bool {
        self.handed_at.take().is_some_and(|handed| handed.elapsed() > self.stall)
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.has_stalled() {
            debug!(reason = ?ClosingReason::Stalled, "a subscriber took nothing for too long");
            self.ended = true;
            return Poll::Ready(None);
        }
        self.ended = self.follower.as_mut().poll(context).is_ready();
        let message = look(&self.slot).take();
        match message {
            Some(message) => {
                self.handed_at = Some(Instant::now());
                Poll::Ready(Some(message))
            }
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
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
        Messages::of(STALL, async |outbox| {
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
}

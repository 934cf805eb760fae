//! The way out to one subscriber: the follower puts a message down, and its stream takes it up, in the same task.
//!
//! **Invariants**
//! - There is no queue: the follower goes on once its message was taken and the next one is asked for
//!   (`every_message_is_taken_once_and_in_order`).
//! - It holds nothing once its stream is dropped. A subscriber that takes nothing has its stream dropped by the server, which alone knows what
//!   has left (`server/under_way.rs`).

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio_stream::Stream;

use super::message::Message;

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

/// The messages of a subscription. Dropping it ends the subscription.
pub struct Messages {
    /// None once it has ended.
    follower: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    slot: Slot,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    /// What a follower puts into the outbox it is given.
    pub(super) fn of<F: Future<Output = ()> + Send + 'static>(follower: impl FnOnce(Outbox) -> F) -> Self {
        let slot = Slot::default();
        Self { follower: Some(Box::pin(follower(Outbox(Arc::clone(&slot))))), slot }
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let Some(follower) = &mut self.follower else { return Poll::Ready(None) };
        if follower.as_mut().poll(context).is_ready() {
            self.follower = None;
        }
        let message = lock(&self.slot).take();
        match message {
            Some(message) => Poll::Ready(Some(message)),
            None if self.follower.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn every_message_is_taken_once_and_in_order() {
        let mut messages = Messages::of(async |outbox: Outbox| {
            for item_count in 0..3 {
                outbox.send(Message::SnapshotEnd { cursor: String::new(), item_count }).await;
            }
        });
        for expected in [Some(0), Some(1), Some(2), None, None] {
            let number = messages.next().await.map(|message| {
                let Message::SnapshotEnd { item_count, .. } = message else { panic!("{message:?}") };
                item_count
            });
            assert_eq!(number, expected);
        }
    }
}

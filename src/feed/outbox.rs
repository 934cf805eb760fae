//! The way out to one subscriber.
//!
//! **Invariants**
//! - One message is on its way at most; the next one waits for it, for [`Options::stall`](super::Options::stall) at the longest.

use std::time::Duration;

use tokio::sync::mpsc::{Sender, error::SendTimeoutError};
use tracing::debug;

use super::message::{ClosingReason, Message};

/// The subscriber left, or took nothing for too long: nobody is there to be told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The way out to one subscriber.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: Sender<Message>,
    stall: Duration,
}

impl Outbox {
    pub(super) fn new(sender: Sender<Message>, stall: Duration) -> Self {
        Self { sender, stall }
    }

    /// Sends a message once the one before was taken. Whoever takes nothing for too long cannot be told so, since a `Closing`
    /// would have to wait in the same place; its stream just ends.
    pub(super) async fn send(&self, message: Message) -> Result<(), Gone> {
        self.sender.send_timeout(message, self.stall).await.map_err(|error| {
            if matches!(error, SendTimeoutError::Timeout(_)) {
                debug!(reason = ?ClosingReason::Stalled, "a subscriber took nothing for too long");
            }
            Gone
        })
    }

    /// Returns once the subscriber left.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Whether the subscriber left.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::Instant};

    use super::*;

    fn message() -> Message {
        Message::SnapshotEnd { cursor: String::new(), item_count: 0 }
    }

    #[tokio::test]
    async fn a_subscriber_that_takes_nothing_is_given_up() {
        let stall = Duration::from_millis(20);
        let (sender, mut receiver) = mpsc::channel(1);
        let outbox = Outbox::new(sender, stall);
        outbox.send(message()).await.unwrap();
        let before = Instant::now();
        assert_eq!(outbox.send(message()).await, Err(Gone));
        assert!(before.elapsed() >= stall);
        receiver.recv().await.unwrap();
        outbox.send(message()).await.unwrap();
        drop(receiver);
        assert!(outbox.is_closed());
        assert_eq!(outbox.send(message()).await, Err(Gone));
    }
}

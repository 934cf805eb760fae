//! What goes into one message: whole commits, up to a size.

use super::message::Delivery;

/// Bytes after which a page of a poll ends.
const PAGE_BYTES: usize = 1024 * 1024;
/// Bytes after which a batch ends with the commit it is at.
const BATCH_BYTES: usize = 64 * 1024;
/// Bytes after which a commit goes on in the next message.
const PART_BYTES: usize = 1024 * 1024;

/// One page of a poll.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Page {
    pub(super) fn push(&mut self, delivery: Option<Delivery>) {
        if let Some(delivery) = delivery {
            self.bytes += delivery.item.weight;
            self.deliveries.push(delivery);
        }
    }

    pub(super) fn is_full(&self, max_events: usize) -> bool {
        self.deliveries.len() >= max_events || self.bytes >= PAGE_BYTES
    }
}

/// A batch under way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    deliveries: Vec<Delivery>,
    bytes: usize,
    /// Whether a part of the commit under way was sent already.
    parted: bool,
}

/// What to do with a batch after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Look at the next event.
    GoOn,
    /// Send it: the commit is complete.
    Send,
    /// Send it: more of the commit may follow.
    SendPart,
}

impl Batch {
    /// Takes what the filter leaves of an event; `more` says that its commit goes on.
    pub(super) fn push(&mut self, delivery: Option<Delivery>, more: bool) -> Then {
        if let Some(delivery) = delivery {
            self.bytes += delivery.item.weight;
            self.deliveries.push(delivery);
        }
        if more && self.bytes >= PART_BYTES {
            Then::SendPart
        } else if !more && (self.parted || self.bytes >= BATCH_BYTES) {
            Then::Send
        } else {
            Then::GoOn
        }
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && !self.parted
    }

    /// Takes out what is to be sent now.
    pub(super) fn take(&mut self, part: bool) -> Vec<Delivery> {
        self.bytes = 0;
        self.parted = part;
        std::mem::take(&mut self.deliveries)
    }
}

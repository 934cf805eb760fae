//! Events that are older than the window, read once for all who catch up at the same time.
//!
//! ```text
//! block 0          block 1          block 2
//! 1 … 63           64 … 127         128 …      a block is read whole, by the first who needs it; the others wait for it
//! ```
//!
//! **Invariants**
//! - A block is kept only if all its events were below the tail when it was read, and only until something of the past is seen otherwise:
//!   then all are forgotten, before the tail moves past what changed it.
//! - At most [`BLOCKS_MAX`] blocks of about 1 MiB are kept; the oldest goes first.
//! - All streams at one place share one read, also in a block of long texts, which is read in several parts, and at the tail.

use std::sync::Arc;

use super::{
    ITEMS_BYTES, Shared,
    item::{Weighed, read_items},
    once::Once,
    permit, taken,
};
use crate::journal::JournalError;

/// Events of a block.
const BLOCK_EVENTS: u64 = 64;
/// Blocks that are kept: at 2 KiB an event 6 MiB, at most 32 MiB and 32 events.
const BLOCKS_MAX: usize = 32;

/// Blocks that are read before they are asked for.
const BLOCKS_AHEAD: u64 = 2;

/// Blocks that were read, by their first event and the one after the last: not all of them are in it if they are large.
pub(super) type Cold = Once<(u64, u64), Arc<Vec<Weighed>>, BLOCKS_MAX>;

impl Shared {
    /// At least one and at most `limit` of the events from `next` on, below `tail`, which are not in the window.
    pub(super) async fn cold_items(
        self: &Arc<Self>,
        next: u64,
        tail: u64,
        limit: usize,
    ) -> Result<Vec<Weighed>, JournalError> {
        let first = next / BLOCK_EVENTS * BLOCK_EVENTS;
        let end = first + BLOCK_EVENTS;
        if end <= tail {
            let block = self.block(first.max(1), end).await?;
            // They are read while this one is sent. If that fails, whoever comes to them is told.
            for ahead in (1..=BLOCKS_AHEAD).map(|ahead| ahead * BLOCK_EVENTS).filter(|ahead| end + ahead <= tail) {
                let shared = Arc::clone(self);
                tokio::spawn(async move { drop(shared.block(first + ahead, end + ahead).await) });
            }
            let items: Vec<_> =
                block.iter().skip_while(|item| item.head().sequence < next).take(limit).cloned().collect();
            if !items.is_empty() {
                return Ok(items);
            }
        }
        let block = self.block(next, end.min(tail)).await?;
        Ok(block.iter().take(limit).cloned().collect())
    }

    async fn block(self: &Arc<Self>, first: u64, end: u64) -> Result<Arc<Vec<Weighed>>, JournalError> {
        let events = usize::try_from(end - first).unwrap_or(1);
        let shared = Arc::clone(self);
        self.cold.get((first, end), async move { shared.read_cold(first, events).await.map(Arc::new) }).await
    }

    async fn read_cold(&self, from: u64, limit: usize) -> Result<Vec<Weighed>, JournalError> {
        let room = self.room().await?;
        let _permit = permit(&self.cold_reads).await?;
        let encoder = self.encoder;
        let items = self.journal.read(move |view| read_items(view, from, limit, ITEMS_BYTES, encoder)).await?;
        let room = taken(room, items.iter().map(Weighed::bytes).sum());
        Ok(items.into_iter().map(|item| item.within(&room)).collect())
    }
}

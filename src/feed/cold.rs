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

use std::sync::Arc;

use super::{
    ITEMS_BYTES, Shared,
    item::{Weighed, read_items},
    once::{Once, apart},
    permit,
};
use crate::journal::JournalError;

/// Events of a block.
const BLOCK_EVENTS: u64 = 64;
/// Blocks that are kept: at 2 KiB an event 6 MiB, at most 32 MiB and 32 events.
const BLOCKS_MAX: usize = 32;

/// Blocks that are read before they are asked for.
const BLOCKS_AHEAD: u64 = 2;

/// Blocks that were read, by number: the events from their first on; not all of them if they are large.
pub(super) type Cold = Once<u64, Arc<Vec<Weighed>>, BLOCKS_MAX>;

impl Shared {
    /// At least one and at most `limit` of the events from `next` on, below `tail`, which are not in the window.
    pub(super) async fn cold_items(
        self: &Arc<Self>,
        next: u64,
        tail: u64,
        limit: usize,
    ) -> Result<Vec<Weighed>, JournalError> {
        let number = next / BLOCK_EVENTS;
        let end = (number + 1) * BLOCK_EVENTS;
        if end <= tail {
            let block = self.block(number).await?;
            // They are read while this one is sent. If that fails, whoever comes to them is told.
            for ahead in (1..=BLOCKS_AHEAD).filter(|ahead| end + ahead * BLOCK_EVENTS <= tail) {
                let shared = Arc::clone(self);
                tokio::spawn(async move { drop(shared.block(number + ahead).await) });
            }
            let items: Vec<_> =
                block.iter().skip_while(|item| item.head().sequence < next).take(limit).cloned().collect();
            if !items.is_empty() {
                return Ok(items);
            }
        }
        let shared = Arc::clone(self);
        apart(async move { shared.read_cold(next, limit).await }).await
    }

    async fn block(self: &Arc<Self>, number: u64) -> Result<Arc<Vec<Weighed>>, JournalError> {
        let first = (number * BLOCK_EVENTS).max(1);
        let events = usize::try_from((number + 1) * BLOCK_EVENTS - first).unwrap_or(1);
        let shared = Arc::clone(self);
        self.cold.get(number, async move { shared.read_cold(first, events).await.map(Arc::new) }).await
    }

    async fn read_cold(&self, from: u64, limit: usize) -> Result<Vec<Weighed>, JournalError> {
        let _permit = permit(&self.cold_reads).await?;
        let encoder = self.encoder;
        self.journal.read(move |view| read_items(view, from, limit, ITEMS_BYTES, encoder)).await
    }
}

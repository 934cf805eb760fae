//! The window: recent events with their words, read once and shared by all subscribers.
//!
//! **Invariants**
//! - One task fills it, in order and without gaps (`what_is_pushed_can_be_read_until_it_is_too_much`).
//! - The tail moves only once everything below it is in, and stands only between commits
//!   (`the_tail_stands_only_after_whole_commits`).
//! - It is bounded in bytes; what no longer fits is read from the journal.
//! - Once the tail is past a removal or erasure, no text that it took is in here (`an_erased_text_is_replaced_where_it_stands`).
//! - The lock is never held while waiting.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use opentelemetry::KeyValue;
use tokio::{sync::watch, time::sleep};
use tracing::{error, info};

use super::{
    ITEMS_BYTES, Shared,
    groups::Groups,
    item::{Weighed, read_items},
};
use crate::{
    domain::{event::EventKind, id::StatementId},
    journal::JournalError,
    trace::Trace,
};

/// Events that are taken in at a time.
const FILL_EVENTS_MAX: usize = 256;
/// How long to wait before a read that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How far the window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The sequence that the next event will take.
    pub(super) tail: u64,
    /// Whether the journal could not be read.
    pub(super) failed: bool,
    /// Whether the service stops.
    pub(super) draining: bool,
    /// How many times rights may have changed.
    pub(super) reviews: u64,
}

/// Recent events.
#[derive(Debug)]
pub(super) struct Window {
    ring: RwLock<Ring>,
    position: watch::Sender<Position>,
    followers: Groups,
    bytes_max: usize,
}

impl Window {
    /// An empty window at the tail of the journal.
    pub(super) fn new(tail: u64, bytes_max: usize) -> Self {
        let ring = RwLock::new(Ring { start: tail, items: VecDeque::new(), bytes: 0 });
        Self {
            ring,
            position: watch::Sender::new(Position { tail, failed: false, draining: false, reviews: 0 }),
            followers: Groups::default(),
            bytes_max,
        }
    }

    /// The sequence that the next event will take.
    pub(super) fn tail(&self) -> u64 {
        self.position.borrow().tail
    }

    /// Returns the position for one more follower, which is notified with its group.
    pub(super) fn position(&self) -> watch::Receiver<Position> {
        self.followers.join(&self.position)
    }

    /// Returns once everything below `tail` is in: true; or once the journal could not be read: false.
    pub(super) async fn reach(&self, tail: u64) -> bool {
        let mut position = self.position.subscribe();
        let reached = position.wait_for(|position| position.failed || tail <= position.tail).await;
        reached.is_ok_and(|position| tail <= position.tail)
    }

    /// Up to `limit` items from `next` on, no more once they have `bytes_max`; none if they are not in the window.
    pub(super) fn items(&self, next: u64, limit: usize, bytes_max: usize) -> Option<Vec<Weighed>> {
        self.read().items(next, limit, bytes_max)
    }

    /// Takes in the next events; `erased` are read again and take the place of those that are in.
    fn push(&self, items: Vec<Weighed>, erased: Vec<Weighed>) {
        let whole = items.iter().rev().find(|item| !item.head().more).map(|item| item.end().next);
        let mut ring = self.write();
        for item in erased {
            ring.replace(item);
        }
        for item in items {
            ring.push(item, self.bytes_max);
        }
        drop(ring);
        self.position.send_modify(|position| {
            position.tail = whole.unwrap_or(position.tail);
            position.failed = false;
        });
    }

    /// Has every follower see whether its right holds.
    pub(super) fn review(&self) {
        self.position.send_modify(|position| position.reviews = position.reviews.wrapping_add(1));
    }

    fn drain(&self) {
        self.position.send_modify(|position| position.draining = true);
    }

    fn fail(&self) {
        self.position.send_modify(|position| position.failed = true);
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The items of the window, dense from `start` on.
#[derive(Debug)]
struct Ring {
    start: u64,
    items: VecDeque<Weighed>,
    bytes: usize,
}

impl Ring {
    /// The sequence of the next item.
    fn end(&self) -> u64 {
        self.start.saturating_add(u64::try_from(self.items.len()).unwrap_or(u64::MAX))
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        let place = usize::try_from(sequence.checked_sub(self.start)?).ok()?;
        (place < self.items.len()).then_some(place)
    }

    fn push(&mut self, item: Weighed, bytes_max: usize) {
        assert_eq!(item.head().sequence, self.end(), "the window has no gaps");
        self.bytes = self.bytes.saturating_add(item.bytes());
        self.items.push_back(item);
        while self.bytes > bytes_max {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            self.start = oldest.end().next;
        }
    }

    fn items(&self, next: u64, limit: usize, bytes_max: usize) -> Option<Vec<Weighed>> {
        let (mut items, mut bytes) = (Vec::new(), 0_usize);
        for item in self.items.range(self.place(next)?..).take(limit) {
            bytes = bytes.saturating_add(item.bytes());
            items.push(item.clone());
            if bytes >= bytes_max {
                break;
            }
        }
        Some(items)
    }

    fn of(&self, statements: &BTreeSet<StatementId>) -> Vec<u64> {
        let heads = self.items.iter().map(Weighed::head);
        heads.filter(|head| statements.contains(&head.statement)).map(|head| head.sequence).collect()
    }

    fn replace(&mut self, item: Weighed) {
        let place = self.place(item.head().sequence);
        if let Some(old) = place.and_then(|place| self.items.get_mut(place)) {
            self.bytes = self.bytes.saturating_sub(old.bytes()).saturating_add(item.bytes());
            *old = item;
        }
    }
}

/// Fills the window as the journal's tail moves, until the service stops. A journal that takes no writes any more can still be
/// read: its streams stay, and nothing new comes.
pub(super) async fn fill(shared: Arc<Shared>) {
    tokio::select! {
        biased;
        () = shared.drain.cancelled() => {}
        () = follow_journal(&shared) => shared.drain.cancelled().await,
    }
    // In one place with the tail, so that a follower has one thing to wait for.
    shared.window.drain();
}

/// Wakes followers as the window moves, until the last of them has ended.
pub(super) async fn wake(shared: Arc<Shared>) {
    tokio::select! {
        () = shared.ended.cancelled() => {}
        () = shared.window.followers.wake(&shared.window.position) => {}
    }
}

async fn follow_journal(shared: &Shared) {
    let mut tail = shared.journal.tail();
    loop {
        let next = shared.window.read().end();
        if tail.wait_for(|tail| next < *tail).await.is_err() {
            // The journal takes no writes any more, and what was written last is in.
            return;
        }
        match take_in(shared, next).await {
            Ok(()) => {}
            Err(failure) => {
                error!(%failure, sequence = next, "the feed cannot read the journal: streams are closed");
                shared.window.fail();
                sleep(RETRY_AFTER).await;
                info!(sequence = next, "the feed tries to read the journal again");
            }
        }
    }
}

async fn take_in(shared: &Shared, next: u64) -> Result<(), JournalError> {
    let begun = SystemTime::now();
    let (items, traces) = next_items(shared, next).await?;
    let touched = touched(&items);
    let erased = reread(shared, &touched).await?;
    if !touched.is_empty() {
        shared.cold.forget();
        shared.snapshot_parts.forget();
    }
    shared.window.push(items, erased);
    for trace in traces {
        // From here on each stream takes it by itself.
        let streams = i64::try_from(shared.occupancy().streams).unwrap_or(i64::MAX);
        trace.step("fan-out", begun, vec![KeyValue::new("onrecord.feed.streams", streams)]);
    }
    Ok(())
}

/// What was just committed is at hand, unless more or less may be seen of it already; else it is read. With the traces that it is told in.
async fn next_items(shared: &Shared, next: u64) -> Result<(Vec<Weighed>, Vec<Trace>), JournalError> {
    let encoder = shared.encoder;
    let recent = shared.journal.take_recent(next, FILL_EVENTS_MAX);
    let told = recent.iter().map(|recent| recent.trace.clone());
    let traces: Vec<_> = told.filter(Trace::is_told).collect();
    let items: Vec<_> = recent.into_iter().map(|recent| Weighed::of_recent(recent, encoder)).collect();
    if !items.is_empty() && touched(&items).is_empty() {
        return Ok((items, traces));
    }
    let read = shared.journal.read(move |view| read_items(view, next, FILL_EVENTS_MAX, ITEMS_BYTES, encoder));
    Ok((read.await?, traces))
}

/// The statements of which more or less may be seen than before. A text that never left its embargo is erased with no more than
/// a cancellation.
fn touched(items: &[Weighed]) -> BTreeSet<StatementId> {
    let changes = |kind| {
        use EventKind::{EmbargoCancelled, Expunged, Reinstated, Removed};
        matches!(kind, Removed | Expunged | EmbargoCancelled | Reinstated)
    };
    let heads = items.iter().map(Weighed::head);
    heads.filter(|head| changes(head.kind)).map(|head| head.statement.clone()).collect()
}

/// What the window has of those statements, as the journal has it now.
async fn reread(shared: &Shared, statements: &BTreeSet<StatementId>) -> Result<Vec<Weighed>, JournalError> {
    let mut items = Vec::new();
    let encoder = shared.encoder;
    let sequences = shared.window.read().of(statements);
    for sequence in sequences {
        items.extend(shared.journal.read(move |view| read_items(view, sequence, 1, ITEMS_BYTES, encoder)).await?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::feed::item::fixture::item;

    const KIB: usize = 1024;

    fn window(bytes_max: usize, mores: &[bool]) -> Window {
        let window = Window::new(5, bytes_max);
        // 1 KiB, and 9 KiB for both forms.
        let items = (5..).zip(mores).map(|(n, more)| item(n, *more, true, 9 * KIB / 2)).collect();
        window.push(items, Vec::new());
        window
    }

    fn sequences(window: &Window, next: u64, limit: usize, bytes_max: usize) -> Option<Vec<u64>> {
        let items = window.items(next, limit, bytes_max)?;
        Some(items.iter().map(|item| item.head().sequence).collect())
    }

    #[test]
    fn what_is_pushed_can_be_read_until_it_is_too_much() {
        let window = window(25 * KIB, &[false; 4]);
        assert_eq!(window.tail(), 9);
        assert_eq!(sequences(&window, 6, 9, 99 * KIB), None, "two of 10 KiB fit");
        assert_eq!(sequences(&window, 7, 9, 99 * KIB), Some(vec![7, 8]));
        assert_eq!(sequences(&window, 7, 1, 99 * KIB), Some(vec![7]));
        assert_eq!(sequences(&window, 7, 9, 1), Some(vec![7]), "never less than one");
        assert_eq!(sequences(&window, 9, 9, 99 * KIB), None, "not there yet");
    }

    #[test]
    fn an_event_larger_than_the_window_is_not_kept() {
        let window = window(KIB, &[false; 2]);
        assert_eq!(window.tail(), 7);
        assert_eq!(sequences(&window, 6, 9, KIB), None);
        window.push(vec![item(7, false, true, 0)], Vec::new());
        assert_eq!(sequences(&window, 7, 9, KIB), Some(vec![7]));
    }

    #[test]
    fn the_tail_stands_only_after_whole_commits() {
        let window = window(99 * KIB, &[false, true, true]);
        assert_eq!(window.tail(), 6);
        window.push(vec![item(8, true, true, 0)], Vec::new());
        assert_eq!(window.tail(), 6);
        window.push(vec![item(9, false, true, 0), item(10, true, true, 0)], Vec::new());
        assert_eq!(window.tail(), 10);
    }

    #[test]
    fn an_erased_text_is_replaced_where_it_stands() {
        let window = window(99 * KIB, &[false; 3]);
        let statements =
            window.items(5, 9, 99 * KIB).unwrap().iter().map(|item| item.head().statement.clone()).collect();
        assert_eq!(window.read().of(&statements), [5, 6, 7]);
        window.push(Vec::new(), vec![item(6, false, true, 0), item(4, false, true, 0)]);
        let bytes: Vec<_> = window.items(5, 9, 99 * KIB).unwrap().iter().map(Weighed::bytes).collect();
        assert_eq!(bytes, [10 * KIB, KIB, 10 * KIB]);
        assert_eq!(window.read().bytes, 21 * KIB);
    }

    #[tokio::test]
    async fn whoever_waits_learns_that_the_journal_cannot_be_read() {
        let window = window(99 * KIB, &[false]);
        assert!(window.reach(6).await);
        window.fail();
        assert!(!window.reach(7).await);
        assert!(window.reach(6).await, "what is in is in");
        window.push(vec![item(6, false, true, 0)], Vec::new());
        assert!(window.reach(7).await);
        let waiting = timeout(Duration::from_millis(10), window.reach(8)).await;
        assert!(waiting.is_err());
    }
}

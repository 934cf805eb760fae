//! The window: recent events with their words, read once and shared by all subscribers.
//!
//! **Invariants**
//! - One task fills it, in order and without gaps; its tail moves after the events below it are in it.
//! - It is bounded in bytes; what no longer fits is read from the journal.
//! - It holds no text that was erased.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};
use tracing::error;

use super::{PAGE_EVENTS, Shared, message::Item};
use crate::{
    domain::{digest::Digest, event::EventKind, id::StatementId},
    journal::{EventRecord, JournalError, View},
};

/// How long the window waits after the journal could not be read.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Recent events.
#[derive(Debug)]
pub(super) struct Window {
    recent: RwLock<Recent>,
    tail: watch::Sender<u64>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Recent {
    /// Sequence of the first.
    start: u64,
    items: VecDeque<Arc<Item>>,
    bytes: usize,
}

impl Window {
    pub(super) fn new(tail: u64, bytes_max: usize) -> Self {
        let recent = RwLock::new(Recent { start: tail, items: VecDeque::new(), bytes: 0 });
        Self { recent, tail: watch::Sender::new(tail), bytes_max }
    }

    /// The sequence that the next event will take.
    pub(super) fn tail(&self) -> u64 {
        *self.tail.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }

    /// Up to `limit` items from `next` on; none if they are older than the window.
    pub(super) fn page(&self, next: u64, limit: usize) -> Option<Vec<Arc<Item>>> {
        let window = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(next.checked_sub(window.start)?).ok()?;
        Some(window.items.iter().skip(place).take(limit).cloned().collect())
    }

    fn push(&self, items: Vec<Arc<Item>>) {
        let mut window = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            window.bytes += item.weight;
            window.items.push_back(item);
        }
        while window.bytes > self.bytes_max {
            let Some(oldest) = window.items.pop_front() else { break };
            window.bytes -= oldest.weight;
            window.start += 1;
        }
        let tail = window.start + u64::try_from(window.items.len()).unwrap_or(u64::MAX);
        drop(window);
        self.tail.send_replace(tail);
    }

    /// Forgets everything below the tail if it holds something of a statement: it is read again, without what was erased.
    fn forget(&self, statement: &StatementId) {
        let mut window = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if window.items.iter().any(|item| item.record.event.head.statement == *statement) {
            window.start += u64::try_from(window.items.len()).unwrap_or(u64::MAX);
            window.items.clear();
            window.bytes = 0;
        }
    }
}

/// Fills the window as the journal's tail moves, until the service stops.
pub(super) async fn fill(shared: Arc<Shared>) {
    let mut journal = shared.journal.tail();
    loop {
        let next = shared.window.tail();
        tokio::select! {
            moved = journal.wait_for(|tail| next < *tail) => if moved.is_err() { return },
            () = shared.drain.cancelled() => return,
        }
        match shared.journal.read(move |view| load(view, next, PAGE_EVENTS)).await {
            Ok(items) => take_in(&shared.window, items),
            Err(failure) => {
                error!(%failure, "the feed cannot read the journal; it tries again");
                sleep(READ_AGAIN_AFTER).await;
            }
        }
    }
}

fn take_in(window: &Window, items: Vec<Arc<Item>>) {
    // A text that was only ever under embargo is erased without an EXPUNGED: its last event is hollow.
    let tells = |item: &&Arc<Item>| item.record.erased || item.record.event.head.kind == EventKind::Expunged;
    let erased = items.iter().filter(tells);
    let erased: Vec<_> = erased.map(|item| item.record.event.head.statement.clone()).collect();
    for statement in &erased {
        window.forget(statement);
    }
    window.push(items);
}

/// Events of the journal with their words.
pub(super) fn load(view: &View<'_>, from: u64, limit: usize) -> Result<Vec<Arc<Item>>, JournalError> {
    let records = view.events(from, limit)?.into_iter();
    records.map(|record| item(view, record).map(Arc::new)).collect()
}

/// Bytes of an event on the wire beside its text: names, seal, hashes.
const HEAD_BYTES: usize = 1_024;

fn item(view: &View<'_>, record: EventRecord) -> Result<Item, JournalError> {
    let (content, bytes) = match shown(&record) {
        Some(digest) => match view.canonical(&digest)? {
            Some(bytes) => (view.content(&digest)?, bytes.len()),
            None => (None, 0),
        },
        None => (None, 0),
    };
    let notice = record.event.notice.as_ref().map_or(0, |notice| notice.text.len());
    Ok(Item { record, content, weight: HEAD_BYTES + bytes + 2 * notice })
}

/// The text that an event shows.
fn shown(record: &EventRecord) -> Option<Digest> {
    let event = &record.event;
    match &event.embargo {
        Some(release) => Some(release.outline.digest),
        None => event.live.as_ref().filter(|live| live.state.has_text()).map(|live| live.edition.outline.digest),
    }
}

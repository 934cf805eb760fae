//! The one writer: decides, commits in groups, moves the tail, replies.
//!
//! **Invariants**
//! - Steps that time takes come before calls that arrive at the same moment, in the order of their times.
//! - While the clock is in doubt only what protects readers is committed, by the trusted time (`a_clock_that_jumps_ahead_publishes_nothing`).
//! - What a group decides builds on what it decided before; nothing of a group is shown unless all of it is durable.
//! - The first failed write closes the journal: the group's callers are told, and nothing is written after it.

mod commits;
mod confirm;
mod due;
mod enrol;
mod group;
mod start;
mod step;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    thread,
    time::{Instant, SystemTime},
};

use opentelemetry::KeyValue;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{error, info};

pub use commits::Commits;
use group::Group;

use super::{
    ClockConfirmation, Identity, JournalError, Options, Refusal,
    clock::{Clock, TrustedClock},
    erase, key,
    quota::Quota,
    recent::Recent,
    retention::Outlived,
    row::{Meta, encode},
    store::{Change, Store},
    view::Words,
    waiting,
    watchdog::Watchdog,
    watermark::Watermark,
};
use crate::{
    domain::{
        answer::Answer,
        command::Call,
        digest::Digest,
        id::{Code, SubscriptionId},
        subscription::{Progress, SubscriptionCall},
    },
    trace::Trace,
};

/// The answer to a step, and what it takes to show it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// What sort of statement it is about, if it is about one.
    pub kind: Option<Code>,
    /// Texts that the step wrote, made public or sent under embargo, as far as they are at hand; the others have to be read.
    pub words: BTreeMap<Digest, Arc<Words>>,
    /// For a call that changes nothing: the answer of the same step in another commit, at another time. What differs between the two
    /// depends on the commit, and is not known yet.
    pub in_another_commit: Option<Answer>,
}

impl Answered {
    fn new(answer: Answer, kind: Option<Code>) -> Self {
        Self { answer, kind, words: BTreeMap::new(), in_another_commit: None }
    }
}

pub(super) type Reply = oneshot::Sender<Result<Answered, Refusal>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Request {
    /// Take a step.
    Call(Box<Call>, Trace, Reply),
    /// Take a step on a subscription.
    Enrol(Box<SubscriptionCall>, Reply),
    /// Believe the wall clock.
    Confirm(Box<ClockConfirmation>, Reply),
    /// Note how far subscriptions are.
    Note(Vec<(SubscriptionId, Progress)>, oneshot::Sender<()>),
    /// Take rows away that need not be kept.
    TakeAway(Outlived, oneshot::Sender<()>),
    /// Look at the clock.
    Poke(oneshot::Sender<()>),
    /// End.
    Close(oneshot::Sender<()>),
}

/// How far the journal is.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    /// Number of the newest entry that is durable.
    pub(super) durable: watch::Receiver<u64>,
    /// Durable writes since the start.
    pub(super) writes: watch::Receiver<u64>,
    /// The sequence that the next event will take.
    pub(super) tail: watch::Receiver<u64>,
    /// Why nothing is written any more.
    pub(super) closed: watch::Receiver<Option<String>>,
}

/// The one writer.
pub(super) struct Writer {
    store: Arc<Store>,
    watermark: Watermark,
    watchdog: Watchdog,
    clock: TrustedClock,
    quota: Quota,
    recent: Arc<Recent>,
    commits: Commits,
    register: Arc<waiting::Register>,
    meta: Meta,
    /// A request that came while more was due than one group takes.
    waiting: Option<Request>,
    writes: watch::Sender<u64>,
    durable: watch::Sender<u64>,
    tail: watch::Sender<u64>,
    closed: watch::Sender<Option<String>>,
}

/// A journal that takes no writes from its beginning: how far it is, and which feed it is.
///
/// # Errors
/// If the store is damaged or behind, or its first start is still to come.
pub(super) fn closed(
    store: &Store,
    directory: &Path,
    clock: Clock,
    unwritable: &JournalError,
) -> Result<(Reached, Identity, TrustedClock), JournalError> {
    let meta = start::read_only(store, directory, unwritable)?;
    let clock = TrustedClock::begin(clock, directory);
    clock.note_entry(meta.time);
    let why = format!("{unwritable}; then start the service again");
    info!(entries = meta.next_entry - 1, events = meta.next_sequence - 1, "journal open for readers alone");
    error!(failure = why, "journal closed for writing");
    let reached = Reached {
        durable: watch::channel(meta.next_entry - 1).1,
        writes: watch::channel(0).1,
        tail: watch::channel(meta.next_sequence).1,
        closed: watch::channel(Some(why)).1,
    };
    Ok((reached, Identity { feed_id: meta.feed_id, epoch: meta.epoch }, clock))
}

impl Writer {
    /// Reads where the journal stands, or begins a new one.
    pub(super) fn open(store: Arc<Store>, options: &Options) -> Result<Self, JournalError> {
        let Options { directory, store_bytes_max, .. } = options;
        let clock = TrustedClock::begin(options.clock.clone(), directory);
        let mut meta = start::meta(&store, directory, &clock)?;
        clock.note_entry(meta.time);
        start::begin_epoch(&store, &mut meta, &clock)?;
        start::look_at_clock(&store, &mut meta, &clock)?;
        let watermark = Watermark::begin(directory, &meta)?;
        erase::resume(&store, meta.next_entry - 1)?;
        info!(entries = meta.next_entry - 1, events = meta.next_sequence - 1, "journal open");
        let closed = watch::Sender::new(None);
        Ok(Self {
            watchdog: Watchdog::start(closed.clone())?,
            quota: Quota::new(*store_bytes_max, store.bytes()?),
            recent: Arc::default(),
            commits: Commits::new(),
            register: Arc::default(),
            store,
            watermark,
            clock,
            writes: watch::Sender::new(0),
            durable: watch::Sender::new(meta.next_entry - 1),
            tail: watch::Sender::new(meta.next_sequence),
            closed,
            waiting: None,
            meta,
        })
    }

    pub(super) fn reached(&self) -> Reached {
        Reached {
            writes: self.writes.subscribe(),
            durable: self.durable.subscribe(),
            tail: self.tail.subscribe(),
            closed: self.closed.subscribe(),
        }
    }

    pub(super) fn clock(&self) -> TrustedClock {
        self.clock.clone()
    }

    pub(super) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    pub(super) fn commits(&self) -> Commits {
        self.commits.clone()
    }

    pub(super) fn waiting(&self) -> Arc<waiting::Register> {
        Arc::clone(&self.register)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { feed_id: self.meta.feed_id, epoch: self.meta.epoch }
    }

    /// Serves until it is closed, a write fails, or no handle is left.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>, runtime: &Handle) {
        let _told = TellsOfPanic(self.closed.clone());
        let (why, close) = loop {
            match self.round(&mut requests, runtime) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(close)) => break ("the service stops".to_owned(), close),
                Err(failure) => {
                    error!(%failure, "journal closed for writing");
                    break (failure.to_string(), None);
                }
            }
        };
        let closed = self.closed.clone();
        // Whoever waits for the end may open the store again.
        drop(self);
        closed.send_replace(Some(why));
        if let Some(close) = close {
            let _ = close.send(());
        }
    }

    /// One group: waits, decides, commits, replies. Breaks if it was the last, with whom to tell.
    fn round(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        runtime: &Handle,
    ) -> Result<ControlFlow<Option<oneshot::Sender<()>>>, JournalError> {
        let mut first = self.waiting.take();
        if first.is_none() {
            let sleep = self.sleep()?;
            first = match runtime.block_on(async { timeout(sleep, requests.recv()).await }) {
                Ok(None) => return Ok(ControlFlow::Break(None)),
                Ok(Some(request)) => Some(request),
                Err(_) => None,
            };
        }
        let mut group = Group::default();
        let result = self.gather(&mut group, first, requests).and_then(|()| self.commit(&mut group));
        if let Err(failure) = result {
            self.closed.send_replace(Some(failure.to_string()));
            let told = JournalError::Closed(failure.to_string());
            group.replies.into_iter().for_each(|(reply, _)| drop(reply.send(Err(told.clone().into()))));
            return Err(failure);
        }
        group.replies.into_iter().for_each(|(reply, answer)| drop(reply.send(answer)));
        for poke in group.pokes {
            let _ = poke.send(());
        }
        Ok(group.close.map_or(ControlFlow::Continue(()), |close| ControlFlow::Break(Some(close))))
    }

    fn gather(
        &mut self,
        group: &mut Group,
        first: Option<Request>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), JournalError> {
        self.settle_clock(group)?;
        self.take_due(group)?;
        if group.is_full() {
            // What is due comes first.
            self.waiting = first;
            return Ok(());
        }
        let mut next = first;
        while let Some(request) = next {
            self.take(group, request)?;
            next = if group.is_full() { None } else { requests.try_recv().ok() };
        }
        Ok(())
    }

    fn take(&mut self, group: &mut Group, request: Request) -> Result<(), JournalError> {
        match request {
            Request::Call(call, trace, reply) => {
                let begun = trace.begin();
                let answer = self.step(group, &call, &trace);
                if let Some(begun) = begun {
                    trace.step("decide", begun, Vec::new());
                    group.traces.push(trace);
                }
                group.reply(reply, answer)?;
            }
            Request::Enrol(call, reply) => {
                let answer = self.enrol(group, &call);
                group.reply(reply, answer)?;
            }
            Request::Confirm(confirmation, reply) => {
                let answer = self.confirm_clock(group, &confirmation);
                group.reply(reply, answer)?;
            }
            Request::Note(progress, reply) => {
                self.note(group, progress)?;
                group.pokes.push(reply);
            }
            Request::TakeAway(outlived, reply) => {
                group.add_rows(self.meta.next_entry - 1, outlived.changes(&self.store)?);
                group.pokes.push(reply);
            }
            Request::Poke(reply) => group.pokes.push(reply),
            Request::Close(reply) => group.close = Some(reply),
        }
        Ok(())
    }

    /// One durable write; then, and only then, the tail moves.
    fn commit(&mut self, group: &mut Group) -> Result<(), JournalError> {
        if group.changes.is_empty() {
            return Ok(());
        }
        let newest = self.meta.next_entry - 1;
        let dates = group.dates.onto(&self.store)?;
        group.changes.extend(dates.into_iter().map(|change| (change, newest)));
        group.changes.push((Change::put(key::meta(), encode(&self.meta)), newest));
        let (store, watermark, meta) = (&self.store, &self.watermark, &self.meta);
        let (begun, at) = (Instant::now(), SystemTime::now());
        self.watchdog.watch(|| {
            store.commit_many(group.changes.iter().map(|(change, entry)| (change, *entry)))?;
            Ok(watermark.advance(meta)?)
        })?;
        self.commits.note(begun.elapsed(), group.entries);
        for trace in &group.traces {
            let entries = i64::try_from(group.entries).unwrap_or(i64::MAX);
            trace.step("commit", at, vec![KeyValue::new("onrecord.commit.entries", entries)]);
        }
        for (id, state) in &group.states {
            self.register.note(id, state);
        }
        for (id, entry) in &group.erasures {
            // Each batch by itself: all of a long history takes longer than a commit may.
            let commit = |changes: &[Change]| self.watchdog.watch(|| Ok(store.commit(changes, newest)?));
            erase::erase(store, id, *entry, &commit)?;
        }
        self.quota.note(self.store.bytes()?);
        if group.unread || !group.erasures.is_empty() {
            self.recent.clear();
        } else {
            self.recent.add(std::mem::take(&mut group.events));
        }
        self.writes.send_modify(|writes| *writes += 1);
        self.clock.note_entry(self.meta.time);
        self.durable.send_replace(newest);
        self.tail.send_replace(self.meta.next_sequence);
        Ok(())
    }
}

/// Closes the journal for those who wait, should the writer panic.
struct TellsOfPanic(watch::Sender<Option<String>>);

impl Drop for TellsOfPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_if_modified(|closed| {
                let told = closed.is_some();
                closed.get_or_insert_with(|| "its writer panicked".to_owned());
                !told
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_panics_closes_the_journal() {
        let closed = watch::Sender::new(None);
        let told = TellsOfPanic(closed.clone());
        let writer = thread::spawn(move || {
            let _told = told;
            panic!("as a store may");
        });
        assert!(writer.join().is_err());
        assert_eq!(closed.borrow().as_deref(), Some("its writer panicked"));
        drop(TellsOfPanic(closed.clone()));
        assert!(closed.borrow().is_some(), "the first reason stays");
    }
}

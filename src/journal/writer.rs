//! The one writer: decides, commits in groups, moves the tail, replies.
//!
//! **Invariants**
//! - Steps that time takes come before calls that arrive at the same moment, in the order of their times.
//! - What a group decides builds on what it decided before; nothing of a group is shown unless all of it is durable.
//! - The first failed write closes the journal: the group's callers are told, and nothing is written after it.

mod commits;
mod due;
mod enrol;
mod start;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
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

use super::{
    Identity, JournalError, Options, Refusal,
    clock::Clock,
    commit::{self, Asked},
    erase, key,
    quota::Quota,
    recent::{Recent, RecentEvent},
    retention::Outlived,
    row::{EventRecord, Meta, RequestRow, decode, encode},
    store::{Change, Store},
    view::{Reader, Words},
    waiting,
    watchdog::Watchdog,
    watermark::Watermark,
};
use crate::domain::{
    answer::Answer,
    command::Call,
    decide::{Context, decide, redirect_target},
    digest::{Digest, Salt},
    event::Event,
    id::{Code, StatementId, SubscriptionId},
    rejection::Rejection,
    state::State,
    subscription::{Progress, Subscription, SubscriptionCall},
    time::Timestamp,
};
use crate::trace::Trace;

/// Entries in one durable write: more would keep readers waiting.
const GROUP_ENTRIES_MAX: usize = 64;
/// Bytes of rows in one durable write: less than a segment of the store has to be between two syncs.
const GROUP_BYTES_MAX: usize = 512 * 1024;

/// The answer to a step, and what it takes to show it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// What sort of statement it is about, if it is about one.
    pub kind: Option<Code>,
    /// Texts that the step made public or sent under embargo, as far as they are at hand; the others have to be read.
    pub words: BTreeMap<Digest, Arc<Words>>,
}

impl Answered {
    fn new(answer: Answer, kind: Option<Code>) -> Self {
        Self { answer, kind, words: BTreeMap::new() }
    }
}

/// Bytes of a text that is read for those who wait, between one commit and the next.
const WORDS_BYTES_MAX: usize = 64 * 1024;

pub(super) type Reply = oneshot::Sender<Result<Answered, Refusal>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Request {
    /// Take a step.
    Call(Box<Call>, Trace, Reply),
    /// Take a step on a subscription.
    Enrol(Box<SubscriptionCall>, Reply),
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
    clock: Clock,
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

/// Steps decided and not yet committed.
#[derive(Default)]
struct Group {
    /// Each with the number of its entry.
    changes: Vec<(Change, u64)>,
    bytes: usize,
    entries: usize,
    /// Statements as the group leaves them.
    states: BTreeMap<StatementId, State>,
    /// Subscriptions as the group leaves them.
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Answers of the group to calls with a request id, by row key.
    answers: BTreeMap<Vec<u8>, RequestRow>,
    /// Statements to be erased once the group is durable, and the entries that erase them.
    erasures: Vec<(StatementId, u64)>,
    /// Events, with the words they show.
    events: Vec<RecentEvent>,
    /// Whether there are events whose words are not at hand.
    unread: bool,
    replies: Vec<(Reply, Result<Answered, Refusal>)>,
    /// Of those that are followed.
    traces: Vec<Trace>,
    pokes: Vec<oneshot::Sender<()>>,
    close: Option<oneshot::Sender<()>>,
}

impl Group {
    fn is_full(&self) -> bool {
        self.entries >= GROUP_ENTRIES_MAX || self.bytes >= GROUP_BYTES_MAX || self.close.is_some()
    }

    /// Adds an entry.
    fn add(&mut self, entry: u64, changes: Vec<Change>) {
        self.entries += 1;
        self.add_rows(entry, changes);
    }

    fn add_rows(&mut self, entry: u64, changes: Vec<Change>) {
        self.bytes += changes.iter().map(Change::bytes).sum::<usize>();
        self.changes.extend(changes.into_iter().map(|change| (change, entry)));
    }

    /// Keeps events for those who wait for them.
    fn hand_over(&mut self, events: Vec<EventRecord>, words: &BTreeMap<Digest, Arc<Words>>, trace: &Trace) {
        for record in events {
            let shown = record.event.words();
            let words = shown.and_then(|digest| words.get(&digest)).map(Arc::clone);
            self.unread |= shown.is_some() && words.is_none();
            self.events.push(RecentEvent { record, words, trace: trace.clone() });
        }
    }

    fn remember(&mut self, asked: &Asked<'_>, answer: &Answer, now: Timestamp) {
        self.answers.extend(asked.key().map(|key| (key, asked.row(answer, now))));
    }

    /// Tells a caller, once the group is durable. A failure of the store ends the writer.
    fn reply(&mut self, reply: Reply, answer: Result<Answered, Refusal>) -> Result<(), JournalError> {
        let failure = match &answer {
            Ok(_) | Err(Refusal::Rejected(_) | Refusal::Journal(JournalError::Full { .. })) => None,
            Err(Refusal::Journal(failure)) => Some(failure.clone()),
        };
        self.replies.push((reply, answer));
        failure.map_or(Ok(()), Err)
    }
}

impl Writer {
    /// Reads where the journal stands, or begins a new one.
    pub(super) fn open(store: Arc<Store>, options: &Options) -> Result<Self, JournalError> {
        let Options { directory, clock, store_bytes_max, .. } = options;
        let mut meta = start::meta(&store, directory, clock)?;
        start::begin_epoch(&store, &mut meta, clock)?;
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
            clock: clock.clone(),
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
                group.reply(reply, answer.map(|answer| Answered::new(answer, None)))?;
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

    fn step(&mut self, group: &mut Group, call: &Call, trace: &Trace) -> Result<Answered, Refusal> {
        let asked = Asked::of(call);
        let remembered = self.remembered(group, &asked)?;
        let state = self.state(group, &call.command.statement)?;
        if state.as_ref().is_some_and(|state| !call.mandate.sees(state)) {
            // What a caller may not see is as if it were not there.
            return Err(Rejection::StatementNotFound.into());
        }
        if let Some(answer) = remembered {
            return Ok(Answered::new(answer?, state.map(|state| state.statement.kind)));
        }
        let languages = call.command.step.languages();
        if state.as_ref().is_some_and(|state| !call.mandate.admits_request(state, languages.as_deref())) {
            return Err(Rejection::OutOfMandate.into());
        }
        let redirect_fits = self.redirect_fits(group, state.as_ref(), call)?;
        let now = self.clock.now().max(self.meta.time);
        let salt = salt()?;
        let context = Context {
            now,
            caller: &call.caller,
            entry: self.meta.next_entry,
            sequence: self.meta.next_sequence,
            salt,
            redirect_fits,
            restored: self.restored(),
        };
        let decision = decide(state.as_ref(), &call.command, context)?;
        if !call.mandate.admits_result(state.as_ref(), &decision.state) {
            return Err(Rejection::OutOfMandate.into());
        }
        self.quota.admit(&call.command.step)?;
        let mut answered = Answered::new(decision.answer.clone(), Some(decision.state.statement.kind.clone()));
        if call.validate_only {
            return Ok(answered);
        }
        answered.words = self.words(&decision.events);
        let entry = self.meta.next_entry;
        if commit::erases(state.as_ref(), &decision) {
            group.erasures.push((call.command.statement.clone(), entry));
        }
        let (changes, events) = commit::changes(state.as_ref(), &decision, call, &asked, now, salt, &mut self.meta);
        group.add(entry, changes);
        group.hand_over(events, &answered.words, trace);
        group.remember(&asked, &decision.answer, now);
        group.states.insert(call.command.statement.clone(), decision.state);
        Ok(answered)
    }

    /// The texts that these events show, as far as they are in the store and short: a long one would keep those who wait.
    fn words(&self, events: &[Event]) -> BTreeMap<Digest, Arc<Words>> {
        let reader = Reader { store: &self.store };
        // One that cannot be read is met again, and told, by whoever needs it.
        let read =
            |digest| reader.words(&digest, WORDS_BYTES_MAX).ok().flatten().map(|words| (digest, Arc::new(words)));
        events.iter().filter_map(Event::words).filter_map(read).collect()
    }

    /// The answer that was given to this very call before.
    fn remembered(&self, group: &Group, asked: &Asked<'_>) -> Result<Option<Result<Answer, Rejection>>, JournalError> {
        let Some(key) = asked.key() else { return Ok(None) };
        let row = match group.answers.get(&key) {
            Some(row) => Some(row.clone()),
            None => self.store.get(&key)?.map(|row| decode(&row.value)).transpose()?,
        };
        Ok(row.map(|row| if asked.is(&row) { Ok(row.answer) } else { Err(Rejection::RequestIdReused) }))
    }

    /// Up to when the record was restored: an epoch after the first is numbered by its beginning, in Unix seconds.
    fn restored(&self) -> Option<Timestamp> {
        let next_second = (i64::from(self.meta.epoch) + 1) * 1_000_000;
        (self.meta.epoch > 1).then(|| Timestamp::from_micros(next_second))
    }

    fn state(&self, group: &Group, id: &StatementId) -> Result<Option<State>, JournalError> {
        if let Some(state) = group.states.get(id) {
            return Ok(Some(state.clone()));
        }
        Ok(Reader { store: &self.store }.state(id)?.map(|(state, _)| state))
    }

    /// Whether readers can be sent to the statement that the call names: they can read it, and it does not lead back.
    fn redirect_fits(&self, group: &Group, state: Option<&State>, call: &Call) -> Result<bool, JournalError> {
        let Some(target) = redirect_target(state, &call.command.step) else { return Ok(false) };
        let first = self.state(group, target)?.filter(|state| call.mandate.sees(state));
        let Some(first) = first else { return Ok(false) };
        if !first.has_text() {
            return Ok(false);
        }
        let (mut seen, mut open) = (Vec::new(), vec![first]);
        while let Some(state) = open.pop() {
            for next in state.languages.values().filter_map(|slots| slots.live.as_ref()?.redirect.clone()) {
                if next == call.command.statement {
                    return Ok(false);
                }
                if !seen.contains(&next) {
                    open.extend(self.state(group, &next)?);
                    seen.push(next);
                }
            }
        }
        Ok(true)
    }

    /// One durable write; then, and only then, the tail moves.
    fn commit(&mut self, group: &mut Group) -> Result<(), JournalError> {
        if group.changes.is_empty() {
            return Ok(());
        }
        let newest = self.meta.next_entry - 1;
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

fn salt() -> Result<Salt, JournalError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| JournalError::Store(format!("no random numbers: {error}")))?;
    Ok(Salt(bytes))
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

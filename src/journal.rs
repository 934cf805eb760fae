//! The journal: the append-only sequence of entries, the rows they write, and the feed of events they cause.
//!
//! ```text
//! entries   1  2  3  4 | 5            one step each: who, what, when, and the rows it wrote
//!                      ^ next_entry   (exclusive)
//! events    1  2     3 | 4  5         what subscribers are told; one entry causes none, one or several
//!                      ^ tail         (exclusive): a cursor below it has something to read
//! ```
//!
//! **Invariants**
//! - One thread writes. A step is answered, and its events are told, only once its entry is on the device.
//! - Entry, rows, indexes, events and the remembered answer are one atomic write.
//! - Entries and events are dense and chained: `hash = SHA-256(previous hash, seal as stored)`.
//! - After a failed write nothing more is written, and nothing unsynced is shown; reads go on.
//! - Entries and events are ordered by their numbers alone. Their times are the trusted clock's (`clock.rs`), and may fall.
//!
//! The one seam is the writer's commit: what it commits is self-contained (an entry with its rows in full), so that another
//! means of ordering and keeping entries can take the place of the local store without the rule book, the rows, the feed or the
//! API knowing.

mod backup;
mod ballast;
mod clock;
mod commit;
mod compact;
mod copies;
mod dates;
mod erase;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key;
mod opening;
mod quota;
mod reading;
mod recent;
mod restore;
mod retention;
mod row;
mod scrub;
mod store;
mod verify;
mod view;
mod waiting;
mod watchdog;
mod watermark;
mod writer;

use std::{path::PathBuf, sync::Arc};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
};

pub use backup::{BackupEntry, BackupPart, Erasure};
pub use clock::{Clock, Doubt, Manual, TrustedClock};
pub use compact::{Compaction, compact};
pub use copies::Copies;
pub(crate) use failure::ended_early;
pub use failure::{JournalError, Refusal};
pub use recent::RecentEvent;
pub use restore::Restore;
pub use retention::{Pruned, Retention, prune};
pub use row::{EntryRecord, EventRecord, FORMAT as STORAGE_FORMAT};
pub use scrub::{Scrubbed, scrub};
pub use verify::{Finding, Report, verify};
pub use view::{Form, OwedRecord, Public, Revision, Text, View, Words};
pub use waiting::Waiting;
pub use writer::{Answered, Commits};

use crate::domain::{
    command::Call,
    entry::Origin,
    id::{Caller, SubscriptionId},
    subscription::{Progress, SubscriptionCall},
    time::Timestamp,
};
use crate::trace::Trace;
use opening::Opened;
use reading::Reading;
use recent::Recent;
use writer::{Reached, Reply, Request};

/// Calls that may wait for the writer; more are refused.
const WAITING_CALLS_MAX: usize = 1_024;
/// Bytes that sled may use for its cache unless the options say otherwise. Expect 2.5 times as much memory in use.
pub const CACHE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Bytes that the store may have on disk unless the options say otherwise.
pub const STORE_BYTES_MAX_DEFAULT: u64 = 8 * 1024 * 1024 * 1024;

/// Where the journal lies, and how it is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the store; made if it is not there.
    pub directory: PathBuf,
    /// Bytes of sled's cache.
    pub cache_bytes: u64,
    /// Bytes that the store may have on disk before new statements are refused; see [`STORE_BYTES_MAX_DEFAULT`].
    pub store_bytes_max: u64,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Options {
    /// The usual settings for a store in `directory`.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            cache_bytes: CACHE_BYTES_DEFAULT,
            store_bytes_max: STORE_BYTES_MAX_DEFAULT,
            clock: Clock::System,
        }
    }
}

/// Which feed this is. Cursors name both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random, born once.
    pub feed_id: [u8; 16],
    /// Raised when the journal was restored from a backup: to the time of that, in Unix seconds, so that two lives that began with the
    /// same copy are told apart. The first is 1.
    pub epoch: u32,
}

/// What a person says of the service's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockConfirmation {
    /// Name of the person.
    pub caller: Caller,
    /// Address of the connection, and the credential.
    pub origin: Option<Origin>,
    /// Time by the person's own clock.
    pub time: Timestamp,
}

/// A handle on the journal; clone it freely. The journal closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    reading: Arc<Reading>,
    requests: mpsc::Sender<Request>,
    reached: Reached,
    recent: Arc<Recent>,
    identity: Identity,
    clock: TrustedClock,
    store_bytes_max: u64,
    commits: Commits,
    waiting: Arc<waiting::Register>,
    copies: Arc<copies::Register>,
    scrubbed: Arc<watch::Sender<Scrubbed>>,
}

impl Journal {
    /// Opens or creates a journal and starts its writer, which at once takes the steps that came due in the meantime. Blocks
    /// while the store recovers. Needs a tokio runtime around it. Where nothing can be written (a full disk, a read-only mount) the journal
    /// is closed from its beginning, and serves reads.
    ///
    /// # Errors
    /// If the store is in use, cannot be read, is damaged, has a newer format, or is to be begun where nothing can be written.
    pub fn open(options: Options) -> Result<Self, JournalError> {
        restore::refuse_half(&options.directory)?;
        Self::open_any(options)
    }

    /// The same, of a store that nobody may open yet too.
    fn open_any(options: Options) -> Result<Self, JournalError> {
        let Opened { store, writer } = opening::open(&options)?;
        let Options { directory, cache_bytes, clock, store_bytes_max } = options;
        let copies = Arc::new(copies::Register::read(&directory));
        let (requests, calls) = mpsc::channel(WAITING_CALLS_MAX);
        let (mut recent, mut commits, mut waiting) = (Arc::default(), Commits::new(), Arc::default());
        let (reached, identity, clock) = match writer {
            Ok(writer) => {
                (recent, commits, waiting) = (writer.recent(), writer.commits(), writer.waiting());
                let standing = (writer.reached(), writer.identity(), writer.clock());
                let runtime = Handle::current();
                let thread = std::thread::Builder::new().name("journal".to_owned());
                thread
                    .spawn(move || writer.run(calls, &runtime))
                    .map_err(|error| JournalError::Store(format!("no thread for the writer: {error}")))?;
                standing
            }
            // Without a receiver all calls are refused.
            Err(unwritable) => writer::closed(&store, &directory, clock, &unwritable)?,
        };
        Ok(Self {
            reading: Arc::new(Reading::new(store, directory, cache_bytes)?),
            requests,
            reached,
            recent,
            identity,
            clock,
            store_bytes_max,
            commits,
            waiting,
            copies,
            scrubbed: Arc::default(),
        })
    }

    /// Takes a step; returns once it is on the device.
    ///
    /// # Errors
    /// If the rule book refuses it, too many calls wait, or the journal is closed.
    pub async fn submit(&self, call: Call) -> Result<Answered, Refusal> {
        self.ask(|reply| Request::Call(Box::new(call), Trace::current(), reply)).await
    }

    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<Answered, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => JournalError::Busy,
            mpsc::error::TrySendError::Closed(_) => self.closed(),
        })?;
        // The writer may never come back from a commit.
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| self.closed())?,
            () = self.ended() => Err(self.closed().into()),
        }
    }

    /// Takes a step on a named subscription; returns once it is on the device.
    ///
    /// # Errors
    /// As [`Journal::submit`].
    pub async fn enrol(&self, call: SubscriptionCall) -> Result<Answered, Refusal> {
        self.ask(|reply| Request::Enrol(Box::new(call), reply)).await
    }

    /// Notes how far subscriptions are; returns once that is on the device. Of one that was deleted nothing is noted.
    ///
    /// # Errors
    /// If the journal is closed.
    pub async fn note(&self, progress: Vec<(SubscriptionId, Progress)>) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.requests.send(Request::Note(progress, reply)).await.map_err(|_| self.closed())?;
        // The writer may never come back from a commit.
        tokio::select! {
            biased;
            done = done => done.map_err(|_| self.closed()),
            () = self.ended() => Err(self.closed()),
        }
    }

    /// Returns once nothing is written any more.
    async fn ended(&self) {
        let mut closed = self.failure();
        drop(closed.wait_for(Option::is_some).await);
    }

    fn closed(&self) -> JournalError {
        let why = self.reached.closed.borrow().clone();
        JournalError::Closed(why.unwrap_or_else(|| "its writer has ended".to_owned()))
    }

    /// Lets the writer look at the clock, and returns once what was due is on the device. A manual clock needs it.
    ///
    /// # Errors
    /// If the journal is closed.
    pub async fn poke(&self) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.requests.send(Request::Poke(reply)).await.map_err(|_| self.closed())?;
        done.await.map_err(|_| self.closed())
    }

    /// Ends the writer after the group it is at, and returns once nothing is written any more. The store is closed once all handles are
    /// dropped and no read is under way.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        let ask = async {
            if self.requests.send(Request::Close(reply)).await.is_ok() {
                let _ = done.await;
            }
        };
        tokio::select! {
            () = ask => {}
            () = self.ended() => {}
        }
    }

    /// The sequence that the next event will take. It moves once the events below it are durable.
    #[must_use]
    pub fn tail(&self) -> watch::Receiver<u64> {
        self.reached.tail.clone()
    }

    /// Takes up to `limit` of the events from `next` on, of those that were just committed; none if they are no longer at hand: then they
    /// have to be read. There is one who takes them, the feed.
    #[must_use]
    pub fn take_recent(&self, next: u64, limit: usize) -> Vec<RecentEvent> {
        // What is in may be a moment ahead of the tail.
        let below = self.reached.tail.borrow().saturating_sub(next);
        self.recent.take(next, limit.min(usize::try_from(below).unwrap_or(limit)))
    }

    /// Number of the newest entry that is durable.
    #[must_use]
    pub fn newest_entry(&self) -> watch::Receiver<u64> {
        self.reached.durable.clone()
    }

    /// Durable writes since the start: each is a sync of the device, whatever goes in it.
    #[must_use]
    pub fn writes(&self) -> u64 {
        *self.reached.writes.borrow()
    }

    /// How long durable writes take, and how many entries go in one.
    #[must_use]
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Why the journal takes no writes; none while it does.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.reached.closed.clone()
    }

    /// Whether reads are answered. Once the journal is closed a read may fail: the store is then opened anew for it, if that can be done.
    #[must_use]
    pub fn readable(&self) -> watch::Receiver<bool> {
        self.reading.readable()
    }

    /// Bytes that the store has on disk; none while it cannot be opened.
    #[must_use]
    pub fn store_bytes(&self) -> Option<u64> {
        self.reading.store().1?.bytes().ok()
    }

    /// Bytes that are free on the disk where it lies, for who is not root; none if the system does not say.
    #[must_use]
    pub fn disk_free_bytes(&self) -> Option<u64> {
        self.reading.disk_free_bytes()
    }

    /// Bytes that it may have.
    #[must_use]
    pub fn store_bytes_max(&self) -> u64 {
        self.store_bytes_max
    }

    /// Which feed this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The service's clock.
    #[must_use]
    pub fn clock(&self) -> &TrustedClock {
        &self.clock
    }

    /// The time: see [`TrustedClock::now`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Believes the wall clock, because a person has looked at it; returns once that is on the device. A clock that is not in doubt stays as
    /// it is, and there is no entry.
    ///
    /// # Errors
    /// If the person's clock shows another time, or the journal is closed.
    pub async fn confirm_clock(&self, confirmation: ClockConfirmation) -> Result<(), Refusal> {
        self.ask(|reply| Request::Confirm(Box::new(confirmation), reply)).await.map(drop)
    }

    /// Runs `read` on a thread that may block, with a view of what is durable now. If that fails because sled cannot read on after a
    /// failed write, once more on the store opened anew.
    ///
    /// # Errors
    /// What `read` returns, or that the store failed.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&View<'_>) -> Result<T, JournalError> + Send + Sync + 'static,
    ) -> Result<T, JournalError> {
        let read = Arc::new(read);
        let (instance, mut answer) = self.read_once(&read).await;
        if self.reached.closed.borrow().is_none() {
            return answer;
        }
        if answer.as_ref().is_err_and(JournalError::is_of_store) {
            let reading = Arc::clone(&self.reading);
            answer = match blocking(move || reading.open_anew(instance)).await {
                Ok(()) => self.read_once(&read).await.1,
                Err(failure) => Err(failure),
            };
        }
        self.reading.note(!answer.as_ref().is_err_and(JournalError::is_of_store));
        answer
    }

    /// What the store answers, and which instance of it.
    async fn read_once<T: Send + 'static>(
        &self,
        read: &Arc<impl Fn(&View<'_>) -> Result<T, JournalError> + Send + Sync + 'static>,
    ) -> (u32, Result<T, JournalError>) {
        let (instance, store) = self.reading.store();
        let Some(store) = store else {
            return (instance, Err(JournalError::Store("it could not be opened anew".to_owned())));
        };
        let (read, reached, runtime) = (Arc::clone(read), self.reached.clone(), Handle::current());
        let tail = *reached.tail.borrow();
        let task = move || read(&View::new(&store, tail, reached.durable, reached.closed, runtime));
        (instance, blocking(task).await)
    }
}

/// Runs a task that blocks. If it panics, the store is to blame.
async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    spawn_blocking(task).await.map_err(|error| ended_early(&error))?
}

//! How the service is, in figures: what `/metrics` says to Prometheus, and `/status` to `onrecord status`.
//!
//! **Invariants**
//! - No words of a text are in it, and no names but those of subscriptions; no more than [`SITES_MAX`] of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use procfs::process::{LimitValue, Process as System};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{arrivals::Arrivals, calls::CallCounts, protocol::Protocol, reload::Faults, tls::Tls};
use crate::{
    api::Panicked,
    feed::{Feed, Occupancy, Standing, StandingState},
    journal::{Copies, Journal, STORAGE_FORMAT, Scrubbed, TrustedClock, Waiting},
    panics,
    version::{REVISION, VERSION},
};

/// Subscriptions that are named, those that lag most first: each is some lines for Prometheus.
const SITES_MAX: usize = 500;
/// How long it holds how sites stand, which takes a read for each.
const SITES_FOR: Duration = Duration::from_secs(1);

/// How the service is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// Which onrecord it is.
    pub version: String,
    /// The commit that it was built of, if who built it said.
    pub revision: String,
    /// When this was so, in seconds since 1970.
    pub time: f64,
    /// Why no calls should be sent here; none if they should.
    pub not_ready: Option<String>,
    /// The record.
    pub record: Record,
    /// The service's clock.
    pub clock: ClockState,
    /// Connections.
    pub connections: Connections,
    /// Requests since the start that were refused because they are no gRPC calls, by what is wrong with them.
    #[serde(default)]
    pub requests_refused: BTreeMap<String, u64>,
    /// Streams of subscribers.
    pub feed: Occupancy,
    /// Named subscriptions; none if the store cannot be read.
    pub sites: Option<Sites>,
    /// What waits for its time or for a person; none until it was looked for, which a start does.
    pub waiting: Option<Waiting>,
    /// The slow reading of the store.
    pub scrub: Scrubbed,
    /// Copies.
    pub copies: Copies,
    /// Calls.
    pub calls: Calls,
    /// When the certificate in use ends, in seconds since 1970; none without TLS.
    pub certificate_expires: Option<i64>,
    /// Of what the newest files cannot be used, so that those before are.
    pub faults: BTreeMap<String, bool>,
    /// The process; none if the system does not say.
    pub process: Option<Process>,
}

/// The record and its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Why it takes no writes; none while it does.
    pub closed: Option<String>,
    /// Whether reads are answered.
    pub readable: bool,
    /// Number of the newest durable entry.
    pub newest_entry: u64,
    /// Sequence that the next event will take.
    pub tail: u64,
    /// Durable writes since the start.
    pub writes: u64,
    /// The format that it writes.
    pub storage_format: u32,
    /// Bytes of the store; 0 while it cannot be opened.
    pub store_bytes: u64,
    /// Bytes that it may have.
    pub store_bytes_max: u64,
    /// Bytes that are free on its disk; none if the system does not say.
    pub disk_free_bytes: Option<u64>,
}

impl Record {
    fn of(journal: &Journal) -> Self {
        Self {
            closed: journal.failure().borrow().clone(),
            readable: *journal.readable().borrow(),
            newest_entry: *journal.newest_entry().borrow(),
            tail: *journal.tail().borrow(),
            writes: journal.writes(),
            storage_format: STORAGE_FORMAT,
            store_bytes: journal.store_bytes().unwrap_or(0),
            store_bytes_max: journal.store_bytes_max(),
            disk_free_bytes: journal.disk_free_bytes(),
        }
    }
}

/// The service's clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockState {
    /// Seconds by which the wall clock is ahead of the trusted time, less than 0 if it is behind, while it is in doubt; none if it is trusted.
    pub moved_seconds: Option<f64>,
    /// Trusted time when the doubt began, in seconds since 1970; none if there is none.
    pub doubted_since: Option<f64>,
    /// Seconds by which an entry is dated after the trusted time, of the newest one of the start and those since; 0 if there is none.
    pub behind_record_seconds: f64,
}

impl ClockState {
    fn of(clock: &TrustedClock) -> Self {
        let doubt = clock.doubt();
        Self {
            moved_seconds: doubt.map(|doubt| seconds(doubt.moved_micros)),
            doubted_since: doubt.map(|doubt| seconds(doubt.since.micros())),
            behind_record_seconds: seconds(clock.behind_record_micros()),
        }
    }
}

/// Microseconds as seconds.
fn seconds(micros: i64) -> f64 {
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64().copysign(if micros < 0 { -1.0 } else { 1.0 })
}

/// Connections, whatever comes over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// That are open.
    pub open: u64,
    /// That may be.
    pub most: u64,
    /// That were refused or cut off since the start, by the limit that they met.
    pub refused: BTreeMap<String, u64>,
}

impl Connections {
    fn of(arrivals: &Arrivals) -> Self {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let refused = arrivals.all_turned().map(|(why, count)| (why.to_owned(), count)).collect();
        Self { open: number(arrivals.count()), most: number(arrivals.most()), refused }
    }
}

/// Named subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sites {
    /// How many there are in each state.
    pub by_state: BTreeMap<String, u64>,
    /// Those that lag most, first.
    pub most_behind: Vec<Site>,
}

/// A named subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Its name.
    pub subscription: String,
    /// How it stands: active, idle, stalled or rejecting.
    pub state: String,
    /// Events that it did not acknowledge.
    pub lag_events: u64,
    /// Seconds since the first of them happened; 0 if there is none.
    pub lag_seconds: f64,
}

/// Calls since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// That began.
    pub begun: u64,
    /// That ended with a fault of ours.
    pub faults: u64,
    /// That panicked, and panics of what is no call.
    pub panics: u64,
}

/// When the service began. The system counts from its own start, and says when that was in a file that may be hidden (`ProcSubset=pid`).
static BEGUN: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// From now on the service has begun.
pub(super) fn begin() {
    LazyLock::force(&BEGUN);
}

/// The process, as the system accounts for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Seconds of the processor.
    pub cpu_seconds: f64,
    /// Bytes of memory in use.
    pub resident_bytes: u64,
    /// Open files.
    pub open_files: u64,
    /// Files that may be open; none if there is no limit.
    pub open_files_max: Option<u64>,
    /// When it began, in seconds since 1970.
    pub start_time: f64,
}

impl Process {
    pub(super) fn now() -> Option<Self> {
        let this = System::myself().ok()?;
        let (stat, ticks) = (this.stat().ok()?, float(procfs::ticks_per_second()));
        let open_files_max = match this.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Unlimited => None,
            LimitValue::Value(files) => Some(files),
        };
        Some(Self {
            cpu_seconds: float(stat.utime + stat.stime) / ticks,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            open_files: u64::try_from(this.fd_count().ok()?).ok()?,
            open_files_max,
            start_time: BEGUN.duration_since(UNIX_EPOCH).ok()?.as_secs_f64(),
        })
    }
}

/// Where the figures come from, once the service runs.
pub(super) struct Sources {
    pub(super) journal: Journal,
    pub(super) feed: Feed,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) panicked: Panicked,
    pub(super) faults: Faults,
    pub(super) sites: Mutex<Option<(Instant, Sites)>>,
}

impl Sources {
    /// Why no calls should be sent here.
    pub(super) fn not_ready(&self) -> Option<String> {
        let failure = self.journal.failure().borrow().clone();
        failure.map(|why| format!("the journal takes no writes: {why}"))
    }

    /// How the service is now.
    pub(super) async fn vitals(&self, calls: &CallCounts, stops: bool) -> Vitals {
        let journal = &self.journal;
        let (begun, faults) = calls.sums();
        let sites = self.sites().await;
        Vitals {
            version: VERSION.to_owned(),
            revision: REVISION.to_owned(),
            time: Duration::from_micros(journal.now().micros().max(0).unsigned_abs()).as_secs_f64(),
            not_ready: if stops { Some("it stops".to_owned()) } else { self.not_ready() },
            record: Record::of(journal),
            clock: ClockState::of(journal.clock()),
            connections: Connections::of(&self.arrivals),
            requests_refused: self.protocol.all_refused().map(|(why, count)| (why.to_owned(), count)).collect(),
            feed: self.feed.occupancy(),
            sites,
            waiting: journal.waiting(),
            scrub: journal.scrubbed(),
            copies: journal.copies(),
            // Those of calls are among all, where all are counted: only the process that serves does that.
            calls: Calls { begun, faults, panics: self.panicked.count().max(panics::count()) },
            certificate_expires: self.tls.as_ref().and_then(|tls| tls.expires()),
            faults: self.faults.all(),
            process: Process::now(),
        }
    }

    async fn sites(&self) -> Option<Sites> {
        let mut kept = self.sites.lock().await;
        if let Some((_, sites)) = kept.as_ref().filter(|(read, _)| read.elapsed() < SITES_FOR) {
            return Some(sites.clone());
        }
        let standings = self.feed.all_standings().await.ok()?;
        let now = self.journal.now();
        let mut sites = Sites::default();
        for state in [StandingState::Active, StandingState::Idle, StandingState::Stalled, StandingState::Rejecting] {
            sites.by_state.insert(word(state).to_owned(), 0);
        }
        for (id, Standing { state, lag_events, lags_since, .. }) in standings {
            *sites.by_state.entry(word(state).to_owned()).or_default() += 1;
            let micros = lags_since.map_or(0, |since| now.micros_since(since).max(0));
            let lag_seconds = Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
            sites.most_behind.push(Site {
                subscription: id.to_string(),
                state: word(state).to_owned(),
                lag_events,
                lag_seconds,
            });
        }
        sites.most_behind.sort_by(|one, two| two.lag_seconds.total_cmp(&one.lag_seconds));
        sites.most_behind.truncate(SITES_MAX);
        *kept = Some((Instant::now(), sites.clone()));
        Some(sites)
    }
}

fn word(state: StandingState) -> &'static str {
    match state {
        StandingState::Active => "active",
        StandingState::Idle => "idle",
        StandingState::Stalled => "stalled",
        StandingState::Rejecting => "rejecting",
    }
}

/// As Prometheus counts. Exact up to 2^53.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "Prometheus has floats only")]
fn float(number: u64) -> f64 {
    number as f64
}

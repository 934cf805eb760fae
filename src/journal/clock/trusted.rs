//! The service's clock: the wall clock, for as long as it agrees with a clock that nobody sets.
//!
//! **Invariants**
//! - Every reading is taken in, whoever asks for the time, so a jump is noticed before anything is decided by it.
//! - Only the writer believes a clock again, as the journal has an entry for it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Instant,
};

use tokio::{
    sync::watch,
    time::{Instant as Timer, sleep_until},
};
use tracing::{info, warn};

use super::{
    Clock, Reading, micros,
    note::Note,
    trust::{Doubt, Trust, is_moved},
};
use crate::domain::time::Timestamp;

/// A clock with what is known of it. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct TrustedClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    known: Mutex<Known>,
    /// Counts what was noticed: see [`TrustedClock::moves`].
    moves: watch::Sender<u64>,
    /// Latest time of a durable entry that was noted, in microseconds.
    latest_entry: AtomicI64,
}

#[derive(Debug)]
struct Known {
    trust: Trust,
    /// None if the boot has no name.
    note: Option<Note>,
    begun: Instant,
    /// Microseconds by which the latest time was ahead of the timers of the process when that was seen last.
    lead: i64,
}

impl TrustedClock {
    /// Begins with what was trusted before, if the machine was not started since. Blocks.
    pub(in crate::journal) fn begin(clock: Clock, directory: &Path) -> Self {
        let (reading, note) = (clock.read(), clock.boot().map(|boot| Note::of(directory, boot)));
        let trust = Trust::begin(reading, note.as_ref().and_then(Note::offset));
        let known = Known { trust, note, begun: Instant::now(), lead: reading.wall.micros() };
        let latest_entry = AtomicI64::new(Timestamp::MIN.micros());
        let (known, moves) = (Mutex::new(known), watch::Sender::new(0));
        let this = Self(Arc::new(Inner { clock, known, moves, latest_entry }));
        drop(this.look());
        this
    }

    /// The trusted time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let (known, reading) = self.look();
        known.trust.time(reading)
    }

    /// The trusted time, and why it is not that of the wall clock.
    pub(in crate::journal) fn judged(&self) -> (Timestamp, Option<Doubt>) {
        let (known, reading) = self.look();
        (known.trust.time(reading), known.trust.doubt(reading))
    }

    /// The later of the trusted time and the wall clock's: a credential has ended if either says so.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        let (known, reading) = self.look();
        known.trust.time(reading).max(reading.wall)
    }

    /// The wall clock, trusted or not.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Why the wall clock is not trusted; none if it is.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.judged().1
    }

    /// Counts moves of [`TrustedClock::latest`] against the timers of the process, which stand still while the machine is suspended: whatever
    /// waits for a time by a timer has to look again.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.0.moves.subscribe()
    }

    /// Returns once `end` has come, by the clock or by the time that it was ahead when this was called.
    pub async fn until(&self, end: Timestamp) {
        let mut moves = self.moves();
        let left = u64::try_from(end.micros_since(self.latest())).unwrap_or_default();
        let timer = Timer::now() + std::time::Duration::from_micros(left);
        while self.latest() < end {
            tokio::select! {
                () = sleep_until(timer) => return,
                Ok(()) = moves.changed() => {}
            }
        }
    }

    /// Notes the time of an entry: of the newest one of the start, and of each that is committed.
    pub(in crate::journal) fn note_entry(&self, time: Timestamp) {
        self.0.latest_entry.fetch_max(time.micros(), Relaxed);
    }

    /// Microseconds by which an entry is dated after the trusted time, of the newest one of the start and those since: it was written by a clock
    /// that was ahead, or this one is behind. 0 if there is none.
    #[must_use]
    pub fn behind_record_micros(&self) -> i64 {
        self.0.latest_entry.load(Relaxed).saturating_sub(self.now().micros()).max(0)
    }

    /// Believes a wall clock that has stayed where it is for long enough, and keeps what is trusted for the next start. Returns by how far it
    /// had moved, if it was in doubt. For the writer alone. Blocks.
    pub(in crate::journal) fn settle(&self) -> Option<i64> {
        let (mut known, reading) = self.look();
        let moved = known.trust.settle(reading);
        known.keep();
        moved
    }

    /// Believes the wall clock as it is. Returns by how far it had moved, if it was in doubt. For the writer alone. Blocks.
    pub(in crate::journal) fn believe(&self) -> Option<i64> {
        let (mut known, reading) = self.look();
        let moved = known.trust.believe(reading);
        known.keep();
        moved
    }

    /// Takes a reading in, and says what changed.
    fn look(&self) -> (MutexGuard<'_, Known>, Reading) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that readings are taken in as they were made.
        let reading = self.0.clock.read();
        let before = known.trust.doubt(reading);
        known.trust.observe(reading);
        match (before, known.trust.doubt(reading)) {
            (None, Some(doubt)) => say_doubt(reading, doubt),
            (Some(_), None) => {
                info!(wall = %reading.wall, "the wall clock agrees with the steady clock again: writes are taken");
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        let latest = known.trust.time(reading).max(reading.wall);
        let lead = latest.micros().saturating_sub(micros(known.begun.elapsed()));
        if is_moved(lead.saturating_sub(known.lead)) {
            self.0.moves.send_modify(|moves| *moves += 1);
            known.lead = lead;
        }
        (known, reading)
    }
}

impl Known {
    fn keep(&mut self) {
        let offset = self.trust.offset();
        if let Some(Err(failure)) = self.note.as_mut().map(|note| note.keep(offset)) {
            warn!(%failure, "the trusted time cannot be kept: a restart would believe the clock as it is then");
        }
    }
}

fn say_doubt(reading: Reading, doubt: Doubt) {
    let moved_seconds = doubt.moved_seconds();
    warn!(
        wall = %reading.wall, trusted = %doubt.since, moved_seconds,
        "the wall clock has moved against the steady clock: only withdrawals are taken until it returns, stays for an hour, or is confirmed"
    );
}

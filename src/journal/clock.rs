//! The clocks of the machine, and how far the wall clock is to be trusted.

mod note;
mod trust;
mod trusted;

use std::{
    env, fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

pub use trust::Doubt;
pub(super) use trust::{BELIEVED_AFTER, MOVE_MAX};
pub use trusted::TrustedClock;

use crate::domain::time::Timestamp;

/// Between the two halves of a reading. A thread that was paused in between reads again, or the clocks would seem to differ by its pause.
const READ_WITHIN: Duration = Duration::from_millis(10);
/// Readings that are tried, on a machine so busy that each is interrupted.
const READS_MAX: u32 = 8;
/// Names the current boot of a Linux machine, also to a container on it.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The same where that is hidden (`deploy/systemd/onrecord.service`); counts before it.
const BOOT_ID_VARIABLE: &str = "ONRECORD_BOOT_ID";

/// Source of the time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clocks.
    #[default]
    System,
    /// Clocks that stand until they are moved, for tests.
    Manual(Arc<Manual>),
}

/// Clocks that are moved by hand.
#[derive(Debug)]
pub struct Manual {
    boot: String,
    reading: Mutex<Reading>,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The wall clock, which people and time services set.
    pub(super) wall: Timestamp,
    /// `CLOCK_BOOTTIME`: nobody sets it, and it goes on while the machine is suspended.
    pub(super) steady: Duration,
}

impl Reading {
    /// Microseconds by which the wall clock is ahead of the steady one. It stays the same unless the wall clock is set.
    pub(super) fn offset(self) -> i64 {
        self.wall.micros().saturating_sub(micros(self.steady))
    }
}

impl Clock {
    /// Clocks that stand at `time` until they are moved.
    #[must_use]
    pub fn manual(time: Timestamp) -> Self {
        let boot = uuid::Uuid::new_v4().to_string();
        // Longer than any test moves them back.
        let reading = Mutex::new(Reading { wall: time, steady: Duration::from_hours(24 * 365) });
        Self::Manual(Arc::new(Manual { boot, reading }))
    }

    /// The time by the wall clock, right or not.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.read().wall
    }

    /// Lets `seconds` pass: both clocks of a manual clock move. A system clock stays as it is.
    pub fn advance(&self, seconds: u64) {
        self.change(|reading| {
            reading.wall = reading.wall.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
            reading.steady = reading.steady.saturating_add(Duration::from_secs(seconds));
        });
    }

    /// Sets the wall clock of a manual clock forward by `seconds`, or back, while no time passes. A system clock stays as it is.
    pub fn jump(&self, seconds: i64) {
        self.change(|reading| reading.wall = reading.wall.plus_seconds(seconds));
    }

    fn change(&self, change: impl FnOnce(&mut Reading)) {
        if let Self::Manual(manual) = self {
            change(&mut manual.reading.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Reads both clocks.
    pub(super) fn read(&self) -> Reading {
        match self {
            Self::System => read_system(),
            Self::Manual(manual) => *manual.reading.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Names the life of the steady clock, which begins anew with each boot; none if the system does not say.
    pub(super) fn boot(&self) -> Option<String> {
        match self {
            Self::System => {
                let given = env::var(BOOT_ID_VARIABLE).ok().or_else(|| fs::read_to_string(BOOT_ID).ok())?;
                Some(given.trim().to_owned()).filter(|id| !id.is_empty())
            }
            Self::Manual(manual) => Some(manual.boot.clone()),
        }
    }
}

fn read_system() -> Reading {
    let mut before = steady();
    let mut read = || {
        let reading = Reading { wall: wall(), steady: steady() };
        let took = reading.steady.saturating_sub(std::mem::replace(&mut before, reading.steady));
        (reading, took)
    };
    let (mut reading, mut took) = read();
    for _ in 1..READS_MAX {
        if took <= READ_WITHIN {
            break;
        }
        (reading, took) = read();
    }
    reading
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn steady() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_of_the_system_go_together() {
        let (first, second) = (Clock::System.read(), Clock::System.read());
        assert!(second.steady >= first.steady);
        assert!((second.offset() - first.offset()).abs() < micros(MOVE_MAX), "{first:?} {second:?}");
        assert!(first.wall > Timestamp::from_micros(1_700_000_000_000_000), "{first:?}");
    }
}

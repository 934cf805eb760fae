//! Decides whether the wall clock is to be trusted, by comparing it with a clock that nobody sets. No I/O: readings are inputs.
//!
//! **Invariants**
//! - A move of more than [`MOVE_MAX`], at once or in small steps within [`BELIEVED_AFTER`], puts the clock in doubt
//!   (`small_steps_add_up`).
//! - In doubt the time goes on from the last trusted reading, by the steady clock (`time_goes_on_in_doubt`).
//! - Doubt ends in three ways only: the clock returns, it keeps its new place for [`BELIEVED_AFTER`], or a person confirms it.

use std::time::Duration;

use super::{Reading, micros};
use crate::domain::time::Timestamp;

/// Move of the wall clock against the steady one that is no reason for doubt: more than a leap second and than the steps by which a time
/// service corrects a clock that it looks after.
pub(in crate::journal) const MOVE_MAX: Duration = Duration::from_secs(2);
/// Time for which a wall clock has to stay where it is before it is believed without a person. Long enough for an operator to be called and
/// to act; short enough that a service whose virtual machine was paused over night works again before the day begins.
pub(in crate::journal) const BELIEVED_AFTER: Duration = Duration::from_hours(1);

/// Reason not to trust the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Microseconds by which the wall clock is ahead of the trusted time; less than 0 if it is behind.
    pub moved_micros: i64,
    /// Trusted time when the doubt began.
    pub since: Timestamp,
}

impl Doubt {
    /// [`Doubt::moved_micros`] in whole seconds, rounded.
    #[must_use]
    pub fn moved_seconds(self) -> i64 {
        self.moved_micros.saturating_add(self.moved_micros.signum() * 500_000) / 1_000_000
    }
}

/// Trusted relation between the two clocks, and what is seen of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    /// Offset that is trusted, in microseconds: see [`Reading::offset`].
    trusted: i64,
    /// Offset where the wall clock has stayed, give or take [`MOVE_MAX`], since `stays_since`.
    stays_at: i64,
    stays_since: Duration,
    doubted_since: Option<Timestamp>,
}

impl Trust {
    /// Begins with an offset that was trusted before, or with what is read now.
    pub(super) fn begin(reading: Reading, known: Option<i64>) -> Self {
        let stays_at = reading.offset();
        Self { trusted: known.unwrap_or(stays_at), stays_at, stays_since: reading.steady, doubted_since: None }
    }

    /// Takes a reading in.
    pub(super) fn observe(&mut self, reading: Reading) {
        if is_moved(reading.offset().saturating_sub(self.stays_at)) {
            self.stays_at = reading.offset();
            self.stays_since = reading.steady;
        }
        let doubted = is_moved(self.moved(reading));
        self.doubted_since = doubted.then(|| self.doubted_since.unwrap_or_else(|| self.carried_on(reading)));
    }

    /// Believes a wall clock that has stayed where it is for [`BELIEVED_AFTER`]. Returns by how far it had moved, if it was in doubt.
    pub(super) fn settle(&mut self, reading: Reading) -> Option<i64> {
        self.observe(reading);
        let stays = reading.steady.saturating_sub(self.stays_since) >= BELIEVED_AFTER;
        if stays { self.believe(reading) } else { None }
    }

    /// Believes the wall clock as it is. Returns by how far it had moved, if it was in doubt.
    pub(super) fn believe(&mut self, reading: Reading) -> Option<i64> {
        let moved = self.moved(reading);
        let was_doubted = self.doubted_since.is_some();
        *self = Self::begin(reading, None);
        was_doubted.then_some(moved)
    }

    /// Why the wall clock is not trusted, as of the last reading that was taken in.
    pub(super) fn doubt(&self, reading: Reading) -> Option<Doubt> {
        self.doubted_since.map(|since| Doubt { moved_micros: self.moved(reading), since })
    }

    /// The trusted time: the wall clock's, unless that is in doubt.
    pub(super) fn time(&self, reading: Reading) -> Timestamp {
        if self.doubted_since.is_some() { self.carried_on(reading) } else { reading.wall }
    }

    /// The offset that is trusted.
    pub(super) fn offset(&self) -> i64 {
        self.trusted
    }

    fn moved(&self, reading: Reading) -> i64 {
        reading.offset().saturating_sub(self.trusted)
    }

    fn carried_on(&self, reading: Reading) -> Timestamp {
        Timestamp::from_micros(self.trusted.saturating_add(micros(reading.steady)))
    }
}

/// Whether a move is more than a time service's.
pub(super) fn is_moved(by_micros: i64) -> bool {
    by_micros.unsigned_abs() > micros(MOVE_MAX).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A reading `steady` seconds after the beginning, with the wall clock moved by some seconds.
    fn reading(steady: u64, moved: i64) -> Reading {
        let wall = Timestamp::from_micros(1_000 * SECOND).plus_seconds(i64::try_from(steady).unwrap() + moved);
        Reading { wall, steady: Duration::from_secs(steady) }
    }

    fn begun() -> Trust {
        Trust::begin(reading(0, 0), None)
    }

    #[test]
    fn time_goes_on_in_doubt() {
        for moved in [20 * 60, 86_400, -3_600, 3, -3] {
            let mut trust = begun();
            trust.observe(reading(10, 0));
            assert_eq!(trust.doubt(reading(10, 0)), None);
            let now = reading(11, moved);
            trust.observe(now);
            let since = reading(11, 0).wall;
            assert_eq!(trust.doubt(now), Some(Doubt { moved_micros: moved * SECOND, since }));
            assert_eq!(trust.time(now), since);
            let later = reading(600, moved);
            trust.observe(later);
            assert_eq!(trust.time(later), reading(600, 0).wall);
            assert_eq!(trust.doubt(later).unwrap().since, since, "it began once");
            let back = reading(700, 0);
            trust.observe(back);
            assert_eq!((trust.doubt(back), trust.time(back)), (None, back.wall));
        }
    }

    #[test]
    fn a_small_step_is_no_doubt_and_is_shown_as_it_is() {
        for moved in [2, -2, 1] {
            let (mut trust, now) = (begun(), reading(5, moved));
            trust.observe(now);
            assert_eq!((trust.doubt(now), trust.time(now)), (None, now.wall), "{moved}");
        }
    }

    #[test]
    fn small_steps_add_up() {
        let mut trust = begun();
        for minute in 1..=3 {
            let now = reading(minute * 60, i64::try_from(minute).unwrap());
            assert_eq!(trust.settle(now), None);
            assert_eq!(trust.doubt(now).is_some(), minute > 2, "minute {minute}");
        }
        // A second an hour is what a clock without a time service may do.
        let mut trust = begun();
        for hour in 1..=50_u64 {
            let now = reading(hour * 3_600, i64::try_from(hour).unwrap());
            assert_eq!(trust.settle(now), None);
            assert_eq!((trust.doubt(now), trust.time(now)), (None, now.wall), "hour {hour}");
        }
    }

    #[test]
    fn a_clock_that_stays_is_believed_and_one_that_goes_on_moving_is_not() {
        let mut trust = begun();
        trust.observe(reading(10, 1_200));
        assert_eq!(trust.settle(reading(10 + 3_599, 1_200)), None);
        assert_eq!(trust.settle(reading(10 + 3_600, 1_200)), Some(1_200 * SECOND));
        let now = reading(10 + 3_601, 1_200);
        assert_eq!((trust.doubt(now), trust.time(now)), (None, now.wall));

        let mut trust = begun();
        for step in 1..=100_u64 {
            let now = reading(step * 600, 10 * i64::try_from(step).unwrap());
            assert_eq!(trust.settle(now), None, "step {step}");
            assert!(trust.doubt(now).is_some());
        }
    }

    #[test]
    fn what_a_person_confirms_is_believed_at_once() {
        let (mut trust, now) = (begun(), reading(10, 86_400));
        trust.observe(now);
        assert_eq!(trust.believe(now), Some(86_400 * SECOND));
        assert_eq!((trust.doubt(now), trust.time(now)), (None, now.wall));
        assert_eq!(trust.believe(now), None, "there was nothing to confirm");
    }

    #[test]
    fn what_was_trusted_before_a_restart_is_trusted_on() {
        let now = reading(10, 1_200);
        let mut trust = Trust::begin(now, Some(reading(0, 0).offset()));
        trust.observe(now);
        assert_eq!(trust.doubt(now).unwrap().moved_micros, 1_200 * SECOND);
        assert_eq!(trust.time(now), reading(10, 0).wall);
    }
}

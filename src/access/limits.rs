//! How much of the service one caller may take, so that none takes it from the others, and how much all may take together.
//!
//! **Invariants**
//! - A place is given back when its call or stream has ended, however it ended (`a_place_is_given_back`).
//! - What is kept of callers is bounded by those that are let in: one without a role has no entry.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock as _, MonotonicClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::HashMapStateStore},
};

use super::{AccessRefusal, Limit};
use crate::domain::id::Caller;

const CALLS_PER_SECOND_DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(499);
const CALLS_BURST_DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);
const CALLS_IN_FLIGHT_DEFAULT: u32 = 200;
const STREAMS_DEFAULT: u32 = 1_000;
const SNAPSHOTS_PER_MINUTE_DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);
const TOTAL_CALLS_PER_SECOND_DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(19_999);
const TOTAL_CALLS_IN_FLIGHT_DEFAULT: u32 = 2_000;

/// How much one caller may take, and how much all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second, in the long run; 500 by default.
    pub calls_per_second: NonZeroU32,
    /// Calls at once, after a pause; 1,000 by default.
    pub calls_burst: NonZeroU32,
    /// Calls that are under way; 200 by default. A stream counts until it is open.
    pub calls_in_flight: u32,
    /// Streams of the feed that are open; 1,000 by default.
    pub streams: u32,
    /// Snapshots a minute, in the long run and at once after a pause; 600 by default.
    pub snapshots_per_minute: NonZeroU32,
    /// Calls a second of all callers together; 20,000 by default.
    pub total_calls_per_second: NonZeroU32,
    /// Calls of all callers that are under way; 2,000 by default. Each may have a message, of editors up to 4 MiB.
    pub total_calls_in_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_per_second: CALLS_PER_SECOND_DEFAULT,
            calls_burst: CALLS_BURST_DEFAULT,
            calls_in_flight: CALLS_IN_FLIGHT_DEFAULT,
            streams: STREAMS_DEFAULT,
            snapshots_per_minute: SNAPSHOTS_PER_MINUTE_DEFAULT,
            total_calls_per_second: TOTAL_CALLS_PER_SECOND_DEFAULT,
            total_calls_in_flight: TOTAL_CALLS_IN_FLIGHT_DEFAULT,
        }
    }
}

/// What a caller takes at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Taken {
    Call,
    Stream,
}

/// How many places are taken.
#[derive(Debug, Default)]
struct Counts {
    by: HashMap<(Caller, Taken), u32>,
    calls: u32,
}

type Places = Arc<Mutex<Counts>>;

/// A place that a call or a stream takes; dropping it gives it back.
pub struct Place {
    places: Places,
    key: (Caller, Taken),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.key).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.places);
        if self.key.1 == Taken::Call {
            places.calls -= 1;
        }
        if let Some(count) = places.by.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                places.by.remove(&self.key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Rate = RateLimiter<Caller, HashMapStateStore<Caller>, MonotonicClock, NoOpMiddleware<Instant>>;
type TotalRate = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>;

/// How long until there may be another.
fn wait(early: &NotUntil<Instant>) -> Duration {
    early.wait_time_from(MonotonicClock.now())
}

/// What callers have taken.
pub(super) struct Pace {
    limits: Limits,
    rate: Rate,
    snapshots: Rate,
    total_rate: TotalRate,
    places: Places,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        let quota = Quota::per_second(limits.calls_per_second).allow_burst(limits.calls_burst);
        let rate = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        let quota = Quota::per_minute(limits.snapshots_per_minute);
        let snapshots = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        let quota = Quota::per_second(limits.total_calls_per_second);
        let total_rate = RateLimiter::new(quota, InMemoryState::default(), MonotonicClock);
        Self { limits, rate, snapshots, total_rate, places: Places::default() }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The same for other limits: what is taken stays taken.
    pub(super) fn with(&self, limits: Limits) -> Self {
        Self { places: Arc::clone(&self.places), ..Self::new(limits) }
    }

    /// A call begins.
    pub(super) fn call(&self, caller: &Caller) -> Result<Place, AccessRefusal> {
        let most = self.limits.calls_per_second.get();
        let limit = Limit::CallsPerSecond;
        self.rate.check_key(caller).map_err(|early| AccessRefusal::TooMany { limit, most, wait: wait(&early) })?;
        let most = self.limits.total_calls_per_second.get();
        self.total_rate.check().map_err(|early| AccessRefusal::TooManyInAll { limit, most, wait: wait(&early) })?;
        self.take(caller, Taken::Call, self.limits.calls_in_flight, Limit::CallsInFlight)
    }

    /// A snapshot begins.
    pub(super) fn snapshot(&self, caller: &Caller) -> Result<(), AccessRefusal> {
        let most = self.limits.snapshots_per_minute.get();
        let limit = Limit::SnapshotsPerMinute;
        self.snapshots.check_key(caller).map_err(|early| AccessRefusal::TooMany { limit, most, wait: wait(&early) })
    }

    /// A stream opens.
    pub(super) fn stream(&self, caller: &Caller) -> Result<Place, AccessRefusal> {
        self.take(caller, Taken::Stream, self.limits.streams, Limit::Streams)
    }

    fn take(&self, caller: &Caller, taken: Taken, most: u32, limit: Limit) -> Result<Place, AccessRefusal> {
        let key = (caller.clone(), taken);
        let mut places = lock(&self.places);
        let Counts { by, calls } = &mut *places;
        let total = self.limits.total_calls_in_flight;
        if taken == Taken::Call && *calls >= total {
            return Err(AccessRefusal::TooManyInAll { limit, most: total, wait: Duration::ZERO });
        }
        let count = by.get(&key).copied().unwrap_or_default();
        if count >= most {
            return Err(AccessRefusal::TooMany { limit, most, wait: Duration::ZERO });
        }
        by.insert(key.clone(), count + 1);
        *calls += u32::from(taken == Taken::Call);
        Ok(Place { places: Arc::clone(&self.places), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        let number = |n| NonZeroU32::new(n).unwrap();
        Pace::new(Limits {
            calls_per_second: number(1),
            calls_burst: number(3),
            calls_in_flight: 2,
            streams: 1,
            snapshots_per_minute: number(2),
            total_calls_per_second: number(5),
            total_calls_in_flight: 4,
        })
    }

    fn caller(name: &str) -> Caller {
        Caller::parse(name).unwrap()
    }

    #[test]
    fn a_caller_that_is_too_fast_is_told_and_others_are_not() {
        let (pace, anna, bea) = (pace(), caller("anna"), caller("bea"));
        for _ in 0..3 {
            pace.call(&anna).unwrap();
        }
        let refusal = pace.call(&anna).unwrap_err();
        assert!(
            matches!(refusal, AccessRefusal::TooMany { limit: Limit::CallsPerSecond, most: 1, wait } if !wait.is_zero()),
            "{refusal:?}"
        );
        pace.call(&bea).unwrap();
    }

    #[test]
    fn a_place_is_given_back() {
        let (pace, anna) = (pace(), caller("anna"));
        let first = pace.stream(&anna).unwrap();
        let most = AccessRefusal::TooMany { limit: Limit::Streams, most: 1, wait: Duration::ZERO };
        assert_eq!(pace.stream(&anna).unwrap_err(), most);
        assert_eq!(pace.with(Limits { streams: 1, ..Limits::default() }).stream(&anna).unwrap_err(), most);
        drop(first);
        drop(pace.stream(&anna).unwrap());
        assert!(lock(&pace.places).by.is_empty());
    }

    #[test]
    fn calls_under_way_have_a_limit_of_their_own() {
        let (pace, anna) = (pace(), caller("anna"));
        let _under_way = [pace.call(&anna).unwrap(), pace.call(&anna).unwrap()];
        let most = AccessRefusal::TooMany { limit: Limit::CallsInFlight, most: 2, wait: Duration::ZERO };
        assert_eq!(pace.call(&anna).unwrap_err(), most);
    }

    #[test]
    fn all_together_have_limits_too() {
        let (pace, callers) = (pace(), ["anna", "bea", "carl"].map(caller));
        let mut under_way: Vec<_> = callers.iter().cycle().take(4).map(|caller| pace.call(caller).unwrap()).collect();
        let refusal = pace.call(&callers[1]).unwrap_err();
        assert!(
            matches!(refusal, AccessRefusal::TooManyInAll { limit: Limit::CallsInFlight, most: 4, wait } if wait.is_zero()),
            "{refusal:?}"
        );
        under_way.pop();
        let refusal = pace.call(&callers[2]).unwrap_err();
        assert!(
            matches!(refusal, AccessRefusal::TooManyInAll { limit: Limit::CallsPerSecond, most: 5, wait } if !wait.is_zero()),
            "{refusal:?}"
        );
        drop(under_way);
        assert_eq!(lock(&pace.places).calls, 0);
    }

    #[test]
    fn whoever_takes_snapshots_too_often_is_told_and_others_are_not() {
        let (pace, anna) = (pace(), caller("anna"));
        pace.snapshot(&anna).and_then(|()| pace.snapshot(&anna)).unwrap();
        let refusal = pace.snapshot(&anna).unwrap_err();
        assert!(
            matches!(refusal, AccessRefusal::TooMany { limit: Limit::SnapshotsPerMinute, most: 2, wait } if !wait.is_zero()),
            "{refusal:?}"
        );
        pace.snapshot(&caller("bea")).unwrap();
    }
}

//! Lines of the log about those who are not let in: so many of one address, so that nobody fills the disk with them.
//!
//! **Invariants**
//! - One address has no more lines than its share, and the next line says how many are missing
//!   (`one_address_has_so_many_lines_and_the_next_says_what_is_missing`).
//! - What is kept of addresses is bounded: those that were quiet are forgotten.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use governor::{
    Quota, RateLimiter, clock::MonotonicClock, middleware::NoOpMiddleware, state::keyed::HashMapStateStore,
};

use crate::prefix::prefix;

/// Lines of one address a second, in the long run and at once.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Addresses of which it is known how many lines they had lately, before those are forgotten that had none.
const ADDRESSES_MAX: usize = 10_000;

/// Keeps count of them.
pub(crate) struct Lines {
    pace: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, MonotonicClock, NoOpMiddleware<Instant>>,
    /// How many were not written since the last one that was.
    unwritten: AtomicU64,
}

impl Default for Lines {
    fn default() -> Self {
        let quota = Quota::per_second(PER_SECOND);
        let pace = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        Self { pace, unwritten: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("unwritten", &self.unwritten).finish_non_exhaustive()
    }
}

impl Lines {
    /// Whether there may be one more about this address: then, how many were not written, if any were not.
    pub(crate) fn one_more(&self, address: SocketAddr) -> Option<Unwritten> {
        if self.pace.len() > ADDRESSES_MAX {
            self.pace.retain_recent();
        }
        if self.pace.check_key(&prefix(address)).is_err() {
            self.unwritten.fetch_add(1, Relaxed);
            return None;
        }
        let unwritten = self.unwritten.swap(0, Relaxed);
        Some((unwritten > 0).then_some(unwritten))
    }
}

/// How many lines were not written; none if all were.
pub(crate) type Unwritten = Option<u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_lines_and_the_next_says_what_is_missing() {
        let lines = Lines::default();
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
        let written = (0..1_000).filter(|_| lines.one_more(address("192.0.2.1")).is_some()).count();
        // More come due while it goes on.
        assert!((100..500).contains(&written), "{written}");
        let missing = u64::try_from(1_000 - written).unwrap();
        assert_eq!(lines.one_more(address("192.0.2.2")), Some(Some(missing)));
        assert_eq!(lines.one_more(address("192.0.2.3")), Some(None));
    }
}

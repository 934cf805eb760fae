//! Those who connect: how many are here, how many of one address, and how many were turned away.
//!
//! **Invariants**
//! - No more than so many connections are open, and no more than so many of one address. Who is one too many waits in no queue
//!   (`who_is_one_too_many_has_no_place`).
//! - What is kept of addresses is bounded by the connections that are open.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::prefix::prefix;

/// Why a connection was turned away, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// There are as many as there may be.
    TooMany,
    /// There are as many of its address.
    TooManyOfOne,
    /// Its turn for a handshake did not come in time.
    NoTurn,
    /// No TLS came about with it.
    NoTls,
    /// It sent frames that cost it nothing without end.
    Flood,
}

/// All of them, with their names in metrics.
const REASONS: [(Turned, &str); 5] = [
    (Turned::TooMany, "connections_max"),
    (Turned::TooManyOfOne, "connections_per_address_max"),
    (Turned::NoTurn, "handshakes_per_second"),
    (Turned::NoTls, "tls"),
    (Turned::Flood, "flood"),
];

/// How many may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// In all.
    pub(super) in_all: usize,
    /// Of one address; as many as in all if none.
    pub(super) of_one: Option<NonZeroUsize>,
}

/// Those who are here.
#[derive(Debug, Default)]
struct Here {
    count: usize,
    by_prefix: HashMap<IpAddr, usize>,
}

/// Keeps count of them.
#[derive(Debug)]
pub(super) struct Arrivals {
    most: Most,
    here: Mutex<Here>,
    turned: [AtomicU64; REASONS.len()],
}

impl Arrivals {
    pub(super) fn new(most: Most) -> Self {
        Self { most, here: Mutex::default(), turned: Default::default() }
    }

    /// Makes place for one from there.
    ///
    /// # Errors
    /// If there are as many as there may be.
    pub(super) fn place(self: &Arc<Self>, address: SocketAddr) -> Result<Arrival, Turned> {
        let prefix = prefix(address);
        let mut here = self.here();
        if here.count >= self.most.in_all {
            return Err(Turned::TooMany);
        }
        let of_one = here.by_prefix.entry(prefix).or_default();
        // Who has no connection has a place, as at least one is allowed; so no entry without one stays.
        if self.most.of_one.is_some_and(|most| *of_one >= most.get()) {
            return Err(Turned::TooManyOfOne);
        }
        *of_one += 1;
        here.count += 1;
        Ok(Arrival { arrivals: Arc::clone(self), prefix })
    }

    /// One was turned away.
    pub(super) fn turned(&self, why: Turned) {
        let count = REASONS.iter().zip(&self.turned).find(|((reason, _), _)| *reason == why);
        if let Some((_, count)) = count {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many are here.
    pub(super) fn count(&self) -> usize {
        self.here().count
    }

    /// How many may be.
    pub(super) fn most(&self) -> usize {
        self.most.in_all
    }

    /// How many were turned away, by why.
    pub(super) fn all_turned(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.iter().zip(&self.turned).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that a connection has; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Arrival {
    arrivals: Arc<Arrivals>,
    prefix: IpAddr,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut here = self.arrivals.here();
        here.count -= 1;
        if let Some(of_one) = here.by_prefix.get_mut(&self.prefix) {
            *of_one -= 1;
            if *of_one == 0 {
                here.by_prefix.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    #[test]
    fn who_is_one_too_many_has_no_place() {
        let arrivals = Arc::new(Arrivals::new(Most { in_all: 3, of_one: NonZeroUsize::new(2) }));
        let place = |text| arrivals.place(address(text));
        let (first, second) = (place("192.0.2.1").unwrap(), place("::ffff:192.0.2.1").unwrap());
        assert_eq!(place("192.0.2.1").unwrap_err(), Turned::TooManyOfOne, "it is one address, however it is written");
        let third = place("192.0.2.2").unwrap();
        assert_eq!(place("192.0.2.3").unwrap_err(), Turned::TooMany);
        drop(first);
        assert!(arrivals.count() == 2 && place("192.0.2.1").is_ok());
        drop((second, third));
        assert!(arrivals.count() == 0 && arrivals.here().by_prefix.is_empty());
    }

    #[test]
    fn every_reason_is_counted_for_itself() {
        let arrivals = Arrivals::new(Most { in_all: 1, of_one: None });
        for (reason, _) in REASONS.iter().skip(1) {
            arrivals.turned(*reason);
        }
        assert_eq!(arrivals.all_turned().map(|(_, count)| count).collect::<Vec<_>>(), [0, 1, 1, 1, 1]);
    }
}

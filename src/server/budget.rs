//! Bounds the bytes that calls keep in memory: of one connection, of one caller, and of all together.
//!
//! **Invariants**
//! - Bytes are given back when their [`Charge`] is dropped (`bytes_are_given_back`).
//! - An account that keeps nothing is never refused for its own size: the largest message is always possible
//!   (`a_message_that_is_larger_than_the_limit_is_possible_alone`).

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    access::{AccessRefusal, Limit},
    domain::id::Caller,
};

/// Bytes that may be kept at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// The kind of bytes, as a refusal names it.
    pub(super) limit: Limit,
    pub(super) connection: usize,
    pub(super) caller: usize,
    pub(super) all: usize,
}

/// The owner of bytes: a connection by its number, and the caller if it is known.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) connection: u64,
    pub(super) caller: Option<Caller>,
}

/// Counts bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    most: Most,
    sums: Arc<Mutex<Sums>>,
}

#[derive(Debug, Default)]
struct Sums {
    all: usize,
    connections: HashMap<u64, usize>,
    callers: HashMap<Caller, usize>,
}

impl Sums {
    fn of(&self, account: &Account) -> (usize, usize) {
        let caller = account.caller.as_ref().and_then(|caller| self.callers.get(caller));
        (self.connections.get(&account.connection).copied().unwrap_or(0), caller.copied().unwrap_or(0))
    }

    fn add(&mut self, account: &Account, bytes: usize) {
        self.all += bytes;
        *self.connections.entry(account.connection).or_default() += bytes;
        if let Some(caller) = &account.caller {
            *self.callers.entry(caller.clone()).or_default() += bytes;
        }
    }

    fn subtract(&mut self, account: &Account, bytes: usize) {
        self.all -= bytes;
        subtract(&mut self.connections, &account.connection, bytes);
        if let Some(caller) = &account.caller {
            subtract(&mut self.callers, caller, bytes);
        }
    }
}

fn subtract<K: Eq + Hash>(sums: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    if let Some(sum) = sums.get_mut(key) {
        *sum -= bytes;
        if *sum == 0 {
            sums.remove(key);
        }
    }
}

impl Budget {
    pub(super) fn new(most: Most) -> Self {
        Self { most, sums: Arc::default() }
    }

    /// An account with nothing charged yet.
    pub(super) fn open(&self, account: Account) -> Charge {
        Charge { budget: self.clone(), account, bytes: 0 }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses if `own` bytes more exceed a limit of the account, or `shared` bytes, if given, that of all together. A sum of 0 always has room.
    fn room(&self, sums: &Sums, account: &Account, own: usize, shared: Option<usize>) -> Result<(), AccessRefusal> {
        let Most { limit, connection, caller, all } = self.most;
        let (of_connection, of_caller) = sums.of(account);
        let is_full = |sum: usize, bytes: usize, most: usize| sum > 0 && sum.saturating_add(bytes) > most;
        let most = |most: usize| u32::try_from(most).unwrap_or(u32::MAX);
        for (sum, bytes_max) in [(of_connection, connection), (of_caller, caller)] {
            if is_full(sum, own, bytes_max) {
                return Err(AccessRefusal::TooMany { limit, most: most(bytes_max), wait: Duration::ZERO });
            }
        }
        if shared.is_some_and(|bytes| is_full(sums.all, bytes, all)) {
            return Err(AccessRefusal::TooManyInAll { limit, most: most(all), wait: Duration::ZERO });
        }
        Ok(())
    }
}

/// Bytes of one call; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    account: Account,
    bytes: usize,
}

impl Charge {
    /// Adds bytes.
    ///
    /// # Errors
    /// If they do not fit; then none are added.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), AccessRefusal> {
        let mut sums = self.budget.sums();
        self.budget.room(&sums, &self.account, bytes, Some(bytes))?;
        sums.add(&self.account, bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Adds bytes whether they fit or not.
    pub(super) fn add_in_any_case(&mut self, bytes: usize) {
        self.budget.sums().add(&self.account, bytes);
        self.bytes += bytes;
    }

    /// Checks for room: for `own` bytes of its connection and its caller, and for `shared` bytes, if given, of all together.
    ///
    /// # Errors
    /// If they would not.
    pub(super) fn has_room(&self, own: usize, shared: Option<usize>) -> Result<(), AccessRefusal> {
        self.budget.room(&self.budget.sums(), &self.account, own, shared)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.sums().subtract(&self.account, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { limit: Limit::UnreadResponseBytes, connection: 10, caller: 20, all: 30 };

    fn account(connection: u64, caller: &str) -> Account {
        Account { connection, caller: Caller::parse(caller).ok() }
    }

    fn charged(budget: &Budget, connection: u64, caller: &str, bytes: usize) -> Charge {
        let mut charge = budget.open(account(connection, caller));
        charge.add(bytes).unwrap();
        charge
    }

    #[test]
    fn each_limit_refuses_by_its_own_name() {
        let budget = Budget::new(MOST);
        let own = |most| AccessRefusal::TooMany { limit: MOST.limit, most, wait: Duration::ZERO };
        let first = charged(&budget, 1, "anna", 8);
        assert_eq!(budget.open(account(1, "anna")).add(3).unwrap_err(), own(10));
        let _second = charged(&budget, 2, "anna", 10);
        assert_eq!(budget.open(account(3, "anna")).add(3).unwrap_err(), own(20));
        let _others = charged(&budget, 4, "bea", 10);
        let all = AccessRefusal::TooManyInAll { limit: MOST.limit, most: 30, wait: Duration::ZERO };
        assert_eq!(budget.open(account(5, "carl")).add(3).unwrap_err(), all);
        assert_eq!(budget.open(account(4, "bea")).has_room(1, Some(1)).unwrap_err(), own(10));
        let carl = budget.open(account(5, "carl"));
        assert_eq!(carl.has_room(10, Some(1)), Ok(()), "what others keep leaves no room for 10, but for something");
        assert_eq!(carl.has_room(1, Some(3)).unwrap_err(), all);
        let _last = charged(&budget, 5, "carl", 2);
        assert_eq!(budget.open(account(6, "dora")).has_room(1, Some(1)).unwrap_err(), all);
        assert_eq!(budget.open(account(6, "dora")).has_room(1, None), Ok(()));
        drop(first);
        charged(&budget, 1, "anna", 3);
    }

    #[test]
    fn a_message_that_is_larger_than_the_limit_is_possible_alone() {
        let budget = Budget::new(MOST);
        let large = charged(&budget, 1, "anna", 99);
        assert!(budget.open(account(2, "bea")).add(1).is_err());
        drop(large);
        charged(&budget, 2, "bea", 1);
    }

    #[test]
    fn bytes_are_given_back() {
        let budget = Budget::new(MOST);
        let mut charge = charged(&budget, 1, "anna", 5);
        charge.add(5).unwrap();
        charge.add_in_any_case(70);
        assert_eq!(budget.sums().all, 80);
        drop(charge);
        let sums = budget.sums();
        assert!(sums.all == 0 && sums.connections.is_empty() && sums.callers.is_empty());
    }
}

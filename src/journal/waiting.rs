//! What waits for its time or for a person, kept in memory: an operator is told without a search of the store.
//!
//! **Invariants**
//! - What a commit leaves is noted with it; what was there before the start is found by one slow search, and is the same
//!   (`an_operator_is_told_what_waits_for_a_person_and_which_site_lags`). The search never undoes what was noted since
//!   (`the_search_never_undoes_what_was_noted_since`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Journal, JournalError};
use crate::domain::{
    id::StatementId,
    state::{Slots, State},
    time::Timestamp,
};

/// Statements that are looked at in one go of the search.
const STATES_MAX: usize = 256;

/// How much waits, over all statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Releases that go out when their time comes.
    pub scheduled: u64,
    /// When the first of them is due, in microseconds since 1970; none if there is none.
    pub release_due_micros: Option<i64>,
    /// Releases that are held: a person has to decide.
    pub held: u64,
    /// Editions that were published before their approval, and still lack it.
    pub owed: u64,
    /// When the first of them was published, in microseconds since 1970; none if there is none.
    pub owed_since_micros: Option<i64>,
}

impl Waiting {
    fn of(state: &State) -> Self {
        state.languages.values().map(Self::of_language).fold(Self::default(), Self::and)
    }

    fn of_language(slots: &Slots) -> Self {
        let release = slots.release.as_ref();
        let scheduled = release.filter(|release| release.blocked.is_none());
        let held = release.filter(|release| release.blocked.is_some());
        Self {
            scheduled: u64::from(scheduled.is_some()),
            release_due_micros: scheduled.map(|release| release.time.micros()),
            held: u64::from(held.is_some()),
            owed: u64::try_from(slots.owed.len()).unwrap_or(u64::MAX),
            owed_since_micros: slots.owed.iter().map(|owed| owed.publish_time).min().map(Timestamp::micros),
        }
    }

    fn and(self, other: Self) -> Self {
        let first = |one: Option<i64>, two: Option<i64>| one.into_iter().chain(two).min();
        Self {
            scheduled: self.scheduled + other.scheduled,
            release_due_micros: first(self.release_due_micros, other.release_due_micros),
            held: self.held + other.held,
            owed: self.owed + other.owed,
            owed_since_micros: first(self.owed_since_micros, other.owed_since_micros),
        }
    }
}

/// What waits, statement by statement.
#[derive(Debug, Default)]
pub(super) struct Register(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Those of which something waits; and while the search goes on, those that were noted and of which nothing does.
    statements: BTreeMap<StatementId, Waiting>,
    is_whole: bool,
}

impl Register {
    /// Notes a statement as a commit leaves it.
    pub(super) fn note(&self, id: &StatementId, state: &State) {
        let waiting = Waiting::of(state);
        let mut known = self.known();
        if waiting == Waiting::default() && known.is_whole {
            known.statements.remove(id);
        } else {
            known.statements.insert(id.clone(), waiting);
        }
    }

    /// Notes statements as they were found, unless they were noted since.
    fn found(&self, states: &[State]) {
        let mut known = self.known();
        for state in states {
            let waiting = Waiting::of(state);
            if waiting != Waiting::default() {
                known.statements.entry(state.statement.id.clone()).or_insert(waiting);
            }
        }
    }

    /// Everything was found.
    fn end_search(&self) {
        let mut known = self.known();
        known.is_whole = true;
        known.statements.retain(|_, waiting| *waiting != Waiting::default());
    }

    /// How much waits; none until everything was found.
    fn sum(&self) -> Option<Waiting> {
        let known = self.known();
        known.is_whole.then(|| known.statements.values().copied().fold(Waiting::default(), Waiting::and))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// How much waits for its time or for a person; none until [`Journal::find_waiting`] is done.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        self.waiting.sum()
    }

    /// Looks through all statements for what waited before the start. What is committed meanwhile is noted by the writer.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn find_waiting(&self) -> Result<(), JournalError> {
        let mut after = None;
        loop {
            let from = after.take();
            let states = self.read(move |view| view.states(from.as_ref(), STATES_MAX)).await?;
            let Some(last) = states.last() else { break };
            after = Some(last.statement.id.clone());
            self.waiting.found(&states);
        }
        self.waiting.end_search();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{content::Facts, digest::Digest, id::Caller, state::Owed},
        journal::{Options, verify::fixture},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn the_search_never_undoes_what_was_noted_since() {
        let directory = fixture::store();
        let journal = Journal::open(Options::new(directory.path().to_owned())).unwrap();
        let states = journal.read(|view| view.states(None, 1)).await.unwrap();
        let done = states.first().unwrap();
        let id = &done.statement.id;
        let mut owing = done.clone();
        let slots = owing.languages.values_mut().next().unwrap();
        let owed = Owed {
            facts: Facts::default(),
            number: 1,
            digest: Digest::ZERO,
            publisher: Caller::parse("bea").unwrap(),
            authors: Vec::new(),
            reason: "fire".to_owned(),
            publish_time: Timestamp::from_micros(7),
        };
        slots.owed = vec![owed];

        let register = Register::default();
        register.note(id, done);
        register.found(std::slice::from_ref(&owing));
        assert_eq!(register.sum(), None, "not all is known yet");
        register.end_search();
        assert_eq!(register.sum(), Some(Waiting::default()), "it was settled before the search came by");

        let register = Register::default();
        register.found(std::slice::from_ref(&owing));
        register.end_search();
        let waiting = Waiting { owed: 1, owed_since_micros: Some(7), ..Waiting::default() };
        assert_eq!(register.sum(), Some(waiting));
        register.note(id, done);
        assert_eq!(register.sum(), Some(Waiting::default()));
    }
}

//! What is kept for how long, and the taking away of the rest while the store is in use.
//!
//! | what | kept |
//! |---|---|
//! | entries, events, statements, editions and their texts, texts that subscribers were sent under embargo | for ever |
//! | texts of drafts that others took the place of and that never were in an edition, a release or an event | [`Retention::drafts_for`], [`Retention::drafts_max`] |
//! | answers to calls with a request id | [`Retention::requests_for`] |
//!
//! **Invariants**
//! - What is taken away can never be asked for again: a text gets a new salt, and so a new digest, with every save.
//! - The digest of a text that was taken away stays, with an empty row: it is known that it was there, and that nobody lost it.
//! - Rows go in small batches, in commits of the one writer, and each batch is durable before the next.

mod find;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    Journal, JournalError, key,
    row::{decode, encode},
    store::{Change, Store},
    writer::Request,
};
use crate::domain::{digest::Digest, time::Timestamp};
pub(super) use find::slots_texts;

/// How long an answer is remembered by its request id unless the options say otherwise.
const REQUESTS_FOR_DEFAULT: Duration = Duration::from_hours(30 * 24);
/// Between two rounds.
const EVERY: Duration = Duration::from_hours(1);
/// Rows in one commit: more cost sled memory.
const BATCH_ROWS: usize = 64;
/// Statements that are looked through at a time.
const PAGE_STATEMENTS: usize = 16;
/// Between two pages, so that nobody else notices.
const PAUSE: Duration = Duration::from_millis(20);

/// What is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long the text of a draft is kept after another took its place; for ever if none.
    pub drafts_for: Option<Duration>,
    /// How many such texts of a (statement, language) are kept; any number if none.
    pub drafts_max: Option<usize>,
    /// How long an answer is remembered by its request id; for ever if none.
    pub requests_for: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { drafts_for: None, drafts_max: None, requests_for: Some(REQUESTS_FOR_DEFAULT) }
    }
}

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Texts of drafts.
    pub texts: usize,
    /// Remembered answers.
    pub answers: usize,
}

/// From when on everything is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Answers of entries from this time on.
    pub(super) answers_since: Timestamp,
}

type Key = Vec<u8>;

/// Rows that need not be kept.
#[derive(Debug)]
pub(super) enum Outlived {
    /// Keys of answers of entries before a time.
    Answers(Timestamp, Vec<Key>),
    /// Texts of drafts.
    Texts(Vec<Digest>),
}

impl Outlived {
    /// What takes them away, now.
    pub(super) fn changes(self, store: &Store) -> Result<Vec<Change>, JournalError> {
        let mut changes = Vec::new();
        match self {
            Self::Answers(since, keys) => {
                // That they may be missing is noted, and stays so, whatever was to be kept at other times.
                let noted: Option<Kept> = store.get(&key::kept())?.map(|row| decode(&row.value)).transpose()?;
                let answers_since = noted.map_or(since, |noted| noted.answers_since.max(since));
                changes.push(Change::put(key::kept(), encode(&Kept { answers_since })));
                changes.extend(keys.into_iter().map(Change::remove));
            }
            Self::Texts(digests) => {
                for key in digests.iter().map(key::text) {
                    // It may have been erased since it was looked at.
                    if store.get(&key)?.is_some() {
                        changes.push(Change::put(key, Vec::new()));
                    }
                }
            }
        }
        Ok(changes)
    }
}

/// Takes away what need not be kept, every hour, until `stop`.
pub async fn prune(journal: Journal, retention: Retention, stop: CancellationToken) {
    let forever = async {
        let mut rounds = interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, and a start has enough to do.
        rounds.tick().await;
        loop {
            rounds.tick().await;
            match journal.prune_once(retention).await {
                Ok(Pruned { texts: 0, answers: 0 }) => {}
                Ok(Pruned { texts, answers }) => info!(texts, answers, "taken away, as the retention says"),
                Err(JournalError::Closed(_)) => return,
                Err(failure) => error!(%failure, "what need not be kept could not be taken away"),
            }
        }
    };
    tokio::select! {
        () = forever => {}
        () = stop.cancelled() => {}
    }
}

impl Journal {
    /// Takes away what need not be kept now.
    ///
    /// # Errors
    /// If the journal is closed or the store cannot be read.
    pub async fn prune_once(&self, retention: Retention) -> Result<Pruned, JournalError> {
        let answers = match retention.requests_for {
            Some(keep) => self.prune_answers(before(self.now(), keep)).await?,
            None => 0,
        };
        let texts = if retention.drafts_for.is_some() || retention.drafts_max.is_some() {
            self.prune_texts(retention).await?
        } else {
            0
        };
        Ok(Pruned { texts, answers })
    }

    async fn prune_answers(&self, since: Timestamp) -> Result<usize, JournalError> {
        let (mut pruned, mut after) = (0, Some(key::requests()));
        while let Some(from) = after {
            let (old, last) = self.read(move |view| view.answers_before(since, &from)).await?;
            if !old.is_empty() {
                pruned += old.len();
                self.take_away(Outlived::Answers(since, old)).await?;
            }
            after = last;
            sleep(PAUSE).await;
        }
        Ok(pruned)
    }

    async fn prune_texts(&self, retention: Retention) -> Result<usize, JournalError> {
        let since = retention.drafts_for.map(|keep| before(self.now(), keep));
        let (mut pruned, mut after) = (0, None);
        loop {
            let (old, last) =
                self.read(move |view| view.old_texts(after.as_ref(), since, retention.drafts_max)).await?;
            pruned += old.len();
            for batch in old.chunks(BATCH_ROWS) {
                self.take_away(Outlived::Texts(batch.to_vec())).await?;
            }
            after = last;
            if after.is_none() {
                return Ok(pruned);
            }
            sleep(PAUSE).await;
        }
    }

    async fn take_away(&self, outlived: Outlived) -> Result<(), JournalError> {
        let (reply, done) = oneshot::channel();
        self.requests.send(Request::TakeAway(outlived, reply)).await.map_err(|_| self.closed())?;
        done.await.map_err(|_| self.closed())
    }
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    now.plus_seconds(-i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::journal::verify::fixture;

    #[test]
    fn of_an_erased_text_nothing_comes_back() {
        let directory = fixture::store();
        let store = Store::open_existing(directory.path(), 1 << 20).unwrap();
        let (text, _) = store.scan(b"t", Bound::Unbounded, false).next().unwrap().unwrap();
        let there = Digest::from(<[u8; 32]>::try_from(&text[1..]).unwrap());
        let changes = Outlived::Texts(vec![there, Digest::of(&[b"erased"])]).changes(&store).unwrap();
        assert_eq!(changes, [Change::put(text, Vec::new())]);
    }

    #[test]
    fn what_was_noted_as_missing_stays_so() {
        let directory = fixture::store();
        let store = Store::open_existing(directory.path(), 1 << 20).unwrap();
        for (since, noted) in [(5, 5), (9, 9), (7, 9)] {
            let changes = Outlived::Answers(Timestamp::from_micros(since), Vec::new()).changes(&store).unwrap();
            let kept = Kept { answers_since: Timestamp::from_micros(noted) };
            assert_eq!(changes, [Change::put(key::kept(), encode(&kept))]);
            store.commit(&changes, 1).unwrap();
        }
    }
}

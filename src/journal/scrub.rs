//! Reads a store again while it is in use, slowly, so that what rots is noticed before somebody needs it.
//!
//! **Invariants**
//! - It changes nothing, and holds nothing while it pauses.
//! - What it names is damage: it reads again what it cannot read, since a row may be written between the reads of its parts.
//! - It sees less than `onrecord verify`: what a row says of itself (checksum, digest, seal), not whether it is the row that its entry
//!   wrote, since that changes under its hands.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{Finding, Journal, JournalError, row::fault, store::StoreError, view::View};

/// Rows that are read at a time.
const ROWS: usize = 128;
/// Between two times: some 2,500 rows a second, so that nobody else notices.
const PAUSE: Duration = Duration::from_millis(50);
/// Before a store is read for the first time, so that a start has nothing else to do.
const FIRST_AFTER: Duration = Duration::from_mins(5);

/// How far the reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Whether the store is being read.
    pub running: bool,
    /// Rows that were read, of the time that goes on or was the last.
    pub rows: u64,
    /// What was found broken, this time or, until it is at its end, the time before: whichever is more.
    pub findings: u64,
    /// When the store was last read to its end, in microseconds since 1970; none if it was not since the start.
    pub completed_micros: Option<i64>,
}

/// Reads the whole store, and again `every` so often, until `stop`. What is broken is logged.
pub async fn scrub(journal: Journal, every: Duration, stop: CancellationToken) {
    let forever = async {
        sleep(FIRST_AFTER).await;
        loop {
            match journal.scrub_once().await {
                Ok(findings) => info!(broken = findings.len(), "the store was read again"),
                Err(failure) => error!(%failure, "the store could not be read again"),
            }
            sleep(every).await;
        }
    };
    tokio::select! {
        () = forever => {}
        () = stop.cancelled() => {}
    }
}

impl Journal {
    /// Reads every row once, slowly, and gives what is broken.
    ///
    /// # Errors
    /// If the store cannot be read at all.
    pub async fn scrub_once(&self) -> Result<Vec<Finding>, JournalError> {
        let (mut findings, mut after) = (Vec::new(), Some(Vec::new()));
        let _until_it_ends = Running::begin(self);
        while let Some(from) = after {
            let Part { findings: found, rows, last } = self.read(move |view| view.scrub(&from)).await?;
            self.scrubbed.send_modify(|scrubbed| {
                scrubbed.rows += count(rows);
                scrubbed.findings = scrubbed.findings.max(count(findings.len() + found.len()));
            });
            for finding in &found {
                error!(place = finding.place, fault = finding.fault, "the store is damaged: see `onrecord verify`");
            }
            findings.extend(found);
            after = last;
            sleep(PAUSE).await;
        }
        self.scrubbed.send_modify(|scrubbed| {
            scrubbed.findings = count(findings.len());
            scrubbed.completed_micros = Some(self.now().micros());
        });
        Ok(findings)
    }

    /// How far the slow reading of the store is.
    #[must_use]
    pub fn scrubbed(&self) -> Scrubbed {
        *self.scrubbed.borrow()
    }
}

/// A reading that goes on, until it is dropped.
struct Running<'j>(&'j Journal);

impl<'j> Running<'j> {
    fn begin(journal: &'j Journal) -> Self {
        journal.scrubbed.send_modify(|scrubbed| {
            *scrubbed = Scrubbed { running: true, rows: 0, ..*scrubbed };
        });
        Self(journal)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.scrubbed.send_modify(|scrubbed| scrubbed.running = false);
    }
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

/// Some rows that were read.
struct Part {
    /// What is broken among them.
    findings: Vec<Finding>,
    /// How many they are.
    rows: usize,
    /// The last of them; none if there were no more.
    last: Option<Vec<u8>>,
}

impl View<'_> {
    /// Reads the next rows.
    fn scrub(&self, after: &[u8]) -> Result<Part, JournalError> {
        let store = self.store();
        let mut rows = store.rows_after(after);
        let read: BTreeMap<_, _> = rows.by_ref().take(ROWS).collect();
        let unreachable = match rows.ended_early() {
            Some(StoreError::Io(words) | StoreError::Unwritable(words)) => {
                return Err(JournalError::Store(words.clone()));
            }
            Some(StoreError::Damaged(words)) => Some(words.clone()),
            None => None,
        };
        let mut last = read.last_key_value().map(|(key, _)| key.clone());
        let (mut findings, rows) = (Vec::new(), read.len());
        if let Some(fault) = unreachable {
            // sled stays where it cannot read: what is in the spaces after this one is read all the same.
            let stuck = last.as_deref().unwrap_or(after);
            findings.push(Finding {
                place: format!("the rows after {}", hex::encode(stuck)),
                fault,
                repairable: false,
            });
            last = stuck.first().map_or(Some(0), |space| space.checked_add(1)).map(|space| vec![space]);
        }
        let faults = read.into_iter().filter_map(|(key, row)| {
            let fault = match row {
                Ok(row) => fault(&key, &row.value)?,
                // It may have been written between the reads of its parts.
                Err(_) => match store.row_now(&key) {
                    Some(Err(fault)) => fault.to_string(),
                    Some(Ok(_)) | None => return None,
                },
            };
            Some(Finding { place: format!("row {}", hex::encode(&key)), fault, repairable: false })
        });
        findings.extend(faults);
        Ok(Part { findings, rows, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::digest::Digest,
        journal::{
            Options,
            row::{EventRow, decode, encode},
            store::{Change, Store},
            verify::fixture,
        },
    };

    /// What is found once a change was made that no entry made.
    async fn findings(tamper: impl FnOnce(&Store) -> Option<Change>) -> Vec<Finding> {
        let directory = fixture::store();
        let journal = Journal::open(Options::new(directory.path().to_owned())).unwrap();
        let store = journal.reading.store().1.unwrap();
        if let Some(change) = tamper(&store) {
            store.commit(&[change], 1).unwrap();
        }
        journal.scrub_once().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_stays_told_until_a_whole_reading_finds_none() {
        let directory = fixture::store();
        let journal = Journal::open(Options::new(directory.path().to_owned())).unwrap();
        let key = [b"t".as_slice(), &[7; 32]].concat();
        let store = journal.reading.store().1.unwrap();
        store.commit(&[Change::put(key.clone(), b"another".to_vec())], 1).unwrap();
        journal.scrub_once().await.unwrap();
        assert_eq!(journal.scrubbed().findings, 1);
        store.commit(&[Change::remove(key)], 1).unwrap();
        let begun = Running::begin(&journal);
        assert_eq!(journal.scrubbed(), Scrubbed { running: true, rows: 0, ..journal.scrubbed() });
        assert_eq!(journal.scrubbed().findings, 1, "while it is read again");
        drop(begun);
        assert!(!journal.scrubbed().running);
        assert_eq!(journal.scrubbed().findings, 1, "it was not read whole");
        journal.scrub_once().await.unwrap();
        assert_eq!(journal.scrubbed().findings, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_row_says_wrongly_of_itself_is_found_while_the_store_is_in_use() {
        assert_eq!(findings(|_| None).await, []);
        let text = Change::put([b"t".as_slice(), &[7; 32]].concat(), b"another".to_vec());
        assert_eq!(findings(|_| Some(text)).await[0].fault, "the text is not what was hashed");
        let event = |store: &Store| {
            let key = crate::journal::key::event(1);
            let row: EventRow = decode(&store.get(&key).unwrap().unwrap().value).unwrap();
            Some(Change::put(key, encode(&EventRow { previous_hash: Digest::of(&[b"another"]), ..row })))
        };
        assert_eq!(findings(event).await[0].fault, "the event is not what was hashed");
    }
}

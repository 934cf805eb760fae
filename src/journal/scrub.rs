//! Reads a store again while it is in use, slowly, so that what rots is noticed before somebody needs it.
//!
//! It sees less than `onrecord verify`: what a row says of itself (checksum, digest, seal), not whether it is the row that its entry
//! wrote, since that changes under its hands.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    Finding, Journal, JournalError,
    row::{EntryRow, EventRow, decode, from_seal},
    store::Row,
    view::View,
};
use crate::domain::{digest::Digest, entry::EntryHead};

/// Rows that are read at a time.
const ROWS: usize = 128;
/// Between two times: some 2,500 rows a second, so that nobody else notices.
const PAUSE: Duration = Duration::from_millis(50);
/// Before a store is read for the first time, so that a start has nothing else to do.
const FIRST_AFTER: Duration = Duration::from_mins(5);

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
        while let Some(from) = after {
            let (found, last) = self.read(move |view| view.scrub(&from)).await?;
            for finding in &found {
                error!(place = finding.place, fault = finding.fault, "the store is damaged: see `onrecord verify`");
            }
            findings.extend(found);
            after = last;
            sleep(PAUSE).await;
        }
        Ok(findings)
    }
}

impl View<'_> {
    /// What is broken among the next rows, and the last of them; none if there were no more.
    fn scrub(&self, after: &[u8]) -> Result<(Vec<Finding>, Option<Vec<u8>>), JournalError> {
        let store = self.store();
        let mut rows = store.rows_after(after);
        let read: BTreeMap<_, _> = rows.by_ref().take(ROWS).collect();
        if let Some(fault) = rows.ended_early() {
            return Err(JournalError::Store(fault.to_string()));
        }
        let last = read.last_key_value().map(|(key, _)| key.clone());
        let faults = read.into_iter().filter_map(|(key, row)| {
            let fault = match row {
                Ok(row) => fault(&key, &row)?,
                // It may have been written between the reads of its parts.
                Err(_) => match store.get(&key) {
                    Err(fault) => fault.to_string(),
                    Ok(_) => return None,
                },
            };
            Some(Finding { place: format!("row {}", hex::encode(&key)), fault, repairable: false })
        });
        Ok((faults.collect(), last))
    }
}

/// What a row that can be read says wrongly of itself.
fn fault(key: &[u8], row: &Row) -> Option<String> {
    match key.first() {
        Some(b't') if key.get(1..) != Some(Digest::of(&[&row.value]).as_bytes()) => {
            Some("the text is not what was hashed".to_owned())
        }
        Some(b'j') => sealed_entry(row).unwrap_or_else(|failure| Some(failure.to_string())),
        Some(b'e') => sealed_event(row).unwrap_or_else(|failure| Some(failure.to_string())),
        Some(_) | None => None,
    }
}

fn sealed_entry(row: &Row) -> Result<Option<String>, JournalError> {
    let entry: EntryRow = decode(&row.value)?;
    let head: EntryHead = from_seal(&entry.seal)?;
    let body = entry.body.as_ref().is_none_or(|body| Digest::of(&[body]) == head.rows_digest);
    let hash = Digest::chain(entry.previous_hash, &entry.seal) == entry.hash;
    Ok((!body || !hash).then(|| "the entry is not what was sealed".to_owned()))
}

fn sealed_event(row: &Row) -> Result<Option<String>, JournalError> {
    let event: EventRow = decode(&row.value)?;
    let hash = Digest::chain(event.previous_hash, &event.seal) == event.hash;
    Ok((!hash).then(|| "the event is not what was sealed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{
        Options,
        row::encode,
        store::{Change, Store},
        verify::fixture,
    };

    async fn findings(tampered: Option<Change>) -> Vec<Finding> {
        let directory = fixture::store();
        if let Some(change) = tampered {
            Store::open_existing(directory.path(), 1 << 20).unwrap().commit(&[change], 1).unwrap();
        }
        let journal = Journal::open(Options::new(directory.path().to_owned())).unwrap();
        journal.scrub_once().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_row_says_wrongly_of_itself_is_found_while_the_store_is_in_use() {
        assert_eq!(findings(None).await, []);
        let text = Change::put([b"t".as_slice(), &[7; 32]].concat(), b"another".to_vec());
        assert_eq!(findings(Some(text)).await[0].fault, "the text is not what was hashed");
        let store = fixture::store();
        let (key, value) = {
            let open = Store::open_existing(store.path(), 1 << 20).unwrap();
            let key = crate::journal::key::event(1);
            let row: EventRow = decode(&open.get(&key).unwrap().unwrap().value).unwrap();
            (key, encode(&EventRow { previous_hash: Digest::of(&[b"another"]), ..row }))
        };
        assert_eq!(findings(Some(Change::put(key, value))).await[0].fault, "the event is not what was sealed");
    }
}

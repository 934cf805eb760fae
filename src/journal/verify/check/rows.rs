//! Each row by itself, and with the rows that it goes with.

use super::{Check, FINDINGS_MAX};
use crate::{
    domain::{digest::Digest, entry::EntryHead, live::Edition, subscription::Progress},
    journal::{
        JournalError, key,
        retention::slots_texts,
        row::{EntryBody, EntryRow, EventRow, decode, fault, from_seal},
        store::Row,
    },
};

impl Check<'_> {
    /// Every row can be read, belongs to a known space, and says nothing wrong of itself.
    pub(super) fn check_rows(&mut self) {
        let mut rows = self.store.rows();
        for (key, read) in rows.by_ref() {
            let place = format!("row {}", hex::encode(&key));
            match read {
                Ok(row) => self.check_row(place, &key, &row),
                Err(fault) => self.find(place, fault.to_string()),
            }
        }
        if let Some(fault) = rows.ended_early() {
            self.find("the store", format!("the rows after this cannot be reached: {fault}"));
        }
    }

    fn check_row(&mut self, place: String, key: &[u8], row: &Row) {
        self.report.rows += 1;
        let value = match key.first() {
            Some(b'm' | b'r' | b'k' | b'p' | b'i') => None,
            Some(b't') => Some([].as_slice()),
            Some(_) | None => Some(row.value.as_slice()),
        };
        if let Some(value) = value {
            let digest = self.report.state_digest;
            self.report.state_digest = Digest::of(&[digest.as_bytes(), Digest::of(&[key]).as_bytes(), value]);
        }
        match key.first() {
            Some(b'd' | b'o') => drop(self.indexed.insert(key.to_vec())),
            Some(b'a' | b'v') => self.listed += 1,
            Some(b'x') => {
                // Those that can be finished were finished before.
                let id = key::text_after(&key::erasing_all(), key).unwrap_or("?");
                self.find(
                    place.clone(),
                    format!("the erasure of statements/{id} cannot be finished, as rows of it are damaged"),
                );
            }
            Some(b'm' | b'j' | b'e' | b's' | b'l' | b'n' | b't' | b'r' | b'k' | b'u' | b'p' | b'i') => {}
            Some(_) | None => self.find(place.clone(), "is of no known space"),
        }
        let fault = match fault(key, &row.value) {
            Some(fault) => Some(fault),
            None => self.content_fault(key, row).unwrap_or_else(|failure| Some(failure.to_string())),
        };
        if let Some(fault) = fault {
            self.find(place, fault);
        }
    }

    /// What is wrong with a row, seen from those it goes with: its entry did not write it, or its text is not there.
    fn content_fault(&mut self, key: &[u8], row: &Row) -> Result<Option<String>, JournalError> {
        let (mut texts, mut rewritten) = (Vec::new(), false);
        match key.first() {
            Some(b's' | b'r' | b'u') => {}
            Some(b'p') => {
                decode::<Progress>(&row.value)?;
                return Ok(None);
            }
            Some(b'l') => texts.extend(slots_texts(&decode(&row.value)?)),
            Some(b'n') => {
                let edition: Edition = decode(&row.value)?;
                rewritten = edition.expunged;
                texts.extend((!rewritten).then_some(edition.outline.digest));
            }
            Some(b'e') => {
                let row: EventRow = decode(&row.value)?;
                rewritten = row.event.is_none();
                let (live, embargo) = row.event.map_or((None, None), |event| (event.live, event.embargo));
                let edition = live.map(|live| live.edition).filter(|edition| !edition.expunged);
                texts.extend(edition.map(|edition| edition.outline.digest));
                texts.extend(embargo.map(|release| release.outline.digest));
            }
            Some(b't') => rewritten = row.value.is_empty(),
            Some(_) | None => return Ok(None),
        }
        if !rewritten && !self.wrote(row.version, key)? {
            if self.foreign.len() < FINDINGS_MAX {
                self.foreign.insert(key.to_vec());
            }
            return Ok(Some(format!("was not written by entry {}, as it says", row.version)));
        }
        for digest in texts {
            if !matches!(self.store.get(&key::text(&digest)), Ok(Some(text)) if !text.value.is_empty()) {
                return Ok(Some(format!("its text {digest} is missing or cannot be read")));
            }
        }
        Ok(None)
    }

    /// Whether an entry wrote a row, as far as the entry can say.
    fn wrote(&self, number: u64, key: &[u8]) -> Result<bool, JournalError> {
        if number >= self.next_entry {
            // Part of a commit that failed.
            return Ok(false);
        }
        // An entry that is damaged or lost is found elsewhere, and nothing is made of its rows.
        let Ok(Some(row)) = self.store.get(&key::entry(number)) else { return Ok(true) };
        let row: EntryRow = decode(&row.value)?;
        if row.fault()?.is_some() {
            return Ok(true);
        }
        if let (Some(b't'), Some(digest)) = (key.first(), key.get(1..)) {
            let head: EntryHead = from_seal(&row.seal)?;
            return Ok(head.content_digests.iter().any(|it| it.as_bytes() == digest));
        }
        // Of one that was erased, what is left of its editions and events.
        let Some(body) = row.body else { return Ok(matches!(key.first(), Some(b'n' | b'e'))) };
        Ok(decode::<EntryBody>(&body)?.rows.iter().any(|change| change.parts().0 == key))
    }
}

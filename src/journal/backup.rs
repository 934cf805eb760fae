//! Copies of a journal: entry by entry, with the rows that an entry does not hold itself.
//!
//! **Invariants**
//! - A copy is a prefix of the journal: entries come in order and without gaps.
//! - A copy that has an entry which lost its words has what took them, or is not called whole: [`BackupPart::whole_from`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    JournalError, key,
    row::{EntryBody, EntryRow, EventRow, decode, from_seal},
    store::Change,
    view::{Reader, View},
};
use crate::domain::{
    digest::Digest,
    entry::{Action, EntryHead},
    event::EventHead,
    id::StatementId,
    state::{State, Statement},
    time::Timestamp,
};

/// A key and a value.
type Stored = (Vec<u8>, Vec<u8>);

/// One entry, with all that is needed to put it into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupEntry {
    /// Its number.
    pub number: u64,
    /// Keys and values of the rows that it does not hold itself.
    pub rows: Vec<Stored>,
    /// The erasure that it is, if it is one.
    pub erasure: Option<Erasure>,
}

/// Entries in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupPart {
    /// At least one, if there is one.
    pub entries: Vec<BackupEntry>,
    /// The entry up to which a copy with these has to go to be whole: some were read without words that a later entry erased, or that
    /// were taken away after it.
    pub whole_from: u64,
}

/// A statement whose texts were erased: enough to erase them again where an older copy brings them back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    /// Which.
    pub statement: StatementId,
    /// When it was created: a later one of the same name is another.
    pub create_time: Timestamp,
    /// When it was erased.
    pub expunge_time: Timestamp,
}

impl Erasure {
    fn of(statement: Statement) -> Option<Self> {
        let Statement { id, create_time, expunge_time, .. } = statement;
        Some(Self { statement: id, create_time, expunge_time: expunge_time? })
    }

    /// Whether a statement has texts that were erased once.
    pub(super) fn is_missing(&self, state: Option<&State>) -> bool {
        state.is_some_and(|state| state.statement.create_time == self.create_time && !state.is_expunged())
    }
}

impl BackupEntry {
    /// About how much it weighs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl View<'_> {
    /// Entries after `after`, at least one if there is one, until they have `bytes_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn backup_part(&self, after: u64, bytes_max: usize) -> Result<BackupPart, JournalError> {
        let (mut part, mut bytes) = (BackupPart::default(), 0);
        for number in after + 1..=self.newest_entry() {
            let (entry, whole_from) = self.reader.backup_entry(number)?;
            bytes += entry.bytes();
            part.entries.push(entry);
            part.whole_from = part.whole_from.max(whole_from);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(part)
    }

    /// The hash of an entry; zero for 0, none if there is no such entry.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn entry_hash(&self, number: u64) -> Result<Option<Digest>, JournalError> {
        if number == 0 {
            return Ok(Some(Digest::ZERO));
        }
        if number > self.newest_entry() {
            return Ok(None);
        }
        let row = self.store().get(&key::entry(number))?;
        Ok(row.map(|row| decode::<EntryRow>(&row.value)).transpose()?.map(|row| row.hash))
    }
}

impl Reader<'_> {
    /// An entry, with the rows that it does not hold itself; and [`BackupPart::whole_from`].
    pub(super) fn backup_entry(self, number: u64) -> Result<(BackupEntry, u64), JournalError> {
        let mut rows = Rows { reader: self, found: Vec::new(), newest: number };
        let row: EntryRow = rows.must(key::entry(number))?;
        let head: EntryHead = from_seal(&row.seal)?;
        if row.body.is_none() {
            for sequence in head.first_sequence..head.first_sequence + u64::from(head.event_count) {
                let event: EventRow = rows.must(key::event(sequence))?;
                if let Some(name) = from_seal::<EventHead>(&event.seal)?.edition {
                    rows.may(key::edition(&name.statement, &name.language, name.number))?;
                }
            }
        }
        let mut whole = true;
        for digest in &head.content_digests {
            whole &= rows.may(key::text(digest))?.is_some();
        }
        if let Some(id) = head.statement.as_ref().filter(|_| !whole) {
            // The entry is emptied a moment after its texts.
            rows.newest = rows.newest.max(self.state(id)?.map_or(0, |(_, version)| version));
        }
        let erasure = erased(&head, &held(&row)?)?.and_then(Erasure::of);
        Ok((BackupEntry { number, rows: rows.found, erasure }, rows.newest))
    }
}

/// The rows of an entry, as they are now.
struct Rows<'s> {
    reader: Reader<'s>,
    found: Vec<Stored>,
    /// The newest entry that one of them was written after.
    newest: u64,
}

impl Rows<'_> {
    fn must<T: DeserializeOwned>(&mut self, key: Vec<u8>) -> Result<T, JournalError> {
        let words = format!("row {} is missing", hex::encode(&key));
        decode(self.may(key)?.ok_or(JournalError::Damaged(words))?)
    }

    fn may(&mut self, key: Vec<u8>) -> Result<Option<&[u8]>, JournalError> {
        let Some(row) = self.reader.store.get(&key)? else { return Ok(None) };
        self.newest = self.newest.max(row.version);
        self.found.push((key, row.value));
        Ok(self.found.last().map(|(_, value)| value.as_slice()))
    }
}

/// The statement, if this is the entry that erased it.
pub(super) fn erased(head: &EntryHead, rows: &[Change]) -> Result<Option<Statement>, JournalError> {
    let erases = matches!(head.action, Action::ExpungeStatement | Action::RepeatErasure);
    let Some(id) = head.statement.as_ref().filter(|_| erases) else { return Ok(None) };
    let row = rows.iter().find(|row| row.key == key::statement(id)).and_then(|row| row.value.as_ref());
    let statement: Option<Statement> = row.map(|value| decode(value)).transpose()?;
    Ok(statement.filter(|statement| statement.expunge_time.is_some()))
}

/// The rows that an entry holds itself.
pub(super) fn held(row: &EntryRow) -> Result<Vec<Change>, JournalError> {
    let Some(body) = &row.body else { return Ok(Vec::new()) };
    let change = |(key, value): (&[u8], Option<&[u8]>)| Change { key: key.to_vec(), value: value.map(<[u8]>::to_vec) };
    Ok(decode::<EntryBody>(body)?.rows.iter().map(|row| change(row.parts())).collect())
}

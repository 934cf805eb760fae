//! Rows as they are stored: CBOR (RFC 8949) with named fields, so that a field can be added and a stranger can read them.

use minicbor_serde::Serializer;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{JournalError, store::Change};
use crate::domain::{
    answer::Answer,
    content::Facts,
    digest::{Digest, Salt},
    entry::{Concerned, EntryHead},
    event::{Event, EventHead},
    time::Timestamp,
};

/// The format of a store. An older one is read, and becomes this when it is opened to be written; a newer one is refused.
///
/// 1: rows as they are. 2: rows compressed (`store/envelope.rs`), and an epoch is raised by an entry. 3: named subscriptions. 4: an index over
/// the times of events (`dates.rs`), which may fall.
pub const FORMAT: u32 = 4;

/// Room that a row has at first: for most it is enough, and an encoder writes by the byte.
const ROW_BYTES: usize = 1_024;

/// Refuses the format of a store or a copy that is not known.
pub(super) fn check_format(format: u32) -> Result<(), JournalError> {
    if (1..=FORMAT).contains(&format) { Ok(()) } else { Err(JournalError::Format(format)) }
}

/// Where the journal stands. Written with every commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) format: u32,
    /// Names the feed for its whole life.
    #[serde(with = "serde_bytes")]
    pub(super) feed_id: [u8; 16],
    /// Raised when the journal was restored from a backup.
    pub(super) epoch: u32,
    /// Number that the next entry will take.
    pub(super) next_entry: u64,
    /// Hash of the newest entry.
    pub(super) entry_hash: Digest,
    /// Sequence that the next event will take.
    pub(super) next_sequence: u64,
    /// Hash of the newest event.
    pub(super) event_hash: Digest,
    /// Time of the newest entry.
    pub(super) time: Timestamp,
    /// Set in a store that was built from a copy, until its first start raises the epoch.
    #[serde(default)]
    pub(super) restored: bool,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryRow {
    #[serde(with = "serde_bytes")]
    pub(super) seal: Vec<u8>,
    pub(super) hash: Digest,
    pub(super) previous_hash: Digest,
    /// [`EntryBody`], encoded; none once the statement was erased.
    #[serde(with = "serde_bytes")]
    pub(super) body: Option<Vec<u8>>,
}

/// What an entry holds besides its seal: why, and the rows it wrote, in full. The texts it wrote are rows of their own, named
/// in the seal by their digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryBody {
    /// Random, so that the digest of erased rows confirms no guess.
    pub(super) salt: Salt,
    pub(super) reason: String,
    pub(super) rows: Vec<RowChange>,
    /// The texts that the step concerns; none in entries that were written before this was kept.
    #[serde(default)]
    pub(super) concerned: Option<Vec<Concerned>>,
}

/// A row that an entry wrote or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowChange {
    #[serde(with = "serde_bytes")]
    key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    value: Option<Vec<u8>>,
}

impl RowChange {
    /// The key, and the value that was put; none if the row was removed.
    pub(super) fn parts(&self) -> (&[u8], Option<&[u8]>) {
        (&self.key, self.value.as_deref())
    }
}

impl From<&Change> for RowChange {
    fn from(change: &Change) -> Self {
        Self { key: change.key.clone(), value: change.value.clone() }
    }
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventRow {
    #[serde(with = "serde_bytes")]
    pub(super) seal: Vec<u8>,
    pub(super) hash: Digest,
    pub(super) previous_hash: Digest,
    /// The event with what its seal leaves out; none once the text was erased.
    pub(super) event: Option<Event>,
}

/// The answer to a call with a request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestRow {
    /// Of the command.
    pub(super) fingerprint: Digest,
    /// When it was answered.
    pub(super) time: Timestamp,
    pub(super) answer: Answer,
}

impl EntryRow {
    /// What it says wrongly of itself; nothing if it is what was sealed.
    pub(super) fn fault(&self) -> Result<Option<&'static str>, JournalError> {
        if Digest::chain(self.previous_hash, &self.seal) != self.hash {
            return Ok(Some("the entry is not what was hashed"));
        }
        let sealed = from_seal::<EntryHead>(&self.seal)?.rows_digest;
        let right = self.body.as_ref().is_none_or(|body| Digest::of(&[body]) == sealed);
        Ok((!right).then_some("the rows of the entry are not what was sealed"))
    }
}

impl EventRow {
    /// What it says wrongly of itself; nothing if it is what was sealed.
    pub(super) fn fault(&self) -> Result<Option<&'static str>, JournalError> {
        if Digest::chain(self.previous_hash, &self.seal) != self.hash {
            return Ok(Some("the event is not what was hashed"));
        }
        let head: EventHead = from_seal(&self.seal)?;
        let right = self.event.as_ref().is_none_or(|event| event.head == head);
        Ok((!right).then_some("the event is not what was sealed"))
    }
}

/// What a row that can be read says wrongly of itself: a text that is not its digest's, an entry or event that is not what was
/// sealed.
pub(super) fn fault(key: &[u8], value: &[u8]) -> Option<String> {
    let fault = match key.first() {
        Some(b't') => {
            // An empty one was taken away, as the retention says.
            let right = value.is_empty() || key.get(1..) == Some(Digest::of(&[value]).as_bytes().as_slice());
            Ok((!right).then_some("the text is not what was hashed"))
        }
        Some(b'j') => decode::<EntryRow>(value).and_then(|row| row.fault()),
        Some(b'e') => decode::<EventRow>(value).and_then(|row| row.fault()),
        Some(_) | None => Ok(None),
    };
    match fault {
        Ok(fault) => fault.map(str::to_owned),
        Err(failure) => Some(failure.to_string()),
    }
}

/// An event as a reader of the journal gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The event, or only its head.
    pub event: Event,
    /// The bytes that `hash` covers after `previous_hash`.
    pub seal: Vec<u8>,
    /// SHA-256 over `previous_hash` and `seal`.
    pub hash: Digest,
    /// Of the event before; zero for the first.
    pub previous_hash: Digest,
    /// Whether only the head is left: the text was erased, or is no longer public.
    pub hollow: bool,
    /// Where the text is gone: what filters looked at in the editions of its language, whichever of them a subscriber holds. None if that
    /// was not read.
    pub reach: Option<Vec<Facts>>,
}

impl EventRecord {
    /// The event without what its head does not have; but whoever holds the text under embargo still learns that the embargo ended.
    #[must_use]
    pub fn hollowed(self) -> Self {
        let embargo_lifted = self.event.embargo_lifted;
        Self { event: Event { embargo_lifted, ..Event::hollow(self.event.head) }, hollow: true, ..self }
    }
}

impl EventRow {
    pub(super) fn into_record(self) -> Result<EventRecord, JournalError> {
        let hollow = self.event.is_none();
        let event = match self.event {
            Some(event) => event,
            None => Event::hollow(from_seal::<EventHead>(&self.seal)?),
        };
        Ok(EventRecord {
            event,
            seal: self.seal,
            hash: self.hash,
            previous_hash: self.previous_hash,
            hollow,
            reach: None,
        })
    }
}

/// An entry as a reader of the journal gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    /// Who, what, when.
    pub head: EntryHead,
    /// The bytes that `hash` covers after `previous_hash`.
    pub seal: Vec<u8>,
    /// SHA-256 over `previous_hash` and `seal`.
    pub hash: Digest,
    /// Of the entry before; zero for the first.
    pub previous_hash: Digest,
    /// Why; empty once the statement was erased.
    pub reason: String,
    /// The texts that it concerns; none if that is not known, or no longer.
    pub concerned: Option<Vec<Concerned>>,
}

impl EntryRow {
    pub(super) fn into_record(self) -> Result<EntryRecord, JournalError> {
        let head = from_seal(&self.seal)?;
        let (reason, concerned) = match &self.body {
            Some(body) => decode::<EntryBody>(body).map(|body| (body.reason, body.concerned))?,
            None => Default::default(),
        };
        Ok(EntryRecord { head, seal: self.seal, hash: self.hash, previous_hash: self.previous_hash, reason, concerned })
    }
}

pub(super) fn from_seal<T: DeserializeOwned>(seal: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(seal).map_err(|fault| {
        // Its own words quote what it has read.
        JournalError::Damaged(format!("a seal cannot be read, at its byte {}", fault.column()))
    })
}

pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROW_BYTES);
    match row.serialize(&mut Serializer::new(&mut bytes)) {
        Ok(()) => bytes,
        Err(fault) => unreachable!("our own rows can be encoded: {fault}"),
    }
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JournalError> {
    minicbor_serde::from_slice(bytes)
        // Its own words quote what it has read.
        .map_err(|_| JournalError::Damaged("a row cannot be decoded".to_owned()))
}

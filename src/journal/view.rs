//! Reading the journal: what is durable, and nothing else.

mod public;
mod revisions;
mod sequence;

pub use public::Public;
pub use revisions::Revision;

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::watch};

use super::{
    JournalError, key,
    row::decode,
    store::{Row, Store},
};
use crate::domain::{
    content::Content,
    digest::Digest,
    id::{EditionName, LanguageTag, StatementId, SubscriptionId},
    live::Edition,
    state::{Owed, Slots, State, Statement},
    subscription::{Progress, Subscription},
};

/// Rows as they are in the store, durable or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'s> {
    pub(super) store: &'s Store,
}

impl Reader<'_> {
    /// A statement with all its languages, and the newest version among their rows.
    pub(super) fn state(self, id: &StatementId) -> Result<Option<(State, u64)>, JournalError> {
        let Some(row) = self.store.get(&key::statement(id))? else { return Ok(None) };
        let statement: Statement = decode(&row.value)?;
        let (mut languages, mut version) = (BTreeMap::new(), row.version);
        let prefix = key::languages(id);
        for (key, row) in self.rows(&prefix)? {
            let tag = key::text_after(&prefix, &key).and_then(|tag| LanguageTag::stored(tag).ok());
            let tag = tag.ok_or_else(|| JournalError::Damaged("a language row has no language".to_owned()))?;
            languages.insert(tag, decode::<Slots>(&row.value)?);
            version = version.max(row.version);
        }
        Ok(Some((State { statement, languages }, version)))
    }

    /// The words as canonical JSON; none once they were erased, or taken away as the retention says.
    pub(super) fn canonical(self, digest: &Digest) -> Result<Option<Vec<u8>>, JournalError> {
        let Some(row) = self.store.get(&key::text(digest))?.filter(|row| !row.value.is_empty()) else {
            return Ok(None);
        };
        if Digest::of(&[&row.value]) != *digest {
            return Err(JournalError::Damaged(format!("the text {digest} is not what was hashed")));
        }
        Ok(Some(row.value))
    }

    /// The words, unless they are longer than `bytes_max`; none once they are gone.
    pub(super) fn words(self, digest: &Digest, bytes_max: usize) -> Result<Option<Words>, JournalError> {
        let Some(canonical) = self.canonical(digest)?.filter(|it| it.len() <= bytes_max) else { return Ok(None) };
        let content = Content::from_canonical(&canonical)
            .map_err(|_| JournalError::Damaged(format!("the text {digest} cannot be read")))?;
        Ok(Some(Words { content, canonical: canonical.into() }))
    }

    pub(super) fn rows(self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Row)>, JournalError> {
        Ok(self.store.scan(prefix, Bound::Unbounded, false).collect::<Result<_, _>>()?)
    }

    pub(super) fn numbers(self, prefix: &[u8]) -> Result<Vec<u64>, JournalError> {
        Ok(self.rows(prefix)?.iter().filter_map(|(key, _)| key::number_at_end(key)).collect())
    }
}

/// A stored text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The text.
    pub content: Content,
    /// Its canonical JSON, as it is stored.
    pub canonical: Bytes,
}

/// How a text is sent: `onrecord.v1.ContentView`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As a message.
    #[default]
    Message,
    /// As the canonical JSON that was hashed, with the seal that names its digest.
    Canonical,
}

/// A text in the form that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Decoded.
    Content(Box<Content>),
    /// The stored bytes.
    Canonical(Bytes),
}

/// An approval that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedRecord {
    /// Where a listing goes on.
    pub key: Vec<u8>,
    /// Of which statement.
    pub state: State,
    /// In which language.
    pub language: LanguageTag,
    /// What is owed.
    pub owed: Owed,
}

/// The store as it was at one moment. All calls block.
#[derive(Debug)]
pub struct View<'s> {
    pub(super) reader: Reader<'s>,
    tail: u64,
    durable: watch::Receiver<u64>,
    closed: watch::Receiver<Option<String>>,
    runtime: Handle,
}

impl<'s> View<'s> {
    pub(super) fn new(
        store: &'s Store,
        tail: u64,
        durable: watch::Receiver<u64>,
        closed: watch::Receiver<Option<String>>,
        runtime: Handle,
    ) -> Self {
        Self { reader: Reader { store }, tail, durable, closed, runtime }
    }

    /// Number of the newest entry, at this moment; 0 if there is none.
    pub(super) fn newest_entry(&self) -> u64 {
        *self.durable.borrow()
    }

    pub(super) fn store(&self) -> &Store {
        self.reader.store
    }

    /// The sequence that the next event took or will take, at this moment.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// An editor's view of a statement: the newest state that is durable.
    ///
    /// # Errors
    /// If the store cannot be read, or closed before the newest state was durable.
    pub fn state(&self, id: &StatementId) -> Result<Option<State>, JournalError> {
        loop {
            // Rows are read one by one. Whatever is written meanwhile is newer than this.
            let durable = *self.durable.borrow();
            let Some((state, version)) = self.reader.state(id)? else { return Ok(None) };
            if version <= durable {
                return Ok(Some(state));
            }
            self.wait_for(version)?;
        }
    }

    /// Rows are readable a moment before they are durable: wait until they are.
    fn wait_for(&self, version: u64) -> Result<(), JournalError> {
        let (mut durable, mut closed) = (self.durable.clone(), self.closed.clone());
        self.runtime.block_on(async move {
            tokio::select! {
                biased;
                Ok(_) = durable.wait_for(|entry| version <= *entry) => Ok(()),
                _ = closed.wait_for(Option::is_some) => Err(JournalError::Closed("what was asked for is not durable".to_owned())),
            }
        })
    }

    /// Up to `limit` statements after `after`, in the order of ids.
    ///
    /// # Errors
    /// As [`View::state`].
    pub fn states(&self, after: Option<&StatementId>, limit: usize) -> Result<Vec<State>, JournalError> {
        let mut states = Vec::new();
        for id in self.ids(after, limit)? {
            states.extend(self.state(&id)?);
        }
        Ok(states)
    }

    fn ids(&self, after: Option<&StatementId>, limit: usize) -> Result<Vec<StatementId>, JournalError> {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(key::statement(id)));
        let rows = self.reader.store.scan(&key::statements(), from, false).take(limit);
        rows.map(|row| {
            let (key, _) = row?;
            let id = key::text_after(&key::statements(), &key).and_then(|id| StatementId::parse(id).ok());
            id.ok_or_else(|| JournalError::Damaged("a statement row has no id".to_owned()))
        })
        .collect()
    }

    /// One edition.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn edition(&self, name: &EditionName) -> Result<Option<Edition>, JournalError> {
        self.row(&key::edition(&name.statement, &name.language, name.number))
    }

    /// Up to `limit` editions of one language with numbers below `below`, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn editions(
        &self,
        id: &StatementId,
        language: &LanguageTag,
        below: u32,
        limit: usize,
    ) -> Result<Vec<Edition>, JournalError> {
        let from = Bound::Excluded(key::edition(id, language, below));
        let rows = self.reader.store.scan(&key::editions(id, language), from, true);
        let settled =
            |row: &Result<(Vec<u8>, Row), _>| row.as_ref().map_or(true, |(_, row)| self.is_durable(row.version));
        rows.filter(settled).take(limit).map(|row| decode(&row?.1.value)).collect()
    }

    fn is_durable(&self, version: u64) -> bool {
        version <= *self.durable.borrow()
    }

    fn row<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, JournalError> {
        let row = self.reader.store.get(key)?.filter(|row| self.is_durable(row.version));
        row.map(|row| decode(&row.value)).transpose()
    }

    /// A named subscription; none if there is none by this name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, JournalError> {
        let Some(row) = self.reader.store.get(&key::subscription(id))? else { return Ok(None) };
        self.wait_for(row.version)?;
        Ok(Some(decode::<Subscription>(&row.value)?).filter(|found| found.delete_time.is_none()))
    }

    /// Up to `limit` named subscriptions after `after`, in the order of ids.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn subscriptions(
        &self,
        after: Option<&SubscriptionId>,
        limit: usize,
        admits: impl Fn(&SubscriptionId) -> bool,
    ) -> Result<Vec<Subscription>, JournalError> {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(key::subscription(id)));
        let rows = self.reader.store.scan(&key::subscriptions(), from, false);
        let found = rows.map(|row| {
            let (_, row) = row?;
            self.wait_for(row.version)?;
            decode::<Subscription>(&row.value)
        });
        let is_wanted = |it: &Subscription| it.delete_time.is_none() && admits(&it.id);
        found.filter(|it| it.as_ref().map_or(true, is_wanted)).take(limit).collect()
    }

    /// How far a named subscription is, as far as that was noted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn progress(&self, subscription: &Subscription) -> Result<Progress, JournalError> {
        let noted: Option<Progress> = self.row(&key::progress(&subscription.id))?;
        let noted = noted.filter(|noted| noted.subscription == subscription.number);
        Ok(noted.unwrap_or_else(|| Progress::new(subscription.number)))
    }

    /// The words as canonical JSON; none once they were erased.
    ///
    /// # Errors
    /// If the store cannot be read, or the words are not those that were hashed.
    pub fn canonical(&self, digest: &Digest) -> Result<Option<Vec<u8>>, JournalError> {
        self.reader.canonical(digest)
    }

    /// The words; none once they were erased.
    ///
    /// # Errors
    /// As [`View::canonical`].
    pub fn words(&self, digest: &Digest) -> Result<Option<Words>, JournalError> {
        self.reader.words(digest, usize::MAX)
    }

    /// Reads a text in a form. `None` without a form, and once the text was erased.
    ///
    /// # Errors
    /// As [`View::canonical`].
    pub fn text(&self, digest: &Digest, form: impl Into<Option<Form>>) -> Result<Option<Text>, JournalError> {
        let Some(form) = form.into() else { return Ok(None) };
        Ok(match form {
            Form::Message => self.content(digest)?.map(|content| Text::Content(Box::new(content))),
            Form::Canonical => self.canonical(digest)?.map(|bytes| Text::Canonical(bytes.into())),
        })
    }

    /// The same without their length.
    ///
    /// # Errors
    /// As [`View::canonical`].
    pub fn content(&self, digest: &Digest) -> Result<Option<Content>, JournalError> {
        Ok(self.words(digest)?.map(|words| words.content))
    }

    /// Up to `limit` owed approvals after the key `after`, oldest first, each with the key to go on from.
    ///
    /// # Errors
    /// As [`View::state`].
    pub fn owed(&self, after: &[u8], limit: usize) -> Result<Vec<OwedRecord>, JournalError> {
        let prefix = key::owed_all();
        let from = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after.to_vec()) };
        let mut found = Vec::new();
        for row in self.reader.store.scan(&prefix, from, false).take(limit) {
            let (key, _) = row?;
            let Some((id, language, number)) = key::owed_parts(&key) else { continue };
            let Some(state) = self.state(&id)? else { continue };
            let owed =
                state.languages.get(&language).and_then(|slots| slots.owed.iter().find(|owed| owed.number == number));
            if let Some(owed) = owed.cloned() {
                found.push(OwedRecord { key, state, language, owed });
            }
        }
        Ok(found)
    }
}

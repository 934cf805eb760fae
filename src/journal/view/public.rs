//! Reads that are pinned to a tail: what readers were shown then, and what was under embargo.

use std::{collections::BTreeMap, ops::Bound};

use super::View;
use crate::{
    domain::{
        content::Facts,
        draft::Release,
        event::{EventHead, EventKind},
        id::{Code, EditionName, LanguageTag, StatementId},
        live::{Live, Openness},
        state::{Slots, Statement},
    },
    journal::{
        JournalError, key,
        row::{EventRecord, decode},
    },
};

/// Editions that one read takes.
const EDITIONS: usize = 64;

/// The public record of a statement at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// What holds for all languages.
    pub statement: Statement,
    /// What was live in each language, visible or not.
    pub lives: BTreeMap<LanguageTag, Live>,
}

impl View<'_> {
    /// What readers were shown once all events below `tail` had happened; nothing if the statement does not exist. What less is
    /// shown of since, because it was removed or erased, is shown as it is now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn public(&self, id: &StatementId, tail: u64) -> Result<Option<Public>, JournalError> {
        let Some((state, _)) = self.reader.state(id)? else { return Ok(None) };
        let mut lives = BTreeMap::new();
        for (language, slots) in state.languages {
            if let Some(live) = self.live_before(id, &language, slots.live, tail)? {
                lives.insert(language, live);
            }
        }
        Ok(Some(Public { statement: state.statement, lives }))
    }

    /// What is live in one language, visible or not, and what is under embargo.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn standing(
        &self,
        id: &StatementId,
        language: &LanguageTag,
    ) -> Result<(Option<Live>, Option<Release>), JournalError> {
        let Some(row) = self.reader.store.get(&key::language(id, language))? else { return Ok((None, None)) };
        let slots: Slots = decode(&row.value)?;
        let embargo = self.embargo_before(id, language, &slots, self.tail)?;
        Ok((self.live_before(id, language, slots.live, self.tail)?, embargo))
    }

    /// Whether nothing was changed in a language since an entry that told of it: a step shows something of each language once
    /// (beside it, at most, that an embargo was called off, which shows nothing).
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn is_as_of(&self, head: &EventHead) -> Result<bool, JournalError> {
        let written = self.reader.store.version(&key::language(&head.statement, &head.language_code))?;
        Ok(written == Some(head.entry))
    }

    /// The newest state below `tail`: the row's, or that of an event before, unless less may be seen of it now.
    fn live_before(
        &self,
        id: &StatementId,
        language: &LanguageTag,
        newest: Option<Live>,
        tail: u64,
    ) -> Result<Option<Live>, JournalError> {
        let Some(newest) = newest else { return Ok(None) };
        if newest.sequence < tail {
            return Ok(Some(newest));
        }
        for record in self.events_before(id, language, tail) {
            let record = record?;
            if let Some(then) = record.event.live {
                return Ok(Some(if newest.openness() < then.openness() { newest } else { then }));
            }
            if record.hollow && !record.event.head.kind.is_embargo() {
                return Ok(Some(newest));
            }
        }
        Ok(None)
    }

    /// Up to `limit` events of a (statement, language) below `tail`, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn newest_events(
        &self,
        id: &StatementId,
        language: &LanguageTag,
        tail: u64,
        limit: usize,
    ) -> Result<Vec<EventRecord>, JournalError> {
        self.events_before(id, language, tail).take(limit).collect()
    }

    /// The event below `tail` that made an edition public, or sent it under embargo.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn event_of_edition(&self, name: &EditionName, tail: u64) -> Result<Option<EventRecord>, JournalError> {
        let mut first = None;
        for record in self.events_before(&name.statement, &name.language, tail) {
            let record = record?;
            match &record.event.head.edition {
                Some(edition) if edition == name => first = Some(record),
                Some(edition) if edition.number < name.number => break,
                Some(_) | None => {}
            }
        }
        Ok(first)
    }

    /// What filters looked at in the text of an event, before it and after it. Of one that was erased: what is left in its edition.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn facts_of(&self, record: &EventRecord) -> Result<Vec<Facts>, JournalError> {
        let event = &record.event;
        let known: Vec<_> = event.before.iter().chain(&event.after).cloned().collect();
        if !known.is_empty() {
            return Ok(known);
        }
        let Some(name) = &event.head.edition else { return Ok(Vec::new()) };
        Ok(self.edition(name)?.map(|edition| edition.outline.facts).into_iter().collect())
    }

    /// What filters looked at in the editions of a (statement, language), each once; of those that were erased too.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn facts_of_editions(&self, id: &StatementId, language: &LanguageTag) -> Result<Vec<Facts>, JournalError> {
        let (mut all, mut below) = (Vec::new(), u32::MAX);
        loop {
            let editions = self.editions(id, language, below, EDITIONS)?;
            let Some(oldest) = editions.last() else { return Ok(all) };
            below = oldest.number;
            for edition in editions {
                if !all.contains(&edition.outline.facts) {
                    all.push(edition.outline.facts);
                }
            }
        }
    }

    /// The kind of a statement; none if there is no such statement.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn kind(&self, id: &StatementId) -> Result<Option<Code>, JournalError> {
        Ok(self.row::<Statement>(&key::statement(id))?.map(|statement| statement.kind))
    }

    /// Events of a (statement, language) below `tail`, newest first.
    fn events_before(
        &self,
        id: &StatementId,
        language: &LanguageTag,
        tail: u64,
    ) -> impl Iterator<Item = Result<EventRecord, JournalError>> {
        let from = Bound::Excluded(key::event_of(id, language, tail));
        self.reader.store.scan(&key::events_of(id, language), from, true).map(|row| {
            let (key, _) = row?;
            let sequence = key::number_at_end(&key).unwrap_or_default();
            self.event(sequence)?.ok_or_else(|| JournalError::Damaged(format!("event {sequence} is missing")))
        })
    }

    /// The same as [`View::public`] for up to `limit` statements after `after`, in the order of ids. A statement with nothing
    /// public has no `lives`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn publics(&self, after: Option<&StatementId>, limit: usize, tail: u64) -> Result<Vec<Public>, JournalError> {
        let mut publics = Vec::new();
        for id in self.ids(after, limit)? {
            publics.extend(self.public(&id, tail)?);
        }
        Ok(publics)
    }

    /// The texts of a statement that were under embargo once all events below `tail` had happened, and are not less open now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn embargoes(&self, id: &StatementId, tail: u64) -> Result<Vec<(LanguageTag, Release)>, JournalError> {
        let Some((state, _)) = self.reader.state(id)? else { return Ok(Vec::new()) };
        let mut embargoes = Vec::new();
        for (language, slots) in state.languages {
            let release = self.embargo_before(id, &language, &slots, tail)?;
            embargoes.extend(release.map(|release| (language, release)));
        }
        Ok(embargoes)
    }

    fn embargo_before(
        &self,
        id: &StatementId,
        language: &LanguageTag,
        slots: &Slots,
        tail: u64,
    ) -> Result<Option<Release>, JournalError> {
        if slots.embargo_sequence < tail {
            return Ok(slots.embargoed().cloned());
        }
        for record in self.events_before(id, language, tail) {
            let event = record?.event;
            if event.head.kind == EventKind::Embargoed {
                let waits = slots.embargoed().is_some_and(|release| release.sequence == event.head.sequence);
                let is_public = slots.live.as_ref().is_some_and(|live| live.openness() == Openness::Words);
                return Ok(event.embargo.filter(|_| waits || is_public));
            }
            if event.head.kind == EventKind::EmbargoCancelled || event.embargo_lifted {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

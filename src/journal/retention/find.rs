//! Finding what need not be kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{BATCH_ROWS, Key, PAGE_STATEMENTS};
use crate::{
    domain::{
        digest::Digest,
        entry::{Action, EntryHead},
        event::EventHead,
        id::{LanguageTag, StatementId},
        live::Edition,
        state::{Slots, State},
        time::Timestamp,
    },
    journal::{
        JournalError, key,
        row::{EntryRow, EventRow, RequestRow, decode, from_seal},
        view::View,
    },
};

/// The texts that were saved as drafts of a language.
struct SavedTexts {
    /// Oldest first, each with the time when another took its place.
    superseded: Vec<(Digest, Timestamp)>,
    newest: Option<Digest>,
    /// When the language was last touched: if the newest draft is none any more, it was one until then at most.
    touched: Timestamp,
}

impl SavedTexts {
    fn new(touched: Timestamp) -> Self {
        Self { superseded: Vec::new(), newest: None, touched }
    }
}

impl View<'_> {
    /// Keys of answers given before a time, among those after a key, and the key to go on from; none if there are no more.
    pub(super) fn answers_before(
        &self,
        since: Timestamp,
        after: &[u8],
    ) -> Result<(Vec<Key>, Option<Key>), JournalError> {
        let (mut old, mut last) = (Vec::new(), None);
        for row in self.store().scan(&key::requests(), Bound::Excluded(after.to_vec()), false).take(BATCH_ROWS) {
            let (key, row) = row?;
            // What is damaged is told elsewhere, and stays.
            if decode::<RequestRow>(&row.value).is_ok_and(|row| row.time < since) {
                old.push(key.clone());
            }
            last = Some(key);
        }
        Ok((old, last))
    }

    /// Texts of drafts that need not be kept (another took their place before `since`, or more than `max` ago), of the statements after one, and the
    /// statement to go on from; none if there are no more.
    pub(super) fn old_texts(
        &self,
        after: Option<&StatementId>,
        since: Option<Timestamp>,
        max: Option<usize>,
    ) -> Result<(Vec<Digest>, Option<StatementId>), JournalError> {
        // What is saved after this is none of ours: the states may not have it.
        let newest = self.newest_entry();
        let states = self.states(after, PAGE_STATEMENTS)?;
        let mut old = Vec::new();
        for state in states.iter().filter(|state| !state.is_expunged()) {
            let kept = self.kept_texts(state)?;
            for saved in self.saved_texts(&state.statement.id, newest)?.into_values() {
                let newest = saved.newest.map(|digest| (digest, saved.touched));
                let superseded = saved.superseded.into_iter().chain(newest).rev();
                let superseded = superseded.filter(|(digest, _)| !kept.contains(digest));
                for (place, (digest, time)) in superseded.enumerate() {
                    let over = max.is_some_and(|max| place >= max) || since.is_some_and(|since| time < since);
                    if !over {
                        continue;
                    }
                    match self.canonical(&digest) {
                        Ok(Some(_)) => old.push(digest),
                        // One that is damaged is told elsewhere, and stays.
                        Ok(None) | Err(JournalError::Damaged(_)) => {}
                        Err(failure) => return Err(failure),
                    }
                }
            }
        }
        Ok((old, states.last().map(|state| state.statement.id.clone())))
    }

    /// Texts that a statement needs: of its slots, editions and events.
    fn kept_texts(&self, state: &State) -> Result<BTreeSet<Digest>, JournalError> {
        let id = &state.statement.id;
        let mut kept = BTreeSet::new();
        for (language, slots) in &state.languages {
            kept.extend(slots_texts(slots));
            for (_, row) in self.reader.rows(&key::editions(id, language))? {
                kept.insert(decode::<Edition>(&row.value)?.outline.digest);
            }
            if slots.embargo_sequence > 0 {
                for number in self.reader.numbers(&key::events_of(id, language))? {
                    let Some(row) = self.store().get(&key::event(number))? else { continue };
                    kept.extend(from_seal::<EventHead>(&decode::<EventRow>(&row.value)?.seal)?.content_digest);
                }
            }
        }
        Ok(kept)
    }

    /// Texts that were saved as drafts of a statement, by entries up to `newest`.
    fn saved_texts(&self, id: &StatementId, newest: u64) -> Result<BTreeMap<LanguageTag, SavedTexts>, JournalError> {
        let mut saved = BTreeMap::new();
        for number in self.reader.numbers(&key::entries_of(id))?.into_iter().filter(|number| *number <= newest) {
            let Some(row) = self.store().get(&key::entry(number))? else { continue };
            let head: EntryHead = from_seal(&decode::<EntryRow>(&row.value)?.seal)?;
            let digests = if head.action == Action::SaveDraft { head.content_digests } else { Vec::new() };
            for language in head.language_codes {
                let saved = saved.entry(language).or_insert_with(|| SavedTexts::new(head.commit_time));
                saved.touched = head.commit_time;
                for digest in &digests {
                    let before = saved.newest.replace(*digest);
                    saved.superseded.extend(before.map(|before| (before, head.commit_time)));
                }
            }
        }
        Ok(saved)
    }
}

/// Texts that the slots of a language name.
pub(in crate::journal) fn slots_texts(slots: &Slots) -> impl Iterator<Item = Digest> {
    let draft = slots.draft.as_ref().map(|draft| draft.outline.digest);
    let release = slots.release.as_ref().map(|release| release.outline.digest);
    draft.into_iter().chain(release)
}

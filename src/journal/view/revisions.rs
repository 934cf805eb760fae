//! Saved revisions of a draft, from the entries that saved them.

use super::View;
use crate::{
    domain::{
        digest::Digest,
        draft::Draft,
        entry::Action,
        id::{Caller, LanguageTag, StatementId},
        time::Timestamp,
    },
    journal::{JournalError, key},
};

/// A saved revision of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Number of the revision, from 1.
    pub number: u32,
    /// The caller that saved it.
    pub editor: Caller,
    /// Time of the save.
    pub time: Timestamp,
    /// Digest of its text.
    pub digest: Digest,
}

impl View<'_> {
    /// Revisions of a draft with numbers below `below`, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn revisions(
        &self,
        id: &StatementId,
        language: &LanguageTag,
        draft: &Draft,
        below: u32,
    ) -> Result<Vec<Revision>, JournalError> {
        let (mut revisions, mut number) = (Vec::new(), draft.revision);
        for entry in self.reader.numbers(&key::entries_of(id))?.into_iter().rev() {
            if number == 0 {
                break;
            }
            let head = self.entry(entry)?.head;
            if head.action != Action::SaveDraft || !head.language_codes.contains(language) {
                continue;
            }
            let Some(digest) = head.content_digests.first().copied() else { continue };
            // Drafts that were begun while this one awaited its time as a release are others.
            if number == draft.revision && digest != draft.outline.digest {
                continue;
            }
            if number < below {
                revisions.push(Revision { number, editor: head.caller, time: head.commit_time, digest });
            }
            number -= 1;
        }
        Ok(revisions)
    }
}

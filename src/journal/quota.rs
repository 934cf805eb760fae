//! How large the store may become, so that neither the disk nor memory runs out unforeseen: sled's table of pages grows with the store.
//!
//! **Invariants**
//! - What takes words away, or lets those stand that are there, is never refused.
//! - The last tenth is kept for the statements that are there: they can still be corrected.

use tracing::{info, warn};

use super::JournalError;
use crate::domain::{command::Step, subscription};

/// How full a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Ample,
    /// Above four fifths: somebody should look.
    Low,
    /// Above nine tenths: no new statements.
    Reserve,
    /// No new words.
    Full,
}

/// The bound, and how near the store is to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    bytes_max: u64,
    bytes: u64,
}

impl Quota {
    pub(super) fn new(bytes_max: u64, bytes: u64) -> Self {
        let mut quota = Self { bytes_max, bytes: 0 };
        quota.note(bytes);
        quota
    }

    fn room(self) -> Room {
        let tenths = self.bytes.saturating_mul(10) / self.bytes_max.max(1);
        match tenths {
            0..8 => Room::Ample,
            8 => Room::Low,
            9 => Room::Reserve,
            10.. => Room::Full,
        }
    }

    /// Notes the size of the store; a log line says when that changes what is refused.
    pub(super) fn note(&mut self, bytes: u64) {
        let before = self.room();
        self.bytes = bytes;
        let (room, bytes_max) = (self.room(), self.bytes_max);
        match room {
            same if same == before => {}
            Room::Ample => info!(bytes, bytes_max, "the store has room again"),
            Room::Low => warn!(bytes, bytes_max, "the store is four fifths full"),
            Room::Reserve => warn!(bytes, bytes_max, "the store is nine tenths full: no new statements"),
            Room::Full => warn!(bytes, bytes_max, "the store is full: no new words"),
        }
    }

    /// Whether there is room for a step.
    ///
    /// # Errors
    /// [`JournalError::Full`].
    pub(super) fn admit(self, step: &Step) -> Result<(), JournalError> {
        let most = match step {
            Step::CreateStatement { .. } => Room::Low,
            Step::SaveDraft(_) | Step::UpdateStatement { .. } => Room::Reserve,
            Step::SubmitDraft { .. }
            | Step::ApproveDraft { .. }
            | Step::RejectDraft { .. }
            | Step::DiscardDraft { .. }
            | Step::PublishDrafts(_)
            | Step::ApproveEdition { .. }
            | Step::CancelRelease { .. }
            | Step::Withdraw { .. }
            | Step::Reinstate(_)
            | Step::Remove(_)
            | Step::Expunge(_)
            | Step::CancelProposal { .. }
            | Step::SetLegalHold { .. }
            | Step::Due { .. }
            | Step::RepeatErasure { .. } => Room::Full,
        };
        self.check(most)
    }

    /// Whether there is room for a step on a subscription.
    ///
    /// # Errors
    /// [`JournalError::Full`].
    pub(super) fn admit_enrolment(self, step: &subscription::Step) -> Result<(), JournalError> {
        self.check(match step {
            subscription::Step::Create { .. } => Room::Low,
            subscription::Step::Update { .. } => Room::Reserve,
            subscription::Step::Delete { .. } => Room::Full,
        })
    }

    fn check(self, most: Room) -> Result<(), JournalError> {
        if self.room() <= most {
            return Ok(());
        }
        Err(JournalError::Full { mib: self.bytes >> 20, mib_max: self.bytes_max >> 20 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        command::{Expunge, Seconded},
        id::{Code, LanguageTag},
    };

    #[test]
    fn what_takes_words_away_is_never_refused() {
        let english = LanguageTag::parse("en").unwrap();
        let create = Step::CreateStatement {
            kind: Code::parse("notice").unwrap(),
            source_language: english.clone(),
            owner: String::new(),
            annotations: std::collections::BTreeMap::new(),
        };
        let update = Step::UpdateStatement { etag: String::new(), owner: None, annotations: None };
        let expunge = Step::Expunge(Seconded::Propose(Expunge { reason_code: Code::parse("court-order").unwrap() }));
        for (bytes, created, updated) in
            [(0, true, true), (899, true, true), (900, false, true), (1_000, false, false), (5_000, false, false)]
        {
            let quota = Quota::new(1_000, bytes);
            let admits = |step| quota.admit(step).is_ok();
            assert_eq!((admits(&create), admits(&update), admits(&expunge)), (created, updated, true), "{bytes}");
        }
    }
}

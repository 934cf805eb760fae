//! The state of a statement: what [`decide()`](super::decide()) reads and changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    content::Facts,
    digest::Digest,
    draft::{Approval, Draft, Release, ReleaseState},
    id::{Caller, Code, LanguageTag, StatementId},
    live::{Live, LiveState, Notice},
    time::Timestamp,
};

/// A statement with all its languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What holds for all languages.
    pub statement: Statement,
    /// The three slots of each language that ever had a draft.
    pub languages: BTreeMap<LanguageTag, Slots>,
}

impl State {
    /// Whether its texts were erased.
    #[must_use]
    pub fn is_expunged(&self) -> bool {
        self.statement.expunge_time.is_some()
    }

    /// Under which tag the statement has a language, if it has it or an equal one: as its source language, or in some slot.
    #[must_use]
    pub fn tag(&self, language: &LanguageTag) -> Option<&LanguageTag> {
        if let Some((tag, _)) = self.languages.get_key_value(language) {
            return Some(tag);
        }
        language.find(self.languages.keys().chain([&self.statement.source_language]))
    }

    /// What is live in a language, visible or not.
    #[must_use]
    pub fn live(&self, language: &LanguageTag) -> Option<&Live> {
        self.languages.get(language)?.live.as_ref()
    }

    /// Whether readers can read it in at least one language.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.languages.values().any(|slots| slots.live.as_ref().is_some_and(|live| live.state.has_text()))
    }

    /// The steps that time will take: when, in which language, and what.
    #[must_use]
    pub fn due(&self) -> Vec<Due> {
        let mut due = Vec::new();
        for (language, slots) in &self.languages {
            if let Some(release) = slots.release.as_ref().filter(|release| release.blocked.is_none()) {
                due.push(Due { time: release.time, language: language.clone(), step: DueStep::Release });
            }
            let expiring = slots.live.as_ref().filter(|live| live.state == LiveState::Published);
            let time = expiring.and_then(|live| live.edition.outline.expire_time);
            if let Some(time) = time.filter(|_| !self.statement.legal_hold) {
                due.push(Due { time, language: language.clone(), step: DueStep::Expiry });
            }
        }
        due
    }
}

/// What holds for all languages of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Which.
    pub id: StatementId,
    /// What sort.
    pub kind: Code,
    /// The language the others are translated from.
    pub source_language: LanguageTag,
    /// The team that owns it.
    pub owner: String,
    /// Internal notes for tools.
    pub annotations: BTreeMap<String, String>,
    /// While it is set, nothing expires or is erased.
    pub legal_hold: bool,
    /// Who created it.
    pub creator: Caller,
    /// When.
    pub create_time: Timestamp,
    /// When owner, annotations or legal hold changed last.
    pub update_time: Timestamp,
    /// Number of the entry that changed them last: the etag.
    pub version: u64,
    /// A step that waits for a second person.
    pub proposal: Option<Proposal>,
    /// When its texts were erased.
    pub expunge_time: Option<Timestamp>,
}

/// Approvals of editions that the slots of a language keep. All of them are in the audit trail.
const APPROVED_MAX: usize = 16;

/// The three slots of a language, and what goes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// The working copy.
    pub draft: Option<Draft>,
    /// What waits for its time.
    pub release: Option<Release>,
    /// What readers are shown.
    pub live: Option<Live>,
    /// Editions that were forced and wait for their approval.
    pub owed: Vec<Owed>,
    /// The newest approvals of editions, newest last: at most 16.
    #[serde(default)]
    pub approved: Vec<Approved>,
    /// Sequence of the last event about a text under embargo; 0 if there was none.
    pub embargo_sequence: u64,
}

impl Slots {
    /// What filters look at of each text that is here.
    pub fn facts(&self) -> impl Iterator<Item = &Facts> {
        let draft = self.draft.iter().map(|draft| &draft.outline);
        let release = self.release.iter().map(|release| &release.outline);
        let live = self.live.iter().map(|live| &live.edition.outline);
        draft.chain(release).chain(live).map(|outline| &outline.facts)
    }

    /// Keeps the approval of an edition, and drops the oldest if there are too many.
    pub(super) fn approve(&mut self, approved: Approved) {
        self.approved.push(approved);
        let over = self.approved.len().saturating_sub(APPROVED_MAX);
        self.approved.drain(..over);
    }

    /// Number of the newest edition; 0 if none exists.
    #[must_use]
    pub fn edition_count(&self) -> u32 {
        self.live.as_ref().map_or(0, |live| live.edition.number)
    }

    /// The release, if subscribers with embargo clearance hold it.
    #[must_use]
    pub fn embargoed(&self) -> Option<&Release> {
        self.release.as_ref().filter(|release| release.state == ReleaseState::Embargoed)
    }
}

/// An edition that was published by force and waits for its approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Which edition.
    pub number: u32,
    /// What filters look at; none in rows that were written before this was kept.
    #[serde(default)]
    pub facts: Facts,
    /// Its text: what has to be approved.
    pub digest: Digest,
    /// Who forced it.
    pub publisher: Caller,
    /// Who wrote it.
    pub authors: Vec<Caller>,
    /// Why.
    pub reason: String,
    /// When.
    pub publish_time: Timestamp,
}

/// The approval of an edition: given to its draft, or afterwards if it was forced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// Which edition.
    pub number: u32,
    /// What filters look at in it.
    pub facts: Facts,
    /// The approval.
    pub approval: Approval,
}

/// A step that needs two people and has been asked for by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Names it in the second call.
    pub id: String,
    /// What is to be done.
    pub step: ProposedStep,
    /// Who asked.
    pub proposer: Caller,
    /// When.
    pub time: Timestamp,
    /// After this it has lapsed.
    pub expire_time: Timestamp,
    /// In which languages.
    pub languages: Vec<LanguageTag>,
    /// Why; for an erasure the code of its legal basis.
    pub reason: String,
}

/// What needs two people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposedStep {
    /// A withdrawn text is to stand again.
    Reinstate,
    /// A statement is to be taken from the public.
    Remove(Removal),
    /// Every text is to be erased.
    Expunge,
}

/// How a statement is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Removal {
    /// Readers see the notice.
    Gone(Notice),
    /// Readers are sent to another statement.
    Redirect(StatementId, Option<Notice>),
    /// Readers get the answer for what never was.
    Hidden,
}

/// A step that time will take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub time: Timestamp,
    /// In which language.
    pub language: LanguageTag,
    /// What.
    pub step: DueStep,
}

/// What time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DueStep {
    /// A release goes out.
    Release,
    /// A text stops being current.
    Expiry,
}

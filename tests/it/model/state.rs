//! What the model knows, and what readers and subscribers see of it.

use std::collections::{BTreeMap, BTreeSet};

use onrecord::api::v1::{self, ChangeKind, live};

use super::{
    Key, Language, MARK, SOURCES, STATEMENTS,
    steps::{Step, Wanted},
};

#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) title: String,
    pub(super) topics: Vec<&'static str>,
    pub(super) regions: Vec<&'static str>,
    pub(super) excluded: Vec<&'static str>,
    pub(super) kind: ChangeKind,
    pub(super) expires: Option<i64>,
    pub(super) source: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) words: Words,
    pub(super) base: u32,
    pub(super) approved: bool,
    pub(super) proto: v1::Draft,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) words: Words,
    pub(super) base: u32,
    pub(super) time: i64,
    pub(super) embargoed: bool,
    pub(super) held: bool,
    pub(super) with: BTreeSet<Language>,
}

#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) words: Words,
    pub(super) number: u32,
    /// None where it is hidden.
    pub(super) state: Option<live::State>,
    pub(super) stale: Option<u32>,
    /// The newest edition that was not MINOR or a reinstatement.
    pub(super) major: u32,
    pub(super) redirect: Option<usize>,
}

impl Shown {
    pub(super) fn is_readable(&self) -> bool {
        matches!(self.state, Some(live::State::Published | live::State::Withdrawn | live::State::Expired))
    }

    pub(super) fn is_erased(&self) -> bool {
        self.state == Some(live::State::Expunged)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    pub(super) draft: Option<Draft>,
    pub(super) waiting: Option<Waiting>,
    pub(super) shown: Option<Shown>,
    /// How often readers, and holders of embargoed texts, were told something.
    pub(super) told: u64,
    pub(super) told_holders: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) id: String,
    pub(super) proposer: &'static str,
    pub(super) step: Step,
    pub(super) languages: Vec<Language>,
    pub(super) until: i64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    pub(super) hold: bool,
    pub(super) expunged: bool,
    pub(super) proposal: Option<Proposal>,
}

/// What a subscriber or reader sees of a text that is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) state: live::State,
    pub(super) number: u32,
    pub(super) title: String,
    pub(super) stale: String,
    pub(super) noticed: bool,
    pub(super) redirect: String,
}

impl Seen {
    pub(super) fn of(live: &v1::Live) -> Self {
        let edition = live.edition.as_ref().unwrap();
        Self {
            state: live.state(),
            number: edition.number,
            title: edition.content.as_ref().map(|content| content.title.clone()).unwrap_or_default(),
            stale: live.stale_since_edition.clone(),
            noticed: live.notice.is_some(),
            redirect: live.redirect_statement.clone(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: i64,
    pub(super) events: u64,
    pub(super) statements: BTreeMap<usize, Whole>,
    pub(super) slots: BTreeMap<Key, Slots>,
}

pub(super) type Verdict = Result<(), &'static str>;

impl Model {
    pub(super) fn seen(&self, key: Key) -> Option<Seen> {
        let shown = self.look(key).shown?;
        let state = shown.state?;
        let since = if shown.is_erased() { None } else { shown.stale };
        Some(Seen {
            state,
            number: shown.number,
            title: if shown.is_readable() { shown.words.title.clone() } else { String::new() },
            stale: since
                .map(|number| format!("statements/{}/editions/{}.{number}", STATEMENTS[key.0], SOURCES[key.0]))
                .unwrap_or_default(),
            noticed: matches!(state, live::State::Withdrawn | live::State::Gone),
            redirect: shown.redirect.map(|to| format!("statements/{}", STATEMENTS[to])).unwrap_or_default(),
        })
    }

    pub(super) fn live(&self, wanted: &Wanted) -> BTreeMap<Key, Seen> {
        let admitted = self.slots.iter().filter(|(key, slots)| {
            slots.shown.as_ref().is_some_and(|shown| !shown.is_erased() && wanted.admits(**key, &shown.words))
        });
        admitted.filter_map(|(key, _)| Some((*key, self.seen(*key)?))).collect()
    }

    pub(super) fn embargoes(&self, wanted: &Wanted) -> BTreeMap<Key, String> {
        let held = |slots: &Slots| slots.waiting.clone().filter(|waiting| waiting.embargoed);
        let all = self.slots.iter().filter_map(|(key, slots)| Some((*key, held(slots)?.words)));
        all.filter(|(key, words)| wanted.admits(*key, words)).map(|(key, words)| (key, words.title)).collect()
    }
}

impl Wanted {
    pub(super) fn admits(&self, (s, language): Key, words: &Words) -> bool {
        let applies = |region: &&str| {
            let meets = |other: &&str| overlap(region, other);
            (words.regions.is_empty() || words.regions.iter().any(meets)) && !words.excluded.iter().any(meets)
        };
        (self.topics.is_empty() || self.topics.iter().any(|topic| words.topics.contains(topic)))
            && (self.regions.is_empty() || self.regions.iter().any(applies))
            && (self.languages.is_empty() || self.languages.contains(&language))
            && (self.statements.is_empty() || self.statements.contains(&STATEMENTS[s]))
    }

    pub(super) fn filter(&self) -> v1::Filter {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let mut statements: Vec<_> = self.statements.iter().map(|id| format!("statements/{id}")).collect();
        if !statements.is_empty() {
            statements.push(format!("statements/{MARK}"));
        }
        v1::Filter {
            topics: own(&self.topics),
            region_codes: own(&self.regions),
            language_codes: own(&self.languages),
            statements,
            ..Default::default()
        }
    }
}

/// Whether two regions of the model have a place in common: Europe has Germany.
fn overlap(one: &str, other: &str) -> bool {
    one == other || matches!((one, other), ("DE", "150") | ("150", "DE"))
}

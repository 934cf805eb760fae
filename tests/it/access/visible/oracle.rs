//! What a policy lets somebody see, written from `docs/policy.md` alone: it calls nothing of the crate.

use std::collections::{BTreeMap, BTreeSet};

pub(super) type Codes = &'static [&'static str];

/// What a text is about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) topics: Codes,
    pub(super) audiences: Codes,
    pub(super) regions: Codes,
    pub(super) excluded: Codes,
    pub(super) channels: Codes,
}

/// The limits of a grant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope {
    pub(super) name: &'static str,
    pub(super) kinds: Codes,
    pub(super) languages: Codes,
    pub(super) topics: Codes,
    pub(super) audiences: Codes,
    pub(super) regions: Codes,
    pub(super) channels: Codes,
    pub(super) subscriptions: Codes,
    /// For the role subscriber.
    pub(super) embargoed: bool,
}

/// How a language of a statement stands with readers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Stand {
    #[default]
    Shown,
    Gone,
    Hidden,
    Erased,
    ErasedHidden,
}

/// A language of a statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) editions: Vec<Facts>,
    pub(super) draft: Option<Facts>,
    /// What waits, and whether it is under embargo.
    pub(super) release: Option<(Facts, bool)>,
    pub(super) owes: bool,
    pub(super) stand: Stand,
}

/// A statement.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) id: &'static str,
    pub(super) kind: &'static str,
    pub(super) lanes: BTreeMap<&'static str, Lane>,
}

/// An entry of the trail: the languages that it changes and the texts that it concerns; none if they were erased.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) statement: &'static str,
    pub(super) subscription: &'static str,
    pub(super) concerned: Option<Vec<(&'static str, Facts)>>,
}

/// Any of the values, if the list is there.
fn any(limit: Codes, fits: impl Fn(&&'static str) -> bool) -> bool {
    limit.is_empty() || limit.iter().any(fits)
}

impl Lane {
    /// The texts that are in it now.
    pub(super) fn texts(&self) -> Vec<Facts> {
        let release = self.release.map(|(facts, _)| facts);
        self.draft.into_iter().chain(release).chain(self.editions.last().copied()).collect()
    }

    /// Whether readers may know of it.
    pub(super) fn is_public(&self) -> bool {
        !self.editions.is_empty() && !matches!(self.stand, Stand::Hidden | Stand::ErasedHidden)
    }
}

impl Scope {
    /// Whether no text is outside of it.
    pub(super) fn is_all_texts(&self) -> bool {
        [self.kinds, self.languages, self.topics, self.audiences, self.regions, self.channels]
            .iter()
            .all(|it| it.is_empty())
    }

    /// Editors see the statements of their kinds.
    pub(super) fn sees(&self, story: &Story) -> bool {
        any(self.kinds, |kind| **kind == *story.kind)
    }

    pub(super) fn names(&self, story: &Story, language: &str) -> bool {
        self.sees(story) && any(self.languages, |own| **own == *language)
    }

    /// Any of the values inside a list, all of the lists. A text that names no audience or channel is for all, one that names no region
    /// applies everywhere but where it is excluded, one without topics has none.
    pub(super) fn admits(&self, story: &Story, language: &str, text: &Facts) -> bool {
        self.names(story, language)
            && any(self.topics, |topic| text.topics.contains(topic))
            && any(self.audiences, |audience| text.audiences.is_empty() || text.audiences.contains(audience))
            && any(self.channels, |channel| text.channels.is_empty() || text.channels.contains(channel))
            && any(self.regions, |region| {
                (text.regions.is_empty() || text.regions.contains(region)) && !text.excluded.contains(region)
            })
    }

    pub(super) fn holds(&self, subscription: &str) -> bool {
        any(self.subscriptions, |own| **own == *subscription)
    }

    /// The languages in which the newest edition is public and admitted.
    pub(super) fn readable(&self, story: &Story) -> BTreeSet<&'static str> {
        let reads = |(language, lane): &(&&'static str, &Lane)| {
            lane.is_public() && self.admits(story, language, lane.editions.last().unwrap())
        };
        story.lanes.iter().filter(reads).map(|(language, _)| *language).collect()
    }

    /// Whether an edition that is public is admitted, by its own facts.
    pub(super) fn reads_edition(&self, story: &Story, language: &str, number: usize) -> bool {
        let edition = |lane: &Lane| lane.is_public().then(|| lane.editions.get(number - 1).copied()).flatten();
        story.lanes.get(language).and_then(edition).is_some_and(|facts| self.admits(story, language, &facts))
    }

    /// Whether a text that ever was public in a language is admitted.
    pub(super) fn knew(&self, story: &Story, language: &str) -> bool {
        story
            .lanes
            .get(language)
            .is_some_and(|lane| lane.editions.iter().any(|facts| self.admits(story, language, facts)))
    }

    /// The languages that an editor sees: those in which a text is, or which are empty.
    pub(super) fn edits(&self, story: &Story) -> BTreeSet<&'static str> {
        let edits = |(language, lane): &(&&'static str, &Lane)| {
            let texts = lane.texts();
            self.names(story, language)
                && (texts.is_empty() || texts.iter().any(|facts| self.admits(story, language, facts)))
        };
        story.lanes.iter().filter(edits).map(|(language, _)| *language).collect()
    }

    /// Whether an auditor sees an entry.
    pub(super) fn audits(&self, stories: &BTreeMap<&'static str, Story>, step: &Step) -> bool {
        if !step.subscription.is_empty() {
            return self.holds(step.subscription);
        }
        let story = &stories[step.statement];
        let concerned = step.concerned.as_ref();
        self.is_all_texts()
            || concerned.is_some_and(|texts| texts.iter().all(|(language, facts)| self.admits(story, language, facts)))
    }
}

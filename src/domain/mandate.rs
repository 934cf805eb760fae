//! What of a caller may do something: which statements and languages, and which texts.
//!
//! **Invariants**
//! - A mandate is total: it answers for every text, from its facts alone, as a filter does.
//! - Each text is judged by its own facts, whichever is live: what is outside is answered as what is not there, on every path
//!   (`what_is_visible_is_what_the_policy_says`, in the tests at the boundary).
//! - Less in a mandate never admits more (`a_mandate_admits_what_any_of_its_grants_does`).
//! - Reading takes a text that is also for its holder; writing takes one that is for nobody else (`who_writes_for_the_press_writes_for_nobody_else`).

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    answer::Answer,
    content::{Facts, canonical_json},
    entry::{Concerned, EntryHead},
    filter::Filter,
    id::{Code, LanguageTag, StatementId, SubscriptionId},
    state::{Slots, State},
    time::Timestamp,
};

/// One part of a mandate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which texts.
    pub what: Filter,
    /// Also while they are under embargo.
    pub embargoed: bool,
    /// Also what is not public: drafts, releases, what is hidden. Set for those who work on statements. No part of what is sent.
    #[serde(skip)]
    pub unpublished: bool,
    /// Under which names its holder may follow; under any, if there are none. No part of what is sent.
    #[serde(skip)]
    pub subscriptions: Vec<SubscriptionId>,
}

impl Grant {
    /// Whether it is limited to no texts and to no names. Embargo clearance is no limit.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.what == Filter::default() && self.subscriptions.is_empty()
    }

    fn in_order(mut self) -> Self {
        self.subscriptions.sort_unstable();
        self.subscriptions.dedup();
        Self { what: self.what.in_order(), ..self }
    }
}

/// What of a caller may do something: any of its grants will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate(Vec<Grant>);

impl Mandate {
    /// Of these grants. In which order they and their values stand makes no difference.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        let mut grants: Vec<_> = grants.into_iter().map(Grant::in_order).collect();
        grants.sort_by_cached_key(|grant| (canonical_json(grant), grant.subscriptions.clone()));
        grants.dedup();
        Self(grants)
    }

    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![Grant { embargoed: true, unpublished: true, ..Grant::default() }])
    }

    /// The same, shared: each stream holds one.
    #[must_use]
    pub fn of_everybody() -> Arc<Self> {
        static EVERYTHING: LazyLock<Arc<Mandate>> = LazyLock::new(|| Arc::new(Mandate::everything()));
        Arc::clone(&EVERYTHING)
    }

    /// Whether no text is outside of it, but for what is under embargo.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.0.iter().any(|grant| grant.what == Filter::default())
    }

    /// Whether it is everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let everything = |grant: &Grant| grant.embargoed && grant.is_unlimited();
        self.0.iter().any(everything)
    }

    /// Whether it is limited in nothing, so that its holder may have the whole record.
    #[must_use]
    pub fn is_whole_record(&self) -> bool {
        self.0.iter().any(Grant::is_unlimited)
    }

    /// What of it is for those who work on statements: it goes beyond what is public.
    #[must_use]
    pub fn of_editors(&self) -> Self {
        Self(self.0.iter().filter(|grant| grant.unpublished).cloned().collect())
    }

    /// Whether it admits a text of that statement, kind and language, with those facts.
    #[must_use]
    pub fn admits(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        self.0.iter().any(|grant| grant.what.overlaps(statement, kind, language, facts))
    }

    /// The same while the text is under embargo.
    #[must_use]
    pub fn admits_embargoed(
        &self,
        statement: &StatementId,
        kind: &Code,
        language: &LanguageTag,
        facts: &Facts,
    ) -> bool {
        self.0.iter().filter(|grant| grant.embargoed).any(|grant| grant.what.overlaps(statement, kind, language, facts))
    }

    /// Whether it admits that statement and language, whatever the facts of its texts; a kind that is not known passes.
    #[must_use]
    pub fn admits_name(&self, statement: &StatementId, kind: Option<&Code>, language: &LanguageTag) -> bool {
        self.0.iter().any(|grant| grant.what.admits_name(statement, kind, language))
    }

    /// Whether its holder may ask for a step on these languages of a statement, or on the whole of it if none are named. It is asked before
    /// the rules are, whose answers would tell of what is not seen.
    #[must_use]
    pub fn admits_request(&self, state: &State, languages: Option<&[LanguageTag]>) -> bool {
        if self.is_unlimited() {
            return true;
        }
        let statement = &state.statement;
        match languages {
            Some(languages) => languages.iter().all(|language| self.contains_language(state, language)),
            None => {
                self.admits_name(&statement.id, Some(&statement.kind), &statement.source_language)
                    && state.languages.keys().all(|language| self.contains_language(state, language))
            }
        }
    }

    /// Whether it contains what a step has made. What becomes stale by it, or loses a companion, is not its work.
    #[must_use]
    pub fn admits_result(&self, before: Option<&State>, after: &State) -> bool {
        if self.is_unlimited() {
            return true;
        }
        let statement = &after.statement;
        let Some(before) = before else {
            return self.admits_name(&statement.id, Some(&statement.kind), &statement.source_language);
        };
        // An erasure leaves no facts to judge.
        let works = |(language, slots): &(&LanguageTag, &Slots)| {
            before.languages.get(*language).map(own) != Some(own(slots)) && !after.is_expunged()
        };
        after.languages.iter().filter(works).all(|(language, _)| self.contains_language(after, language))
    }

    /// Whether all texts of a language lie inside, and the language itself does.
    fn contains_language(&self, state: &State, language: &LanguageTag) -> bool {
        let (id, kind) = (&state.statement.id, &state.statement.kind);
        let contains = |facts: &Facts| self.0.iter().any(|grant| grant.what.contains(id, kind, language, facts));
        let slots = state.tag(language).and_then(|tag| state.languages.get(tag));
        let mut texts = slots.into_iter().flat_map(Slots::facts);
        self.admits_name(id, Some(kind), language) && texts.all(contains)
    }

    /// Whether it lets its holder, an editor, know that there is a statement: whoever translates into a language begins with nothing.
    #[must_use]
    pub fn sees(&self, state: &State) -> bool {
        let statement = &state.statement;
        self.0.iter().any(|grant| grant.what.admits_statement(&statement.id, Some(&statement.kind)))
    }

    /// The statement with the texts that it admits, and the languages that have one; none if it does not see it.
    #[must_use]
    pub fn narrow(&self, mut state: State) -> Option<State> {
        if self.is_unlimited() {
            return Some(state);
        }
        if !self.sees(&state) {
            return None;
        }
        let whole = |language: &LanguageTag| !self.hides_texts(&state, std::slice::from_ref(language));
        let proposal =
            state.statement.proposal.as_ref().filter(|proposal| proposal.languages.iter().all(whole)).cloned();
        let languages = state.languages.iter().filter_map(|(language, slots)| {
            let slots = self.narrow_slots(&state, language, slots)?;
            Some((language.clone(), slots))
        });
        let languages = languages.collect();
        state.statement.proposal = proposal;
        Some(State { languages, ..state })
    }

    /// The slots with the texts that it admits; none if it admits none of those that are there.
    fn narrow_slots(&self, state: &State, language: &LanguageTag, slots: &Slots) -> Option<Slots> {
        let (id, kind) = (&state.statement.id, &state.statement.kind);
        let admits = |facts: &Facts| self.admits(id, kind, language, facts);
        let is_outside = slots.facts().next().is_some() && !slots.facts().any(admits);
        if is_outside || !self.admits_name(id, Some(kind), language) {
            return None;
        }
        let mut slots = slots.clone();
        slots.draft = slots.draft.filter(|draft| admits(&draft.outline.facts));
        slots.release = slots.release.filter(|release| admits(&release.outline.facts));
        slots.live = slots.live.filter(|live| admits(&live.edition.outline.facts));
        slots.owed.retain(|owed| admits(&owed.facts));
        slots.approved.retain(|approved| admits(&approved.facts));
        if let Some(release) = &mut slots.release {
            release.companions.retain(|companion| self.admits_release(state, companion));
        }
        Some(slots)
    }

    fn admits_release(&self, state: &State, language: &LanguageTag) -> bool {
        let release = state.languages.get(language).and_then(|slots| slots.release.as_ref());
        let statement = &state.statement;
        release.is_some_and(|release| self.admits(&statement.id, &statement.kind, language, &release.outline.facts))
    }

    /// Whether a text in one of these languages is outside of it, though the language is not.
    #[must_use]
    pub fn hides_texts(&self, state: &State, languages: &[LanguageTag]) -> bool {
        let (id, kind) = (&state.statement.id, &state.statement.kind);
        let named = languages.iter().all(|language| self.admits_name(id, Some(kind), language));
        let hides = |language: &LanguageTag| {
            let mut texts = state.languages.get(language).into_iter().flat_map(Slots::facts);
            texts.any(|facts| !self.admits(id, kind, language, facts))
        };
        named && languages.iter().any(hides)
    }

    /// Whether an edition that owes an approval is outside of it.
    #[must_use]
    pub fn hides_owed(&self, state: &State, language: &LanguageTag, number: u32) -> bool {
        let (id, kind) = (&state.statement.id, &state.statement.kind);
        let mut owed = state.languages.get(language).into_iter().flat_map(|slots| &slots.owed);
        let owed = owed.find(|owed| owed.number == number);
        let named = self.admits_name(id, Some(kind), language);
        named && owed.is_some_and(|owed| !self.admits(id, kind, language, &owed.facts))
    }

    /// Whether it admits the texts that an answer names.
    #[must_use]
    pub fn admits_answer(&self, state: &State, answer: &Answer) -> bool {
        let (id, kind) = (&state.statement.id, &state.statement.kind);
        answer.texts().into_iter().all(|(language, text)| self.admits(id, kind, language, &text.facts))
    }

    /// Whether it admits an entry of the audit trail, by the texts that the entry concerns. What an entry that was written before they
    /// were kept, or that was erased, concerns is not known: it is for those whose mandate is not limited to some texts.
    #[must_use]
    pub fn admits_entry(&self, head: &EntryHead, kind: Option<&Code>, concerned: Option<&[Concerned]>) -> bool {
        if let Some(subscription) = &head.subscription {
            return self.admits_subscription(subscription);
        }
        let Some((id, kind)) = head.statement.as_ref().zip(kind).filter(|_| !self.is_unlimited()) else {
            return self.is_unlimited();
        };
        let texts = |texts: &[Concerned]| texts.iter().all(|text| self.admits(id, kind, &text.language, &text.facts));
        head.language_codes.iter().all(|language| self.admits_name(id, Some(kind), language))
            && concerned.is_some_and(texts)
    }

    /// Whether it admits some text of that name while it is under embargo.
    #[must_use]
    pub fn admits_embargoed_name(&self, statement: &StatementId, kind: Option<&Code>, language: &LanguageTag) -> bool {
        self.0.iter().filter(|grant| grant.embargoed).any(|grant| grant.what.admits_name(statement, kind, language))
    }

    /// Whether its holder may follow under a name.
    #[must_use]
    pub fn admits_subscription(&self, id: &SubscriptionId) -> bool {
        let admits = |grant: &Grant| grant.subscriptions.is_empty() || grant.subscriptions.contains(id);
        self.0.iter().any(admits)
    }
}

/// The slots without what steps on other languages leave in them.
fn own(slots: &Slots) -> Slots {
    let mut own = slots.clone();
    if let Some(live) = &mut own.live {
        (live.stale_since, live.sequence, live.update_time) = (None, 0, Timestamp::MIN);
    }
    if let Some(release) = &mut own.release {
        release.companions.clear();
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mandate_admits_what_any_of_its_grants_does() {
        let (id, kind) = (StatementId::parse("fire").unwrap(), Code::parse("notice").unwrap());
        let tag = |text: &str| LanguageTag::parse(text).unwrap();
        let of = |language: &str, embargoed| Grant {
            what: Filter { languages: vec![tag(language)], ..Filter::default() },
            embargoed,
            ..Grant::default()
        };
        let mandate = Mandate::new(vec![of("fr", false), of("de", true)]);
        let facts = Facts::default();
        let admitted = |language: &str| {
            let language = tag(language);
            (mandate.admits(&id, &kind, &language, &facts), mandate.admits_embargoed(&id, &kind, &language, &facts))
        };
        assert_eq!([admitted("fr"), admitted("de"), admitted("en")], [(true, false), (true, true), (false, false)]);
        assert!(mandate.admits_name(&id, None, &tag("fr")) && !mandate.admits_name(&id, None, &tag("en")));
        assert!(Mandate::everything().is_everything() && !mandate.is_everything());
        assert!(!Mandate::new(Vec::new()).admits(&id, &kind, &tag("fr"), &facts));
        assert_eq!(mandate, Mandate::new(vec![of("de", true), of("fr", false), of("de", true)]), "whatever the order");
    }

    #[test]
    fn who_writes_for_the_press_writes_for_nobody_else() {
        let (id, kind) = (StatementId::parse("fire").unwrap(), Code::parse("notice").unwrap());
        let (language, code) = (LanguageTag::parse("en").unwrap(), |text: &str| Code::parse(text).unwrap());
        let press = Filter { audiences: vec![code("press"), code("embassies")], ..Filter::default() };
        for (audiences, reads, writes) in [
            (vec!["press"], true, true),
            (vec!["press", "embassies"], true, true),
            (vec!["press", "staff"], true, false),
            (vec!["staff"], false, false),
            (vec![], true, false),
        ] {
            let facts = Facts { audiences: audiences.iter().map(|text| code(text)).collect(), ..Facts::default() };
            let told = (press.admits(&id, &kind, &language, &facts), press.contains(&id, &kind, &language, &facts));
            assert_eq!(told, (reads, writes), "{audiences:?}");
        }
        assert!(Filter::default().contains(&id, &kind, &language, &Facts::default()));
    }
}

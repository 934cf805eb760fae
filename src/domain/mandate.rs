//! What of a caller may do something: which statements and languages, and which texts.
//!
//! **Invariants**
//! - A mandate is total: it answers for every text, from its facts alone, as a filter does.
//! - Less in a mandate never admits more (`a_mandate_admits_what_any_of_its_grants_does`).

use serde::{Deserialize, Serialize};

use super::{
    content::Facts,
    filter::Filter,
    id::{Code, LanguageTag, StatementId, SubscriptionId},
    state::{Slots, State},
};

/// One part of a mandate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which texts.
    pub what: Filter,
    /// Also while they are under embargo.
    pub embargoed: bool,
    /// Under which names its holder may follow; under any, if there are none.
    pub subscriptions: Vec<SubscriptionId>,
}

/// What of a caller may do something: any of its grants will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate(Vec<Grant>);

impl Mandate {
    /// Of these grants.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![Grant { embargoed: true, ..Grant::default() }])
    }

    /// Whether no text is outside of it, but for what is under embargo.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.0.iter().any(|grant| grant.what == Filter::default())
    }

    /// Whether it is everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::everything()
    }

    /// Whether it admits a text of that statement, kind and language, with those facts.
    #[must_use]
    pub fn admits(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        self.0.iter().any(|grant| grant.what.admits(statement, kind, language, facts))
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
        self.0.iter().filter(|grant| grant.embargoed).any(|grant| grant.what.admits(statement, kind, language, facts))
    }

    /// Whether it admits that statement and language, whatever the facts of its texts; a kind that is not known passes.
    #[must_use]
    pub fn admits_name(&self, statement: &StatementId, kind: Option<&Code>, language: &LanguageTag) -> bool {
        self.0.iter().any(|grant| grant.what.admits_name(statement, kind, language))
    }

    /// Whether it admits what a step changes: each language that it touches, with its texts as they were and as they are.
    #[must_use]
    pub fn admits_step(&self, before: Option<&State>, after: &State) -> bool {
        let statement = &after.statement;
        let of_all = before.map(|state| &state.statement) != Some(statement);
        let old = |language| before.and_then(|state| state.languages.get(language));
        let mut touched = after.languages.iter().filter(|(language, slots)| old(language) != Some(slots));
        (!of_all || self.admits_name(&statement.id, Some(&statement.kind), &statement.source_language))
            && touched.all(|(language, slots)| {
                // An erasure leaves no facts to judge.
                let now = Some(slots).filter(|_| !after.is_expunged());
                old(language).into_iter().chain(now).all(|slots| self.admits_slots(after, language, slots))
            })
    }

    /// Whether it lets its holder, an editor, know that there is a statement: whoever translates into a language begins with nothing.
    #[must_use]
    pub fn sees(&self, state: &State) -> bool {
        let statement = &state.statement;
        self.0.iter().any(|grant| grant.what.admits_statement(&statement.id, Some(&statement.kind)))
    }

    /// The statement with the languages that it admits; none if it does not see it.
    #[must_use]
    pub fn narrow(&self, state: State) -> Option<State> {
        let sees = self.sees(&state);
        let admitted = |(language, slots): &(&LanguageTag, &Slots)| self.admits_slots(&state, language, slots);
        let languages = state.languages.iter().filter(admitted);
        let languages = languages.map(|(language, slots)| (language.clone(), slots.clone())).collect();
        sees.then_some(State { languages, ..state })
    }

    /// Whether it admits all texts of a language.
    fn admits_slots(&self, state: &State, language: &LanguageTag, slots: &Slots) -> bool {
        let (id, kind) = (&state.statement.id, &state.statement.kind);
        self.admits_name(id, Some(kind), language) && slots.facts().all(|facts| self.admits(id, kind, language, facts))
    }

    /// Whether its holder may follow under a name.
    #[must_use]
    pub fn admits_subscription(&self, id: &SubscriptionId) -> bool {
        let admits = |grant: &Grant| grant.subscriptions.is_empty() || grant.subscriptions.contains(id);
        self.0.iter().any(admits)
    }
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
    }
}

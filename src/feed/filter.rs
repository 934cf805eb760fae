//! Which statements a reader or subscriber wants.

use serde::Serialize;

use crate::domain::{
    content::Facts,
    id::{Code, LanguageTag, Region, StatementId},
};

/// Which statements: any of the values inside a field, all of the fields. An empty field admits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Kinds.
    pub kinds: Vec<Code>,
    /// Topics; a text without topics matches none.
    pub topics: Vec<Code>,
    /// Languages, matched exactly.
    pub languages: Vec<LanguageTag>,
    /// Regions; a text without regions applies everywhere, a region it excludes never matches.
    pub regions: Vec<Region>,
    /// Audiences; a text without audiences is for everyone.
    pub audiences: Vec<Code>,
    /// Channels; a text without channels may be shown on all.
    pub channels: Vec<Code>,
    /// Statements.
    pub statements: Vec<StatementId>,
}

impl Filter {
    /// Whether a text with these facts is wanted.
    #[must_use]
    pub fn admits(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        any(&self.kinds, |wanted| wanted == kind)
            && any(&self.languages, |wanted| wanted == language)
            && any(&self.statements, |wanted| wanted == statement)
            && any(&self.topics, |wanted| facts.topics.contains(wanted))
            && any(&self.regions, |wanted| applies(facts, wanted))
            && any(&self.audiences, |wanted| facts.audiences.is_empty() || facts.audiences.contains(wanted))
            && any(&self.channels, |wanted| facts.channels.is_empty() || facts.channels.contains(wanted))
    }

    /// Whether it may admit texts of a statement and language, whatever they are about.
    #[must_use]
    pub fn may_concern(&self, statement: &StatementId, language: &LanguageTag) -> bool {
        any(&self.languages, |wanted| wanted == language) && any(&self.statements, |wanted| wanted == statement)
    }

    /// The same filter with its values in order, so that equal filters are written alike.
    pub(super) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.kinds.sort();
        sorted.topics.sort();
        sorted.languages.sort();
        sorted.regions.sort();
        sorted.audiences.sort();
        sorted.channels.sort();
        sorted.statements.sort();
        sorted
    }
}

fn any<T>(wanted: &[T], admits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(admits)
}

fn applies(facts: &Facts, region: &Region) -> bool {
    (facts.regions.is_empty() || facts.regions.contains(region)) && !facts.excluded_regions.contains(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        Code::parse(text).unwrap()
    }

    fn region(text: &str) -> Region {
        Region::parse(text).unwrap()
    }

    fn check(filter: &Filter, facts: &Facts, admitted: bool) {
        let (statement, language) = (StatementId::parse("fire").unwrap(), LanguageTag::parse("de").unwrap());
        assert_eq!(filter.admits(&statement, &code("notice"), &language, facts), admitted, "{filter:?} on {facts:?}");
    }

    #[test]
    fn any_of_inside_a_field_and_all_of_across_fields() {
        let facts = Facts { topics: vec![code("tax")], audiences: vec![code("press")], ..Facts::default() };
        let none = Facts::default();
        let topics = |names: &[&str]| Filter { topics: names.iter().map(|n| code(n)).collect(), ..Filter::default() };
        check(&Filter::default(), &none, true);
        check(&topics(&["tax", "law"]), &facts, true);
        check(&topics(&["law"]), &facts, false);
        check(&topics(&["tax"]), &none, false);
        check(&Filter { kinds: vec![code("rebuttal")], ..topics(&["tax"]) }, &facts, false);
        check(&Filter { audiences: vec![code("public")], ..Filter::default() }, &facts, false);
        check(&Filter { audiences: vec![code("public")], ..Filter::default() }, &none, true);
    }

    #[test]
    fn an_excluded_region_never_matches() {
        let wants = |name: &str| Filter { regions: vec![region(name)], ..Filter::default() };
        let everywhere_but = Facts { excluded_regions: vec![region("BR")], ..Facts::default() };
        let only = Facts {
            regions: vec![region("BR"), region("DE")],
            excluded_regions: vec![region("BR")],
            ..Facts::default()
        };
        check(&wants("DE"), &everywhere_but, true);
        check(&wants("BR"), &everywhere_but, false);
        check(&wants("BR"), &only, false);
        check(&wants("DE"), &only, true);
        check(&wants("FR"), &only, false);
    }
}

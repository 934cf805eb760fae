//! Which statements a reader or subscriber wants.
//!
//! **Invariants**
//! - A filter is total: it answers for every text, from its facts alone, so that replay gives the same answer
//!   (`any_of_inside_a_field_all_of_across_fields`).
//! - A region that a text excludes never makes it match (`a_region_matches_where_the_text_applies_and_is_not_excluded`).

use serde::{Deserialize, Serialize};

use super::{
    content::Facts,
    id::{Code, LanguageTag, Region, StatementId},
    region::{self, Reach},
};

/// Which statements: any of the values inside a field, all of the fields. An empty field admits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Kinds.
    pub kinds: Vec<Code>,
    /// Topics. A text without topics matches none.
    pub topics: Vec<Code>,
    /// Languages, and those equal to them by likely subtags: `en` admits `en-US`, `fr` does not admit `fr-CA`.
    pub languages: Vec<LanguageTag>,
    /// Regions, each shown as one. A text without regions applies everywhere but where it is excluded.
    pub regions: Vec<Region>,
    /// Audiences. A text without audiences is for everyone.
    pub audiences: Vec<Code>,
    /// Channels. A text without channels may be shown on all.
    pub channels: Vec<Code>,
    /// Statements.
    pub statements: Vec<StatementId>,
}

impl Filter {
    /// Whether it admits a text of that statement, kind and language, with those facts, to a site: the text applies in one of its
    /// regions, and is excluded from no part of that region, which the site shows as one.
    #[must_use]
    pub fn admits(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        region::is_for(&facts.regions, &facts.excluded_regions, &self.regions)
            && self.admits_otherwise(statement, kind, language, facts)
    }

    /// Whether a text lies inside at least in part, as the scope of somebody who works on texts: it applies somewhere in its regions,
    /// and may be excluded elsewhere in them. Whoever writes for Europe excludes Germany, and sees the text still.
    #[must_use]
    pub fn overlaps(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        self.reach(facts) != Reach::None && self.admits_otherwise(statement, kind, language, facts)
    }

    /// The same but for regions.
    fn admits_otherwise(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        self.admits_name(statement, Some(kind), language)
            && any_of(&self.topics, |topic| facts.topics.contains(topic))
            && any_of(&self.audiences, |audience| facts.audiences.is_empty() || facts.audiences.contains(audience))
            && any_of(&self.channels, |channel| facts.channels.is_empty() || facts.channels.contains(channel))
    }

    /// The same filter with the values of each field in order, without repetition and under one name each: equal filters are written
    /// alike.
    #[must_use]
    pub fn in_order(&self) -> Self {
        Self {
            kinds: in_order(&self.kinds),
            topics: in_order(&self.topics),
            languages: in_order(&self.languages.iter().map(LanguageTag::shortest).collect::<Vec<_>>()),
            regions: in_order(&self.regions.iter().map(Region::canonical).collect::<Vec<_>>()),
            audiences: in_order(&self.audiences),
            channels: in_order(&self.channels),
            statements: in_order(&self.statements),
        }
    }

    /// Whether it admits that statement and language, whatever the facts of its texts; a kind that is not known passes.
    #[must_use]
    pub fn admits_name(&self, statement: &StatementId, kind: Option<&Code>, language: &LanguageTag) -> bool {
        self.admits_statement(statement, kind) && any_of(&self.languages, |wanted| wanted.matches(language))
    }

    /// Whether a text lies wholly inside: each of its values in a field that is limited, and at least one. Who may write on what is for the
    /// press must not write what is for the press and for all others.
    #[must_use]
    pub fn contains(&self, statement: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        self.admits_name(statement, Some(kind), language)
            && all_of(&self.topics, &facts.topics)
            && self.reach(facts) == Reach::All
            && all_of(&self.audiences, &facts.audiences)
            && all_of(&self.channels, &facts.channels)
    }

    /// How much of where a text applies lies inside.
    fn reach(&self, facts: &Facts) -> Reach {
        if self.regions.is_empty() {
            return Reach::All;
        }
        Reach::of(&facts.regions, &facts.excluded_regions, &self.regions)
    }

    /// The same of the statement, in any language.
    #[must_use]
    pub fn admits_statement(&self, statement: &StatementId, kind: Option<&Code>) -> bool {
        any_of(&self.statements, |wanted| wanted == statement)
            && any_of(&self.kinds, |wanted| kind.is_none_or(|kind| wanted == kind))
    }
}

fn in_order<T: Clone + Ord>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.dedup();
    values
}

fn any_of<T>(wanted: &[T], matches: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

fn all_of<T: PartialEq>(limit: &[T], values: &[T]) -> bool {
    limit.is_empty() || (!values.is_empty() && values.iter().all(|value| limit.contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(words: &str) -> Vec<Code> {
        words.split_whitespace().map(|word| Code::parse(word).unwrap()).collect()
    }

    fn regions(words: &str) -> Vec<Region> {
        words.split_whitespace().map(|word| Region::parse(word).unwrap()).collect()
    }

    /// Whether a filter admits a press release about a fire, in French, with those facts.
    fn admits(filter: &Filter, facts: &Facts) -> bool {
        let statement = StatementId::parse("fire").unwrap();
        filter.admits(&statement, &Code::parse("press-release").unwrap(), &LanguageTag::parse("fr").unwrap(), facts)
    }

    #[test]
    fn any_of_inside_a_field_all_of_across_fields() {
        let facts = Facts { topics: codes("safety energy"), channels: codes("web"), ..Facts::default() };
        let tags = |text: &str| vec![LanguageTag::parse(text).unwrap()];
        let ids = |text: &str| vec![StatementId::parse(text).unwrap()];
        let table = [
            (Filter::default(), true),
            (Filter { topics: codes("health energy"), ..Filter::default() }, true),
            (Filter { topics: codes("health"), ..Filter::default() }, false),
            (Filter { topics: codes("energy"), kinds: codes("press-release"), ..Filter::default() }, true),
            (Filter { topics: codes("energy"), kinds: codes("recall"), ..Filter::default() }, false),
            (Filter { languages: tags("fr"), ..Filter::default() }, true),
            (Filter { languages: tags("fr-CA"), ..Filter::default() }, false),
            (Filter { statements: ids("fire"), ..Filter::default() }, true),
            (Filter { statements: ids("flood"), ..Filter::default() }, false),
            (Filter { channels: codes("web push"), ..Filter::default() }, true),
            (Filter { channels: codes("push"), ..Filter::default() }, false),
            (Filter { audiences: codes("press"), ..Filter::default() }, true),
        ];
        for (filter, admitted) in table {
            assert_eq!(admits(&filter, &facts), admitted, "{filter:?}");
        }
    }

    #[test]
    fn a_text_without_topics_matches_no_topic_and_without_audiences_is_for_everyone() {
        let facts = Facts::default();
        assert!(!admits(&Filter { topics: codes("energy"), ..Filter::default() }, &facts));
        assert!(admits(&Filter { audiences: codes("press"), ..Filter::default() }, &facts));
        assert!(admits(&Filter { channels: codes("web"), ..Filter::default() }, &facts));
        let staff = Facts { audiences: codes("staff"), ..Facts::default() };
        assert!(!admits(&Filter { audiences: codes("press"), ..Filter::default() }, &staff));
    }

    #[test]
    fn a_region_matches_where_the_text_applies_and_is_not_excluded() {
        // wanted, regions of the text, excluded regions of the text, admitted
        let table = [
            ("", "BR", "BR", true),
            ("BR", "", "", true),
            ("BR", "BR", "", true),
            ("BR", "PT", "", false),
            ("BR", "", "BR", false),
            ("BR", "BR", "BR", false),
            ("BR PT", "", "BR", true),
            ("BR PT", "BR", "PT", true),
            ("BR PT", "BR", "BR", false),
            ("BR PT", "BR PT", "BR PT", false),
        ];
        for (wanted, applies, excluded, admitted) in table {
            let filter = Filter { regions: regions(wanted), ..Filter::default() };
            let facts = Facts { regions: regions(applies), excluded_regions: regions(excluded), ..Facts::default() };
            assert_eq!(admits(&filter, &facts), admitted, "{wanted} / {applies} / {excluded}");
        }
    }
}

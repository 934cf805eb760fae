//! Language fallback: exact, then parent, then the source language.

use super::id::LanguageTag;

/// The language to serve: the one asked for, else its parents (`fr-CA`, `fr`), else `source`; the first that `has` admits
/// (RFC 4647, section 3.4, "lookup").
pub fn lookup(
    asked: Option<&LanguageTag>,
    source: &LanguageTag,
    has: impl Fn(&LanguageTag) -> bool,
) -> Option<LanguageTag> {
    let mut candidate = asked.cloned();
    while let Some(language) = candidate {
        if has(&language) {
            return Some(language);
        }
        candidate = language.parent();
    }
    has(source).then(|| source.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_falls_back_to_its_parent_and_then_to_the_source() {
        let tag = |text: &str| LanguageTag::parse(text).unwrap();
        let there = [tag("fr"), tag("en"), tag("zh-Hant")];
        for (asked, served) in [
            (Some("fr-CA"), Some("fr")),
            (Some("fr"), Some("fr")),
            (Some("zh-Hant-TW"), Some("zh-Hant")),
            (Some("zh"), Some("en")),
            (Some("ja"), Some("en")),
            (None, Some("en")),
        ] {
            let found = lookup(asked.map(tag).as_ref(), &tag("en"), |l| there.contains(l));
            assert_eq!(found, served.map(tag), "{asked:?}");
        }
        assert_eq!(lookup(Some(&tag("ja")), &tag("de"), |l| there.contains(l)), None);
    }
}

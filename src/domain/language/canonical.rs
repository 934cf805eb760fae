//! What CLDR says of tags, by ICU4X and its compiled data: canonical forms (UTS #35), likely subtags, parents.

use icu_locale::{
    Locale, LocaleCanonicalizer, LocaleExpander, LocaleFallbacker,
    fallback::LocaleFallbackConfig,
    subtags::{Language, language},
};

/// Tags that RFC 5646 (section 2.2.8) keeps from older rules and whose shape UTS #35 lacks, in lower case, with the values that IANA's
/// registry prefers or, where it has none, CLDR's `languageAlias`. `i-enochian` has no language at all.
const GRANDFATHERED: &[(&str, &str)] = &[
    ("en-gb-oed", "en-GB-oxendict"),
    ("i-ami", "ami"),
    ("i-bnn", "bnn"),
    ("i-default", "en-x-i-default"),
    ("i-hak", "hak"),
    ("i-klingon", "tlh"),
    ("i-lux", "lb"),
    ("i-mingo", "see-x-i-mingo"),
    ("i-navajo", "nv"),
    ("i-pwn", "pwn"),
    ("i-tao", "tao"),
    ("i-tay", "tay"),
    ("i-tsu", "tsu"),
    ("no-bok", "nb"),
    ("no-nyn", "nn"),
    ("sgn-be-fr", "sfb"),
    ("sgn-be-nl", "vgt"),
    ("sgn-ch-de", "sgg"),
    ("zh-min", "nan-x-zh-min"),
    ("zh-min-nan", "nan"),
];

/// Languages whose tags may go on with an extended language (RFC 5646, section 2.2.2), which is preferred alone.
const EXTENDED: &[&str] = &["ar", "kok", "lv", "ms", "sgn", "sw", "uz", "zh"];

/// A tag in canonical form, if it is well-formed and names a language.
pub(super) fn locale(text: &str) -> Option<Locale> {
    // UTS #35 admits underscores, BCP 47 does not.
    if text.contains('_') {
        return None;
    }
    let mut locale = Locale::try_from_str(preferred(&text.to_ascii_lowercase())).ok()?;
    LocaleCanonicalizer::new_extended().canonicalize(&mut locale);
    (locale.id.language != Language::UNKNOWN).then_some(locale)
}

/// The same tag in the syntax of UTS #35.
fn preferred(text: &str) -> &str {
    if let Some((_, preferred)) = GRANDFATHERED.iter().find(|(old, _)| *old == text) {
        return preferred;
    }
    let extended = text.split_once('-').filter(|(language, _)| EXTENDED.contains(language)).map(|(_, rest)| rest);
    let is_language = |rest: &&str| {
        let subtag = rest.split('-').next().unwrap_or_default();
        subtag.len() == 3 && subtag.bytes().all(|b| b.is_ascii_alphabetic())
    };
    extended.filter(is_language).unwrap_or(text)
}

/// What a tag is compared by: the shortest with the same likely subtags. Norwegian is Bokmål, although CLDR makes no alias of it.
pub(super) fn key(text: &str) -> String {
    let Some(mut locale) = locale(text) else { return text.to_owned() };
    let expander = LocaleExpander::new_extended();
    expander.maximize(&mut locale.id);
    if locale.id.language == language!("no") {
        locale.id.language = language!("nb");
    }
    expander.minimize(&mut locale.id);
    locale.to_string()
}

/// What a tag falls back to, nearest first: itself without extensions, then its parents.
pub(super) fn parents(text: &str) -> Vec<String> {
    let Some(locale) = locale(text) else { return Vec::new() };
    let fallbacker = LocaleFallbacker::new().for_config(LocaleFallbackConfig::default());
    let mut steps = fallbacker.fallback_for((&locale).into());
    let mut parents = Vec::new();
    while !steps.get().is_unknown() {
        let step = steps.get().to_string();
        // CLDR's only parent of a tag with script and region, which ICU4X leaves out: it drops the script that the region implies.
        let hong_kong = (step == "zh-MO").then(|| "zh-Hant-HK".to_owned());
        parents.extend([Some(step), hong_kong].into_iter().flatten());
        steps.step();
    }
    parents
}

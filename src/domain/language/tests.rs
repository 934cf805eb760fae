//! Tags against RFC 5646, the IANA Language Subtag Registry and CLDR 48.

use super::*;

fn tag(text: &str) -> LanguageTag {
    LanguageTag::parse(text).unwrap()
}

#[test]
fn a_tag_takes_its_canonical_form() {
    for (given, canonical, _source) in [
        ("DE", "de", "RFC 5646, section 2.1.1"),
        ("pt-br", "pt-BR", "RFC 5646, section 2.1.1"),
        ("ZH-hant-tw", "zh-Hant-TW", "RFC 5646, section 2.1.1"),
        ("iw", "he", "CLDR languageAlias"),
        ("in", "id", "CLDR languageAlias"),
        ("ji", "yi", "CLDR languageAlias"),
        ("mo", "ro", "CLDR languageAlias"),
        ("tl", "fil", "CLDR languageAlias"),
        ("sh", "sr-Latn", "CLDR languageAlias"),
        ("sh-Cyrl", "sr-Cyrl", "CLDR languageAlias, UTS #35"),
        ("cmn-Hans", "zh-Hans", "CLDR languageAlias"),
        ("deu", "de", "CLDR languageAlias, ISO 639-2"),
        ("ger", "de", "CLDR languageAlias, ISO 639-2/B"),
        ("de-DD", "de-DE", "CLDR territoryAlias"),
        ("en-UK", "en-GB", "CLDR territoryAlias"),
        ("hy-SU", "hy-AM", "CLDR territoryAlias, by likely region"),
        ("zh-yue", "yue", "RFC 5646, section 4.5: extended languages"),
        ("zh-cmn-Hant-TW", "zh-Hant-TW", "RFC 5646, section 4.5, CLDR languageAlias"),
        ("ar-arb", "ar", "RFC 5646, section 4.5, CLDR languageAlias"),
        ("sgn-ase", "ase", "RFC 5646, section 4.5"),
        ("i-klingon", "tlh", "IANA, grandfathered"),
        ("i-lux", "lb", "IANA, grandfathered"),
        ("I-NAVAJO", "nv", "IANA, grandfathered"),
        ("i-default", "en-x-i-default", "CLDR languageAlias"),
        ("art-lojban", "jbo", "IANA, grandfathered"),
        ("cel-gaulish", "xtg", "CLDR languageAlias"),
        ("en-GB-oed", "en-GB-oxendict", "IANA, grandfathered"),
        ("no-bok", "nb", "IANA, grandfathered"),
        ("no-nyn", "nn", "IANA, grandfathered"),
        ("sgn-BE-FR", "sfb", "IANA, grandfathered"),
        ("sgn-DE", "gsg", "IANA, redundant"),
        ("zh-guoyu", "zh", "IANA, grandfathered: cmn; CLDR languageAlias"),
        ("zh-hakka", "hak", "IANA, grandfathered"),
        ("zh-min", "nan-x-zh-min", "CLDR languageAlias"),
        ("zh-min-nan", "nan", "IANA, grandfathered"),
        ("zh-xiang", "hsn", "IANA, grandfathered"),
        ("ja-latn-hepburn-heploc", "ja-Latn-alalc97", "CLDR variantAlias"),
        // No alias, and nothing is lost.
        ("no", "no", "CLDR has no alias"),
        ("nb", "nb", "CLDR has no alias"),
        ("sr", "sr", "CLDR has no alias"),
        ("zh-TW", "zh-TW", "CLDR has no alias"),
        ("de-CH-1901", "de-CH-1901", "variant"),
        ("sl-rozaj-biske-1994", "sl-1994-biske-rozaj", "UTS #35: variants in order"),
        ("de-u-co-phonebk", "de-u-co-phonebk", "RFC 6067"),
        ("en-t-ja", "en-t-ja", "RFC 6497"),
        ("de-a-valu", "de-a-valu", "RFC 5646, section 2.2.6"),
        ("de-x-leicht", "de-x-leicht", "RFC 5646, section 2.2.7"),
        ("es-419", "es-419", "UN M.49"),
        ("qaa", "qaa", "ISO 639-2, for private use"),
        ("zxx", "zxx", "ISO 639-2, no linguistic content"),
    ] {
        assert_eq!(LanguageTag::parse(given).as_ref().map(LanguageTag::as_str), Ok(canonical), "{given}");
        assert_eq!(tag(canonical).as_str(), canonical, "{given}");
        assert_eq!(tag(tag(given).key()).key(), tag(given).key(), "{given}");
    }
}

#[test]
fn what_names_no_language_is_refused() {
    for wrong in [
        "",
        "e",
        "123",
        "en_GB",
        "de--CH",
        "de-",
        "x-private",
        "und",
        "und-Latn",
        "i-enochian",
        "i-unknown",
        "root",
        "Hant",
        "deutsch",
        "de-u",
        "de-1901-1901",
        "de\0",
        "dé",
        "de-x-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd",
    ] {
        assert!(LanguageTag::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn tags_are_equal_by_likely_subtags() {
    for (one, other, equal, _source) in [
        ("iw", "he", true, "CLDR languageAlias"),
        ("no", "nb", true, "Norwegian is Bokmål"),
        ("no", "nn", false, "Nynorsk is not Bokmål"),
        ("nb", "nn", false, "Nynorsk is not Bokmål"),
        ("zh-TW", "zh-Hant", true, "CLDR likelySubtags"),
        ("zh-TW", "zh-Hant-TW", true, "CLDR likelySubtags"),
        ("zh-Hant", "zh-Hant-HK", false, "CLDR likelySubtags: zh-Hant is zh-Hant-TW"),
        ("zh-HK", "zh-Hant-HK", true, "CLDR likelySubtags"),
        ("zh", "zh-Hans", true, "CLDR likelySubtags"),
        ("zh", "zh-CN", true, "CLDR likelySubtags"),
        ("zh", "zh-TW", false, "CLDR likelySubtags"),
        ("cmn", "zh", true, "CLDR languageAlias"),
        ("sr", "sr-Cyrl", true, "CLDR likelySubtags"),
        ("sr", "sr-RS", true, "CLDR likelySubtags"),
        ("sr", "sr-Latn", false, "CLDR likelySubtags"),
        ("sh", "sr-Latn", true, "CLDR languageAlias"),
        ("sr-ME", "sr-Latn-ME", true, "CLDR likelySubtags"),
        ("en", "en-US", true, "CLDR likelySubtags"),
        ("en", "en-Latn-US", true, "CLDR likelySubtags"),
        ("en", "en-GB", false, "CLDR likelySubtags"),
        ("pt", "pt-BR", true, "CLDR likelySubtags"),
        ("pt", "pt-PT", false, "CLDR likelySubtags"),
        ("de", "de-DE", true, "CLDR likelySubtags"),
        ("de", "de-AT", false, "CLDR likelySubtags"),
        ("fr", "fr-CA", false, "CLDR likelySubtags"),
        ("es", "es-ES", true, "CLDR likelySubtags"),
        ("es", "es-419", false, "CLDR likelySubtags"),
        ("pa-PK", "pa-Arab", true, "CLDR likelySubtags"),
        ("uz", "uz-Latn-UZ", true, "CLDR likelySubtags"),
        ("az-Cyrl", "az", false, "CLDR likelySubtags"),
        ("de-DE-1901", "de-1901", true, "CLDR likelySubtags; variants count"),
        ("de-1901", "de", false, "variants count"),
        ("de-x-leicht", "de", false, "private use counts"),
        ("de-u-co-phonebk", "de", false, "extensions count"),
        ("fil", "tl", true, "CLDR languageAlias"),
        ("zxx", "en", false, "no likely subtags"),
        ("qaa", "qab", false, "no likely subtags"),
    ] {
        assert_eq!((tag(one).matches(&tag(other)), tag(other).matches(&tag(one))), (equal, equal), "{one} {other}");
    }
}

#[test]
fn a_language_falls_back_by_cldr() {
    // there, with the source language first; asked; served
    for (there, asked, served, _source) in [
        ("en fr", "fr-CA", "fr", "CLDR: truncation"),
        ("en fr", "fr", "fr", "exact"),
        ("en en-GB", "en-AU", "en", "CLDR parentLocales: en-AU, en-001, en"),
        ("fr en-001 en", "en-AU", "en-001", "CLDR parentLocales"),
        ("en es es-419", "es-MX", "es-419", "CLDR parentLocales"),
        ("en es", "es-MX", "es", "CLDR parentLocales: es-419, es"),
        ("en pt pt-PT", "pt-AO", "pt-PT", "CLDR parentLocales"),
        ("en pt pt-PT", "pt-BR", "pt", "equal"),
        ("en zh", "zh-TW", "en", "CLDR parentLocales: zh-Hant has none"),
        ("en zh", "zh-Hant", "en", "CLDR parentLocales: zh-Hant has none"),
        ("en zh", "zh-HK", "en", "CLDR parentLocales: zh-Hant has none"),
        ("en zh-Hant zh", "zh-HK", "zh-Hant", "CLDR: zh-Hant-HK, zh-Hant"),
        ("en zh zh-HK", "zh-MO", "zh-HK", "CLDR parentLocales"),
        ("en zh-TW zh", "zh-Hant", "zh-TW", "equal"),
        ("en zh-Hant zh", "zh-TW", "zh-Hant", "equal"),
        ("en zh-Hant", "zh", "en", "zh is Hans"),
        ("en zh", "zh-SG", "zh", "CLDR: truncation"),
        ("en sr", "sr-Latn", "en", "CLDR parentLocales: sr-Latn has none"),
        ("en sr sr-Latn", "sr-ME", "sr-Latn", "CLDR: sr-Latn-ME, sr-Latn"),
        ("en sr", "sr-BA", "sr", "CLDR: truncation"),
        ("en nb", "no", "nb", "Norwegian is Bokmål"),
        ("en no", "nb", "no", "Norwegian is Bokmål"),
        ("en nb", "nn", "nb", "CLDR parentLocales: nn, no"),
        ("en he", "iw", "he", "CLDR languageAlias"),
        ("en de", "de-CH-1901", "de", "CLDR: truncation"),
        ("en de", "de-AT-u-co-phonebk", "de", "extensions first"),
        ("en de", "de-x-leicht", "de", "private use first"),
        ("en en-GB", "ja", "en", "the source language"),
        ("en-US fr", "en", "en-US", "equal"),
    ] {
        let tags: Vec<_> = there.split(' ').map(tag).collect();
        let found = lookup(Some(&tag(asked)), &tags[0], &tags.iter());
        assert_eq!(found.map(LanguageTag::as_str), Some(served), "{asked} of {there}");
    }
    let there = [tag("fr")];
    assert_eq!(lookup(None, &tag("fr"), &there.iter()), Some(&there[0]));
    assert_eq!(lookup(Some(&tag("ja")), &tag("de"), &there.iter()), None);
}

#[test]
fn a_tag_of_an_old_store_is_read_as_it_is_and_met_by_its_canonical_form() {
    let read: LanguageTag = serde_json::from_value("iw".into()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), "iw", "digests are of what was written");
    assert!(read.matches(&tag("he")) && read.is_alias_of(&tag("iw")) && !tag("en").is_alias_of(&tag("en-US")));
    let there = [tag("en"), read.clone()];
    assert_eq!(tag("he").find(there.iter()), Some(&read));
    let both = [read.clone(), tag("he")];
    assert_eq!(tag("he").find(both.iter()), Some(&both[1]), "the one that is spelled alike");
    for wrong in ["", "en_GB", "a b", &"a".repeat(36)] {
        assert!(LanguageTag::stored(wrong).is_err(), "{wrong}");
    }
}

//! Regions against UN M.49 ("Standard country or area codes for statistical use"), ISO 3166-1 and CLDR 48.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::*;

fn regions(codes: &str) -> Vec<Region> {
    codes.split_whitespace().map(|code| Region::parse(code).unwrap()).collect()
}

fn old(code: &str) -> Region {
    serde_json::from_value(code.into()).unwrap()
}

#[test]
fn a_region_has_one_code() {
    for (given, canonical, _source) in [
        ("DE", "DE", "ISO 3166-1"),
        ("de", "DE", "ISO 3166-1, any case"),
        ("276", "DE", "UN M.49: Germany"),
        ("DEU", "DE", "ISO 3166-1 alpha-3"),
        ("826", "GB", "UN M.49: United Kingdom"),
        ("UK", "GB", "ISO 3166-1, exceptionally reserved; CLDR territoryAlias"),
        ("FX", "FR", "ISO 3166-1, exceptionally reserved: France, Metropolitan; CLDR territoryAlias"),
        ("DD", "DE", "ISO 3166-3: German Democratic Republic, now DE; CLDR territoryAlias"),
        ("BU", "MM", "ISO 3166-3: Burma, now Myanmar; CLDR territoryAlias"),
        ("TP", "TL", "ISO 3166-3: East Timor, now Timor-Leste; CLDR territoryAlias"),
        ("ZR", "CD", "ISO 3166-3: Zaire, now CD; CLDR territoryAlias"),
        ("YD", "YE", "ISO 3166-3: Democratic Yemen, now YE; CLDR territoryAlias"),
        ("680", "CQ", "UN M.49: Sark"),
        ("158", "TW", "ISO 3166-1 numeric"),
        ("001", "001", "UN M.49: World"),
        ("150", "150", "UN M.49: Europe"),
        ("419", "419", "UN M.49: Latin America and the Caribbean"),
        ("830", "830", "UN M.49: Channel Islands"),
        ("EU", "EU", "ISO 3166-1, exceptionally reserved; CLDR territoryContainment"),
        ("XK", "XK", "CLDR territoryContainment: Kosovo"),
        ("IC", "IC", "ISO 3166-1, exceptionally reserved: Canary Islands"),
    ] {
        let region = Region::parse(given).unwrap();
        assert_eq!((region.as_str(), region.canonical().as_str()), (canonical, canonical), "{given}");
        assert_eq!(Region::parse(canonical).as_ref(), Ok(&region), "{given}");
    }
}

#[test]
fn a_code_that_no_region_has_is_refused() {
    for (given, words, _source) in [
        ("", "ISO 3166-1", "no code"),
        ("XX", "ISO 3166-1", "ISO 3166-1, user-assigned"),
        ("AA", "ISO 3166-1", "ISO 3166-1, user-assigned"),
        ("ZZ", "ISO 3166-1", "CLDR: unknown region"),
        ("QO", "ISO 3166-1", "CLDR's own"),
        ("EN", "ISO 3166-1", "a language"),
        ("1", "ISO 3166-1", "not three digits"),
        ("000", "ISO 3166-1", "UN M.49 has none"),
        ("999", "ISO 3166-1", "UN M.49 has none"),
        ("DE-BY", "ISO 3166-1", "ISO 3166-2"),
        ("Germany", "ISO 3166-1", "a name"),
        ("ß", "ISO 3166-1", "not ASCII"),
        ("AN", "CW SX BQ", "ISO 3166-3: Netherlands Antilles, divided"),
        ("SU", "RU AM AZ BY EE", "ISO 3166-3: USSR, divided"),
        ("YU", "RS ME", "ISO 3166-3: Yugoslavia, divided"),
        ("891", "RS ME", "UN M.49: Serbia and Montenegro, divided"),
        ("200", "CZ SK", "UN M.49: Czechoslovakia, divided"),
    ] {
        let fault = Region::parse(given).unwrap_err();
        assert!(fault.0.contains(words), "{given}: {fault}");
    }
}

/// Whether a site that wants some regions is sent a text: wanted, regions of the text, excluded regions of the text, sent, source.
const SITES: &[(&str, &str, &str, bool, &str)] = &[
    ("DE", "", "", true, "a text without regions applies everywhere"),
    ("DE", "DE", "", true, "the region itself"),
    ("DE", "276", "", true, "UN M.49: 276 is DE"),
    ("276", "DE", "", true, "UN M.49: 276 is DE"),
    ("UK", "GB", "", true, "ISO 3166-1: UK is GB"),
    ("GB", "826", "", true, "UN M.49: 826 is GB"),
    ("DE", "150", "", true, "UN M.49: DE in 155 in 150"),
    ("DE", "155", "", true, "UN M.49: DE in 155"),
    ("DE", "154", "", false, "UN M.49: DE is not in 154, Northern Europe"),
    ("DE", "001", "", true, "UN M.49: 001 is the world"),
    ("DE", "EU", "", true, "CLDR: DE in EU"),
    ("CH", "EU", "", false, "CLDR: CH is not in EU"),
    ("GB", "EU", "", false, "CLDR 48: GB is not in EU"),
    ("CY", "150", "", false, "UN M.49: CY in 145, Western Asia"),
    ("CY", "EU", "", true, "CLDR: CY in EU"),
    ("TR", "142", "", true, "UN M.49: TR in 145 in 142"),
    ("RU", "150", "", true, "UN M.49: RU in 151"),
    ("MX", "419", "", true, "UN M.49: MX in 013 in 419"),
    ("MX", "003", "", true, "UN M.49: MX in 013 in 003, North America"),
    ("MX", "021", "", false, "UN M.49: 021, Northern America, is BM CA GL PM US"),
    ("BR", "019", "", true, "UN M.49: BR in 005 in 019"),
    ("NG", "202", "", true, "UN M.49: NG in 011 in 202, Sub-Saharan Africa"),
    ("EG", "202", "", false, "UN M.49: EG in 015, Northern Africa"),
    ("SD", "015", "", true, "UN M.49: SD in 015"),
    ("GG", "830", "", true, "UN M.49: GG in 830"),
    ("XK", "150", "", true, "CLDR: XK in 039"),
    ("TW", "142", "", true, "CLDR: TW in 030"),
    ("AQ", "001", "", true, "UN M.49: AQ in the world"),
    ("AQ", "009", "", false, "UN M.49: AQ is in no other grouping"),
    ("RE", "FR", "", false, "UN M.49: RE is beside FR"),
    ("IC", "ES", "", true, "ISO 3166-1: IC is a part of ES"),
    ("ES", "IC", "", true, "ISO 3166-1: IC is a part of ES"),
    ("150", "DE", "", true, "a text for a part of what a site shows"),
    ("001", "DE", "", true, "a text for a part of what a site shows"),
    ("EU", "155", "", true, "UN M.49, CLDR: neither contains the other"),
    ("155", "EU", "", true, "UN M.49, CLDR: neither contains the other"),
    ("419", "003", "", true, "UN M.49: both contain 013 and 029"),
    ("419", "021", "", false, "UN M.49: nothing in common"),
    ("DE", "", "DE", false, "excluded itself"),
    ("DE", "", "150", false, "UN M.49: DE in 150"),
    ("DE", "", "276", false, "UN M.49: 276 is DE"),
    ("DE", "", "001", false, "UN M.49: 001 is the world"),
    ("GB", "", "UK", false, "ISO 3166-1: UK is GB"),
    ("DE", "150", "EU", false, "CLDR: DE in EU"),
    ("CH", "150", "EU", true, "CLDR: CH is not in EU"),
    ("IC", "", "ES", false, "ISO 3166-1: IC is a part of ES"),
    ("150", "", "DE", false, "the site shows Europe as one"),
    ("150", "150", "DE", false, "the site shows Europe as one"),
    ("001", "", "TF", false, "the site shows the world as one"),
    ("EU", "", "155", false, "UN M.49, CLDR: DE in both"),
    ("ES", "", "IC", false, "the site shows Spain as one"),
    ("142", "", "150", true, "UN M.49: nothing in common"),
    ("FR DE", "", "DE", true, "the site shows FR by itself"),
    ("FR DE", "", "155", false, "UN M.49: both in 155"),
    ("", "DE", "DE", true, "a site that names no region is sent everything"),
];

#[test]
fn a_site_is_sent_nothing_that_is_excluded_in_a_part_of_its_region() {
    for (wanted, applies, excluded, sent, source) in SITES {
        let shown = is_for(&regions(applies), &regions(excluded), &regions(wanted));
        assert_eq!(shown, *sent, "{wanted} / {applies} / {excluded}: {source}");
    }
}

#[test]
fn a_scope_reaches_where_a_text_applies() {
    use Reach::{All, None, Part};
    // scope, regions of the text, excluded regions of the text
    for (scope, applies, excluded, reach) in [
        ("150", "DE", "", All),
        ("150", "155 154", "", All),
        ("DE", "150", "", Part),
        ("DE", "DE FR", "", Part),
        ("DE FR", "DE", "", All),
        ("DE", "FR", "", None),
        ("DE", "", "", Part),
        ("001", "", "", All),
        ("021 013 029", "003", "", All),
        ("021 013", "003", "", Part),
        ("150", "150", "DE", All),
        ("150", "", "DE", Part),
        ("DE", "", "DE", None),
        ("DE", "DE", "DE", None),
        ("DE", "DE", "150", None),
        ("150", "001", "002 019 142 009 AQ", All),
        ("DE", "155", "AT BE CH FR LI LU MC NL", All),
        ("150", "001", "150", None),
    ] {
        let found = Reach::of(&regions(applies), &regions(excluded), &regions(scope));
        assert_eq!(found, reach, "{scope} / {applies} / {excluded}");
    }
}

#[test]
fn a_code_of_an_old_store_is_read_as_it_is() {
    let (germany, alias, unknown) = (regions("DE"), vec![old("276")], vec![old("XX")]);
    assert_eq!(serde_json::to_value(&alias).unwrap(), serde_json::json!(["276"]), "digests are of what was written");
    assert!(is_for(&alias, &[], &germany) && is_for(&germany, &[], &alias) && !is_for(&[], &alias, &germany));
    assert!(is_for(&unknown, &[], &unknown) && is_for(&[], &[], &unknown));
    assert!(!is_for(&[], &unknown, &unknown) && !is_for(&unknown, &unknown, &unknown));
    for other in [regions("DE"), regions("001"), vec![old("YY")]] {
        assert!(!is_for(&unknown, &[], &other) && !is_for(&other, &[], &unknown), "{other:?}");
        assert!(is_for(&other, &unknown, &other), "{other:?}");
        assert_eq!(Reach::of(&unknown, &[], &other), Reach::None, "{other:?}");
        assert_eq!(Reach::of(&[unknown.clone(), other.clone()].concat(), &[], &other), Reach::Part, "{other:?}");
    }
    assert_eq!(Reach::of(&unknown, &[], &unknown), Reach::All);
    assert_eq!(Reach::of(&unknown, &unknown, &unknown), Reach::None);
}

/// The territories of a grouping, as CLDR nests them.
fn territories(code: &str, cldr: &serde_json::Value) -> BTreeSet<String> {
    match cldr["territoryContainment"][code]["_contains"].as_array() {
        Some(inner) => inner.iter().flat_map(|inner| territories(inner.as_str().unwrap(), cldr)).collect(),
        None => [code.to_owned()].into(),
    }
}

#[test]
fn the_table_is_that_of_cldr() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cldr/territories.json");
    let cldr: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    // Where the table departs from CLDR; see tests/fixtures/cldr/update.
    let parts = BTreeMap::from([
        ("AC", "SH"),
        ("CP", "FR"),
        ("CQ", "GG"),
        ("DG", "IO"),
        ("EA", "ES"),
        ("IC", "ES"),
        ("TA", "SH"),
    ]);
    let world = territories("001", &cldr);
    let mut known: BTreeSet<String> = world.clone();
    for grouping in cldr["territoryContainment"].as_object().unwrap().keys().filter(|code| !code.contains('-')) {
        if ["QO", "EZ", "UN"].contains(&grouping.as_str()) {
            assert!(Region::parse(grouping).is_err(), "{grouping}");
            continue;
        }
        known.insert(grouping.clone());
        let (inside, scope) = (territories(grouping, &cldr), regions(grouping));
        for code in &world {
            let expected = match (parts.get(code.as_str()), code.as_str()) {
                (Some(whole), _) => inside.contains(*whole),
                (None, "AQ") => grouping == "001",
                (None, _) => inside.contains(code),
            };
            let reach = Reach::of(&regions(code), &[], &scope);
            assert_eq!(reach, if expected { Reach::All } else { Reach::None }, "{code} in {grouping}");
        }
    }
    known.extend(["830", "680"].map(str::to_owned));
    for (alias, row) in cldr["territoryAlias"].as_object().unwrap() {
        let target = row["_replacement"].as_str().unwrap();
        let parsed = Region::parse(alias).map(|region| region.as_str().to_owned());
        if alias == "830" {
            assert_eq!(parsed.as_deref(), Ok("830"));
        } else if world.contains(target) || target == "EU" {
            assert_eq!(parsed.as_deref(), Ok(target), "{alias}");
            known.insert(alias.clone());
        } else if target.contains(' ') {
            assert!(parsed.unwrap_err().0.contains(target), "{alias}");
        } else {
            assert!(parsed.is_err(), "{alias}");
        }
    }
    assert_eq!(TABLE.keys().map(|code| (*code).to_owned()).collect::<BTreeSet<_>>(), known);
}

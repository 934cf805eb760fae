//! Regions: ISO 3166-1 and UN M.49, which contains which, and where a text applies.
//!
//! **Invariants**
//! - A region has one code in what is written today, whatever name it was given by (`a_region_has_one_code`).
//! - What a court forbids in a grouping reaches no place inside it (`a_site_is_sent_nothing_that_is_excluded_in_a_part_of_its_region`).
//! - Comparisons cost a few words of memory: territories are bits, found when a code is read (`the_table_is_that_of_cldr`).

mod table;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::LazyLock,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::Malformed;

/// A region: a country or territory (ISO 3166-1 alpha-2) or a grouping of them (UN M.49, or `EU`).
#[derive(Clone)]
pub struct Region {
    code: String,
    /// None for a code of an old store that the table lacks: it equals and contains only itself.
    place: Option<&'static Place>,
}

impl Region {
    /// Parses a code of any case: alpha-2, alpha-3 or a number of UN M.49. Returns the region under its canonical code: `DE` for `276`,
    /// `GB` for `UK`, `150` for `150`.
    ///
    /// # Errors
    /// If no region of the table has that code, or if what had it was divided.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let code = text.to_ascii_uppercase();
        if let Some(place) = TABLE.get(code.as_str()) {
            return Ok(Self { code: place.code.to_owned(), place: Some(place) });
        }
        if let Some((_, parts)) = table::DIVIDED.iter().find(|(divided, _)| *divided == code) {
            return Err(Malformed::new(format!("is out of use: name what applies of {parts}")));
        }
        Err(Malformed::new("must be a region of ISO 3166-1 or UN M.49, such as BR or 419, or EU"))
    }

    /// The code: the canonical one, or another that an old store has.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.code
    }

    /// The same region under its canonical code.
    #[must_use]
    pub fn canonical(&self) -> Self {
        self.place.map_or_else(|| self.clone(), |place| Self { code: place.code.to_owned(), ..self.clone() })
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", self.code)
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for Region {}

impl PartialOrd for Region {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Region {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code.cmp(&other.code)
    }
}

impl Hash for Region {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code.hash(state);
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.code)
    }
}

/// Takes any code as it is stored: a store may be older than the table, and digests are of what was written.
impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Ok(Self { place: TABLE.get(code.as_str()), code })
    }
}

/// How much of where a text applies lies inside a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing, or the text applies nowhere.
    None,
    /// A part.
    Part,
    /// All of it.
    All,
}

impl Reach {
    /// Compares where a text applies, `regions` (everywhere if empty) without `excluded`, with the regions of a scope.
    #[must_use]
    pub fn of(regions: &[Region], excluded: &[Region], scope: &[Region]) -> Self {
        let whole = if regions.is_empty() { Area::world() } else { Area::of(regions) };
        let applies = whole.without(&Area::of(excluded));
        let unknown = regions.iter().filter(|region| region.place.is_none() && !excluded.contains(region));
        let (inside, outside): (Vec<_>, Vec<_>) = unknown.partition(|region| scope.contains(region));
        let scope = Area::of(scope);
        if inside.is_empty() && !applies.overlaps(&scope) {
            Self::None
        } else if outside.is_empty() && applies.without(&scope).is_empty() {
            Self::All
        } else {
            Self::Part
        }
    }
}

/// Whether a text that applies in `regions` (everywhere if empty) without `excluded` is for a site that shows it throughout each of
/// `wanted`: it applies in some part of one of them, and is excluded from no part of that one. Every text is, if none is wanted.
#[must_use]
pub fn is_for(regions: &[Region], excluded: &[Region], wanted: &[Region]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let (applies, forbidden) = (Area::of(regions), Area::of(excluded));
    wanted.iter().any(|wanted| match wanted.place {
        Some(Place { area, .. }) => (regions.is_empty() || applies.overlaps(area)) && !forbidden.overlaps(area),
        None => (regions.is_empty() || regions.contains(wanted)) && !excluded.contains(wanted),
    })
}

/// A set of territories, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Area([u64; AREA_WORDS]);

/// Room for 320 territories; CLDR 48 has 257.
const AREA_WORDS: usize = 5;

impl Area {
    /// Every territory.
    fn world() -> Self {
        TABLE.get("001").map(|world| world.area).unwrap_or_default()
    }

    /// One territory, by its place in the list of all.
    fn single(place: usize) -> Self {
        let mut area = Self::default();
        let word = area.0.get_mut(place / 64);
        *word.unwrap_or_else(|| unreachable!("there is room for all territories")) = 1 << (place % 64);
        area
    }

    /// All territories of some regions.
    fn of(regions: &[Region]) -> Self {
        regions.iter().filter_map(|region| region.place).fold(Self::default(), |area, place| area.and(&place.area))
    }

    fn zip(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        words.iter_mut().zip(other.0).for_each(|(word, other)| *word = join(*word, other));
        Self(words)
    }

    fn and(&self, other: &Self) -> Self {
        self.zip(other, |one, other| one | other)
    }

    fn without(&self, other: &Self) -> Self {
        self.zip(other, |one, other| one & !other)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(one, other)| one & other != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// A region of the table.
#[derive(Debug)]
struct Place {
    code: &'static str,
    area: Area,
}

/// Every code of the table, and what it stands for.
static TABLE: LazyLock<BTreeMap<&'static str, Place>> = LazyLock::new(|| {
    let mut codes: BTreeMap<_, _> = areas().into_iter().map(|(code, area)| (code, Place { code, area })).collect();
    for (code, names) in table::ALIASES {
        let area = codes.get(code).map(|place| place.area).unwrap_or_default();
        codes.extend(names.split(' ').map(|name| (name, Place { code, area })));
    }
    codes
});

/// The territories of each region, by its canonical code.
fn areas() -> BTreeMap<&'static str, Area> {
    let groupings: BTreeMap<_, _> = table::GROUPINGS.iter().copied().collect();
    let inside = groupings.values().flat_map(|inner| inner.split(' '));
    let parts = table::PARTS.iter().map(|(part, _)| *part);
    let mut territories: Vec<_> = inside.filter(|code| !groupings.contains_key(code)).chain(parts).collect();
    territories.sort_unstable();
    territories.dedup();
    let single = territories.iter().enumerate().map(|(place, code)| (*code, Area::single(place)));
    let mut areas: BTreeMap<_, _> = single.collect();
    for (part, whole) in table::PARTS {
        let part = areas.get(part).copied().unwrap_or_default();
        areas.entry(whole).and_modify(|whole| *whole = whole.and(&part));
    }
    for code in groupings.keys() {
        let area = grouping(code, &groupings, &areas);
        areas.insert(code, area);
    }
    areas
}

fn grouping(code: &str, groupings: &BTreeMap<&str, &'static str>, areas: &BTreeMap<&str, Area>) -> Area {
    if let Some(area) = areas.get(code) {
        return *area;
    }
    let inner = groupings.get(code).into_iter().flat_map(|inner| inner.split(' '));
    inner.fold(Area::default(), |area, code| area.and(&grouping(code, groupings, areas)))
}

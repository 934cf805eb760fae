//! Languages: BCP-47 tags in CLDR's canonical form, which of them are equal, and what a language falls back to.
//!
//! **Invariants**
//! - A tag has one canonical form, and nothing of what was given is lost in it (`a_tag_takes_its_canonical_form`).
//! - Tags are equal if CLDR's likely subtags are, and Norwegian is Bokmål (`tags_are_equal_by_likely_subtags`).
//! - Comparing costs no look-up: what a tag is compared by is worked out once (`LanguageTag::key`).

mod canonical;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::OnceLock,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{id::Malformed, limits};

/// A language: a BCP-47 tag (RFC 5646) in CLDR's canonical form, such as `de`, `pt-BR` or `zh-Hant`.
///
/// `==` compares spellings, as names of rows and resources do; [`Self::matches`] compares languages.
#[derive(Clone)]
pub struct LanguageTag {
    tag: String,
    key: OnceLock<Box<str>>,
}

impl LanguageTag {
    /// Parses a tag of any case, and makes it canonical: `he` for `iw`, `sr-Latn` for `sh`, `yue` for `zh-yue`, `tlh` for `i-klingon`.
    ///
    /// # Errors
    /// If it is not well-formed by RFC 5646, names no language (`und`, `x-…`), or is longer than 35 characters, as given or canonical.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let tag = canonical::locale(text).map(|locale| locale.to_string());
        match tag.filter(|tag| text.len().max(tag.len()) <= limits::LANGUAGE_BYTES_MAX) {
            Some(tag) => Ok(Self::of(tag)),
            None => Err(Malformed::new(
                "must be a BCP-47 language tag of at most 35 characters that names a language, such as de, pt-BR or zh-Hant",
            )),
        }
    }

    /// Takes a tag as it is stored. A store may be older than the canonical form; names and digests are of what was written.
    ///
    /// # Errors
    /// If no tag was ever stored in that shape.
    pub fn stored(text: &str) -> Result<Self, Malformed> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if (1..=limits::LANGUAGE_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self::of(text.to_owned()));
        }
        Err(Malformed::new("must be a language tag"))
    }

    fn of(tag: String) -> Self {
        Self { tag, key: OnceLock::new() }
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.tag
    }

    /// What the tag is compared by: the shortest tag with the same likely subtags. `en` for `en-US`, `zh-TW` for `zh-Hant`, `nb` for
    /// `no`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.get_or_init(|| canonical::key(&self.tag).into_boxed_str())
    }

    /// The shortest tag that equals this one, see [`Self::key`].
    #[must_use]
    pub fn shortest(&self) -> Self {
        Self::of(self.key().to_owned())
    }

    /// Whether both name the same language, script, region and variants.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.tag == other.tag || self.key() == other.key()
    }

    /// Whether both are the same in canonical form, which a tag of an old store may not have.
    #[must_use]
    pub fn is_alias_of(&self, other: &Self) -> bool {
        self == other || Self::parse(&self.tag).is_ok_and(|one| Self::parse(&other.tag) == Ok(one))
    }

    /// Which of these tags is meant: the one that is spelled alike, else the first that matches.
    pub fn find<'t>(&self, there: impl Iterator<Item = &'t Self> + Clone) -> Option<&'t Self> {
        let (mut spelled, mut equal) = (there.clone(), there);
        spelled.find(|tag| *tag == self).or_else(|| equal.find(|tag| tag.matches(self)))
    }
}

/// The language to serve: the one asked for, else what CLDR falls back to (`fr-CA`, `fr`; `zh-Hant-HK`, `zh-Hant`, never `zh`), else
/// `source`; the first that is there, or one equal to it.
pub fn lookup<'t>(
    asked: Option<&LanguageTag>,
    source: &LanguageTag,
    there: &(impl Iterator<Item = &'t LanguageTag> + Clone),
) -> Option<&'t LanguageTag> {
    let candidates = asked.into_iter().flat_map(|asked| {
        let parents = canonical::parents(&asked.tag).into_iter().map(LanguageTag::of);
        std::iter::once(asked.clone()).chain(parents)
    });
    candidates.chain([source.clone()]).find_map(|candidate| candidate.find(there.clone()))
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag)
    }
}

impl fmt::Debug for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LanguageTag({})", self.tag)
    }
}

impl PartialEq for LanguageTag {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for LanguageTag {}

impl PartialOrd for LanguageTag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LanguageTag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.tag.cmp(&other.tag)
    }
}

impl Hash for LanguageTag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tag.hash(state);
    }
}

impl Serialize for LanguageTag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.tag)
    }
}

impl<'de> Deserialize<'de> for LanguageTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::stored(&text).map_err(|fault| de::Error::custom(fault.0))
    }
}

//! Ids and codes: parsed once, valid for ever.
//!
//! In JSON an id is its resource name (AIP-122); in a stored row it is the bare id.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::limits;

/// What is wrong with a value and what would be right: the end of a sentence that begins with the name of the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Malformed {
    /// A fault, in words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An id that names a resource of a collection (AIP-122).
macro_rules! resource_id {
    ($(#[$doc:meta])* $id:ident, $prefix:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(String);

        impl $id {
            /// Parses the bare id.
            ///
            /// # Errors
            /// If it is not 1 to 63 characters of `a-z`, `0-9` and inner hyphens.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                if is_label(text) {
                    return Ok(Self(text.to_owned()));
                }
                let most = limits::ID_CHARS_MAX;
                Err(Malformed::new(format!("must be 1 to {most} characters of a-z, 0-9 and inner hyphens")))
            }

            /// Parses the resource name.
            ///
            /// # Errors
            /// If it is not such a name.
            pub fn parse_name(name: &str) -> Result<Self, Malformed> {
                name.strip_prefix($prefix)
                    .and_then(|id| Self::parse(id).ok())
                    .ok_or_else(|| Malformed::new(concat!("must be ", $pattern)))
            }

            /// The bare id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The resource name.
            #[must_use]
            pub fn name(&self) -> String {
                format!(concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.serialize_str(&self.name());
                }
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let named = deserializer.is_human_readable();
                let text = String::deserialize(deserializer)?;
                let parsed = if named { Self::parse_name(&text) } else { Self::parse(&text) };
                parsed.map_err(|fault| de::Error::custom(fault.0))
            }
        }
    };
}

resource_id!(
    /// Which statement, `statements/{statement}`: 1 to 63 characters of `a-z`, `0-9` and inner hyphens.
    StatementId,
    "statements/",
    "statements/{statement}, such as statements/data-centre-fire"
);

resource_id!(
    /// Which named subscription, `subscriptions/{subscription}`: 1 to 63 characters of `a-z`, `0-9` and inner hyphens.
    SubscriptionId,
    "subscriptions/",
    "subscriptions/{subscription}, such as subscriptions/press-site"
);

/// A language: a BCP-47 tag (RFC 5646) in canonical case, such as `de`, `pt-BR` or `zh-Hant`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LanguageTag(String);

impl LanguageTag {
    /// Parses a tag of any case.
    ///
    /// # Errors
    /// If it is not well-formed by RFC 5646, begins with a private use subtag or with a language of more than three letters (none is
    /// registered), or is longer than 35 characters.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let fault =
            || Malformed::new("must be a BCP-47 language tag of at most 35 characters, such as de, pt-BR or zh-Hant");
        if text.len() > limits::LANGUAGE_BYTES_MAX {
            return Err(fault());
        }
        let tag = oxilangtag::LanguageTag::parse_and_normalize(text).map_err(|_| fault())?;
        if tag.as_str().starts_with("x-") || tag.primary_language().len() > 3 {
            return Err(fault());
        }
        Ok(Self(tag.into_inner()))
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag without its last subtag: `fr` for `fr-CA`, `zh` for `zh-Hant`. A singleton goes with what follows it (RFC 4647,
    /// section 3.4).
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (mut rest, _) = self.0.rsplit_once('-')?;
        while let Some((shorter, last)) = rest.rsplit_once('-') {
            if last.len() > 1 {
                break;
            }
            rest = shorter;
        }
        Some(Self(rest.to_owned()))
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A code chosen by the issuer (a kind, topic, audience or channel): 1 to 63 characters of `a-z`, `0-9` and, inside, hyphens
/// and full stops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(String);

impl Code {
    /// Parses a code.
    ///
    /// # Errors
    /// If it is not 1 to 63 characters of `a-z`, `0-9` and inner hyphens and full stops.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_label(&text.replace('.', "-")) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed::new(format!(
            "must be 1 to {} characters of a-z, 0-9 and, inside, hyphens and full stops, such as press-release",
            limits::ID_CHARS_MAX
        )))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A region: two letters (ISO 3166-1 alpha-2) or three digits (UN M.49), in upper case. Whether the code is assigned is not
/// checked: the lists change more often than this software.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(String);

impl Region {
    /// Parses a region code of any case.
    ///
    /// # Errors
    /// If it is neither two letters nor three digits.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let letters = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        if letters || digits {
            return Ok(Self(text.to_ascii_uppercase()));
        }
        Err(Malformed::new("must be two letters (ISO 3166-1 alpha-2) or three digits (UN M.49), such as BR or 419"))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who calls: 1 to 256 printable ASCII characters without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Caller(String);

impl Caller {
    /// Parses a caller's name.
    ///
    /// # Errors
    /// If it is not 1 to 256 printable ASCII characters without spaces, or the service's own name.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if (1..=limits::CALLER_BYTES_MAX).contains(&text.len()) && printable && text != "service" {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed::new(format!(
            "must be 1 to {} printable ASCII characters without spaces, and not 'service'",
            limits::CALLER_BYTES_MAX
        )))
    }

    /// The service itself: it takes the steps that time drives.
    #[must_use]
    pub fn service() -> Self {
        Self("service".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One published text: `statements/{statement}/editions/{language}.{number}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EditionName {
    /// Of which statement.
    pub statement: StatementId,
    /// In which language.
    pub language: LanguageTag,
    /// 1 for the first.
    pub number: u32,
}

impl EditionName {
    /// Puts the name of an edition together.
    #[must_use]
    pub fn new(statement: &StatementId, language: &LanguageTag, number: u32) -> Self {
        Self { statement: statement.clone(), language: language.clone(), number }
    }

    /// Parses a resource name that ends in a number.
    ///
    /// # Errors
    /// If it is not such a name.
    pub fn parse(name: &str) -> Result<Self, Malformed> {
        match EditionRef::parse(name)? {
            EditionRef { statement, language, number: Some(number) } => Ok(Self { statement, language, number }),
            EditionRef { .. } => Err(Malformed::new("must end in the number of an edition, not in live")),
        }
    }
}

impl fmt::Display for EditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statements/{}/editions/{}.{}", self.statement, self.language, self.number)
    }
}

impl Serialize for EditionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EditionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|fault| de::Error::custom(fault.0))
    }
}

/// An edition by number, or the one that is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditionRef {
    /// Of which statement.
    pub statement: StatementId,
    /// In which language.
    pub language: LanguageTag,
    /// Which; absent for the alias `live`.
    pub number: Option<u32>,
}

impl EditionRef {
    /// Parses `statements/{statement}/editions/{language}.{number}` or the same with `live` for the number.
    ///
    /// # Errors
    /// If it is not such a name.
    pub fn parse(name: &str) -> Result<Self, Malformed> {
        Self::parse_parts(name).ok_or_else(|| {
            Malformed::new("must be statements/{statement}/editions/{language}.{number} or ….live, such as statements/fire/editions/de.1")
        })
    }

    fn parse_parts(name: &str) -> Option<Self> {
        let (statement, edition) = name.split_once("/editions/")?;
        let (language, number) = edition.rsplit_once('.')?;
        let number = match number {
            "live" => None,
            digits => Some(digits.parse::<u32>().ok().filter(|n| *n > 0 && !digits.starts_with(['0', '+']))?),
        };
        Some(Self {
            statement: StatementId::parse_name(statement).ok()?,
            language: LanguageTag::parse(language).ok()?,
            number,
        })
    }
}

/// A lower-case label as in a host name (RFC 1123), which is what AIP-122 asks of resource ids.
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=limits::ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_tag_takes_its_canonical_case() {
        for (given, canonical) in
            [("DE", "de"), ("pt-br", "pt-BR"), ("ZH-hant-tw", "zh-Hant-TW"), ("sr-latn", "sr-Latn")]
        {
            assert_eq!(LanguageTag::parse(given).unwrap().as_str(), canonical);
        }
        for wrong in ["", "en_GB", "e", "123", "x-private", "de--CH", "deutsch-land-zu-lang-x"] {
            assert!(LanguageTag::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_parent_of_a_tag_drops_its_last_subtag() {
        let parent = |tag: &str| LanguageTag::parse(tag).unwrap().parent().map(|t| t.0);
        assert_eq!(parent("fr-CA").as_deref(), Some("fr"));
        assert_eq!(parent("zh-Hant-TW").as_deref(), Some("zh-Hant"));
        assert_eq!(parent("de-a-valu").as_deref(), Some("de"));
        assert_eq!(parent("de"), None);
    }

    #[test]
    fn names_survive_the_round_trip() {
        let name = "statements/fire/editions/pt-BR.12";
        assert_eq!(EditionName::parse(name).unwrap().to_string(), name);
        for wrong in [
            "statements/fire",
            "statements/Fire/editions/de.1",
            "statements/fire/editions/de.0",
            "statements/fire/editions/de.01",
            "statements/fire/editions/de",
        ] {
            assert!(EditionRef::parse(wrong).is_err(), "{wrong}");
        }
        assert!(EditionName::parse("statements/fire/editions/de.live").is_err());
    }

    #[test]
    fn an_id_is_a_label() {
        for right in ["a", "data-centre-fire", "2026"] {
            assert!(StatementId::parse(right).is_ok());
        }
        for wrong in ["", "-a", "a-", "A", "a_b", "ä", &"a".repeat(64)] {
            assert!(StatementId::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Ids and codes: parsed once, valid for ever.
//!
//! In JSON an id is its resource name (AIP-122); in a stored row it is the bare id.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::limits;
pub use super::{language::LanguageTag, region::Region};

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
        Self::numbered(EditionRef::parse(name)?)
    }

    fn numbered(edition: EditionRef) -> Result<Self, Malformed> {
        match edition {
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

/// Takes the tag as it is stored: digests are of what was written.
impl<'de> Deserialize<'de> for EditionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = EditionRef::parse_parts(&text, LanguageTag::stored).and_then(Self::numbered);
        parsed.map_err(|fault| de::Error::custom(fault.0))
    }
}

/// How the tag in a name is read: as callers write it, or as it is stored.
type LanguageParser = fn(&str) -> Result<LanguageTag, Malformed>;

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
        Self::parse_parts(name, LanguageTag::parse)
    }

    fn parse_parts(name: &str, language: LanguageParser) -> Result<Self, Malformed> {
        Self::parts(name, language).ok_or_else(|| {
            Malformed::new("must be statements/{statement}/editions/{language}.{number} or ….live, such as statements/fire/editions/de.1")
        })
    }

    fn parts(name: &str, language: LanguageParser) -> Option<Self> {
        let (statement, edition) = name.split_once("/editions/")?;
        let (tag, number) = edition.rsplit_once('.')?;
        let number = match number {
            "live" => None,
            digits => Some(digits.parse::<u32>().ok().filter(|n| *n > 0 && !digits.starts_with(['0', '+']))?),
        };
        Some(Self { statement: StatementId::parse_name(statement).ok()?, language: language(tag).ok()?, number })
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

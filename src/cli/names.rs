//! Names as people type them: `recall-7`, `recall-7/de`, `recall-7/de.2`; and the resource names they stand for.
//!
//! What is checked here is only the shape; the service has the rules.

use std::{convert::Infallible, fmt, str::FromStr};

use anyhow::{Context as _, bail};

const COLLECTION: &str = "statements/";
const SUBSCRIPTIONS: &str = "subscriptions/";

/// `recall-7`, or `statements/recall-7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatementId(String);

impl StatementId {
    /// `statements/recall-7`.
    pub(super) fn name(&self) -> String {
        format!("{COLLECTION}{}", self.0)
    }

    /// The draft, release or edition slot of one language.
    pub(super) fn slot(&self, language: &str) -> Slot {
        Slot { statement: self.clone(), language: language.to_owned() }
    }
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StatementId {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let id = text.strip_prefix(COLLECTION).unwrap_or(text);
        if let Some((id, _)) = id.split_once('/') {
            bail!("write the id of the statement alone, {id}: languages come after it, or with --language");
        }
        if id.is_empty() {
            bail!("write the id of a statement, such as recall-7");
        }
        Ok(Self(id.to_owned()))
    }
}

/// A statement in one language: `recall-7/de`, or the name of its draft or release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) statement: StatementId,
    pub(super) language: String,
}

impl Slot {
    /// `statements/recall-7/drafts/de`.
    pub(super) fn draft(&self) -> String {
        format!("{}/drafts/{}", self.statement.name(), self.language)
    }

    /// `statements/recall-7/releases/de`.
    pub(super) fn release(&self) -> String {
        format!("{}/releases/{}", self.statement.name(), self.language)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.statement, self.language)
    }
}

impl FromStr for Slot {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let short = short(text);
        let (statement, language) = short.split_once('/').context("write ID/LANG, such as recall-7/de")?;
        if language.is_empty() || language.contains('/') {
            bail!("write ID/LANG, such as recall-7/de");
        }
        Ok(Self { statement: statement.parse()?, language: language.to_owned() })
    }
}

/// One edition: `recall-7/de.2`, `recall-7/de.live`, or its full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EditionName(String);

impl EditionName {
    /// `statements/recall-7/editions/de.2`.
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for EditionName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Slot { statement, language } = text.parse().context("write ID/LANG.NUMBER, such as recall-7/de.2")?;
        let (_, number) = language.rsplit_once('.').context("write ID/LANG.NUMBER, such as recall-7/de.2")?;
        if number != "live" && number.parse::<u32>().is_err() {
            bail!("`{number}` is neither a number nor `live`");
        }
        Ok(Self(format!("{}/editions/{language}", statement.name())))
    }
}

/// The short form of a resource name: `statements/recall-7/editions/de.2` -> `recall-7/de.2`.
pub(super) fn short(name: &str) -> String {
    let bare = name.strip_prefix(COLLECTION).or_else(|| name.strip_prefix(SUBSCRIPTIONS)).unwrap_or(name);
    let mut parts = bare.split('/');
    let statement = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.filter(|part| !matches!(*part, "drafts" | "releases" | "editions")).collect();
    if rest.is_empty() { statement.to_owned() } else { format!("{statement}/{}", rest.join("/")) }
}

/// `subscriptions/press-site`, also of the short form.
pub(super) fn subscription(id: &str) -> String {
    format!("{SUBSCRIPTIONS}{}", short(id))
}

/// An etag as people type it: a shell takes the quotes off.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(super) fn etag(text: &str) -> Result<String, Infallible> {
    Ok(if text.starts_with('"') { text.to_owned() } else { format!("\"{text}\"") })
}

#[cfg(test)]
mod tests {
    use super::{EditionName, Slot, etag, short};

    #[test]
    fn an_etag_may_come_without_its_quotes() {
        assert_eq!(etag("12"), etag("\"12\""));
    }

    #[test]
    fn short_and_full_names_mean_the_same() {
        for text in ["recall-7/pt-BR", "statements/recall-7/drafts/pt-BR", "statements/recall-7/releases/pt-BR"] {
            let slot: Slot = text.parse().unwrap();
            assert_eq!(slot.draft(), "statements/recall-7/drafts/pt-BR");
            assert_eq!(slot.to_string(), "recall-7/pt-BR");
        }
        for text in ["recall-7/de.2", "statements/recall-7/editions/de.2"] {
            assert_eq!(text.parse::<EditionName>().unwrap().name(), "statements/recall-7/editions/de.2");
        }
        assert_eq!(short("statements/recall-7/editions/de.2"), "recall-7/de.2");
        assert_eq!(short("statements/recall-7"), "recall-7");
    }

    #[test]
    fn a_name_without_its_parts_is_refused() {
        for text in ["", "recall-7", "recall-7/", "/de", "recall-7/de/x"] {
            assert!(text.parse::<Slot>().is_err(), "{text:?}");
        }
        for text in ["recall-7/de", "recall-7/de.", "recall-7/de.two"] {
            assert!(text.parse::<EditionName>().is_err(), "{text:?}");
        }
    }
}

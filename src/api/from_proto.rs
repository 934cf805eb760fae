//! From the wire to the domain: the only place where input is checked. All faults of a request are found, not the first.

mod backup;
mod clock;
mod content;
mod editorial;
mod feed;
mod seconded;
mod subscription;
mod text;

pub(super) use backup::backup;
pub use backup::{backup_entry, backup_identity};
pub(super) use clock::confirmed_time;
pub(super) use editorial::*;
pub(super) use feed::*;
pub(super) use seconded::*;
pub(super) use subscription::*;

use crate::domain::{
    draft::FieldFault,
    id::{LanguageTag, Malformed, StatementId},
    rejection::Rejection,
    text::escaped,
    time::Timestamp,
};

/// Faults that are noted of one request.
const FAULTS_MAX: usize = 100;
/// The path of a field mask that means all of them (AIP-134).
const EVERYTHING: &str = "*";
/// Bytes of the path of a field, and of what is said about it: both may have words of the request in them.
const WORDS_BYTES_MAX: usize = 256;

/// The faults of a request, by field.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<FieldFault>);

impl Faults {
    pub(super) fn add(&mut self, field: impl Into<String>, words: impl Into<String>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(FieldFault::new(cut(field.into()), cut(words.into())));
        }
    }

    /// The value, or its fault noted.
    pub(super) fn take<T>(&mut self, field: impl Into<String>, parsed: Result<T, Malformed>) -> Option<T> {
        parsed.map_err(|fault| self.add(field, fault.0)).ok()
    }

    /// The value of a field that has to be there.
    fn require<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(field, "is required");
        }
        value
    }

    /// Whether a field is to be changed: those that the mask names, or all if it names none or is `*`, which replaces them (AIP-134).
    fn mask(&mut self, mask: Option<&prost_types::FieldMask>, fields: &[&str]) -> impl Fn(&str) -> bool + use<> {
        let paths = mask.map(|mask| mask.paths.clone()).filter(|paths| !paths.is_empty() && paths != &[EVERYTHING]);
        if paths.iter().flatten().any(|path| path == EVERYTHING) {
            self.add("update_mask", "must not name another field beside `*`");
        }
        let unknown = paths.iter().flatten().filter(|path| *path != EVERYTHING && !fields.contains(&path.as_str()));
        for path in unknown.take(FAULTS_MAX) {
            self.add("update_mask", format!("must name {}, or be `*`, not {}", fields.join(", "), escaped(path)));
        }
        move |field| paths.as_ref().is_none_or(|paths| paths.iter().any(|path| path == field))
    }

    /// The value, if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Rejection> {
        if self.0.is_empty() { Ok(value) } else { Err(Rejection::Invalid(self.0)) }
    }

    /// The value, which is there if nothing was wrong.
    pub(super) fn finish_some<T>(mut self, value: Option<T>) -> Result<T, Rejection> {
        let Some(value) = value else {
            if self.0.is_empty() {
                self.add("", "the request is empty");
            }
            return Err(Rejection::Invalid(self.0));
        };
        self.finish(value)
    }

    pub(super) fn time(&mut self, field: &str, given: Option<prost_types::Timestamp>) -> Option<Timestamp> {
        let given = given?;
        self.take(field, Timestamp::from_parts(given.seconds, given.nanos))
    }
}

fn cut(mut words: String) -> String {
    if words.len() > WORDS_BYTES_MAX {
        words.truncate(words.floor_char_boundary(WORDS_BYTES_MAX));
        words.push('…');
    }
    words
}

/// Two parts of a request, or the faults of both.
pub(super) fn both<A, B>(one: Result<A, Rejection>, other: Result<B, Rejection>) -> Result<(A, B), Rejection> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Rejection::Invalid(mut faults)), Err(Rejection::Invalid(more))) => {
            faults.extend(more);
            Err(Rejection::Invalid(faults))
        }
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
    }
}

/// `statements/{statement}`.
pub(super) fn statement_name(field: &str, name: &str) -> Result<StatementId, Rejection> {
    let mut faults = Faults::default();
    let id = faults.take(field, StatementId::parse_name(name));
    faults.finish_some(id)
}

/// `statements/{statement}` or `statements/-` for all.
pub(super) fn parent(name: &str) -> Result<Option<StatementId>, Rejection> {
    if name == "statements/-" { Ok(None) } else { statement_name("parent", name).map(Some) }
}

/// A tag, or nothing if the field is empty.
pub(super) fn optional_language(field: &str, tag: &str) -> Result<Option<LanguageTag>, Rejection> {
    let mut faults = Faults::default();
    let language = (!tag.is_empty()).then(|| faults.take(field, LanguageTag::parse(tag))).flatten();
    faults.finish(language)
}

/// `statements/{statement}/{collection}/{language}`.
pub(super) fn slot_name(
    faults: &mut Faults,
    field: &str,
    name: &str,
    collection: &str,
) -> Option<(StatementId, LanguageTag)> {
    let parts = name.split_once(&format!("/{collection}/"));
    let parsed = parts.and_then(|(statement, language)| {
        Some((StatementId::parse_name(statement).ok()?, LanguageTag::parse(language).ok()?))
    });
    let words = format!(
        "must be statements/{{statement}}/{collection}/{{language}}, such as statements/fire/{collection}/pt-BR"
    );
    faults.take(field, parsed.ok_or_else(|| Malformed::new(words)))
}

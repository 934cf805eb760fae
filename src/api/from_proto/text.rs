//! Text, lists and URIs.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

use super::Faults;
use crate::domain::{
    content::TextMediaType,
    id::{LanguageTag, Malformed},
    limits,
};

/// Text in NFC with a limit in grapheme clusters.
pub(super) fn text(faults: &mut Faults, field: impl Into<String>, given: &str, graphemes_max: usize) -> String {
    text_of(faults, field, given, graphemes_max, graphemes_max * limits::BYTES_PER_GRAPHEME_MAX)
}

/// Text in NFC with a limit in grapheme clusters and one in bytes. Of control characters it may have those that XML 1.0
/// (section 2.2) allows.
pub(super) fn text_of(
    faults: &mut Faults,
    field: impl Into<String>,
    given: &str,
    graphemes_max: usize,
    bytes_max: usize,
) -> String {
    let (field, text) = (field.into(), given.nfc().collect::<String>());
    if text.chars().any(|char| char < ' ' && !matches!(char, '\t' | '\n' | '\r')) {
        faults.add(field.clone(), "must not contain control characters but tab and line ends");
    }
    if text.len() > bytes_max {
        faults.add(field, format!("must have at most {bytes_max} bytes; it has {}", text.len()));
    } else if text.len() > graphemes_max && text.graphemes(true).count() > graphemes_max {
        faults.add(field, format!("must have at most {graphemes_max} characters (grapheme clusters)"));
    }
    text
}

/// The same for text that has to be there.
pub(super) fn required(faults: &mut Faults, field: impl Into<String>, given: &str, graphemes_max: usize) -> String {
    let field = field.into();
    if given.trim().is_empty() {
        faults.add(field.clone(), "must not be empty");
    }
    text(faults, field, given, graphemes_max)
}

/// Text with a limit in bytes, for names and the like.
pub(super) fn short(faults: &mut Faults, field: impl Into<String>, given: &str, bytes_max: usize) -> String {
    let text = given.nfc().collect::<String>();
    if text.len() > bytes_max || text.chars().any(char::is_control) {
        faults.add(field, format!("must have at most {bytes_max} bytes and no control characters"));
    }
    text
}

/// An absolute URI (RFC 3986).
pub(super) fn uri(faults: &mut Faults, field: impl Into<String>, given: &str) -> String {
    let right = given.len() <= limits::URI_BYTES_MAX && fluent_uri::Uri::parse(given).is_ok();
    if !right {
        let words = format!(
            "must be an absolute URI (RFC 3986) of at most {} bytes, such as https://example.org/a",
            limits::URI_BYTES_MAX
        );
        faults.add(field, words);
    }
    given.to_owned()
}

/// The same, or nothing.
pub(super) fn optional_uri(faults: &mut Faults, field: impl Into<String>, given: &str) -> String {
    if given.is_empty() { String::new() } else { uri(faults, field, given) }
}

/// `type/subtype` (RFC 6838), or nothing.
pub(super) fn media_type(faults: &mut Faults, field: impl Into<String>, given: &str) -> String {
    let token = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let right = given.is_empty() || given.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if !right || given.len() > limits::SHORT_BYTES_MAX {
        faults.add(field, "must be a media type (RFC 6838), such as application/pdf, or empty");
    }
    given.to_owned()
}

/// How a text is written.
pub(super) fn text_media_type(
    faults: &mut Faults,
    field: impl Into<String>,
    given: &str,
    absent: TextMediaType,
) -> TextMediaType {
    match given {
        "" => absent,
        "text/plain" => TextMediaType::Plain,
        "text/markdown" => TextMediaType::Markdown,
        "text/html" => TextMediaType::Html,
        _ => {
            faults.add(field, "must be text/plain, text/markdown or text/html");
            absent
        }
    }
}

/// A list of codes without repetition, each with its own path.
pub(super) fn codes<T: Ord + Clone>(
    faults: &mut Faults,
    field: &str,
    given: &[String],
    max: usize,
    parse: impl Fn(&str) -> Result<T, Malformed>,
) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let mut values = Vec::new();
    for (place, text) in bounded(faults, field, given, max).iter().enumerate() {
        let Some(value) = faults.take(format!("{field}[{place}]"), parse(text)) else { continue };
        if seen.insert(value.clone()) {
            values.push(value);
        } else {
            faults.add(format!("{field}[{place}]"), "is given twice");
        }
    }
    values
}

/// A list of language tags of which no two are equal.
pub(super) fn language_list(faults: &mut Faults, field: &str, given: &[String], max: usize) -> Vec<LanguageTag> {
    let mut tags: Vec<LanguageTag> = Vec::new();
    for (place, text) in bounded(faults, field, given, max).iter().enumerate() {
        let field = format!("{field}[{place}]");
        let Some(tag) = faults.take(field.clone(), LanguageTag::parse(text)) else { continue };
        match tags.iter().find(|other| other.matches(&tag)) {
            Some(other) if *other == tag => faults.add(field, "is given twice"),
            Some(other) => faults.add(field, format!("equals {other}, which is given before")),
            None => tags.push(tag),
        }
    }
    tags
}

/// The items of a list that may have so many. Of a longer one no more is read: it would cost whoever sends it nothing, and us much.
pub(super) fn bounded<'g, T>(faults: &mut Faults, field: &str, given: &'g [T], max: usize) -> &'g [T] {
    if given.len() > max {
        faults.add(field, too_many(max, given.len()));
    }
    given.get(..max).unwrap_or(given)
}

pub(super) fn too_many(max: usize, len: usize) -> String {
    format!("must have at most {max} items; it has {len}")
}

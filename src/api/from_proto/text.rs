//! Text, lists and URIs.

use std::collections::BTreeSet;

use fluent_uri::Uri;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation as _;

use super::Faults;
use crate::domain::{
    content::TextMediaType,
    id::{LanguageTag, Malformed},
    limits::{self, TextLimit},
    text::{self, Lines},
};

/// Schemes of every URI that a reader may open. Mail and telephone have fields of their own, a DOI or URN has an `https` address
/// that browsers follow, and anything else (`javascript`, `data`, `file`) acts inside the reader's browser.
const SCHEMES: [&str; 2] = ["https", "http"];

/// How a text field is checked.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    required: bool,
    lines: Lines,
    limit: TextLimit,
}

impl Rule {
    /// Any number of lines.
    pub(super) fn text(limit: TextLimit) -> Self {
        Self { required: false, lines: Lines::Many, limit }
    }

    /// One line.
    pub(super) fn line(limit: TextLimit) -> Self {
        Self { lines: Lines::One, ..Self::text(limit) }
    }

    /// The same rule for a field that has to have something visible in it.
    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// Text as it is stored: in NFC. At most one fault is noted.
pub(super) fn checked(faults: &mut Faults, field: impl Into<String>, given: &str, rule: Rule) -> String {
    let text = normalized(given);
    let fault = text::check(given, rule.lines)
        .and_then(|()| seen(given, rule.required))
        .and_then(|()| short_enough(&text, rule.limit));
    faults.take(field, fault);
    text
}

/// Normalizes a text to NFC (UAX #15). Most texts are in NFC already, and the quick check costs far less than composing.
fn normalized(given: &str) -> String {
    let is_nfc = given.is_ascii() || is_nfc_quick(given.chars()) == IsNormalized::Yes;
    if is_nfc { given.to_owned() } else { given.nfc().collect() }
}

/// An optional text of any number of lines.
pub(super) fn text(faults: &mut Faults, field: impl Into<String>, given: &str, limit: TextLimit) -> String {
    checked(faults, field, given, Rule::text(limit))
}

/// The same for text that has to be there.
pub(super) fn required(faults: &mut Faults, field: impl Into<String>, given: &str, limit: TextLimit) -> String {
    checked(faults, field, given, Rule::text(limit).required())
}

/// Optional text of one line with a limit in bytes, for names and the like.
pub(super) fn short(faults: &mut Faults, field: impl Into<String>, given: &str) -> String {
    checked(faults, field, given, Rule::line(TextLimit::bytes(limits::SHORT_BYTES_MAX)))
}

fn seen(given: &str, required: bool) -> Result<(), Malformed> {
    match (given.is_empty(), required) {
        (true, true) => Err(Malformed::new("must not be empty")),
        (true, false) => Ok(()),
        (false, _) if text::is_visible(given) => Ok(()),
        (false, true) => Err(Malformed::new("must have at least one visible character")),
        (false, false) => Err(Malformed::new("must have at least one visible character, or be empty")),
    }
}

fn short_enough(text: &str, limit: TextLimit) -> Result<(), Malformed> {
    let TextLimit { graphemes, bytes } = limit;
    if text.len() > bytes {
        return Err(Malformed::new(format!("must have at most {bytes} bytes of UTF-8; it has {}", text.len())));
    }
    // A grapheme cluster has at least one byte.
    if text.len() > graphemes {
        let count = text.graphemes(true).count();
        if count > graphemes {
            return Err(Malformed::new(format!(
                "must have at most {graphemes} grapheme clusters (UAX #29); it has {count}"
            )));
        }
    }
    Ok(())
}

/// What the service made and a caller sends back as it came: an etag, the id of a proposal.
pub(super) fn opaque(faults: &mut Faults, field: impl Into<String>, given: &str) -> String {
    if given.len() > limits::OPAQUE_BYTES_MAX || !given.bytes().all(|b| b.is_ascii_graphic()) {
        let most = limits::OPAQUE_BYTES_MAX;
        faults.add(field, format!("must be as a response gave it: at most {most} printable ASCII characters"));
    }
    given.to_owned()
}

/// A URI (RFC 3986) that a reader's browser may open.
pub(super) fn uri(faults: &mut Faults, field: impl Into<String>, given: &str) -> String {
    faults.take(field, web_address(given));
    given.to_owned()
}

fn web_address(given: &str) -> Result<(), Malformed> {
    let fault = |words: String| Err(Malformed::new(words));
    if given.len() > limits::URI_BYTES_MAX {
        return fault(format!("must have at most {} bytes; it has {}", limits::URI_BYTES_MAX, given.len()));
    }
    let Ok(uri) = Uri::parse(given) else {
        return fault(
            "must be an absolute URI in ASCII (RFC 3986), such as https://example.org/a; percent-encode the rest"
                .to_owned(),
        );
    };
    let scheme = uri.scheme().as_str();
    if !SCHEMES.iter().any(|allowed| scheme.eq_ignore_ascii_case(allowed)) {
        return fault(format!("must begin with https:// or http://, not with {scheme}:"));
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return fault("must name a host, such as https://example.org/a".to_owned());
    };
    if authority.has_userinfo() {
        return fault("must not have a user name or password before the host".to_owned());
    }
    if authority.port_to_u16().is_err() {
        return fault("must have a port of at most 65535, or none".to_owned());
    }
    Ok(())
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
        let most = limits::SHORT_BYTES_MAX;
        faults.add(
            field,
            format!("must be a media type (RFC 6838) of at most {most} bytes, such as application/pdf, or empty"),
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_one_that_a_browser_may_open() {
        let long = format!("https://example.org/{}", "a".repeat(limits::URI_BYTES_MAX - 20));
        for right in [
            "https://example.org",
            "http://example.org:8080/a?b#c",
            "HTTPS://EXAMPLE.ORG/",
            "https://[2001:db8::7]:443/",
            "https://192.0.2.7/",
            "https://example.org/@a:b",
            "https://xn--bcher-kva.example/%C3%A4",
            "https://example.org:/",
            &long,
        ] {
            assert_eq!(web_address(right), Ok(()), "{right}");
        }
        for (wrong, words) in [
            ("javascript:alert(1)", "not with javascript:"),
            ("JavaScript://example.org/%0Aalert(1)", "not with JavaScript:"),
            ("data:text/html,a", "not with data:"),
            ("vbscript:a", "not with vbscript:"),
            ("file:///etc/passwd", "not with file:"),
            ("blob:https://example.org/1", "not with blob:"),
            ("mailto:a@example.org", "not with mailto:"),
            ("urn:isbn:0451450523", "not with urn:"),
            ("https:", "name a host"),
            ("https:a", "name a host"),
            ("https:///a", "name a host"),
            ("https://:443/", "name a host"),
            ("https://anna@example.org/", "user name"),
            ("https://example.org:443@evil.example/", "user name"),
            ("https://@example.org/", "user name"),
            ("https://example.org:65536/", "port"),
            ("https://bücher.example/", "RFC 3986"),
            ("https://exam\u{202e}ple.org/", "RFC 3986"),
            (" https://example.org/", "RFC 3986"),
            ("//example.org/", "RFC 3986"),
            ("/a", "RFC 3986"),
            ("", "RFC 3986"),
            (&format!("{long}a"), "at most 2048 bytes; it has 2049"),
        ] {
            assert!(
                web_address(wrong).is_err_and(|fault| fault.0.contains(words)),
                "{wrong}: {:?}",
                web_address(wrong)
            );
        }
    }

    #[test]
    fn a_title_of_emoji_fits() {
        for emoji in ["👨‍👩‍👧‍👦", "👩🏽‍❤️‍💋‍👨🏿", "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", "🇩🇪", "क्षि"]
        {
            assert_eq!(short_enough(&emoji.repeat(300), limits::TITLE), Ok(()), "{emoji}");
            let words = "must have at most 300 grapheme clusters (UAX #29); it has 301";
            assert_eq!(short_enough(&emoji.repeat(301), limits::TITLE), Err(Malformed::new(words)), "{emoji}");
        }
        let marks = format!("a{}", "\u{301}".repeat(6_000));
        let words = "must have at most 12000 bytes of UTF-8; it has 12001";
        assert_eq!(short_enough(&marks, limits::TITLE), Err(Malformed::new(words)));
    }
}

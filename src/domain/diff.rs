//! What differs between two texts.

use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use super::content::{Content, canonical_json};

/// How one field differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDiff {
    /// Name of the field in `onrecord.v1.Content`, such as `change_note`.
    pub field: &'static str,
    /// A unified diff with three lines of context, never empty.
    pub unified: String,
}

/// The lines of each field, in the order of the proto message.
///
/// The fields are taken apart without `..`: a new one does not compile before it is compared, or left out here with a reason.
macro_rules! lines_of {
    ($content:expr, left_out: [$($left_out:ident),+], compared: [$($field:ident),+ $(,)?]) => {{
        let Content { $($left_out: _,)+ $($field),+ } = $content;
        [$((stringify!($field), lines($field))),+]
    }};
}

/// Returns the fields that differ between two texts; without a first text, those that are set. Text is compared line by line; lists and
/// messages as canonical JSON with a line for each value.
#[must_use]
pub fn diff(from: Option<&Content>, to: &Content) -> Vec<FieldDiff> {
    let to: Vec<_> = fields(to).into_iter().collect();
    let from: Vec<_> = match from {
        Some(from) => fields(from).into_iter().collect(),
        None => to.iter().map(|(field, _)| (*field, String::new())).collect(),
    };
    let differing = from.into_iter().zip(to).filter(|((_, from), (_, to))| from != to);
    differing.map(|((field, from), (_, to))| FieldDiff { field, unified: unified(&from, &to) }).collect()
}

fn fields(content: &Content) -> impl IntoIterator<Item = (&'static str, String)> + use<> {
    lines_of!(
        content,
        // The names of the editions say the first two, and the salt differs always and says nothing.
        left_out: [statement, language_code, salt],
        compared: [
            title,
            summary,
            body,
            body_media_type,
            renditions,
            attachments,
            topics,
            region_codes,
            excluded_region_codes,
            audiences,
            channels,
            urgency,
            claim_reviews,
            contacts,
            change_kind,
            change_note,
            correction,
            expire_time,
            review_due_time,
            source_edition,
            as_of_time,
            original_time,
        ]
    )
}

/// A field as text; nothing if it is not set. Members, strings and numbers are in the order and form of RFC 8785.
fn lines(field: &impl Serialize) -> String {
    match serde_json::from_slice(&canonical_json(field)).unwrap_or_default() {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Number(number) if number.as_u64() == Some(0) => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => format!("{other:#}\n"),
    }
}

/// Says also where one of them ends without a line break.
fn unified(from: &str, to: &str) -> String {
    TextDiff::from_lines(from, to).unified_diff().context_radius(3).missing_newline_hint(true).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::content::{Attachment, Rendition};

    #[test]
    fn a_line_break_at_the_end_is_a_difference() {
        assert_eq!(unified("a\nb\n", "a\nb"), "@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file\n");
        assert_eq!(unified("", "\n"), "@@ -0,0 +1 @@\n+\n");
    }

    #[test]
    fn messages_are_compared_as_canonical_json_a_line_for_each_value() {
        let attachment = Attachment {
            title: "Ä \u{1} \"q\"".to_owned(),
            uri: "https://lumeo.example/a".to_owned(),
            media_type: String::new(),
            size_bytes: 7,
            sha256: String::new(),
        };
        let renditions = [Rendition { channel: crate::domain::id::Code::parse("push").unwrap(), text: "x".to_owned() }];
        for (text, canonical) in [
            (lines(&[&attachment, &attachment]), canonical_json(&[&attachment, &attachment])),
            (lines(&renditions), canonical_json(&renditions)),
        ] {
            assert!(text.lines().count() > 3, "{text}");
            let joined: String = text.lines().map(str::trim_start).collect();
            assert_eq!(joined.replace("\": ", "\":"), String::from_utf8(canonical).unwrap());
        }
        assert_eq!((lines(&None::<u8>), lines(&0_u8), lines(&Vec::<u8>::new())), Default::default());
    }
}

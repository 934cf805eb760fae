//! What differs between two texts.

use serde_json::Value;
use similar::TextDiff;

use super::content::Content;

/// How one field differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDiff {
    /// Name of the field in `onrecord.v1.Content`, such as `change_note`.
    pub field: &'static str,
    /// A unified diff with three lines of context.
    pub unified: String,
}

/// Fields in the order of the proto message: the name there, and in JSON. The salt differs always and says nothing.
const FIELDS: [(&str, &str); 22] = [
    ("title", "title"),
    ("summary", "summary"),
    ("body", "body"),
    ("body_media_type", "bodyMediaType"),
    ("renditions", "renditions"),
    ("attachments", "attachments"),
    ("topics", "topics"),
    ("region_codes", "regionCodes"),
    ("excluded_region_codes", "excludedRegionCodes"),
    ("audiences", "audiences"),
    ("channels", "channels"),
    ("urgency", "urgency"),
    ("claim_reviews", "claimReviews"),
    ("contacts", "contacts"),
    ("change_kind", "changeKind"),
    ("change_note", "changeNote"),
    ("correction", "correction"),
    ("expire_time", "expireTime"),
    ("review_due_time", "reviewDueTime"),
    ("source_edition", "sourceEdition"),
    ("as_of_time", "asOfTime"),
    ("original_time", "originalTime"),
];

/// The fields that differ between two texts. Text is compared line by line, what is not text as indented JSON.
#[must_use]
pub fn diff(from: &Content, to: &Content) -> Vec<FieldDiff> {
    let (from, to) = (json(from), json(to));
    let differing = FIELDS.iter().filter(|(_, key)| from.get(*key) != to.get(*key));
    differing
        .map(|(field, key)| FieldDiff { field, unified: unified(&lines(from.get(*key)), &lines(to.get(*key))) })
        .collect()
}

fn json(content: &Content) -> Value {
    serde_json::to_value(content).unwrap_or_default()
}

fn lines(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) if text.ends_with('\n') => text.clone(),
        Some(Value::String(text)) => format!("{text}\n"),
        Some(other) => format!("{other:#}\n"),
    }
}

fn unified(from: &str, to: &str) -> String {
    TextDiff::from_lines(from, to).unified_diff().context_radius(3).to_string()
}

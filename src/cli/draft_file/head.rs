//! The keys of a draft file.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{api::v1::claim_review, cli::times::Moment};

/// The head of a draft file. A key that is not here is refused; an optional one without a value is as one that is not given.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Head {
    pub(super) statement: String,
    pub(super) language: String,
    pub(super) title: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) summary: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind_of_change: Option<KindOfChange>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) change_note: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) correction: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) corrected_edition: String,
    /// Channel to text.
    #[serde(default, deserialize_with = "given_values", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) correction_renditions: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) base_edition: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) source_edition: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) topics: Vec<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) regions: Vec<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) excluded_regions: Vec<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) audiences: Vec<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) channels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) urgency: Option<i32>,
    /// Channel to text.
    #[serde(default, deserialize_with = "given_values", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) renditions: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) claim_reviews: Vec<ClaimReview>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) contacts: Vec<Contact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expire_time: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) review_due_time: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) as_of_time: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original_time: Option<Moment>,
}

/// What the text does to the edition before.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindOfChange {
    Initial,
    Major,
    Minor,
    Correction,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    pub(super) title: String,
    pub(super) uri: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    #[serde(default, deserialize_with = "given")]
    pub(super) size_bytes: i64,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) sha256: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimReview {
    pub(super) claim: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) claimant: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) first_appearance_uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_appearance_time: Option<Moment>,
    #[serde(deserialize_with = "verdict")]
    pub(super) verdict: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) verdict_text: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Vec::is_empty")]
    pub(super) evidence: Vec<Evidence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) as_of_time: Option<Moment>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) title: String,
    pub(super) uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retrieve_time: Option<Moment>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contact {
    pub(super) name: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) email: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) phone: String,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "String::is_empty")]
    pub(super) uri: String,
}

/// A key without a value is one that is not given.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The same for a map and each of its values.
fn given_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values: BTreeMap<String, Option<String>> = given(deserializer)?;
    Ok(values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A verdict in lower case: `false`, `missing_context`. Unquoted, `false` and `true` are still these words.
fn verdict<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let word = String::deserialize(deserializer)?;
    let name = format!("VERDICT_{}", word.to_uppercase().replace('-', "_"));
    match claim_review::Verdict::from_str_name(&name) {
        Some(verdict) if verdict != claim_review::Verdict::Unspecified => Ok(name),
        Some(_) | None => Err(D::Error::custom(format!("`{word}` is not a verdict such as false or missing_context"))),
    }
}

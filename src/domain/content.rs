//! The words of a statement in one language, and the canonical JSON that their digest is taken of.

use serde::{Deserialize, Serialize};

use super::{
    digest::{Digest, Salt},
    id::{Code, EditionName, LanguageTag, Region, StatementId},
    time::Timestamp,
};

/// Everything public that an author writes for one edition. The field names in JSON are those of `onrecord.v1.Content`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each field is described once, in proto/onrecord/v1/content.proto")]
pub struct Content {
    pub statement: StatementId,
    pub language_code: LanguageTag,
    pub salt: Salt,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    pub body_media_type: TextMediaType,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renditions: Vec<Rendition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Code>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub region_codes: Vec<Region>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_region_codes: Vec<Region>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Code>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Code>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub urgency: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_reviews: Vec<ClaimReview>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_kind: Option<ChangeKind>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_due_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_edition: Option<EditionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_time: Option<Timestamp>,
}

impl Content {
    /// The canonical JSON (RFC 8785) that is stored, hashed and served, byte for byte.
    #[must_use]
    pub fn canonical(&self) -> Text {
        let bytes = canonical_json(self);
        Text { digest: Digest::of(&[&bytes]), bytes }
    }

    /// Reads what [`Content::canonical`] wrote.
    ///
    /// # Errors
    /// If the bytes are not the canonical JSON of a content.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The editions that it names.
    pub fn editions(&self) -> impl Iterator<Item = &EditionName> {
        let corrected = self.correction.as_ref().and_then(|correction| correction.corrected_edition.as_ref());
        [corrected, self.source_edition.as_ref()].into_iter().flatten()
    }

    /// The same, to be changed.
    pub fn editions_mut(&mut self) -> impl Iterator<Item = &mut EditionName> {
        let corrected = self.correction.as_mut().and_then(|correction| correction.corrected_edition.as_mut());
        [corrected, self.source_edition.as_mut()].into_iter().flatten()
    }

    /// What filters look at.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            topics: self.topics.clone(),
            regions: self.region_codes.clone(),
            excluded_regions: self.excluded_region_codes.clone(),
            audiences: self.audiences.clone(),
            channels: self.channels.clone(),
        }
    }

    /// What the rule book and listings need of it, given its digest.
    #[must_use]
    pub fn outline(&self, digest: Digest) -> Outline {
        Outline {
            digest,
            title: self.title.clone(),
            facts: self.facts(),
            change_kind: self.change_kind,
            change_note: self.change_note.clone(),
            correction: self.correction.clone(),
            expire_time: self.expire_time,
            source_edition: self.source_edition.clone(),
        }
    }
}

/// Room that canonical JSON has at first: for a seal it is enough.
const SEAL_BYTES: usize = 1_024;

/// The canonical JSON (RFC 8785) of a value.
///
/// # Panics
/// If the value has map keys that are not strings or numbers that are not finite; ours have neither.
#[must_use]
pub fn canonical_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEAL_BYTES);
    match serde_json_canonicalizer::to_writer(value, &mut bytes) {
        Ok(()) => bytes,
        Err(fault) => unreachable!("our own types are JSON: {fault}"),
    }
}

/// A content as canonical JSON, and its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// RFC 8785.
    pub bytes: Vec<u8>,
}

/// What the rule book and listings need of a text, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// SHA-256 of the canonical JSON: names the text.
    pub digest: Digest,
    /// The title; empty once the text was erased.
    pub title: String,
    /// What filters look at.
    pub facts: Facts,
    /// What the author says the text does to the edition before.
    pub change_kind: Option<ChangeKind>,
    /// What changed.
    pub change_note: String,
    /// What was wrong.
    pub correction: Option<Correction>,
    /// When it stops being current.
    pub expire_time: Option<Timestamp>,
    /// What it translates.
    pub source_edition: Option<EditionName>,
}

impl Outline {
    /// What is left after an erasure: the digest.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self {
            digest: self.digest,
            title: String::new(),
            facts: self.facts.clone(),
            change_kind: self.change_kind,
            change_note: String::new(),
            correction: None,
            expire_time: None,
            source_edition: None,
        }
    }
}

/// What filters look at. Codes only: they stay when a text is erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// None matches no topic.
    pub topics: Vec<Code>,
    /// None means everywhere.
    pub regions: Vec<Region>,
    /// Never matches these.
    pub excluded_regions: Vec<Region>,
    /// None means everyone.
    pub audiences: Vec<Code>,
    /// None means all.
    pub channels: Vec<Code>,
}

/// What an edition does to the one before it. In JSON the names of `onrecord.v1.ChangeKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// The first edition.
    #[serde(rename = "CHANGE_KIND_INITIAL")]
    Initial,
    /// Something readers must know changed.
    #[serde(rename = "CHANGE_KIND_MAJOR")]
    Major,
    /// Spelling, layout.
    #[serde(rename = "CHANGE_KIND_MINOR")]
    Minor,
    /// The edition before was wrong.
    #[serde(rename = "CHANGE_KIND_CORRECTION")]
    Correction,
    /// A withdrawn text stands again.
    #[serde(rename = "CHANGE_KIND_REINSTATEMENT")]
    Reinstatement,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextMediaType {
    /// No mark-up.
    #[serde(rename = "text/plain")]
    Plain,
    /// `CommonMark`.
    #[serde(rename = "text/markdown")]
    Markdown,
    /// HTML as sent: unsafe until somebody sanitises it.
    #[serde(rename = "text/html")]
    Html,
}

impl TextMediaType {
    /// The media type (RFC 6838).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
        }
    }
}

/// What was wrong, in words for readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Correction {
    /// What was wrong.
    pub text: String,
    /// Which edition was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_edition: Option<EditionName>,
    /// Shorter forms for single channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renditions: Vec<Rendition>,
}

/// What the digest of a correction or a notice has of its renditions: of each a zero byte, the channel, a zero byte and the text. No text has a
/// zero byte in it.
#[must_use]
pub fn channel_parts(renditions: &[Rendition]) -> Vec<&[u8]> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for Rendition { channel, text } in renditions {
        parts.extend([b"\0", channel.as_str().as_bytes(), b"\0", text.as_bytes()]);
    }
    parts
}

/// The statement cut for one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Such as `social.short`.
    pub channel: Code,
    /// The words.
    pub text: String,
}

/// A file that belongs to the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each field is described once, in proto/onrecord/v1/content.proto")]
pub struct Attachment {
    pub title: String,
    pub uri: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "is_zero_i64", with = "decimal")]
    pub size_bytes: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

/// A claim made by somebody, and what the issuer says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each field is described once, in proto/onrecord/v1/content.proto")]
pub struct ClaimReview {
    pub claim: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claimant: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_appearance_uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_appearance_time: Option<Timestamp>,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verdict_text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of_time: Option<Timestamp>,
}

/// What a claim turned out to be. In JSON the names of `onrecord.v1.ClaimReview.Verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each verdict is described once, in proto/onrecord/v1/content.proto")]
pub enum Verdict {
    #[serde(rename = "VERDICT_FALSE")]
    False,
    #[serde(rename = "VERDICT_MISLEADING")]
    Misleading,
    #[serde(rename = "VERDICT_MISSING_CONTEXT")]
    MissingContext,
    #[serde(rename = "VERDICT_UNPROVEN")]
    Unproven,
    #[serde(rename = "VERDICT_PARTLY_TRUE")]
    PartlyTrue,
    #[serde(rename = "VERDICT_TRUE")]
    True,
    #[serde(rename = "VERDICT_OUTDATED")]
    Outdated,
}

/// Something that shows a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each field is described once, in proto/onrecord/v1/content.proto")]
pub struct Evidence {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieve_time: Option<Timestamp>,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is described once, in proto/onrecord/v1/content.proto")]
pub struct Contact {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_i64(number: &i64) -> bool {
    *number == 0
}

/// `ProtoJSON` writes 64-bit numbers as decimal strings.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

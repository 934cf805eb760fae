//! One line of the file: a statement in one language, with the edits it went through.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) language: String,
    pub(super) title: String,
    #[serde(default)]
    pub(super) summary: Option<String>,
    #[serde(default)]
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) body_media_type: Option<String>,
    #[serde(default)]
    pub(super) organisations: Vec<String>,
    #[serde(default)]
    pub(super) topics: Vec<String>,
    #[serde(default)]
    pub(super) places: Vec<String>,
    #[serde(default)]
    pub(super) urgent: bool,
    #[serde(default)]
    pub(super) first_published_at: Option<String>,
    #[serde(default)]
    pub(super) public_updated_at: Option<String>,
    /// Oldest first; each is one edition.
    #[serde(default)]
    pub(super) change_history: Vec<Change>,
    #[serde(default)]
    pub(super) attachments: Vec<File>,
    #[serde(default)]
    pub(super) withdrawn: Option<Withdrawn>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    pub(super) time: Option<String>,
    #[serde(default)]
    pub(super) note: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct File {
    #[serde(default)]
    pub(super) title: Option<String>,
    pub(super) uri: String,
    #[serde(default)]
    pub(super) media_type: Option<String>,
    #[serde(default)]
    pub(super) size_bytes: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Withdrawn {
    pub(super) explanation: String,
}

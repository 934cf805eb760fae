//! What subscribers are told.

use serde::{Deserialize, Serialize};

use super::{
    content::{Correction, Facts, canonical_json},
    digest::Digest,
    draft::Release,
    id::{Code, EditionName, LanguageTag, StatementId},
    live::{Live, Notice},
    time::Timestamp,
};

/// One thing subscribers are told, with the whole new state of a (statement, language).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What is sealed for ever.
    pub head: EventHead,
    /// What sort of statement; absent once the text was erased.
    pub statement_kind: Option<Code>,
    /// What filters saw of it before; nothing if it was not there.
    pub before: Option<Facts>,
    /// What filters see of it now; nothing if it is not there.
    pub after: Option<Facts>,
    /// Whether readers should be told.
    pub notify: bool,
    /// What a channel bot should do.
    pub channel_action: ChannelAction,
    /// The state after the event. Absent for texts under embargo, and once the text was erased.
    pub live: Option<Live>,
    /// The text under embargo, for [`EventKind::Embargoed`].
    pub embargo: Option<Release>,
    /// Whether a text under embargo became this edition.
    pub embargo_lifted: bool,
    /// What was wrong.
    pub correction: Option<Correction>,
    /// The words shown with it.
    pub notice: Option<Notice>,
    /// Where readers are sent.
    pub redirect: Option<StatementId>,
}

/// The part of an event that its hash covers: ids, times and digests, no text. It outlives an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventHead {
    /// Place in the feed: 1, 2, 3 …
    #[serde(with = "decimal")]
    pub sequence: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When.
    pub event_time: Timestamp,
    /// Which statement.
    pub statement: StatementId,
    /// In which language.
    pub language_code: LanguageTag,
    /// The newest edition after the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<EditionName>,
    /// The newest edition before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_edition: Option<EditionName>,
    /// The text it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<Digest>,
    /// The notice it gives; see [`Notice::digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_digest: Option<Digest>,
    /// Number of the entry that caused it.
    #[serde(with = "decimal")]
    pub entry: u64,
    /// Whether another event of the same entry follows.
    pub more: bool,
}

impl EventHead {
    /// The bytes that the event's hash covers: canonical JSON (RFC 8785).
    #[must_use]
    pub fn seal(&self) -> Vec<u8> {
        canonical_json(self)
    }
}

impl Event {
    /// The text that it shows.
    #[must_use]
    pub fn words(&self) -> Option<Digest> {
        let embargo = self.embargo.as_ref().map(|release| release.outline.digest);
        embargo.or_else(|| self.live.as_ref().and_then(Live::words))
    }

    /// What is left of it without its text: the head.
    #[must_use]
    pub fn hollow(head: EventHead) -> Self {
        Self {
            head,
            statement_kind: None,
            before: None,
            after: None,
            notify: false,
            channel_action: ChannelAction::None,
            live: None,
            embargo: None,
            embargo_lifted: false,
            correction: None,
            notice: None,
            redirect: None,
        }
    }
}

/// What happened. In JSON the names of `onrecord.v1.Event.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each type is described once, in proto/onrecord/v1/event.proto")]
pub enum EventKind {
    #[serde(rename = "TYPE_PUBLISHED")]
    Published,
    #[serde(rename = "TYPE_UPDATED")]
    Updated,
    #[serde(rename = "TYPE_CORRECTED")]
    Corrected,
    #[serde(rename = "TYPE_EMBARGOED")]
    Embargoed,
    #[serde(rename = "TYPE_EMBARGO_CANCELLED")]
    EmbargoCancelled,
    #[serde(rename = "TYPE_WITHDRAWN")]
    Withdrawn,
    #[serde(rename = "TYPE_NOTICE_CHANGED")]
    NoticeChanged,
    #[serde(rename = "TYPE_REINSTATED")]
    Reinstated,
    #[serde(rename = "TYPE_EXPIRED")]
    Expired,
    #[serde(rename = "TYPE_REMOVED")]
    Removed,
    #[serde(rename = "TYPE_EXPUNGED")]
    Expunged,
    #[serde(rename = "TYPE_TRANSLATION_STALE")]
    TranslationStale,
}

impl EventKind {
    /// Whether it concerns a text under embargo and so goes to cleared subscribers only.
    #[must_use]
    pub fn is_embargo(self) -> bool {
        matches!(self, Self::Embargoed | Self::EmbargoCancelled)
    }
}

/// What a channel bot should do with its earlier post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each action is described once, in proto/onrecord/v1/event.proto")]
pub enum ChannelAction {
    None,
    Post,
    Edit,
    Reply,
    Delete,
}

/// `ProtoJSON` writes 64-bit numbers as decimal strings.
pub(super) mod decimal {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(in crate::domain) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(number);
        }
        number.serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        u64::deserialize(deserializer)
    }
}

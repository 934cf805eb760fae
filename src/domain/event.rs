//! What subscribers are told.

use serde::{Deserialize, Serialize};

use super::{
    content::{ChangeKind, Correction, Facts, canonical_json, channel_parts},
    digest::{Digest, Salt},
    draft::Release,
    id::{Code, EditionName, LanguageTag, StatementId},
    live::{Live, LiveState, Notice},
    time::Timestamp,
};

/// The version of the list of members that a seal has. `docs/feed.md` says what each version covers.
pub const SEAL_VERSION: u32 = 3;

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
    /// Salt of the digests of the change note and the correction; none where neither is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
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
    /// Which members the seal has: [`SEAL_VERSION`], or none for those before the ones below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// What sort of statement.
    #[serde(rename = "kind", default, skip_serializing_if = "Option::is_none")]
    pub statement_kind: Option<Code>,
    /// Whether readers should be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<bool>,
    /// What a channel bot should do.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "named")]
    pub channel_action: Option<ChannelAction>,
    /// Whether a text under embargo became this edition.
    #[serde(default, skip_serializing_if = "is_false")]
    pub embargo_lifted: bool,
    /// When the embargo is to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embargo_end_time: Option<Timestamp>,
    /// [`Live::state`]; none where it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "named")]
    pub state: Option<LiveState>,
    /// What the edition did to the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_kind: Option<ChangeKind>,
    /// SHA-256 over the salt and the change note; none without a note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_note_digest: Option<Digest>,
    /// SHA-256 over the salt and the correction; none without a correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction_digest: Option<Digest>,
    /// When the edition was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_time: Option<Timestamp>,
    /// When the first edition was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_publish_time: Option<Timestamp>,
    /// When an edition other than a MINOR one was published last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_change_time: Option<Timestamp>,
    /// An edition of the source language that this translation does not reflect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since_edition: Option<EditionName>,
    /// Where readers are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_statement: Option<StatementId>,
    /// Source language of the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_language_code: Option<LanguageTag>,
    /// Time of the withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw_time: Option<Timestamp>,
}

impl EventHead {
    /// The head of an event about no edition and no text, the only one of its entry.
    #[must_use]
    pub fn new(
        sequence: u64,
        kind: EventKind,
        event_time: Timestamp,
        statement: StatementId,
        language_code: LanguageTag,
        entry: u64,
    ) -> Self {
        Self {
            sequence,
            kind,
            event_time,
            statement,
            language_code,
            edition: None,
            previous_edition: None,
            content_digest: None,
            notice_digest: None,
            entry,
            more: false,
            version: None,
            statement_kind: None,
            notify: None,
            channel_action: None,
            embargo_lifted: false,
            embargo_end_time: None,
            state: None,
            change_kind: None,
            change_note_digest: None,
            correction_digest: None,
            publish_time: None,
            first_publish_time: None,
            major_change_time: None,
            stale_since_edition: None,
            redirect_statement: None,
            source_language_code: None,
            withdraw_time: None,
        }
    }

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
            statement_kind: None,
            before: None,
            after: None,
            notify: head.notify.unwrap_or_default(),
            channel_action: head.channel_action.unwrap_or(ChannelAction::None),
            live: None,
            embargo: None,
            embargo_lifted: head.embargo_lifted,
            correction: None,
            notice: None,
            redirect: head.redirect_statement.clone().filter(|_| head.kind == EventKind::Removed),
            salt: None,
            head,
        }
    }

    /// Has the head cover all that the event shows: values as they are, texts by their salted digests.
    pub fn cover(&mut self, salt: Salt) {
        let head = &mut self.head;
        head.version = Some(SEAL_VERSION);
        head.statement_kind.clone_from(&self.statement_kind);
        head.notify = Some(self.notify);
        head.channel_action = Some(self.channel_action);
        head.embargo_lifted = self.embargo_lifted;
        head.embargo_end_time = self.embargo.as_ref().map(|release| release.time);
        if let Some(live) = &self.live {
            self.salt = head.cover_live(live, salt);
        }
    }
}

impl EventHead {
    /// Covers what is live. Returns the salt, if a text was digested with it.
    fn cover_live(&mut self, live: &Live, salt: Salt) -> Option<Salt> {
        let edition = &live.edition;
        // Where the text may not be read, nothing that is said about it may.
        let is_told = live.state.has_text();
        let note = Some(&edition.change_note).filter(|note| is_told && !note.is_empty());
        let correction = edition.correction.as_ref().filter(|_| is_told);
        self.state = Some(live.state).filter(|state| *state != LiveState::Hidden);
        self.change_kind = Some(edition.change_kind);
        self.change_note_digest = note.map(|note| Digest::of(&[&salt.0, note.as_bytes()]));
        self.correction_digest = correction.map(|correction| correction.digest(salt));
        self.notice_digest = live.notice.as_ref().map(Notice::digest);
        self.publish_time = Some(edition.publish_time);
        self.first_publish_time = Some(live.first_publish_time);
        self.major_change_time = Some(live.major_change_time);
        self.stale_since_edition.clone_from(&live.stale_since);
        self.redirect_statement.clone_from(&live.redirect);
        self.source_language_code.clone_from(&live.source_language);
        self.withdraw_time = live.withdraw_time;
        (self.change_note_digest.is_some() || self.correction_digest.is_some()).then_some(salt)
    }
}

impl Correction {
    /// SHA-256 over the salt, the name of the corrected edition, a zero byte, the text and the channels' texts.
    fn digest(&self, salt: Salt) -> Digest {
        let edition = self.corrected_edition.as_ref().map(ToString::to_string).unwrap_or_default();
        let parts: [&[u8]; 4] = [&salt.0, edition.as_bytes(), b"\0", self.text.as_bytes()];
        Digest::of(&[&parts[..], &channel_parts(&self.renditions)].concat())
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A value that has a name in `onrecord.v1`.
trait Named: Copy + 'static {
    const NAMES: &'static [(Self, &'static str)];
}

impl Named for ChannelAction {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::None, "CHANNEL_ACTION_NONE"),
        (Self::Post, "CHANNEL_ACTION_POST"),
        (Self::Edit, "CHANNEL_ACTION_EDIT"),
        (Self::Reply, "CHANNEL_ACTION_REPLY"),
        (Self::Delete, "CHANNEL_ACTION_DELETE"),
    ];
}

impl Named for LiveState {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Published, "STATE_PUBLISHED"),
        (Self::Withdrawn, "STATE_WITHDRAWN"),
        (Self::Expired, "STATE_EXPIRED"),
        (Self::Gone, "STATE_GONE"),
        (Self::Redirected, "STATE_REDIRECTED"),
        (Self::Expunged, "STATE_EXPUNGED"),
    ];
}

/// JSON has the names of `onrecord.v1`; rows have their own.
mod named {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::Named;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<T: Named + Serialize + PartialEq, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return value.serialize(serializer);
        }
        let named = |value: T| T::NAMES.iter().find(|(named, _)| *named == value).map(|(_, name)| *name);
        value.and_then(named).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Named + Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        if !deserializer.is_human_readable() {
            return Option::deserialize(deserializer);
        }
        let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let found = T::NAMES.iter().find(|(_, known)| *known == name).map(|(value, _)| *value);
        found.map(Some).ok_or_else(|| de::Error::custom("not a name of this value"))
    }
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

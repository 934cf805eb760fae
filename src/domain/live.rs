//! What readers are shown: editions, and how the newest one stands.

use serde::{Deserialize, Serialize};

use super::{
    content::{ChangeKind, Correction, Facts, Outline, Rendition, TextMediaType, channel_parts},
    digest::{Digest, Salt},
    id::{EditionName, LanguageTag, StatementId},
    time::Timestamp,
};

/// One immutable published text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// 1 for the first.
    pub number: u32,
    /// The text, by its digest. A reinstatement has the digest of the edition it repeats.
    pub outline: Outline,
    /// What it did to the edition before.
    pub change_kind: ChangeKind,
    /// What changed, in words for readers.
    pub change_note: String,
    /// What was wrong with the edition before.
    pub correction: Option<Correction>,
    /// When it was published.
    pub publish_time: Timestamp,
    /// True once the text was erased.
    pub expunged: bool,
}

impl Edition {
    /// What is left after an erasure: number, digest, kind and time.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self {
            number: self.number,
            outline: self.outline.erased(),
            change_kind: self.change_kind,
            change_note: String::new(),
            correction: None,
            publish_time: self.publish_time,
            expunged: true,
        }
    }
}

/// How the newest edition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LiveState {
    /// Current.
    Published,
    /// Readable, with the notice.
    Withdrawn,
    /// Readable, no longer current.
    Expired,
    /// The notice only.
    Gone,
    /// Elsewhere.
    Redirected,
    /// Answered as what never was.
    Hidden,
    /// Erased by law.
    Expunged,
}

impl LiveState {
    /// Whether the text itself may be read.
    #[must_use]
    pub fn has_text(self) -> bool {
        match self {
            Self::Published | Self::Withdrawn | Self::Expired => true,
            Self::Gone | Self::Redirected | Self::Hidden | Self::Expunged => false,
        }
    }
}

/// How much readers may see of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Openness {
    /// Nothing: it is answered as what never was.
    Nothing,
    /// That it exists, and its notice.
    Notice,
    /// Its words.
    Words,
}

/// What readers are shown of a (statement, language) now: the newest edition, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// How it stands.
    pub state: LiveState,
    /// Set where the text was erased while readers were answered as if it never was: they still are.
    pub hidden: bool,
    /// The newest edition.
    pub edition: Edition,
    /// The words shown with it.
    pub notice: Option<Notice>,
    /// Where readers are sent.
    pub redirect: Option<StatementId>,
    /// When the first edition was published.
    pub first_publish_time: Timestamp,
    /// When an edition other than a MINOR one was published last.
    pub major_change_time: Timestamp,
    /// When this last changed.
    pub update_time: Timestamp,
    /// An edition of the source language that this translation does not reflect.
    pub stale_since: Option<EditionName>,
    /// The newest edition that says something else than the one before: INITIAL, MAJOR or CORRECTION.
    #[serde(default)]
    pub major_number: u32,
    /// The event that made it so.
    pub sequence: u64,
    /// Source language of the statement; none in rows that were written before it was stored here.
    #[serde(default)]
    pub source_language: Option<LanguageTag>,
    /// Time of the withdrawal, while the text is withdrawn.
    #[serde(default)]
    pub withdraw_time: Option<Timestamp>,
}

impl Live {
    /// The one visibility rule: whether readers are told that it exists. What is not visible is answered as what never was.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        !self.hidden && self.state != LiveState::Hidden
    }

    /// How much readers may see of it.
    #[must_use]
    pub fn openness(&self) -> Openness {
        if !self.is_visible() {
            Openness::Nothing
        } else if self.state.has_text() {
            Openness::Words
        } else {
            Openness::Notice
        }
    }

    /// The text that it shows.
    #[must_use]
    pub fn words(&self) -> Option<Digest> {
        self.state.has_text().then_some(self.edition.outline.digest)
    }

    /// What filters look at; nothing if it is hidden or erased, so that it is in no listing, snapshot or folded stream.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        (self.is_visible() && self.state != LiveState::Expunged).then_some(&self.edition.outline.facts)
    }
}

/// The words shown with a withdrawn or removed edition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The words.
    pub text: String,
    /// How they are written.
    pub media_type: TextMediaType,
    /// Random; set when the notice is given.
    pub salt: Salt,
    /// Shorter forms for single channels.
    #[serde(default)]
    pub renditions: Vec<Rendition>,
}

impl Notice {
    /// SHA-256 over the salt, the media type, a zero byte, the text and the channels' texts: what an event's seal names.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let parts: [&[u8]; 4] = [&self.salt.0, self.media_type.as_str().as_bytes(), b"\0", self.text.as_bytes()];
        Digest::of(&[&parts[..], &channel_parts(&self.renditions)].concat())
    }
}

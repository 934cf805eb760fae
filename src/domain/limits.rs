//! Every bound on what is stored, named, unit last.
//!
//! Text has a limit in grapheme clusters (UAX #29), which is what a reader counts, and one in bytes of UTF-8, because a cluster has
//! no length of its own. Both are counted in the text as it is stored, in NFC. The comments in `proto/` state both;
//! `tests/it/texts.rs` compares them with these constants.

use std::collections::BTreeMap;

use super::id::{Code, Malformed};

/// Characters of a statement id or a code.
pub const ID_CHARS_MAX: usize = 63;
/// Bytes of a language tag (RFC 5646, section 4.4.1 recommends room for 35).
pub const LANGUAGE_BYTES_MAX: usize = 35;
/// Bytes of a caller's name.
pub const CALLER_BYTES_MAX: usize = 256;
/// Languages of one statement.
pub const LANGUAGES_MAX: usize = 128;
/// Bounds of one kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimit {
    /// Grapheme clusters.
    pub graphemes: usize,
    /// Bytes of UTF-8.
    pub bytes: usize,
}

impl TextLimit {
    /// A limit in bytes alone.
    #[must_use]
    pub const fn bytes(bytes: usize) -> Self {
        Self { graphemes: bytes, bytes }
    }

    /// This limit with fewer grapheme clusters, and with as many bytes for each as before.
    #[must_use]
    const fn lowered(self, graphemes: usize) -> Self {
        Self { graphemes, bytes: self.bytes / self.graphemes * graphemes }
    }
}

/// A title, of a text or of something that it names. 40 bytes for each grapheme cluster hold any emoji that keyboards offer: the
/// longest have 35.
pub const TITLE: TextLimit = TextLimit { graphemes: 300, bytes: 12_000 };
/// A summary, note, correction, reason or comment. 16 bytes for each grapheme cluster hold any written language.
pub const NOTE: TextLimit = TextLimit { graphemes: 1_000, bytes: 16_000 };
/// A notice.
pub const NOTICE: TextLimit = TextLimit { graphemes: 2_000, bytes: 32_000 };
/// A rendition whose channel has no limit of its own.
pub const RENDITION: TextLimit = TextLimit { graphemes: 10_000, bytes: 80_000 };
/// Bytes of a body.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a whole text, as a message on the wire and as canonical JSON: with [`NOTICE`] and three times [`NOTE`] it leaves an event
/// under 768 KiB in both forms.
pub const CONTENT_BYTES_MAX: usize = 640 * 1024;
/// Attachments of a text.
pub const ATTACHMENTS_MAX: usize = 64;
/// Claim reviews of a text.
pub const CLAIM_REVIEWS_MAX: usize = 64;
/// Pieces of evidence of a claim review.
pub const EVIDENCE_MAX: usize = 16;
/// Renditions of a correction or a notice.
pub const SHORT_RENDITIONS_MAX: usize = 4;
/// A rendition of a correction or a notice whose channel has no lower limit.
pub const SHORT_RENDITION: TextLimit = TextLimit { graphemes: 300, bytes: 2_400 };
/// Renditions of a text.
pub const RENDITIONS_MAX: usize = 16;
/// Contacts of a text.
pub const CONTACTS_MAX: usize = 16;
/// Topics of a text.
pub const TOPICS_MAX: usize = 64;
/// Regions of a text, and as many excluded ones.
pub const REGIONS_MAX: usize = 300;
/// Audiences of a text, and as many channels.
pub const AUDIENCES_MAX: usize = 16;
/// Bytes of a URI.
pub const URI_BYTES_MAX: usize = 2_048;
/// Bytes of a media type, e-mail address, telephone number or owner.
pub const SHORT_BYTES_MAX: usize = 128;
/// Bytes of an etag or the id of a proposal: those that the service makes are shorter.
pub const OPAQUE_BYTES_MAX: usize = 64;
/// Annotations of a statement.
pub const ANNOTATIONS_MAX: usize = 32;
/// Bytes of the value of an annotation.
pub const ANNOTATION_BYTES_MAX: usize = 1_024;
/// Seconds that a release may be late when the call does not say.
pub const LATENESS_SECONDS_DEFAULT: i64 = 3_600;
/// Seconds that a release may be late at most: 30 days.
pub const LATENESS_SECONDS_MAX: i64 = 30 * 24 * 3_600;
/// Seconds until a proposal lapses: 7 days.
pub const PROPOSAL_SECONDS: i64 = 7 * 24 * 3_600;

/// Grapheme clusters of renditions whose channel has a limit of its own.
const RENDITIONS: [(&str, usize); 3] = [("headline", 110), ("push", 178), ("social.short", 280)];

/// The limits of texts that an operator may lower. None can be raised: the constants of this module are what the store, the feed and
/// clients were made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Those of [`TITLE`].
    pub title_graphemes: usize,
    /// Those of [`NOTE`], for summaries.
    pub summary_graphemes: usize,
    /// [`BODY_BYTES_MAX`]
    pub body_bytes: usize,
    /// [`ATTACHMENTS_MAX`]
    pub attachments: usize,
    /// [`CLAIM_REVIEWS_MAX`]
    pub claim_reviews: usize,
    /// Grapheme clusters of renditions, by channel.
    renditions: BTreeMap<String, usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            title_graphemes: TITLE.graphemes,
            summary_graphemes: NOTE.graphemes,
            body_bytes: BODY_BYTES_MAX,
            attachments: ATTACHMENTS_MAX,
            claim_reviews: CLAIM_REVIEWS_MAX,
            renditions: RENDITIONS.map(|(channel, max)| (channel.to_owned(), max)).into(),
        }
    }
}

impl Limits {
    /// Bounds of a statement's title.
    #[must_use]
    pub fn title(&self) -> TextLimit {
        TITLE.lowered(self.title_graphemes)
    }

    /// Bounds of a summary.
    #[must_use]
    pub fn summary(&self) -> TextLimit {
        NOTE.lowered(self.summary_graphemes)
    }

    /// Channels with a limit of their own, and grapheme clusters that a rendition for each may have.
    pub fn renditions(&self) -> impl Iterator<Item = (&str, usize)> {
        self.renditions.iter().map(|(channel, max)| (channel.as_str(), *max))
    }

    /// Grapheme clusters that a rendition for `channel` may have.
    #[must_use]
    pub fn rendition_graphemes(&self, channel: &str) -> usize {
        self.renditions.get(channel).copied().unwrap_or(RENDITION.graphemes)
    }

    /// Lowers a limit: `title`, `summary`, `body`, `attachments`, `claim-reviews`, or `rendition.` and a channel.
    ///
    /// # Errors
    /// If there is no such limit, or it is not lower.
    pub fn lower(&mut self, name: &str, to: usize) -> Result<(), Malformed> {
        let limit = match name {
            "title" => &mut self.title_graphemes,
            "summary" => &mut self.summary_graphemes,
            "body" => &mut self.body_bytes,
            "attachments" => &mut self.attachments,
            "claim-reviews" => &mut self.claim_reviews,
            _ => {
                let channel = name.strip_prefix("rendition.").filter(|channel| Code::parse(channel).is_ok());
                let channel = channel.ok_or_else(|| {
                    Malformed::new("must be title, summary, body, attachments, claim-reviews or rendition.CHANNEL")
                })?;
                self.renditions.entry(channel.to_owned()).or_insert(RENDITION.graphemes)
            }
        };
        if to > *limit {
            return Err(Malformed::new(format!("can only be lowered: it is {limit}")));
        }
        *limit = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lowered_and_never_raised() {
        let mut limits = Limits::default();
        limits.lower("title", 100).unwrap();
        limits.lower("rendition.push", 120).unwrap();
        limits.lower("rendition.ticker", 60).unwrap();
        assert_eq!(limits.title(), TextLimit { graphemes: 100, bytes: 4_000 });
        let renditions = ["push", "ticker", "headline", "any"].map(|channel| limits.rendition_graphemes(channel));
        assert_eq!(renditions, [120, 60, 110, RENDITION.graphemes]);
        assert_eq!(limits.lower("title", 101), Err(Malformed::new("can only be lowered: it is 100")));
        assert!(limits.lower("rendition.", 1).is_err() && limits.lower("titles", 1).is_err());
    }
}

//! Every bound on what is stored, named, unit last.
//!
//! Text has a limit in grapheme clusters (UAX #29), which is what a reader counts, and one in bytes, because a cluster has no
//! length of its own.

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
/// Grapheme clusters of a title.
pub const TITLE_GRAPHEMES_MAX: usize = 300;
/// Grapheme clusters of a summary, note, correction, reason or comment.
pub const NOTE_GRAPHEMES_MAX: usize = 1_000;
/// Grapheme clusters of a notice.
pub const NOTICE_GRAPHEMES_MAX: usize = 2_000;
/// Grapheme clusters of a rendition whose channel has no limit of its own.
pub const RENDITION_GRAPHEMES_MAX: usize = 10_000;
/// Bytes for each grapheme cluster that a text may have, on average.
pub const BYTES_PER_GRAPHEME_MAX: usize = 8;
/// Bytes of a body.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a whole text on the wire: with [`NOTICE_GRAPHEMES_MAX`] it leaves an event under 768 KiB.
pub const CONTENT_BYTES_MAX: usize = 640 * 1024;
/// Attachments of a text.
pub const ATTACHMENTS_MAX: usize = 64;
/// Claim reviews of a text.
pub const CLAIM_REVIEWS_MAX: usize = 64;
/// Pieces of evidence of a claim review.
pub const EVIDENCE_MAX: usize = 16;
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
    /// [`TITLE_GRAPHEMES_MAX`]
    pub title_graphemes: usize,
    /// [`NOTE_GRAPHEMES_MAX`], for summaries.
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
            title_graphemes: TITLE_GRAPHEMES_MAX,
            summary_graphemes: NOTE_GRAPHEMES_MAX,
            body_bytes: BODY_BYTES_MAX,
            attachments: ATTACHMENTS_MAX,
            claim_reviews: CLAIM_REVIEWS_MAX,
            renditions: RENDITIONS.map(|(channel, max)| (channel.to_owned(), max)).into(),
        }
    }
}

impl Limits {
    /// Grapheme clusters that a rendition for `channel` may have.
    #[must_use]
    pub fn rendition_graphemes(&self, channel: &str) -> usize {
        self.renditions.get(channel).copied().unwrap_or(RENDITION_GRAPHEMES_MAX)
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
                self.renditions.entry(channel.to_owned()).or_insert(RENDITION_GRAPHEMES_MAX)
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
        assert_eq!(limits.title_graphemes, 100);
        let renditions = ["push", "ticker", "headline", "any"].map(|channel| limits.rendition_graphemes(channel));
        assert_eq!(renditions, [120, 60, 110, RENDITION_GRAPHEMES_MAX]);
        assert_eq!(limits.lower("title", 101), Err(Malformed::new("can only be lowered: it is 100")));
        assert!(limits.lower("rendition.", 1).is_err() && limits.lower("titles", 1).is_err());
    }
}

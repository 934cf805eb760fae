//! Every bound on what is stored, named, unit last.
//!
//! Text has a limit in grapheme clusters (UAX #29), which is what a reader counts, and one in bytes, because a cluster has no
//! length of its own.

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

/// Grapheme clusters that a rendition for `channel` may have.
#[must_use]
pub fn rendition_graphemes_max(channel: &str) -> usize {
    match channel {
        "headline" => 110,
        "push" => 178,
        "social.short" => 280,
        _ => RENDITION_GRAPHEMES_MAX,
    }
}

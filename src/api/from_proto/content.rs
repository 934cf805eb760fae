//! The words of a draft.

use prost::Message as _;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    Faults,
    text::{Rule, bounded, checked, codes, media_type, optional_uri, required, short, text, text_media_type, uri},
};
use crate::{
    api::{to_proto, v1},
    domain::{
        content::{
            Attachment, ChangeKind, ClaimReview, Contact, Content, Correction, Evidence, Rendition, TextMediaType,
            Verdict,
        },
        digest::{Digest, Salt},
        draft::FieldFault,
        id::{Code, EditionName, LanguageTag, Malformed, Region, StatementId},
        limits::{self, Limits, NOTE, TITLE, TextLimit},
        live::Notice,
    },
};

/// The words of a draft, and what stands against submitting them.
pub(super) fn content(
    faults: &mut Faults,
    limits: &Limits,
    given: &v1::Content,
    statement: &StatementId,
    language: &LanguageTag,
) -> (Content, Vec<FieldFault>) {
    let path = |field: &str| format!("draft.content.{field}");
    let content = Content {
        statement: statement.clone(),
        language_code: language.clone(),
        salt: Salt::default(),
        title: checked(faults, path("title"), &given.title, Rule::line(limits.title()).required()),
        summary: text(faults, path("summary"), &given.summary, limits.summary()),
        body: text(faults, path("body"), &given.body, TextLimit::bytes(limits.body_bytes)),
        body_media_type: text_media_type(
            faults,
            path("body_media_type"),
            &given.body_media_type,
            TextMediaType::Markdown,
        ),
        renditions: renditions(
            faults,
            &path("renditions"),
            &given.renditions,
            limits::RENDITIONS_MAX,
            limits::RENDITION,
        ),
        attachments: attachments(faults, &path("attachments"), &given.attachments, limits.attachments),
        topics: codes(faults, &path("topics"), &given.topics, limits::TOPICS_MAX, Code::parse),
        region_codes: codes(faults, &path("region_codes"), &given.region_codes, limits::REGIONS_MAX, Region::parse),
        excluded_region_codes: codes(
            faults,
            &path("excluded_region_codes"),
            &given.excluded_region_codes,
            limits::REGIONS_MAX,
            Region::parse,
        ),
        audiences: codes(faults, &path("audiences"), &given.audiences, limits::AUDIENCES_MAX, Code::parse),
        channels: codes(faults, &path("channels"), &given.channels, limits::AUDIENCES_MAX, Code::parse),
        urgency: urgency(faults, &path("urgency"), given.urgency),
        claim_reviews: claim_reviews(faults, &path("claim_reviews"), &given.claim_reviews, limits.claim_reviews),
        contacts: contacts(faults, &path("contacts"), &given.contacts),
        change_kind: change_kind(faults, &path("change_kind"), given.change_kind),
        change_note: text(faults, path("change_note"), &given.change_note, NOTE),
        correction: given.correction.as_ref().map(|given| correction(faults, given, statement, language)),
        expire_time: faults.time(&path("expire_time"), given.expire_time),
        review_due_time: faults.time(&path("review_due_time"), given.review_due_time),
        source_edition: source_edition(faults, &path("source_edition"), &given.source_edition, statement),
        as_of_time: faults.time(&path("as_of_time"), given.as_of_time),
        original_time: faults.time(&path("original_time"), given.original_time),
    };
    bounded_bytes(faults, &content);
    let mut problems = long_renditions(limits, "content", &content.renditions);
    let of_correction = content.correction.iter();
    problems.extend(of_correction.flat_map(|it| long_renditions(limits, "content.correction", &it.renditions)));
    (content, problems)
}

/// Refuses a text that is too long in one of its forms. It is measured as it is stored: NFC can be longer than what was sent.
fn bounded_bytes(faults: &mut Faults, content: &Content) {
    let (wire, canonical) = (to_proto::content(content).encoded_len(), content.canonical().bytes.len());
    let max = limits::CONTENT_BYTES_MAX;
    if wire.max(canonical) > max {
        let words = format!(
            "must have at most {max} bytes, as a message and as canonical JSON; it has {wire} as a message and {canonical} as canonical JSON"
        );
        faults.add("draft.content", words);
    }
}

/// What stops a draft from being submitted, and not from being saved: it is mended while it is written.
fn long_renditions(limits: &Limits, of: &str, renditions: &[Rendition]) -> Vec<FieldFault> {
    let long = renditions.iter().enumerate().filter_map(|(place, rendition)| {
        let max = limits.rendition_graphemes(rendition.channel.as_str());
        let count = rendition.text.graphemes(true).count();
        let words = format!("has {count} characters (grapheme clusters); {} takes at most {max}", rendition.channel);
        (count > max).then(|| FieldFault::new(format!("{of}.renditions[{place}].text"), words))
    });
    long.collect()
}

fn urgency(faults: &mut Faults, field: &str, given: i32) -> u8 {
    let urgency = u8::try_from(given).ok().filter(|urgency| *urgency <= 9);
    faults.take(field, urgency.ok_or_else(|| Malformed::new("must be 1 (most urgent) to 9, or 0"))).unwrap_or_default()
}

fn change_kind(faults: &mut Faults, field: &str, given: i32) -> Option<ChangeKind> {
    match v1::ChangeKind::try_from(given) {
        Ok(v1::ChangeKind::Unspecified) => None,
        Ok(v1::ChangeKind::Initial) => Some(ChangeKind::Initial),
        Ok(v1::ChangeKind::Major) => Some(ChangeKind::Major),
        Ok(v1::ChangeKind::Minor) => Some(ChangeKind::Minor),
        Ok(v1::ChangeKind::Correction) => Some(ChangeKind::Correction),
        Ok(v1::ChangeKind::Reinstatement) | Err(_) => {
            faults.add(field, "must be INITIAL, MAJOR, MINOR or CORRECTION");
            None
        }
    }
}

fn correction(
    faults: &mut Faults,
    given: &v1::Correction,
    statement: &StatementId,
    language: &LanguageTag,
) -> Correction {
    let text = required(faults, "draft.content.correction.text", &given.text, NOTE);
    let field = "draft.content.correction.corrected_edition";
    let edition = edition_of(faults, field, &given.corrected_edition, statement);
    if edition.as_ref().is_some_and(|edition| !edition.language.matches(language)) {
        faults.add(field, "must be an edition in the language of the draft");
    }
    let renditions = short_renditions(faults, "draft.content.correction.renditions", &given.renditions);
    Correction { text, corrected_edition: edition, renditions }
}

fn source_edition(faults: &mut Faults, field: &str, given: &str, statement: &StatementId) -> Option<EditionName> {
    edition_of(faults, field, given, statement)
}

fn edition_of(faults: &mut Faults, field: &str, given: &str, statement: &StatementId) -> Option<EditionName> {
    if given.is_empty() {
        return None;
    }
    let edition = faults.take(field, EditionName::parse(given))?;
    if edition.statement != *statement {
        faults.add(field, "must be an edition of the same statement");
    }
    Some(edition)
}

fn renditions(
    faults: &mut Faults,
    field: &str,
    given: &[v1::Rendition],
    count_max: usize,
    limit: TextLimit,
) -> Vec<Rendition> {
    let given = bounded(faults, field, given, count_max);
    let mut renditions = Vec::new();
    for (place, rendition) in given.iter().enumerate() {
        let channel = faults.take(format!("{field}[{place}].channel"), Code::parse(&rendition.channel));
        if given.iter().take(place).any(|other| other.channel == rendition.channel) {
            faults.add(format!("{field}[{place}].channel"), "is given twice");
        }
        let text = required(faults, format!("{field}[{place}].text"), &rendition.text, limit);
        renditions.extend(channel.map(|channel| Rendition { channel, text }));
    }
    renditions
}

fn attachments(faults: &mut Faults, field: &str, given: &[v1::Attachment], max: usize) -> Vec<Attachment> {
    let given = bounded(faults, field, given, max);
    given.iter().enumerate().map(|(place, item)| attachment(faults, &format!("{field}[{place}]"), item)).collect()
}

fn attachment(faults: &mut Faults, field: &str, given: &v1::Attachment) -> Attachment {
    if given.size_bytes < 0 {
        faults.add(format!("{field}.size_bytes"), "must not be negative");
    }
    if !given.sha256.is_empty() {
        faults.take(format!("{field}.sha256"), Digest::parse(&given.sha256));
    }
    Attachment {
        title: checked(faults, format!("{field}.title"), &given.title, Rule::line(TITLE).required()),
        uri: uri(faults, format!("{field}.uri"), &given.uri),
        media_type: media_type(faults, format!("{field}.media_type"), &given.media_type),
        size_bytes: given.size_bytes,
        sha256: given.sha256.clone(),
    }
}

fn claim_reviews(faults: &mut Faults, field: &str, given: &[v1::ClaimReview], max: usize) -> Vec<ClaimReview> {
    let given = bounded(faults, field, given, max);
    let reviews =
        given.iter().enumerate().map(|(place, item)| claim_review(faults, &format!("{field}[{place}]"), item));
    reviews.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn claim_review(faults: &mut Faults, field: &str, given: &v1::ClaimReview) -> Option<ClaimReview> {
    let sources = bounded(faults, &format!("{field}.evidence"), &given.evidence, limits::EVIDENCE_MAX);
    let verdict = verdict(given.verdict());
    if verdict.is_none() {
        faults.add(format!("{field}.verdict"), "is required");
    }
    Some(ClaimReview {
        claim: required(faults, format!("{field}.claim"), &given.claim, NOTE),
        claimant: checked(faults, format!("{field}.claimant"), &given.claimant, Rule::line(TITLE)),
        first_appearance_uri: optional_uri(
            faults,
            format!("{field}.first_appearance_uri"),
            &given.first_appearance_uri,
        ),
        first_appearance_time: faults.time(&format!("{field}.first_appearance_time"), given.first_appearance_time),
        verdict_text: text(faults, format!("{field}.verdict_text"), &given.verdict_text, NOTE),
        evidence: sources
            .iter()
            .enumerate()
            .map(|(n, item)| evidence(faults, &format!("{field}.evidence[{n}]"), item))
            .collect(),
        as_of_time: faults.time(&format!("{field}.as_of_time"), given.as_of_time),
        verdict: verdict?,
    })
}

fn verdict(given: v1::claim_review::Verdict) -> Option<Verdict> {
    use v1::claim_review::Verdict as Wire;
    match given {
        Wire::Unspecified => None,
        Wire::False => Some(Verdict::False),
        Wire::Misleading => Some(Verdict::Misleading),
        Wire::MissingContext => Some(Verdict::MissingContext),
        Wire::Unproven => Some(Verdict::Unproven),
        Wire::PartlyTrue => Some(Verdict::PartlyTrue),
        Wire::True => Some(Verdict::True),
        Wire::Outdated => Some(Verdict::Outdated),
    }
}

fn evidence(faults: &mut Faults, field: &str, given: &v1::Evidence) -> Evidence {
    Evidence {
        title: checked(faults, format!("{field}.title"), &given.title, Rule::line(TITLE)),
        uri: uri(faults, format!("{field}.uri"), &given.uri),
        retrieve_time: faults.time(&format!("{field}.retrieve_time"), given.retrieve_time),
    }
}

fn contacts(faults: &mut Faults, field: &str, given: &[v1::Contact]) -> Vec<Contact> {
    let given = bounded(faults, field, given, limits::CONTACTS_MAX);
    let contact = |(place, given): (usize, &v1::Contact)| Contact {
        name: checked(faults, format!("{field}[{place}].name"), &given.name, Rule::line(TITLE).required()),
        email: short(faults, format!("{field}[{place}].email"), &given.email),
        phone: short(faults, format!("{field}[{place}].phone"), &given.phone),
        uri: optional_uri(faults, format!("{field}[{place}].uri"), &given.uri),
    };
    given.iter().enumerate().map(contact).collect()
}

/// Reads a notice.
pub(super) fn notice(faults: &mut Faults, limits: &Limits, given: &v1::Notice) -> Notice {
    let renditions = short_renditions(faults, "notice.renditions", &given.renditions);
    for fault in long_renditions(limits, "notice", &renditions) {
        faults.add(fault.field, fault.description);
    }
    Notice {
        text: required(faults, "notice.text", &given.text, limits::NOTICE),
        media_type: text_media_type(faults, "notice.text_media_type", &given.text_media_type, TextMediaType::Plain),
        salt: Salt::default(),
        renditions,
    }
}

/// Reads the renditions of a correction or a notice.
fn short_renditions(faults: &mut Faults, field: &str, given: &[v1::Rendition]) -> Vec<Rendition> {
    renditions(faults, field, given, limits::SHORT_RENDITIONS_MAX, limits::SHORT_RENDITION)
}

//! The words of a text.

use super::{change_kind, correction, time};
use crate::{
    api::v1,
    domain::{
        content::{Attachment, ClaimReview, Contact, Content, Evidence, Rendition, Verdict},
        id::{Code, Region},
    },
};

/// The words of a text: the very fields that its canonical JSON has.
pub(in crate::api) fn content(content: &Content) -> v1::Content {
    v1::Content {
        statement: content.statement.name(),
        language_code: content.language_code.to_string(),
        salt: content.salt.0.to_vec(),
        title: content.title.clone(),
        summary: content.summary.clone(),
        body: content.body.clone(),
        body_media_type: content.body_media_type.as_str().to_owned(),
        renditions: renditions(&content.renditions),
        attachments: content.attachments.iter().map(attachment).collect(),
        topics: codes(&content.topics),
        region_codes: regions(&content.region_codes),
        excluded_region_codes: regions(&content.excluded_region_codes),
        audiences: codes(&content.audiences),
        channels: codes(&content.channels),
        urgency: content.urgency.into(),
        claim_reviews: content.claim_reviews.iter().map(claim_review).collect(),
        contacts: content.contacts.iter().map(contact).collect(),
        change_kind: content.change_kind.map_or(0, |kind| change_kind(kind).into()),
        change_note: content.change_note.clone(),
        correction: content.correction.as_ref().map(correction),
        expire_time: content.expire_time.and_then(time),
        review_due_time: content.review_due_time.and_then(time),
        source_edition: content.source_edition.as_ref().map(ToString::to_string).unwrap_or_default(),
        as_of_time: content.as_of_time.and_then(time),
        original_time: content.original_time.and_then(time),
    }
}

fn codes(codes: &[Code]) -> Vec<String> {
    codes.iter().map(ToString::to_string).collect()
}

fn regions(regions: &[Region]) -> Vec<String> {
    regions.iter().map(|region| region.as_str().to_owned()).collect()
}

/// Renditions of a text, a correction or a notice.
pub(super) fn renditions(renditions: &[Rendition]) -> Vec<v1::Rendition> {
    let rendition = |it: &Rendition| v1::Rendition { channel: it.channel.to_string(), text: it.text.clone() };
    renditions.iter().map(rendition).collect()
}

fn attachment(attachment: &Attachment) -> v1::Attachment {
    v1::Attachment {
        title: attachment.title.clone(),
        uri: attachment.uri.clone(),
        media_type: attachment.media_type.clone(),
        size_bytes: attachment.size_bytes,
        sha256: attachment.sha256.clone(),
    }
}

fn claim_review(review: &ClaimReview) -> v1::ClaimReview {
    v1::ClaimReview {
        claim: review.claim.clone(),
        claimant: review.claimant.clone(),
        first_appearance_uri: review.first_appearance_uri.clone(),
        first_appearance_time: review.first_appearance_time.and_then(time),
        verdict: verdict(review.verdict).into(),
        verdict_text: review.verdict_text.clone(),
        evidence: review.evidence.iter().map(evidence).collect(),
        as_of_time: review.as_of_time.and_then(time),
    }
}

fn verdict(verdict: Verdict) -> v1::claim_review::Verdict {
    use v1::claim_review::Verdict as Wire;
    match verdict {
        Verdict::False => Wire::False,
        Verdict::Misleading => Wire::Misleading,
        Verdict::MissingContext => Wire::MissingContext,
        Verdict::Unproven => Wire::Unproven,
        Verdict::PartlyTrue => Wire::PartlyTrue,
        Verdict::True => Wire::True,
        Verdict::Outdated => Wire::Outdated,
    }
}

fn evidence(evidence: &Evidence) -> v1::Evidence {
    v1::Evidence {
        title: evidence.title.clone(),
        uri: evidence.uri.clone(),
        retrieve_time: evidence.retrieve_time.and_then(time),
    }
}

fn contact(contact: &Contact) -> v1::Contact {
    v1::Contact {
        name: contact.name.clone(),
        email: contact.email.clone(),
        phone: contact.phone.clone(),
        uri: contact.uri.clone(),
    }
}

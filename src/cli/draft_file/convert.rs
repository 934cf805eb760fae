//! Between the keys of a draft file and the messages of the API.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use prost_types::Timestamp;

use super::{
    DraftFile,
    head::{self, Head, KindOfChange},
};
use crate::{
    api::v1::{
        Attachment, ChangeKind, ClaimReview, Contact, Content, Correction, Draft, Evidence, Rendition,
        claim_review::Verdict,
    },
    cli::{
        names::{EditionName, Slot, short},
        output::word,
        times::Moment,
    },
    domain::text::is_visible,
};

pub(super) fn draft(head: Head, body: &str) -> Result<DraftFile> {
    let slot = Slot { statement: head.statement.parse()?, language: head.language.clone() };
    let base_edition = edition(&head.base_edition)?;
    Ok(DraftFile { slot, content: content(head, body)?, base_edition })
}

fn content(head: Head, body: &str) -> Result<Content> {
    let correction = correction(&head)?;
    Ok(Content {
        source_edition: edition(&head.source_edition)?,
        change_kind: head.kind_of_change.map_or(ChangeKind::Unspecified, ChangeKind::from).into(),
        correction,
        title: head.title,
        summary: head.summary,
        // The line break that an editor leaves behind the head is no text.
        body: if is_visible(body) { body.to_owned() } else { String::new() },
        body_media_type: head.media_type,
        change_note: head.change_note,
        topics: head.topics,
        region_codes: head.regions,
        excluded_region_codes: head.excluded_regions,
        audiences: head.audiences,
        channels: head.channels,
        urgency: head.urgency.unwrap_or_default(),
        renditions: renditions(head.renditions),
        attachments: head.attachments.into_iter().map(Attachment::from).collect(),
        claim_reviews: head.claim_reviews.into_iter().map(ClaimReview::from).collect(),
        contacts: head.contacts.into_iter().map(Contact::from).collect(),
        expire_time: head.expire_time.map(Moment::timestamp),
        review_due_time: head.review_due_time.map(Moment::timestamp),
        as_of_time: head.as_of_time.map(Moment::timestamp),
        original_time: head.original_time.map(Moment::timestamp),
        ..Content::default()
    })
}

fn correction(head: &Head) -> Result<Option<Correction>> {
    if head.correction.is_empty() && !(head.corrected_edition.is_empty() && head.correction_renditions.is_empty()) {
        bail!("`corrected_edition` and `correction_renditions` need `correction`: say what was wrong");
    }
    let corrected_edition = edition(&head.corrected_edition)?;
    let text = head.correction.clone();
    let renditions = renditions(head.correction_renditions.clone());
    Ok((!text.is_empty()).then_some(Correction { text, corrected_edition, renditions }))
}

fn renditions(texts: BTreeMap<String, String>) -> Vec<Rendition> {
    texts.into_iter().map(|(channel, text)| Rendition { channel, text }).collect()
}

fn texts(renditions: &[Rendition]) -> BTreeMap<String, String> {
    renditions.iter().map(|one| (one.channel.clone(), one.text.clone())).collect()
}

fn edition(text: &str) -> Result<String> {
    if text.is_empty() { Ok(String::new()) } else { Ok(text.parse::<EditionName>()?.name().to_owned()) }
}

pub(super) fn head(draft: &Draft, content: &Content) -> Head {
    let (statement, language) = short(&draft.name).split_once('/').map_or_else(Default::default, owned);
    let correction = content.correction.clone().unwrap_or_default();
    Head {
        statement,
        language,
        title: content.title.clone(),
        summary: content.summary.clone(),
        media_type: content.body_media_type.clone(),
        kind_of_change: KindOfChange::of(content.change_kind()),
        change_note: content.change_note.clone(),
        correction: correction.text,
        corrected_edition: short(&correction.corrected_edition),
        correction_renditions: texts(&correction.renditions),
        base_edition: short(&draft.base_edition),
        source_edition: short(&content.source_edition),
        topics: content.topics.clone(),
        regions: content.region_codes.clone(),
        excluded_regions: content.excluded_region_codes.clone(),
        audiences: content.audiences.clone(),
        channels: content.channels.clone(),
        urgency: (content.urgency != 0).then_some(content.urgency),
        renditions: texts(&content.renditions),
        attachments: content.attachments.iter().cloned().map(head::Attachment::from).collect(),
        claim_reviews: content.claim_reviews.iter().cloned().map(head::ClaimReview::from).collect(),
        contacts: content.contacts.iter().cloned().map(head::Contact::from).collect(),
        expire_time: moment(content.expire_time.as_ref()),
        review_due_time: moment(content.review_due_time.as_ref()),
        as_of_time: moment(content.as_of_time.as_ref()),
        original_time: moment(content.original_time.as_ref()),
    }
}

fn owned((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

fn moment(time: Option<&Timestamp>) -> Option<Moment> {
    time.and_then(Moment::from_timestamp)
}

impl KindOfChange {
    fn of(kind: ChangeKind) -> Option<Self> {
        match kind {
            ChangeKind::Initial => Some(Self::Initial),
            ChangeKind::Major => Some(Self::Major),
            ChangeKind::Minor => Some(Self::Minor),
            ChangeKind::Correction => Some(Self::Correction),
            // Made by the service only.
            ChangeKind::Reinstatement | ChangeKind::Unspecified => None,
        }
    }
}

impl From<KindOfChange> for ChangeKind {
    fn from(kind: KindOfChange) -> Self {
        match kind {
            KindOfChange::Initial => Self::Initial,
            KindOfChange::Major => Self::Major,
            KindOfChange::Minor => Self::Minor,
            KindOfChange::Correction => Self::Correction,
        }
    }
}

/// Two structs with the same fields: from the first to the second and back.
macro_rules! same_fields {
    ($($message:ident { $($field:ident),+ })+) => {
        $(
            impl From<head::$message> for $message {
                fn from(one: head::$message) -> Self { Self { $($field: one.$field),+ } }
            }
            impl From<$message> for head::$message {
                fn from(one: $message) -> Self { Self { $($field: one.$field),+ } }
            }
        )+
    };
}

same_fields!(
    Attachment { title, uri, media_type, size_bytes, sha256 }
    Contact { name, email, phone, uri }
);

impl From<head::ClaimReview> for ClaimReview {
    fn from(one: head::ClaimReview) -> Self {
        Self {
            claim: one.claim,
            claimant: one.claimant,
            first_appearance_uri: one.first_appearance_uri,
            first_appearance_time: one.first_appearance_time.map(Moment::timestamp),
            verdict: Verdict::from_str_name(&one.verdict).unwrap_or_default().into(),
            verdict_text: one.verdict_text,
            evidence: one.evidence.into_iter().map(Evidence::from).collect(),
            as_of_time: one.as_of_time.map(Moment::timestamp),
        }
    }
}

impl From<ClaimReview> for head::ClaimReview {
    fn from(one: ClaimReview) -> Self {
        Self {
            verdict: word(one.verdict().as_str_name(), "VERDICT_").to_lowercase(),
            claim: one.claim,
            claimant: one.claimant,
            first_appearance_uri: one.first_appearance_uri,
            first_appearance_time: moment(one.first_appearance_time.as_ref()),
            verdict_text: one.verdict_text,
            evidence: one.evidence.into_iter().map(head::Evidence::from).collect(),
            as_of_time: moment(one.as_of_time.as_ref()),
        }
    }
}

impl From<head::Evidence> for Evidence {
    fn from(one: head::Evidence) -> Self {
        Self { title: one.title, uri: one.uri, retrieve_time: one.retrieve_time.map(Moment::timestamp) }
    }
}

impl From<Evidence> for head::Evidence {
    fn from(one: Evidence) -> Self {
        Self { title: one.title, uri: one.uri, retrieve_time: moment(one.retrieve_time.as_ref()) }
    }
}

//! What a line becomes. Pure.
//!
//! Only the newest text of a statement is in the file. So earlier editions carry title, summary and note, and an empty body:
//! we do not claim to have words that we do not have.

use std::collections::{HashMap, hash_map::Entry};

use anyhow::{Context as _, Result};

use super::record::{Change, File, Record};
use crate::{
    api::v1::{Attachment, ChangeKind, Contact, Content},
    cli::{
        names::{Slot, StatementId},
        times::Moment,
    },
    domain::{
        limits::{CONTACTS_MAX, ID_CHARS_MAX, SHORT_BYTES_MAX},
        text::is_visible,
    },
};

const ORIGIN: &str = "https://www.gov.uk";
/// MAJOR needs a note, and some edits of long ago have none.
const NO_NOTE: &str = "No note was given.";

/// What is to be done for one line.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) slot: Slot,
    pub(super) head: Head,
    /// Editions that lines before this one gave to the same statement and language.
    pub(super) first_index: usize,
    pub(super) editions: Vec<Content>,
    /// Why it was withdrawn, as HTML.
    pub(super) withdrawal: Option<String>,
}

/// What a statement is in all its languages.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) kind: String,
    pub(super) source_language: String,
    pub(super) owner: String,
}

/// What is known of the whole file, also of lines beyond `--limit`: another limit must not make another statement.
#[derive(Debug)]
pub(super) struct Plan {
    heads: HashMap<String, Head>,
    counts: HashMap<(String, String), usize>,
}

impl Plan {
    /// Takes each statement's source language from all lines: `en`, else the first.
    pub(super) fn new<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut heads = HashMap::new();
        for record in records {
            match heads.entry(code(&record.id)) {
                Entry::Occupied(mut head) if record.language == "en" && !is_english(head.get()) => {
                    head.insert(head_of(record));
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(slot) => {
                    slot.insert(head_of(record));
                }
            }
        }
        Self { heads, counts: HashMap::new() }
    }

    /// What a line becomes. Lines have to come in the order of the file.
    pub(super) fn statement(&mut self, record: &Record) -> Result<Planned> {
        let id = code(&record.id);
        let statement: StatementId = id.parse().with_context(|| format!("`{}` makes no id", record.id))?;
        let head = self.heads.get(&id).cloned().unwrap_or_else(|| head_of(record));
        let first_index = self.counts.get(&(id.clone(), record.language.clone())).copied().unwrap_or_default();
        let editions = editions(record, first_index)?;
        self.counts.insert((id, record.language.clone()), first_index + editions.len());
        let withdrawal = record.withdrawn.as_ref().map(|withdrawn| withdrawn.explanation.clone());
        Ok(Planned { slot: statement.slot(&record.language), head, first_index, editions, withdrawal })
    }
}

fn is_english(head: &Head) -> bool {
    head.source_language == "en"
}

fn head_of(record: &Record) -> Head {
    let owner = record.organisations.first().map(String::as_str).unwrap_or_default();
    Head {
        kind: code(&record.kind),
        source_language: record.language.clone(),
        owner: owner.get(..owner.floor_char_boundary(SHORT_BYTES_MAX)).unwrap_or_default().to_owned(),
    }
}

fn editions(record: &Record, first_index: usize) -> Result<Vec<Content>> {
    let published = record.first_published_at.as_ref().or(record.public_updated_at.as_ref());
    let only = Change { time: published.cloned(), note: None };
    let changes = if record.change_history.is_empty() { vec![only] } else { record.change_history.clone() };
    let mut editions = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let mut content = common(record);
        content.change_note = words(change.note.as_deref());
        content.change_kind = if first_index + at == 0 { ChangeKind::Initial } else { ChangeKind::Major }.into();
        if content.change_kind() == ChangeKind::Major && content.change_note.is_empty() {
            NO_NOTE.clone_into(&mut content.change_note);
        }
        if let Some(time) = change.time.as_ref().or(published) {
            content.original_time = Some(time.parse::<Moment>()?.timestamp());
        }
        editions.push(content);
    }
    if let Some(newest) = editions.last_mut() {
        newest.body = words(record.body.as_deref());
        newest.attachments = record.attachments.iter().map(attachment).collect();
    }
    Ok(editions)
}

/// What all editions of a line have.
fn common(record: &Record) -> Content {
    let mut topics: Vec<_> = record.topics.iter().map(|topic| code(topic)).collect();
    let regions: Option<Vec<_>> = record.places.iter().map(|place| region(place)).collect();
    if regions.is_none() {
        // To name only the places whose codes are known would say that it applies nowhere else.
        topics.extend(record.places.iter().map(|place| code(&format!("place-{place}"))));
    }
    topics.retain(|topic| !topic.is_empty());
    topics.dedup();
    let contacts = record.organisations.iter().take(CONTACTS_MAX);
    Content {
        title: record.title.split_whitespace().collect::<Vec<_>>().join(" "),
        summary: words(record.summary.as_deref()),
        body_media_type: record.body_media_type.clone().unwrap_or_default(),
        topics,
        region_codes: regions.unwrap_or_default().into_iter().map(str::to_owned).collect(),
        urgency: i32::from(record.urgent),
        contacts: contacts.map(|name| Contact { name: name.clone(), ..Contact::default() }).collect(),
        ..Content::default()
    }
}

/// Text that has something visible in it, else none.
fn words(text: Option<&str>) -> String {
    text.filter(|text| is_visible(text)).unwrap_or_default().to_owned()
}

fn attachment(file: &File) -> Attachment {
    let absolute = file.uri.contains("://");
    let uri = if absolute { file.uri.clone() } else { format!("{ORIGIN}/{}", file.uri.trim_start_matches('/')) };
    let name = file.uri.rsplit('/').next().unwrap_or_default();
    Attachment {
        title: file.title.clone().filter(|title| !title.is_empty()).unwrap_or_else(|| name.to_owned()),
        uri,
        media_type: file.media_type.clone().unwrap_or_default(),
        size_bytes: file.size_bytes.unwrap_or_default(),
        sha256: String::new(),
    }
}

/// ISO 3166-1 alpha-2, where the name is that of a country we know.
fn region(place: &str) -> Option<&'static str> {
    const CODES: [(&str, &str); 16] = [
        ("Australia", "AU"),
        ("Azerbaijan", "AZ"),
        ("China", "CN"),
        ("France", "FR"),
        ("Germany", "DE"),
        ("India", "IN"),
        ("Ireland", "IE"),
        ("Italy", "IT"),
        ("Japan", "JP"),
        ("Pakistan", "PK"),
        ("Poland", "PL"),
        ("Spain", "ES"),
        ("Turkey", "TR"),
        ("Ukraine", "UA"),
        ("United Kingdom", "GB"),
        ("United States", "US"),
    ];
    CODES.iter().find(|(name, _)| *name == place).map(|(_, code)| *code)
}

/// Text as an id or code: lower-case, anything but `a-z`, `0-9` and `-` as one hyphen, no hyphens outside, at most 63.
fn code(text: &str) -> String {
    let mut code = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() || c == '-' {
            code.push(c);
        } else if !code.ends_with('-') {
            code.push('-');
        }
    }
    let code = code.trim_matches('-');
    code.get(..ID_CHARS_MAX).unwrap_or(code).trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;

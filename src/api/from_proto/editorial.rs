//! What editors ask for.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{
    Faults,
    content::{content, notice},
    slot_name,
    text::{Rule, bounded, checked, language_list, opaque, short, text, too_many},
};
use crate::{
    api::{draft_reads::Compared, v1},
    domain::{
        command::{Call, Command, PublishDrafts, SaveDraft, Step, When},
        digest::Digest,
        draft::DraftState,
        entry::{EntryHead, Origin},
        id::{Caller, Code, EditionName, EditionRef, LanguageTag, StatementId, SubscriptionId},
        limits::{self, Limits, NOTE, TextLimit},
        mandate::Mandate,
        rejection::Rejection,
        subscription::{self, SubscriptionCall},
        text::escaped,
        time::Timestamp,
    },
};

/// What every call that changes something has.
pub(in crate::api) struct Envelope<'r> {
    pub(in crate::api) caller: Caller,
    pub(in crate::api) origin: Option<Origin>,
    pub(in crate::api) mandate: Arc<Mandate>,
    pub(in crate::api) request_id: &'r str,
    pub(in crate::api) validate_only: bool,
    pub(in crate::api) limits: &'r Limits,
}

impl Envelope<'_> {
    pub(super) fn call(
        self,
        mut faults: Faults,
        statement: Option<StatementId>,
        step: Option<Step>,
    ) -> Result<Call, Rejection> {
        let request_id = self.request_id(&mut faults);
        let command = statement.zip(step).map(|(statement, step)| Command { statement, step });
        let Self { caller, origin, mandate, validate_only, .. } = self;
        faults.finish_some(command.map(|command| Call { caller, origin, mandate, request_id, validate_only, command }))
    }

    pub(super) fn enrol(
        self,
        mut faults: Faults,
        id: Option<SubscriptionId>,
        step: subscription::Step,
    ) -> Result<SubscriptionCall, Rejection> {
        let request_id = self.request_id(&mut faults);
        let Self { caller, origin, validate_only, .. } = self;
        faults.finish_some(id.map(|id| SubscriptionCall { caller, origin, request_id, validate_only, id, step }))
    }

    fn request_id(&self, faults: &mut Faults) -> Option<Uuid> {
        let request_id = (!self.request_id.is_empty()).then(|| Uuid::parse_str(self.request_id))?;
        if request_id.is_err() {
            faults.add("request_id", "must be a UUID (AIP-155), or empty");
        }
        request_id.ok()
    }
}

pub(in crate::api) fn create(envelope: Envelope<'_>, given: &v1::CreateStatementRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let id = faults.take("statement_id", StatementId::parse(&given.statement_id));
    let statement = given.statement.clone().unwrap_or_default();
    let kind = faults.take("statement.kind", Code::parse(&statement.kind));
    let source = faults.take("statement.source_language_code", LanguageTag::parse(&statement.source_language_code));
    let owner = short(&mut faults, "statement.owner", &statement.owner);
    let annotations = annotations(&mut faults, "statement.annotations", &statement.annotations);
    let step = kind.zip(source).map(|(kind, source_language)| Step::CreateStatement {
        kind,
        source_language,
        owner,
        annotations,
    });
    envelope.call(faults, id, step)
}

pub(in crate::api) fn update(envelope: Envelope<'_>, given: &v1::UpdateStatementRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = given.statement.clone().unwrap_or_default();
    let id = faults.take("statement.name", StatementId::parse_name(&statement.name));
    let etag = etag(&mut faults, "statement.etag", &statement.etag);
    let named = faults.mask(given.update_mask.as_ref(), &["owner", "annotations"]);
    let owner = short(&mut faults, "statement.owner", &statement.owner);
    let annotations = annotations(&mut faults, "statement.annotations", &statement.annotations);
    let (owner, annotations) = (named("owner").then_some(owner), named("annotations").then_some(annotations));
    envelope.call(faults, id, Some(Step::UpdateStatement { etag, owner, annotations }))
}

pub(super) fn annotations(
    faults: &mut Faults,
    field: &str,
    given: &std::collections::HashMap<String, String>,
) -> BTreeMap<String, String> {
    if given.len() > limits::ANNOTATIONS_MAX {
        faults.add(field, too_many(limits::ANNOTATIONS_MAX, given.len()));
    }
    let given = || given.iter().take(limits::ANNOTATIONS_MAX);
    for (key, value) in given() {
        annotation(faults, &format!("{field}[{}]", escaped(key)), key, value);
    }
    given().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Notes for tools: kept as they came, not in NFC.
fn annotation(faults: &mut Faults, path: &str, key: &str, value: &str) {
    let mut of_key = Faults::default();
    checked(&mut of_key, "", key, Rule::line(TextLimit::bytes(limits::ID_CHARS_MAX)).required());
    match of_key.0.pop() {
        Some(fault) => faults.add(path, format!("as a key {}", fault.description)),
        None => drop(text(faults, path, value, TextLimit::bytes(limits::ANNOTATION_BYTES_MAX))),
    }
}

pub(super) fn etag(faults: &mut Faults, field: &str, given: &str) -> String {
    if given.is_empty() {
        faults.add(field, "is required: send the etag of what you read");
    }
    opaque(faults, field, given)
}

pub(in crate::api) fn save(envelope: Envelope<'_>, given: &v1::SaveDraftRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let Some(draft) = faults.require("draft", given.draft.as_ref()) else { return envelope.call(faults, None, None) };
    let name = slot_name(&mut faults, "draft.name", &draft.name, "drafts");
    let words = faults.require("draft.content", draft.content.as_ref());
    let Some((statement, language)) = name.clone() else {
        probe(&mut faults, envelope.limits, words);
        return envelope.call(faults, None, None);
    };
    let parsed = words.map(|words| content(&mut faults, envelope.limits, words, &statement, &language));
    let base = (!draft.base_edition.is_empty())
        .then(|| base(&mut faults, &draft.base_edition, &statement, &language))
        .flatten();
    let etag = opaque(&mut faults, "draft.etag", &draft.etag);
    let step = parsed
        .map(|(content, problems)| Step::SaveDraft(Box::new(SaveDraft { content, etag, base, faults: problems })));
    envelope.call(faults, name.map(|(statement, _)| statement), step)
}

/// Finds what is wrong with the words of a draft whose name is wrong. The editions that they name are left out: of which statement and
/// language they should be is not known.
fn probe(faults: &mut Faults, limits: &Limits, words: Option<&v1::Content>) {
    let (Some(words), Ok(statement), Ok(language)) = (words, StatementId::parse("a"), LanguageTag::parse("en")) else {
        return;
    };
    let mut words = v1::Content { source_edition: String::new(), ..words.clone() };
    if let Some(correction) = &mut words.correction {
        correction.corrected_edition.clear();
    }
    content(faults, limits, &words, &statement, &language);
}

fn base(faults: &mut Faults, given: &str, statement: &StatementId, language: &LanguageTag) -> Option<u32> {
    let edition = faults.take("draft.base_edition", EditionName::parse(given))?;
    if edition.statement != *statement || !edition.language.matches(language) {
        faults.add("draft.base_edition", "must be an edition of the same statement and language");
    }
    Some(edition.number)
}

/// Submit, approve, reject and discard: a draft, its etag, and what is done with it.
pub(in crate::api) fn on_draft(
    envelope: Envelope<'_>,
    name: &str,
    given_etag: &str,
    comment: &str,
    step: impl Fn(LanguageTag, String, String) -> Step,
) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let name = slot_name(&mut faults, "name", name, "drafts");
    let etag = etag(&mut faults, "etag", given_etag);
    let comment = text(&mut faults, "comment", comment, NOTE);
    let (statement, language) = name.unzip();
    let step = language.map(|language| step(language, etag, comment));
    if matches!(&step, Some(Step::RejectDraft { comment, .. }) if comment.is_empty()) {
        faults.add("comment", "is required: say what should change");
    }
    envelope.call(faults, statement, step)
}

/// Reads the name of a draft: its statement and language.
pub(in crate::api) fn draft_name(field: &str, name: &str) -> Result<(StatementId, LanguageTag), Rejection> {
    let mut faults = Faults::default();
    let name = slot_name(&mut faults, field, name, "drafts");
    faults.finish_some(name)
}

/// Reads the number of a revision.
pub(in crate::api) fn revision(field: &str, given: u32) -> Result<u32, Rejection> {
    let mut faults = Faults::default();
    if given == 0 {
        faults.add(field, "is required: revisions are numbered from 1");
    }
    faults.finish(given)
}

/// Reads which text a draft is compared with.
pub(in crate::api) fn compared(given: &v1::DiffDraftRequest) -> Result<Compared, Rejection> {
    let mut faults = Faults::default();
    let compared = match (given.from_edition.as_str(), given.from_revision) {
        ("", 0) => Some(Compared::Base),
        ("", revision) => Some(Compared::Revision(revision)),
        (name, 0) => faults.take("from_edition", EditionRef::parse(name)).map(Compared::Edition),
        _ => {
            faults.add("from_revision", "must be unset with from_edition");
            None
        }
    };
    faults.finish_some(compared)
}

/// Filter of the audit trail.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Entries {
    from_time: Option<Timestamp>,
    caller: Option<Caller>,
}

impl Entries {
    pub(in crate::api) fn admits(&self, head: &EntryHead) -> bool {
        self.from_time.is_none_or(|time| head.commit_time >= time)
            && self.caller.as_ref().is_none_or(|caller| head.caller == *caller)
    }
}

/// Reads the filter of the audit trail.
pub(in crate::api) fn entries(given: &v1::ListEntriesRequest) -> Result<Entries, Rejection> {
    let mut faults = Faults::default();
    let from_time = faults.time("from_time", given.from_time);
    let caller = (!given.caller.is_empty()).then(|| faults.take("caller", Caller::parse(&given.caller))).flatten();
    faults.finish(Entries { from_time, caller })
}

/// Reads the state that drafts are listed by; `None` for all.
pub(in crate::api) fn draft_state(field: &str, given: i32) -> Result<Option<DraftState>, Rejection> {
    let mut faults = Faults::default();
    let state = match v1::draft::State::try_from(given) {
        Ok(v1::draft::State::Unspecified) => None,
        Ok(v1::draft::State::Draft) => Some(DraftState::Draft),
        Ok(v1::draft::State::InReview) => Some(DraftState::InReview),
        Ok(v1::draft::State::Approved) => Some(DraftState::Approved),
        Err(_) => {
            faults.add(field, "must be STATE_DRAFT, STATE_IN_REVIEW or STATE_APPROVED, or unset");
            None
        }
    };
    faults.finish(state)
}

pub(in crate::api) fn publish(envelope: Envelope<'_>, given: &v1::PublishDraftsRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("parent", StatementId::parse_name(&given.parent));
    let drafts = drafts(&mut faults, &given.drafts);
    let when = when(&mut faults, given);
    let lateness_seconds_max = lateness(&mut faults, given.max_lateness);
    if given.max_lateness.is_some() && when == When::Now {
        faults.add("max_lateness", "is of a release: set release_time or embargo_end_time, or leave it out");
    }
    let reason = text(&mut faults, "reason", &given.reason, NOTE);
    if given.force && reason.is_empty() {
        faults.add("reason", "is required with force: it goes into the audit trail");
    }
    let force = given.force.then_some(reason);
    envelope.call(
        faults,
        statement,
        Some(Step::PublishDrafts(PublishDrafts { drafts, when, lateness_seconds_max, force })),
    )
}

fn drafts(faults: &mut Faults, given: &[v1::DraftToPublish]) -> Vec<(LanguageTag, String)> {
    if given.is_empty() {
        faults.add("drafts", "must name at least one draft");
    }
    let given = bounded(faults, "drafts", given, limits::LANGUAGES_MAX);
    let mut drafts: Vec<(LanguageTag, String)> = Vec::new();
    for (place, draft) in given.iter().enumerate() {
        let field = format!("drafts[{place}].language_code");
        let language = faults.take(field.clone(), LanguageTag::parse(&draft.language_code));
        let etag = etag(faults, &format!("drafts[{place}].etag"), &draft.etag);
        let Some(language) = language else { continue };
        if drafts.iter().any(|(other, _)| other.matches(&language)) {
            faults.add(field, "is given twice");
        }
        drafts.push((language, etag));
    }
    drafts
}

fn when(faults: &mut Faults, given: &v1::PublishDraftsRequest) -> When {
    let later = faults.time("release_time", given.release_time);
    let embargo = faults.time("embargo_end_time", given.embargo_end_time);
    if given.release_time.is_some() && given.embargo_end_time.is_some() {
        faults.add("embargo_end_time", "must not be set together with release_time");
    }
    match (later, embargo) {
        (Some(time), _) => When::Later(time),
        (None, Some(time)) => When::Embargoed(time),
        (None, None) => When::Now,
    }
}

fn lateness(faults: &mut Faults, given: Option<prost_types::Duration>) -> i64 {
    // Parts of a second count as a whole one.
    let whole = |duration: prost_types::Duration| duration.seconds.saturating_add(i64::from(duration.nanos > 0));
    let seconds = given.map_or(limits::LATENESS_SECONDS_DEFAULT, whole);
    if !(1..=limits::LATENESS_SECONDS_MAX).contains(&seconds) || given.is_some_and(|duration| duration.nanos < 0) {
        faults.add("max_lateness", "must be more than 0 s, and at most 30 days");
    }
    seconds
}

pub(in crate::api) fn approve_edition(
    envelope: Envelope<'_>,
    given: &v1::ApproveEditionRequest,
) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let name = faults.take("name", EditionName::parse(&given.name));
    let digest = faults.take("content_digest", Digest::parse(&given.content_digest));
    let comment = text(&mut faults, "comment", &given.comment, NOTE);
    let step = name.clone().zip(digest).map(|(name, digest)| Step::ApproveEdition {
        language: name.language,
        number: name.number,
        digest,
        comment,
    });
    envelope.call(faults, name.map(|name| name.statement), step)
}

pub(in crate::api) fn cancel(envelope: Envelope<'_>, given: &v1::CancelReleaseRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let (statement, language) = slot_name(&mut faults, "name", &given.name, "releases").unzip();
    let etag = etag(&mut faults, "etag", &given.etag);
    let reason = text(&mut faults, "reason", &given.reason, NOTE);
    envelope.call(faults, statement, language.map(|language| Step::CancelRelease { language, etag, reason }))
}

pub(super) fn languages(faults: &mut Faults, given: &[String]) -> Vec<LanguageTag> {
    language_list(faults, "language_codes", given, limits::LANGUAGES_MAX)
}

pub(in crate::api) fn withdraw(
    envelope: Envelope<'_>,
    given: &v1::WithdrawStatementRequest,
) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("name", StatementId::parse_name(&given.name));
    let languages = languages(&mut faults, &given.language_codes);
    let notice = notice(&mut faults, envelope.limits, &given.notice.clone().unwrap_or_default());
    envelope.call(faults, statement, Some(Step::Withdraw { languages, notice }))
}

//! From a decision to the rows of one atomic write: seals, hashes, rows, indexes.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    key,
    row::{EntryBody, EntryRow, EventRecord, EventRow, Meta, RequestRow, encode},
    store::Change,
};
use crate::domain::{
    answer::Answer,
    command::Call,
    decide::Decision,
    digest::{Digest, Salt},
    entry::{Action, Concerned, EntryHead, Origin},
    event::Event,
    id::{Caller, LanguageTag, StatementId},
    state::{Slots, State},
    subscription::{Subscription, SubscriptionCall},
    time::Timestamp,
};

/// Who asked for a step, and for which.
pub(super) struct Asked<'c> {
    caller: &'c Caller,
    origin: Option<&'c Origin>,
    request_id: Option<uuid::Uuid>,
    /// What tells one step from another: the digest of its own encoding, which has no maps without order. Zero if there is no request
    /// id, since nothing is remembered then.
    fingerprint: Digest,
}

impl<'c> Asked<'c> {
    pub(super) fn of(call: &'c Call) -> Self {
        let Call { caller, origin, request_id, command, .. } = call;
        let (origin, request_id, fingerprint) = (origin.as_ref(), *request_id, fingerprint(*request_id, command));
        Self { caller, origin, request_id, fingerprint }
    }

    pub(super) fn of_subscription(call: &'c SubscriptionCall) -> Self {
        let SubscriptionCall { caller, origin, request_id, id, step, .. } = call;
        let (origin, request_id, fingerprint) = (origin.as_ref(), *request_id, fingerprint(*request_id, &(id, step)));
        Self { caller, origin, request_id, fingerprint }
    }

    /// What is remembered of nobody.
    pub(super) fn by(caller: &'c Caller, origin: Option<&'c Origin>) -> Self {
        Self { caller, origin, request_id: None, fingerprint: Digest::ZERO }
    }

    /// The key under which the answer is remembered, if it is.
    pub(super) fn key(&self) -> Option<Vec<u8>> {
        Some(key::request(self.caller, self.request_id?))
    }

    /// Whether a remembered answer is to this very step.
    pub(super) fn is(&self, row: &RequestRow) -> bool {
        row.fingerprint == self.fingerprint
    }

    pub(super) fn row(&self, answer: &Answer, time: Timestamp) -> RequestRow {
        RequestRow { fingerprint: self.fingerprint, time, answer: answer.clone() }
    }

    fn change(&self, answer: &Answer, time: Timestamp) -> Option<Change> {
        Some(Change::put(self.key()?, encode(&self.row(answer, time))))
    }

    /// The head of an entry that changes nothing yet.
    fn head(&self, action: Action, body: &[u8], now: Timestamp, meta: &Meta) -> EntryHead {
        EntryHead {
            number: meta.next_entry,
            commit_time: now,
            caller: self.caller.clone(),
            origin: self.origin.cloned(),
            action,
            statement: None,
            subscription: None,
            language_codes: Vec::new(),
            request_id: self.request_id.map(|id| id.to_string()).unwrap_or_default(),
            content_digests: Vec::new(),
            first_sequence: 0,
            event_count: 0,
            rows_digest: Digest::of(&[body]),
            epoch: None,
        }
    }
}

fn fingerprint(request_id: Option<uuid::Uuid>, step: &impl Serialize) -> Digest {
    request_id.map_or(Digest::ZERO, |_| Digest::of(&[&encode(step)]))
}

/// The changes that commit a decision, its events as they are committed, and where the journal stands after it.
pub(super) fn changes(
    before: Option<&State>,
    decision: &Decision,
    call: &Call,
    asked: &Asked<'_>,
    now: Timestamp,
    salt: Salt,
    meta: &mut Meta,
) -> (Vec<Change>, Vec<EventRecord>) {
    let mut rows = state_rows(before, &decision.state, erases(before, decision));
    let first_sequence = if decision.events.is_empty() { 0 } else { meta.next_sequence };
    let events = decision.events.iter().map(|event| event_rows(event, meta, &mut rows)).collect();
    rows.extend(asked.change(&decision.answer, now));
    let languages = call.command.step.languages();
    let concerned = Concerned::by(languages.as_deref(), before, &decision.state);
    let body = body(salt, decision.reason.clone(), &rows, concerned);
    let head = EntryHead {
        statement: Some(call.command.statement.clone()),
        language_codes: changed_languages(before, &decision.state),
        content_digests: decision.digests.clone(),
        first_sequence,
        event_count: u32::try_from(decision.events.len()).unwrap_or(u32::MAX),
        ..asked.head(call.command.step.action(), &body, now, meta)
    };
    if erases(before, decision) {
        rows.push(Change::put(key::erasing(&call.command.statement), encode(&meta.next_entry)));
    }
    if let Some(text) = &decision.text {
        rows.push(Change::put(key::text(&text.digest), text.bytes.clone()));
    }
    entry_rows(&head, body, meta, &mut rows);
    meta.time = now;
    (rows, events)
}

/// The changes that commit a step on a subscription, and where the journal stands after it.
pub(super) fn enrolment(
    after: &Subscription,
    action: Action,
    asked: &Asked<'_>,
    answer: &Answer,
    now: Timestamp,
    salt: Salt,
    meta: &mut Meta,
) -> Vec<Change> {
    let mut rows = vec![Change::put(key::subscription(&after.id), encode(after))];
    rows.extend(asked.change(answer, now));
    let body = body(salt, String::new(), &rows, Vec::new());
    let head = EntryHead { subscription: Some(after.id.clone()), ..asked.head(action, &body, now, meta) };
    if after.delete_time.is_some() {
        rows.push(Change::remove(key::progress(&after.id)));
    }
    entry_rows(&head, body, meta, &mut rows);
    meta.time = now;
    rows
}

/// The changes that commit the beginning of the next epoch, and where the journal stands after it.
pub(super) fn begin_epoch(now: Timestamp, salt: Salt, meta: &mut Meta) -> Vec<Change> {
    // The time, so that two stores that were restored from the same copy are told apart.
    let (seconds, _) = now.parts();
    meta.epoch = u32::try_from(seconds).unwrap_or_default().max(meta.epoch + 1);
    meta.time = now;
    meta.restored = false;
    let reason = format!("restored from a copy that ends with entry {}", meta.next_entry - 1);
    let body = body(salt, reason, &[], Vec::new());
    let caller = Caller::service();
    let asked = Asked::by(&caller, None);
    let head = EntryHead { epoch: Some(meta.epoch), ..asked.head(Action::BeginEpoch, &body, now, meta) };
    let mut rows = Vec::new();
    entry_rows(&head, body, meta, &mut rows);
    rows
}

/// The changes that commit that the clock is believed again, and where the journal stands after it.
pub(super) fn confirm_clock(
    asked: &Asked<'_>,
    reason: String,
    now: Timestamp,
    salt: Salt,
    meta: &mut Meta,
) -> Vec<Change> {
    let body = body(salt, reason, &[], Vec::new());
    let head = asked.head(Action::ConfirmClock, &body, now, meta);
    let mut rows = Vec::new();
    entry_rows(&head, body, meta, &mut rows);
    meta.time = now;
    rows
}

/// Whether this is the step that erases the statement.
pub(super) fn erases(before: Option<&State>, decision: &Decision) -> bool {
    decision.state.is_expunged() && !before.is_some_and(State::is_expunged)
}

fn body(salt: Salt, reason: String, rows: &[Change], concerned: Vec<Concerned>) -> Vec<u8> {
    encode(&EntryBody { salt, reason, rows: rows.iter().map(Into::into).collect(), concerned: Some(concerned) })
}

fn entry_rows(head: &EntryHead, body: Vec<u8>, meta: &mut Meta, rows: &mut Vec<Change>) {
    let seal = head.seal();
    let hash = Digest::chain(meta.entry_hash, &seal);
    let row = EntryRow { seal, hash, previous_hash: meta.entry_hash, body: Some(body) };
    rows.push(Change::put(key::entry(head.number), encode(&row)));
    rows.extend(entry_index(head));
    meta.entry_hash = hash;
    meta.next_entry += 1;
}

/// What lists the entry under its statement.
pub(super) fn entry_index(head: &EntryHead) -> Option<Change> {
    Some(Change::put(key::entry_of(head.statement.as_ref()?, head.number), Vec::new()))
}

fn event_rows(event: &Event, meta: &mut Meta, rows: &mut Vec<Change>) -> EventRecord {
    let head = &event.head;
    assert_eq!(head.sequence, meta.next_sequence, "the feed is dense");
    let seal = head.seal();
    let hash = Digest::chain(meta.event_hash, &seal);
    let previous_hash = meta.event_hash;
    // Copied, so that what is kept in memory has no more room than it needs.
    let kept = seal.clone();
    let row = EventRow { seal, hash, previous_hash, event: Some(event.clone()) };
    rows.push(Change::put(key::event(head.sequence), encode(&row)));
    rows.push(Change::put(key::event_of(&head.statement, &head.language_code, head.sequence), Vec::new()));
    meta.event_hash = hash;
    meta.next_sequence += 1;
    EventRecord { event: event.clone(), seal: kept, hash, previous_hash, hollow: false, reach: None }
}

fn changed_languages(before: Option<&State>, after: &State) -> Vec<LanguageTag> {
    let old = |language: &LanguageTag| before.and_then(|state| state.languages.get(language));
    let changed = after.languages.iter().filter(|(language, slots)| old(language) != Some(slots));
    changed.map(|(language, _)| language.clone()).collect()
}

/// The rows of a state that differ from those before, and the indexes over them. An erasure writes all of them, since the entries that
/// wrote them before are emptied.
fn state_rows(before: Option<&State>, after: &State, erases: bool) -> Vec<Change> {
    let id = &after.statement.id;
    let mut rows = Vec::new();
    if before.map(|state| &state.statement) != Some(&after.statement) {
        rows.push(Change::put(key::statement(id), encode(&after.statement)));
    }
    let changed = changed_languages(before, after);
    for (language, slots) in after.languages.iter().filter(|(language, _)| erases || changed.contains(language)) {
        rows.push(Change::put(key::language(id, language), encode(slots)));
        rows.extend(edition_row(id, language, before, slots));
    }
    let old = before.map(index_keys).unwrap_or_default();
    let new = index_keys(after);
    rows.extend(old.difference(&new).cloned().map(Change::remove));
    rows.extend(new.difference(&old).map(|key| Change::put(key.clone(), Vec::new())));
    rows
}

fn edition_row(id: &StatementId, language: &LanguageTag, before: Option<&State>, slots: &Slots) -> Option<Change> {
    let edition = &slots.live.as_ref()?.edition;
    let old = before.and_then(|state| state.live(language)).map(|live| &live.edition);
    (old != Some(edition)).then(|| Change::put(key::edition(id, language, edition.number), encode(edition)))
}

/// Keys of the indexes over what is due and owed.
pub(super) fn index_keys(state: &State) -> BTreeSet<Vec<u8>> {
    let id = &state.statement.id;
    let mut keys: BTreeSet<_> = state.due().iter().map(|due| key::due(id, due)).collect();
    for (language, slots) in &state.languages {
        keys.extend(slots.owed.iter().map(|owed| key::owed(id, language, owed.number, owed.publish_time)));
    }
    keys
}

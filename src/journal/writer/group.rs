//! What one durable write takes: steps decided, and whom to tell once it is done.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use super::{Answered, Reply};
use crate::{
    domain::{
        answer::Answer,
        digest::Digest,
        id::{StatementId, SubscriptionId},
        state::State,
        subscription::Subscription,
        time::Timestamp,
    },
    journal::{
        JournalError, Refusal,
        commit::Asked,
        dates::Dates,
        recent::RecentEvent,
        row::{EventRecord, RequestRow},
        store::Change,
        view::Words,
    },
    trace::Trace,
};

/// Entries in one durable write: more would keep readers waiting.
const GROUP_ENTRIES_MAX: usize = 64;
/// Bytes of rows in one durable write: less than a segment of the store has to be between two syncs.
const GROUP_BYTES_MAX: usize = 512 * 1024;

/// Steps decided and not yet committed.
#[derive(Default)]
pub(super) struct Group {
    /// Each with the number of its entry.
    pub(super) changes: Vec<(Change, u64)>,
    pub(super) bytes: usize,
    pub(super) entries: usize,
    /// Statements as the group leaves them.
    pub(super) states: BTreeMap<StatementId, State>,
    /// Subscriptions as the group leaves them.
    pub(super) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Answers of the group to calls with a request id, by row key.
    pub(super) answers: BTreeMap<Vec<u8>, RequestRow>,
    /// Statements to be erased once the group is durable, and the entries that erase them.
    pub(super) erasures: Vec<(StatementId, u64)>,
    /// When its events happened.
    pub(super) dates: Dates,
    /// Events, with the words they show.
    pub(super) events: Vec<RecentEvent>,
    /// Whether there are events whose words are not at hand.
    pub(super) unread: bool,
    pub(super) replies: Vec<(Reply, Result<Answered, Refusal>)>,
    /// Of those that are followed.
    pub(super) traces: Vec<Trace>,
    pub(super) pokes: Vec<oneshot::Sender<()>>,
    pub(super) close: Option<oneshot::Sender<()>>,
}

impl Group {
    pub(super) fn is_full(&self) -> bool {
        self.entries >= GROUP_ENTRIES_MAX || self.bytes >= GROUP_BYTES_MAX || self.close.is_some()
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, entry: u64, changes: Vec<Change>) {
        self.entries += 1;
        self.add_rows(entry, changes);
    }

    pub(super) fn add_rows(&mut self, entry: u64, changes: Vec<Change>) {
        self.bytes += changes.iter().map(Change::bytes).sum::<usize>();
        self.changes.extend(changes.into_iter().map(|change| (change, entry)));
    }

    /// Keeps events for those who wait for them.
    pub(super) fn hand_over(&mut self, events: Vec<EventRecord>, words: &BTreeMap<Digest, Arc<Words>>, trace: &Trace) {
        for record in events {
            let shown = record.event.words();
            let words = shown.and_then(|digest| words.get(&digest)).map(Arc::clone);
            self.unread |= shown.is_some() && words.is_none();
            self.events.push(RecentEvent { record, words, trace: trace.clone() });
        }
    }

    pub(super) fn remember(&mut self, asked: &Asked<'_>, answer: &Answer, now: Timestamp) {
        self.answers.extend(asked.key().map(|key| (key, asked.row(answer, now))));
    }

    /// Tells a caller, once the group is durable. A failure of the store ends the writer.
    pub(super) fn reply(&mut self, reply: Reply, answer: Result<Answered, Refusal>) -> Result<(), JournalError> {
        let failure = match &answer {
            Ok(_)
            | Err(
                Refusal::Rejected(_) | Refusal::Journal(JournalError::Full { .. } | JournalError::ClockInDoubt { .. }),
            ) => None,
            Err(Refusal::Journal(failure)) => Some(failure.clone()),
        };
        self.replies.push((reply, answer));
        failure.map_or(Ok(()), Err)
    }
}

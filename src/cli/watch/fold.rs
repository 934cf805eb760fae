//! What a site shows: the state that the deliveries of a feed fold into. Pure.
//!
//! **Invariants**
//!
//! - A delivery is applied once, in order: a sequence that is not newer than the newest applied is refused
//!   (`a_sequence_is_applied_once`).
//! - What concerns a text under embargo never touches what is shown, and the other way round, but for an embargo that is
//!   lifted (`an_embargo_is_kept_apart_until_it_is_lifted`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    api::v1::{Delivery, Embargo, Event, Live, Snapshot, delivery::FilterChange, event},
    cli::{failure::Refusal, names::short, output::word},
};

/// The state, and how far it has come.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Mirror {
    /// Resumes after what is applied.
    pub(in crate::cli) cursor: String,
    pub(in crate::cli) feed_id: String,
    pub(in crate::cli) epoch: u32,
    /// Sequence of the first delivery applied since the newest snapshot.
    pub(in crate::cli) first_sequence: Option<u64>,
    /// Sequence of the newest delivery applied; after a snapshot, the highest in it.
    pub(in crate::cli) last_sequence: u64,
    /// Deliveries applied since the newest snapshot.
    pub(in crate::cli) applied: u64,
    /// Snapshots taken.
    pub(in crate::cli) snapshots: u64,
    /// By `statement/language`.
    pub(in crate::cli) state: BTreeMap<String, Shown>,
    /// By `statement/language`.
    pub(in crate::cli) embargoes: BTreeMap<String, Held>,
}

/// What is shown of a statement in one language.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Shown {
    pub(in crate::cli) edition: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) digest: String,
    pub(in crate::cli) sequence: u64,
    pub(in crate::cli) stale: bool,
    pub(in crate::cli) title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::cli) notice: String,
}

/// A text under embargo.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Held {
    pub(in crate::cli) digest: String,
    pub(in crate::cli) sequence: u64,
    pub(in crate::cli) title: String,
}

/// `recall-7/de`.
pub(in crate::cli) fn slot(statement: &str, language: &str) -> String {
    format!("{}/{language}", short(statement))
}

impl Mirror {
    /// Takes one delivery in.
    ///
    /// # Errors
    ///
    /// If it was applied before, or comes out of order.
    pub(in crate::cli) fn apply(&mut self, delivery: &Delivery) -> Result<(), Refusal> {
        let event = delivery.event.clone().unwrap_or_default();
        if event.sequence <= self.last_sequence {
            let (again, newest) = (event.sequence, self.last_sequence);
            return Err(Refusal::Refused(format!("sequence {again} was sent after {newest} was applied: refused")));
        }
        self.last_sequence = event.sequence;
        self.first_sequence.get_or_insert(event.sequence);
        self.applied += 1;
        self.fold(delivery.filter_change(), event);
        Ok(())
    }

    fn fold(&mut self, filter_change: FilterChange, event: Event) {
        let key = slot(&event.statement, &event.language_code);
        if matches!(event.r#type(), event::Type::Embargoed | event::Type::EmbargoCancelled) {
            match event.embargo {
                Some(embargo) if filter_change != FilterChange::Left => self.embargoes.insert(key, Held::of(&embargo)),
                Some(_) | None => self.embargoes.remove(&key),
            };
            return;
        }
        let is_unknown = event.r#type() == event::Type::Unspecified;
        if is_unknown && event.live.is_none() && filter_change != FilterChange::Left {
            // A type of a later version, about something else than what is live.
            return;
        }
        if event.embargo_lifted || event.r#type() == event::Type::Expunged {
            self.embargoes.remove(&key);
        }
        match event.live {
            Some(live) if filter_change != FilterChange::Left => self.state.insert(key, Shown::of(&live)),
            // Also where a text was erased or hidden: nothing is left to show.
            Some(_) | None => self.state.remove(&key),
        };
    }

    /// Replaces the whole state.
    pub(in crate::cli) fn replace(&mut self, snapshot: &Snapshot) {
        let live = snapshot.live.iter().map(|live| (slot(&live.statement, &live.language_code), Shown::of(live)));
        self.state = live.collect();
        let embargoes = snapshot.embargoes.iter();
        self.embargoes = embargoes.map(|one| (slot(&one.statement, &one.language_code), Held::of(one))).collect();
        let shown = self.state.values().map(|shown| shown.sequence);
        self.last_sequence = shown.chain(self.embargoes.values().map(|held| held.sequence)).max().unwrap_or_default();
        self.first_sequence = None;
        self.applied = 0;
        self.snapshots += 1;
    }
}

impl Shown {
    pub(in crate::cli) fn of(live: &Live) -> Self {
        let edition = live.edition.clone().unwrap_or_default();
        Self {
            edition: edition.name,
            state: word(live.state().as_str_name(), "STATE_").to_owned(),
            digest: edition.content_digest,
            sequence: live.sequence,
            stale: !live.stale_since_edition.is_empty(),
            title: edition.content.map(|content| content.title).unwrap_or_default(),
            notice: live.notice.as_ref().map(|notice| notice.text.clone()).unwrap_or_default(),
        }
    }
}

impl Held {
    fn of(embargo: &Embargo) -> Self {
        Self {
            digest: embargo.content_digest.clone(),
            sequence: embargo.sequence,
            title: embargo.content.as_ref().map(|content| content.title.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;

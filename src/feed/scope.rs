//! How an event stands to a filter: decided from the facts before and after, so that replay gives the same answer.

use std::sync::Arc;

use super::{
    filter::Filter,
    message::{Delivery, Item, Scope},
};
use crate::domain::{content::Facts, event::EventKind};

/// What a subscriber is sent of an event; nothing if it does not concern it.
pub(super) fn deliver(filter: &Filter, include_embargoed: bool, item: &Arc<Item>) -> Option<Delivery> {
    let event = &item.record.event;
    if event.head.kind.is_embargo() && !include_embargoed {
        return None;
    }
    let scope = if item.record.erased || event.head.kind == EventKind::Expunged {
        // What it was about is gone, and whoever was away may hold an edition of other topics or regions: everybody whom the
        // statement and language may concern is told to let go.
        filter.may_concern(&event.head.statement, &event.head.language_code).then_some(Scope::Left)
    } else {
        let kind = event.statement_kind.as_ref()?;
        let matches = |facts: &Option<Facts>| {
            let facts = facts.as_ref();
            facts.is_some_and(|facts| filter.admits(&event.head.statement, kind, &event.head.language_code, facts))
        };
        scope(matches(&event.before), matches(&event.after))
    };
    Some(Delivery { scope: scope?, item: Arc::clone(item) })
}

fn scope(before: bool, after: bool) -> Option<Scope> {
    match (before, after) {
        (false, true) => Some(Scope::Entered),
        (true, true) => Some(Scope::Within),
        (true, false) => Some(Scope::Left),
        (false, false) => None,
    }
}

//! What one subscriber is to be sent: a filter, whether texts under embargo are part of it, and what of that it may have.
//!
//! **Invariants**
//! - A filter change is decided from the event alone, so that replay, live and a poll give the same answer
//!   (`an_event_is_scoped_by_what_filters_saw_before_and_after`).
//! - Nobody without clearance is told of a text under embargo (`embargo_kinds_go_to_cleared_subscribers_only`).
//! - Whoever may hold an erased text is told to delete it (`an_erasure_reaches_whoever_may_hold_the_text`).

use std::sync::Arc;

use crate::{
    domain::{
        content::{Facts, canonical_json},
        digest::Digest,
        event::EventKind,
        filter::Filter,
        id::{Code, LanguageTag, StatementId},
        mandate::Mandate,
    },
    journal::{EventRecord, Form},
};

/// How an event stands to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterChange {
    /// The state did not match before and does now.
    Entered,
    /// It matched before and does now.
    Stayed,
    /// It matched before and no longer does, or is no longer there.
    Left,
}

/// Names a selection in a cursor: the beginning of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) [u8; 4]);

impl Fingerprint {
    fn of(parts: &[&[u8]]) -> Self {
        let [a, b, c, d, ..] = *Digest::of(parts).as_bytes();
        Self([a, b, c, d])
    }

    /// Names a mandate; zeros name the one over everything.
    pub(super) fn of_mandate(mandate: &Mandate) -> Self {
        if mandate.is_everything() { Self([0; 4]) } else { Self::of(&[&canonical_json(mandate)]) }
    }

    /// Names what a mandate leaves of a selection.
    pub(super) fn within(self, mandate: Self) -> Self {
        if mandate.0 == [0; 4] { self } else { Self::of(&[&self.0, &mandate.0]) }
    }
}

/// What one subscriber is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    filter: Filter,
    include_embargoed: bool,
    /// How texts are sent. It decides nothing, and is no part of the fingerprint: a subscriber may change it and resume.
    form: Form,
    /// None if the subscriber may have everything.
    mandate: Option<Arc<Mandate>>,
    fingerprint: Fingerprint,
}

impl Selection {
    pub(super) fn new(filter: Filter, include_embargoed: bool) -> Self {
        let fingerprint = fingerprint(&filter, include_embargoed);
        Self { filter, include_embargoed, form: Form::default(), mandate: None, fingerprint }
    }

    /// The same, with texts in this form.
    pub(super) fn in_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The same, as far as a mandate goes. Another mandate is another selection: a cursor of the one does not resume the other.
    pub(super) fn within(self, mandate: &Arc<Mandate>) -> Self {
        if mandate.is_everything() {
            return self;
        }
        let fingerprint = self.fingerprint.within(Fingerprint::of_mandate(mandate));
        Self { fingerprint, mandate: Some(Arc::clone(mandate)), ..self }
    }

    /// Whether it admits a text.
    pub(super) fn admits(&self, id: &StatementId, kind: &Code, language: &LanguageTag, facts: &Facts) -> bool {
        let mandate = self.mandate.as_ref();
        self.filter.admits(id, kind, language, facts)
            && mandate.is_none_or(|mandate| mandate.admits(id, kind, language, facts))
    }

    /// The same while the text is under embargo.
    pub(super) fn admits_embargoed(
        &self,
        id: &StatementId,
        kind: &Code,
        language: &LanguageTag,
        facts: &Facts,
    ) -> bool {
        let mandate = self.mandate.as_ref();
        self.include_embargoed
            && self.filter.admits(id, kind, language, facts)
            && mandate.is_none_or(|mandate| mandate.admits_embargoed(id, kind, language, facts))
    }

    pub(super) fn includes_embargoed(&self) -> bool {
        self.include_embargoed
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// How an event stands to this selection; nothing if it does not concern it.
    pub(super) fn filter_change(&self, record: &EventRecord) -> Option<FilterChange> {
        let event = &record.event;
        let head = &event.head;
        if head.kind.is_embargo() && !self.include_embargoed {
            return None;
        }
        if record.hollow || head.kind == EventKind::Expunged {
            // Its facts went with the text, and whoever was away may hold an edition about something else: everybody whom the
            // statement and language may concern, and whose mandate admits one of the editions, is told to let go, and learns ids and
            // digests only. To the unfiltered it also leaves the chain of hashes without a hole.
            let kind = event.statement_kind.as_ref();
            let (id, language) = (&head.statement, &head.language_code);
            let may_hold = |mandate: &Arc<Mandate>| match (&record.reach, kind) {
                // What was under embargo alone has left no edition.
                _ if head.kind.is_embargo() => mandate.admits_embargoed_name(id, kind, language),
                (Some(reach), Some(kind)) => reach.iter().any(|facts| mandate.admits(id, kind, language, facts)),
                _ => mandate.admits_name(id, kind, language),
            };
            let concerns = self.filter.admits_name(id, kind, language) && self.mandate.as_ref().is_none_or(may_hold);
            return concerns.then_some(FilterChange::Left);
        }
        let kind = event.statement_kind.as_ref()?;
        let admits = |facts: &Facts| {
            let (id, language) = (&head.statement, &head.language_code);
            if head.kind.is_embargo() {
                self.admits_embargoed(id, kind, language, facts)
            } else {
                self.admits(id, kind, language, facts)
            }
        };
        filter_change(event.before.as_ref().is_some_and(admits), event.after.as_ref().is_some_and(admits))
    }
}

fn filter_change(before: bool, after: bool) -> Option<FilterChange> {
    match (before, after) {
        (false, true) => Some(FilterChange::Entered),
        (true, true) => Some(FilterChange::Stayed),
        (true, false) => Some(FilterChange::Left),
        (false, false) => None,
    }
}

/// SHA-256 over the canonical JSON of the filter, in order and without repetition, which do not change what is admitted; and one
/// byte for the texts under embargo.
fn fingerprint(filter: &Filter, include_embargoed: bool) -> Fingerprint {
    Fingerprint::of(&[&canonical_json(&filter.in_order()), &[u8::from(include_embargoed)]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::id::{Code, Region, StatementId},
        feed::item::fixture::event,
    };

    fn code(text: &str) -> Code {
        Code::parse(text).unwrap()
    }

    fn about(topic: &str) -> Facts {
        Facts { topics: vec![code(topic)], ..Facts::default() }
    }

    fn energy(include_embargoed: bool) -> Selection {
        Selection::new(Filter { topics: vec![code("energy")], ..Filter::default() }, include_embargoed)
    }

    fn all(include_embargoed: bool) -> Selection {
        Selection::new(Filter::default(), include_embargoed)
    }

    #[test]
    fn an_event_is_scoped_by_what_filters_saw_before_and_after() {
        let table = [
            (None, Some(about("energy")), Some(FilterChange::Entered)),
            (Some(about("health")), Some(about("energy")), Some(FilterChange::Entered)),
            (Some(about("energy")), Some(about("energy")), Some(FilterChange::Stayed)),
            (Some(about("energy")), Some(about("health")), Some(FilterChange::Left)),
            (Some(about("energy")), None, Some(FilterChange::Left)),
            (Some(about("health")), None, None),
            (None, None, None),
        ];
        for (before, after, filter_change) in table {
            let mut record = event(1, EventKind::Updated, false);
            (record.event.before, record.event.after) = (before, after);
            record.event.embargo_lifted = filter_change == Some(FilterChange::Entered);
            assert_eq!(energy(false).filter_change(&record), filter_change, "{record:?}");
        }
    }

    #[test]
    fn embargo_kinds_go_to_cleared_subscribers_only() {
        let mut embargoed = event(1, EventKind::Embargoed, false);
        embargoed.event.after = Some(about("energy"));
        let mut cancelled = event(2, EventKind::EmbargoCancelled, false);
        cancelled.event.before = Some(about("energy"));
        for (record, filter_change) in [(&embargoed, FilterChange::Entered), (&cancelled, FilterChange::Left)] {
            assert_eq!(energy(true).filter_change(record), Some(filter_change));
            assert_eq!(energy(false).filter_change(record), None);
            assert_eq!(all(false).filter_change(record), None);
        }
    }

    #[test]
    fn an_erased_event_goes_to_whom_it_may_concern() {
        let erased = |kind| {
            let mut record = event(1, kind, false);
            record.event = crate::domain::event::Event::hollow(record.event.head);
            record.hollow = true;
            record
        };
        assert_eq!(all(false).filter_change(&erased(EventKind::Published)), Some(FilterChange::Left));
        assert_eq!(energy(false).filter_change(&erased(EventKind::Published)), Some(FilterChange::Left));
        let flood = Filter { statements: vec![StatementId::parse("flood").unwrap()], ..Filter::default() };
        assert_eq!(Selection::new(flood, true).filter_change(&erased(EventKind::Published)), None);
        for kind in [EventKind::Embargoed, EventKind::EmbargoCancelled] {
            assert_eq!(all(false).filter_change(&erased(kind)), None);
            assert_eq!(energy(true).filter_change(&erased(kind)), Some(FilterChange::Left));
        }
    }

    #[test]
    fn an_erasure_reaches_whoever_may_hold_the_text() {
        // The text was about energy once, and an event that says so was erased.
        let mut record = event(9, EventKind::Expunged, false);
        record.event.before = Some(about("health"));
        assert_eq!(energy(false).filter_change(&record), Some(FilterChange::Left));
        let other = Filter { kinds: vec![code("recall")], ..Filter::default() };
        assert_eq!(Selection::new(other, false).filter_change(&record), None);
    }

    #[test]
    fn the_order_of_values_does_not_change_the_fingerprint() {
        let of = |filter: &Filter, embargoed| Selection::new(filter.clone(), embargoed).fingerprint();
        let one = Filter { topics: vec![code("a"), code("b")], ..Filter::default() };
        let other = Filter { topics: vec![code("b"), code("a"), code("b")], ..Filter::default() };
        assert_eq!(of(&one, false), of(&other, false));
        let different = [
            Filter { topics: vec![code("a")], ..Filter::default() },
            Filter { topics: vec![code("ab")], ..Filter::default() },
            Filter { audiences: vec![code("a"), code("b")], ..Filter::default() },
            Filter { regions: vec![Region::parse("BR").unwrap()], ..one.clone() },
            Filter::default(),
        ];
        for filter in different {
            assert_ne!(of(&one, false), of(&filter, false), "{filter:?}");
        }
        assert_ne!(of(&one, false), of(&one, true));
    }
}

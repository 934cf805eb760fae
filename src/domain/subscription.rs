//! Named subscriptions: a site that says what it has applied, and the steps on it. Pure, as [`decide()`](super::decide()) is.
//!
//! How far a site is ([`Progress`]) is no part of the record: it moves many times a second, and is kept beside it.
//!
//! **Invariants**
//! - A subscription that was deleted stays as a trace, so that one of the same name is another: [`Subscription::number`].
//! - What a site has applied only grows, while it wants the same (`progress_only_grows`).
//! - Of several who follow under one name the last alone may say what was applied (`the_last_holder_alone_may_acknowledge`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    digest::Digest,
    entry::{Action, Origin},
    filter::Filter,
    id::{Caller, Code, SubscriptionId},
    rejection::{Conflict, Rejection, etag},
    time::Timestamp,
};

/// Acknowledgements that are remembered, newest last: to say since when something is applied.
const ACKNOWLEDGEMENTS_MAX: usize = 32;

/// A named subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Which.
    pub id: SubscriptionId,
    /// Which statements.
    pub filter: Filter,
    /// Also texts under embargo.
    pub include_embargoed: bool,
    /// Free to use.
    pub annotations: BTreeMap<String, String>,
    /// Who created it.
    pub creator: Caller,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it was changed last.
    pub update_time: Timestamp,
    /// Number of the entry that created it.
    pub number: u64,
    /// Number of the entry that changed it last: the etag.
    pub version: u64,
    /// When it was deleted.
    pub delete_time: Option<Timestamp>,
}

/// What is to be done to a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the RPC of the same name; see proto/onrecord/v1/feed_service.proto")]
pub enum Step {
    Create {
        filter: Filter,
        include_embargoed: bool,
        annotations: BTreeMap<String, String>,
    },
    Update {
        etag: String,
        filter: Option<Filter>,
        include_embargoed: Option<bool>,
        annotations: Option<BTreeMap<String, String>>,
    },
    Delete {
        etag: String,
    },
}

impl Step {
    /// How the audit trail names it.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Create { .. } => Action::CreateSubscription,
            Self::Update { .. } => Action::UpdateSubscription,
            Self::Delete { .. } => Action::DeleteSubscription,
        }
    }
}

/// A step that somebody wants taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionCall {
    /// Who.
    pub caller: Caller,
    /// From where, and by what it showed who it is.
    pub origin: Option<Origin>,
    /// A UUID, if the caller wants to be able to repeat the call.
    pub request_id: Option<uuid::Uuid>,
    /// Answer as if, change nothing.
    pub validate_only: bool,
    /// On which subscription.
    pub id: SubscriptionId,
    /// What.
    pub step: Step,
}

/// What a step does to a subscription, given what is there; none if it never was. `entry` is the number of the entry that the step
/// will be, `now` its time.
///
/// # Errors
/// Why the step is refused. It then changes nothing.
pub fn decide(
    there: Option<&Subscription>,
    call: &SubscriptionCall,
    now: Timestamp,
    entry: u64,
) -> Result<Subscription, Rejection> {
    let there = there.filter(|there| there.delete_time.is_none());
    if let Step::Create { filter, include_embargoed, annotations } = &call.step {
        if there.is_some() {
            return Err(Rejection::SubscriptionExists);
        }
        return Ok(Subscription {
            id: call.id.clone(),
            filter: filter.clone(),
            include_embargoed: *include_embargoed,
            annotations: annotations.clone(),
            creator: call.caller.clone(),
            create_time: now,
            update_time: now,
            number: entry,
            version: entry,
            delete_time: None,
        });
    }
    let there = there.ok_or(Rejection::SubscriptionNotFound)?;
    let mut after = Subscription { update_time: now, version: entry, ..there.clone() };
    match &call.step {
        Step::Create { .. } => {}
        Step::Update { etag, filter, include_embargoed, annotations } => {
            check_etag(there, etag)?;
            after.filter = filter.clone().unwrap_or(after.filter);
            after.include_embargoed = include_embargoed.unwrap_or(after.include_embargoed);
            after.annotations = annotations.clone().unwrap_or(after.annotations);
        }
        Step::Delete { etag } => {
            if !etag.is_empty() {
                check_etag(there, etag)?;
            }
            after.delete_time = Some(now);
        }
    }
    Ok(after)
}

fn check_etag(there: &Subscription, given: &str) -> Result<(), Rejection> {
    let right = etag(there.version);
    if right == given {
        return Ok(());
    }
    let conflict = Conflict { etag: right, revision: 0, editor: None, time: there.update_time };
    Err(Rejection::EtagMismatch(Box::new(conflict)))
}

/// A place in the feed: the sequence that comes next, and the hash of the event before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The sequence that comes next.
    pub next: u64,
    /// Of the event before.
    pub hash: Digest,
}

/// How far a site is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// [`Subscription::number`] of the subscription that this is about.
    pub subscription: u64,
    /// Raised whenever somebody begins to follow under this name.
    pub generation: u64,
    /// What was applied: everything before; none if nothing was.
    pub applied: Option<Point>,
    /// What the site wanted when it said so: the fingerprint of its filter.
    pub selection: [u8; 4],
    /// What it might have when it said so: the fingerprint of its mandate.
    #[serde(default)]
    pub mandate: [u8; 4],
    /// The same of whoever follows, or followed last.
    #[serde(default)]
    pub held_mandate: [u8; 4],
    /// Where what was applied ended, and since when: the newest 32, newest last.
    pub acknowledgements: Vec<(u64, Timestamp)>,
    /// What the site does not apply.
    pub refused: Option<Refused>,
    /// When it was heard of last; none if never.
    pub contact_time: Option<Timestamp>,
}

/// An event that a site does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which.
    pub sequence: u64,
    /// Why, as a code.
    pub reason: Code,
    /// Why, in words.
    pub detail: String,
    /// When it said so.
    pub time: Timestamp,
}

impl Progress {
    /// That of a subscription nobody followed yet.
    #[must_use]
    pub fn new(subscription: u64) -> Self {
        Self {
            subscription,
            generation: 0,
            applied: None,
            selection: [0; 4],
            mandate: [0; 4],
            held_mandate: [0; 4],
            acknowledgements: Vec::new(),
            refused: None,
            contact_time: None,
        }
    }

    /// Somebody who may have `mandate` begins to follow: whoever did before may say nothing any more.
    pub fn hold(&mut self, mandate: [u8; 4], now: Timestamp) {
        self.generation += 1;
        self.held_mandate = mandate;
        self.contact_time = Some(now);
    }

    /// Everything before a place was applied, by a site that wants `selection`. What is said again changes nothing.
    ///
    /// # Errors
    /// If somebody else follows under this name by now.
    pub fn acknowledge(
        &mut self,
        generation: u64,
        place: Point,
        selection: [u8; 4],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        self.check(generation)?;
        self.contact_time = Some(now);
        let is_as_before = (self.selection, self.mandate) == (selection, self.held_mandate);
        if self.next() >= place.next && is_as_before {
            return Ok(());
        }
        self.refused.take_if(|refused| refused.sequence < place.next);
        if !is_as_before {
            // What was applied then is not what would be now.
            self.acknowledgements.clear();
        }
        (self.applied, self.selection, self.mandate) = (Some(place), selection, self.held_mandate);
        self.acknowledgements.push((place.next, now));
        let over = self.acknowledgements.len().saturating_sub(ACKNOWLEDGEMENTS_MAX);
        self.acknowledgements.drain(..over);
        Ok(())
    }

    /// An event is not applied, and why.
    ///
    /// # Errors
    /// If somebody else follows under this name by now, or it was applied.
    pub fn refuse(&mut self, generation: u64, refused: Refused) -> Result<(), Rejection> {
        self.check(generation)?;
        if refused.sequence < self.next() {
            return Err(Rejection::AlreadyApplied { next: self.next() });
        }
        self.contact_time = Some(refused.time);
        self.refused = Some(refused);
        Ok(())
    }

    fn check(&self, generation: u64) -> Result<(), Rejection> {
        if self.generation == generation {
            return Ok(());
        }
        Err(Rejection::SubscriptionSuperseded { generation: self.generation })
    }

    /// The first sequence that was not applied.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.applied.map_or(1, |place| place.next)
    }

    /// Since when an event is applied, at the latest; none if it is not.
    #[must_use]
    pub fn applied_since(&self, sequence: u64) -> Option<Timestamp> {
        self.acknowledgements.iter().find(|(next, _)| sequence < *next).map(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn place(next: u64) -> Point {
        Point { next, hash: Digest::of(&[&next.to_be_bytes()]) }
    }

    fn held() -> Progress {
        let mut progress = Progress::new(7);
        progress.hold([0; 4], time(1));
        progress
    }

    fn refused(sequence: u64) -> Refused {
        Refused { sequence, reason: Code::parse("too-long").unwrap(), detail: String::new(), time: time(9) }
    }

    #[test]
    fn progress_only_grows() {
        let mut progress = held();
        for (next, stands) in [(5, 5), (3, 5), (5, 5), (9, 9)] {
            progress.acknowledge(1, place(next), [0; 4], time(2)).unwrap();
            assert_eq!(progress.next(), stands);
        }
        progress.acknowledge(1, place(4), [1; 4], time(3)).unwrap();
        assert_eq!(progress.next(), 4, "it wants something else, and began anew");
        assert_eq!(progress.applied_since(7), None);
        progress.hold([1; 4], time(4));
        progress.acknowledge(2, place(3), [1; 4], time(5)).unwrap();
        assert_eq!((progress.next(), progress.mandate), (3, [1; 4]), "it may have something else, and began anew");
    }

    #[test]
    fn the_last_holder_alone_may_acknowledge() {
        let mut progress = held();
        progress.hold([0; 4], time(2));
        let taken = Err(Rejection::SubscriptionSuperseded { generation: 2 });
        let before = progress.clone();
        assert_eq!(progress.acknowledge(1, place(5), [0; 4], time(3)), taken);
        assert_eq!(progress.refuse(1, refused(5)), taken);
        assert_eq!(progress, before);
        progress.acknowledge(2, place(5), [0; 4], time(3)).unwrap();
    }

    #[test]
    fn what_is_refused_is_refused_until_it_is_applied() {
        let mut progress = held();
        progress.acknowledge(1, place(5), [0; 4], time(2)).unwrap();
        assert_eq!(progress.refuse(1, refused(4)), Err(Rejection::AlreadyApplied { next: 5 }));
        progress.refuse(1, refused(6)).unwrap();
        progress.acknowledge(1, place(6), [0; 4], time(2)).unwrap();
        assert_eq!(progress.refused, Some(refused(6)));
        progress.acknowledge(1, place(7), [0; 4], time(3)).unwrap();
        assert_eq!(progress.refused, None);
    }

    #[test]
    fn since_when_something_is_applied_is_known_at_the_latest() {
        let mut progress = held();
        for next in 2..=100 {
            progress.acknowledge(1, place(next), [0; 4], time(i64::try_from(next).unwrap())).unwrap();
        }
        assert_eq!(progress.applied_since(99), Some(time(100)));
        assert_eq!(progress.applied_since(90), Some(time(91)));
        assert_eq!(progress.applied_since(1), Some(time(69)), "the oldest that is remembered");
        assert_eq!(progress.applied_since(100), None);
    }

    #[test]
    fn a_subscription_is_created_changed_and_deleted() {
        let call = |step| SubscriptionCall {
            caller: Caller::parse("operator").unwrap(),
            origin: None,
            request_id: None,
            validate_only: false,
            id: SubscriptionId::parse("press-site").unwrap(),
            step,
        };
        let create =
            call(Step::Create { filter: Filter::default(), include_embargoed: false, annotations: BTreeMap::new() });
        let made = decide(None, &create, time(1), 4).unwrap();
        assert_eq!((made.number, made.version), (4, 4));
        assert_eq!(decide(Some(&made), &create, time(2), 5), Err(Rejection::SubscriptionExists));
        let update = |etag: &str| {
            let etag = etag.to_owned();
            call(Step::Update { etag, filter: None, include_embargoed: Some(true), annotations: None })
        };
        let stale = decide(Some(&made), &update("\"3\""), time(2), 5).unwrap_err();
        assert!(matches!(stale, Rejection::EtagMismatch(conflict) if conflict.etag == "\"4\""));
        let changed = decide(Some(&made), &update("\"4\""), time(2), 5).unwrap();
        assert!(changed.include_embargoed && (changed.number, changed.version) == (4, 5));
        let gone = decide(Some(&changed), &call(Step::Delete { etag: String::new() }), time(3), 6).unwrap();
        assert_eq!(gone.delete_time, Some(time(3)));
        assert_eq!(decide(Some(&gone), &update("\"6\""), time(4), 7), Err(Rejection::SubscriptionNotFound));
        assert_eq!(decide(Some(&gone), &create, time(4), 7).unwrap().number, 7, "another of the same name");
    }
}

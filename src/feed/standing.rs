//! Named subscriptions: what they acknowledge, how they stand, and who has applied what.
//!
//! **Invariants**
//! - A site is never said to have applied what it did not acknowledge under the filter it has now
//!   (`a_changed_filter_begins_anew`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{
    Feed, FeedRefusal, Shared,
    cursor::Cursor,
    selection::{Fingerprint, Selection},
    start::{self, check_floor},
};
use crate::{
    domain::{
        content::Facts,
        draft::FieldFault,
        event::EventHead,
        id::{EditionName, StatementId, SubscriptionId},
        live::Live,
        mandate::Mandate,
        rejection::Rejection,
        state::State,
        subscription::{Progress, Refused, Subscription},
        time::Timestamp,
    },
    journal::{EventRecord, JournalError, View},
};

/// How a named subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How far it is.
    pub progress: Progress,
    /// Resumes after what was applied; empty if nothing was.
    pub cursor: String,
    /// In a word.
    pub state: StandingState,
    /// Events of the feed that were not acknowledged, whatever the filter.
    pub lag_events: u64,
    /// When the first of them happened; none if there is none.
    pub lags_since: Option<Timestamp>,
}

/// How full the feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupancy {
    /// Streams that are open.
    pub streams: u64,
    /// Streams that may be.
    pub streams_max: u64,
    /// Snapshots under way.
    pub snapshots: u64,
    /// Snapshots that may be.
    pub snapshots_max: u64,
}

/// Subscriptions that are looked at in one go.
const PAGE: usize = 500;
/// Events of one language of a statement that are looked at for the newest that concerns a site.
const EVENTS_MAX: usize = 64;

/// How a named subscription stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingState {
    /// Somebody follows under this name.
    Active,
    /// Nobody does.
    Idle,
    /// Somebody does, and has said nothing for [`Options::stall`](super::Options::stall) though there is something to apply.
    Stalled,
    /// It does not apply an event, and says why.
    Rejecting,
}

/// What it is that sites may have applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// What happened last to a statement, in each language.
    Statement(StatementId),
    /// The publication of an edition.
    Edition(EditionName),
}

/// An event, and what became of it at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which site.
    pub subscription: SubscriptionId,
    /// Which event.
    pub event: EventHead,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an event at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, at the latest at that time, if that is still known.
    Applied(Option<Timestamp>),
    /// It was not, as far as is known.
    Waiting,
    /// The site says that it does not apply it.
    Refused(Refused),
}

impl Feed {
    /// Everything before a cursor was applied by who follows under a name. Returns once that is on the device, with the newest event that
    /// was acknowledged.
    ///
    /// # Errors
    /// If there is no such subscription, somebody else follows under its name by now, the cursor is not one of this subscription and
    /// this feed, or the journal is closed.
    pub async fn acknowledge(&self, id: SubscriptionId, generation: u64, cursor: &str) -> Result<u64, FeedRefusal> {
        let subscription = self.shared.subscription(id).await?;
        let fingerprint = selection(&subscription).fingerprint();
        let cursor = Cursor::decode(cursor).map_err(FeedRefusal::CursorInvalid)?;
        // A hold is noted before anything is sent to whoever took it. If another is taken meanwhile, the generation is another too.
        let (held, _) = self.shared.known(vec![subscription.clone()]).await?.swap_remove(0);
        let sent = fingerprint.within(Fingerprint(held.held_mandate));
        let point = start::locate(&self.shared, &cursor, sent).await?;
        let now = self.shared.journal.now();
        let next = self.shared.change(&subscription, |progress, _| {
            progress.acknowledge(generation, point, fingerprint.0, now)?;
            Ok(progress.next())
        });
        Ok(next.await?.saturating_sub(1))
    }

    /// An event is not applied by who follows under a name. Returns once that is on the device.
    ///
    /// # Errors
    /// As [`Feed::acknowledge`]; and if there is no such event, or it was acknowledged.
    pub async fn refuse(&self, id: SubscriptionId, generation: u64, refused: Refused) -> Result<(), FeedRefusal> {
        let subscription = self.shared.subscription(id).await?;
        let tail = self.shared.window.tail();
        if !(1..tail).contains(&refused.sequence) {
            let fault = FieldFault::new("sequence", format!("must be of an event that was sent, 1 to {}", tail - 1));
            return Err(Rejection::Invalid(vec![fault]).into());
        }
        self.shared.change(&subscription, |progress, _| progress.refuse(generation, refused)).await
    }

    /// Ends the stream of who follows under a name, since what it wants has changed or is no more.
    pub fn release(&self, changed: &Subscription) {
        self.shared.ledger.release(changed);
    }

    /// How subscriptions stand, in the same order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn standings(&self, subscriptions: Vec<Subscription>) -> Result<Vec<Standing>, FeedRefusal> {
        let known = self.shared.known(subscriptions.clone()).await?;
        let (tail, now, stall) = (self.shared.window.tail(), self.shared.journal.now(), self.shared.options.stall);
        let next: Vec<_> = known.iter().map(|(progress, _)| progress.next()).collect();
        let since = self.shared.journal.read(move |view| next.iter().map(|next| happened(view, *next, tail)).collect());
        let since: Vec<_> = since.await?;
        let all = subscriptions.iter().zip(known).zip(since);
        let standings = all.map(|((subscription, (progress, is_followed)), lags_since)| {
            let quiet = lags_since.max(progress.contact_time).filter(|_| lags_since.is_some());
            let quiet_micros = quiet.map_or(0, |since| now.micros_since(since));
            let state = match (&progress.refused, is_followed) {
                (Some(_), _) => StandingState::Rejecting,
                (None, false) => StandingState::Idle,
                (None, true) if u128::try_from(quiet_micros).unwrap_or_default() > stall.as_micros() => {
                    StandingState::Stalled
                }
                (None, true) => StandingState::Active,
            };
            let fingerprint = selection(subscription).fingerprint();
            let applied = progress.applied.filter(|_| progress.selection == fingerprint.0);
            let cursor = applied.map(|place| {
                let sent = fingerprint.within(Fingerprint(progress.mandate));
                Cursor::new(self.shared.journal.identity(), place, sent).encode()
            });
            Standing {
                cursor: cursor.unwrap_or_default(),
                state,
                lag_events: tail.saturating_sub(progress.next()),
                lags_since,
                progress,
            }
        });
        Ok(standings.collect())
    }

    /// How all named subscriptions stand, in the order of their names.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn all_standings(&self) -> Result<Vec<(SubscriptionId, Standing)>, FeedRefusal> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let from = after.take();
            let page = self.shared.journal.read(move |view| view.subscriptions(from.as_ref(), PAGE, |_| true)).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.id.clone());
            let names: Vec<_> = page.iter().map(|subscription| subscription.id.clone()).collect();
            all.extend(names.into_iter().zip(self.standings(page).await?));
        }
    }

    /// How full the feed is.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.shared.occupancy()
    }

    /// What became of the events of a statement, as far as a mandate sees it, at the sites that they concern.
    ///
    /// # Errors
    /// If there is no such statement or edition, or the store cannot be read.
    pub async fn deliveries(
        &self,
        target: Target,
        mandate: Arc<Mandate>,
        subscriptions: Vec<Subscription>,
    ) -> Result<Vec<Told>, FeedRefusal> {
        let tail = self.shared.window.tail();
        let records = self.shared.journal.read(move |view| records(view, &target, &mandate, tail)).await??;
        let known = self.shared.known(subscriptions.clone()).await?;
        let mut told = Vec::new();
        for (subscription, (progress, _)) in subscriptions.iter().zip(known) {
            let selection = selection(subscription);
            let newest =
                records.iter().filter_map(|of| of.iter().find(|record| selection.filter_change(record).is_some()));
            for record in newest {
                let event = record.event.head.clone();
                let outcome = outcome(&progress, event.sequence, &selection);
                told.push(Told { subscription: subscription.id.clone(), event, outcome });
            }
        }
        Ok(told)
    }
}

impl Shared {
    pub(super) fn occupancy(&self) -> Occupancy {
        let Self { options, streams, snapshots, .. } = self;
        let taken = |places: &Semaphore, most: usize| count(most.saturating_sub(places.available_permits()));
        Occupancy {
            streams: taken(streams, options.streams_max),
            streams_max: count(options.streams_max),
            snapshots: taken(snapshots, options.snapshots_max),
            snapshots_max: count(options.snapshots_max),
        }
    }

    pub(super) async fn subscription(&self, id: SubscriptionId) -> Result<Subscription, FeedRefusal> {
        let found = self.journal.read(move |view| view.subscription(&id)).await?;
        Ok(found.ok_or(Rejection::SubscriptionNotFound)?)
    }

    /// The cursor that goes on after what was applied by who may have `mandate`; none if nothing was.
    pub(super) async fn applied(
        &self,
        subscription: &Subscription,
        mandate: Fingerprint,
    ) -> Result<Option<Cursor>, FeedRefusal> {
        let (progress, _) = self.known(vec![subscription.clone()]).await?.swap_remove(0);
        let Some(place) = progress.applied else { return Ok(None) };
        let fingerprint = selection(subscription).fingerprint();
        if (progress.selection, progress.mandate) != (fingerprint.0, mandate.0) {
            return Err(FeedRefusal::FilterChanged);
        }
        check_floor(place.next, self.floor(self.window.tail()))?;
        Ok(Some(Cursor::new(self.journal.identity(), place, fingerprint.within(mandate))))
    }

    /// How far subscriptions are, and whether somebody follows under their names; as many as were asked for.
    pub(super) async fn known(&self, subscriptions: Vec<Subscription>) -> Result<Vec<(Progress, bool)>, JournalError> {
        let known: Vec<_> = subscriptions.iter().map(|subscription| self.ledger.standing(subscription)).collect();
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().collect());
        }
        let read = self.journal.read(move |view| {
            let both = subscriptions.iter().zip(&known);
            both.map(|(subscription, known)| match known {
                Some(known) => Ok(known.clone()),
                None => Ok((view.progress(subscription)?, false)),
            })
            .collect()
        });
        read.await
    }
}

/// What a named subscription is to be sent.
pub(super) fn selection(subscription: &Subscription) -> Selection {
    Selection::new(subscription.filter.clone(), subscription.include_embargoed)
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

fn outcome(progress: &Progress, sequence: u64, selection: &Selection) -> Outcome {
    match &progress.refused {
        _ if progress.selection != selection.fingerprint().0 => Outcome::Waiting,
        Some(refused) if refused.sequence == sequence => Outcome::Refused(refused.clone()),
        _ if sequence < progress.next() => Outcome::Applied(progress.applied_since(sequence)),
        _ => Outcome::Waiting,
    }
}

/// When the event at a place happened, if there is one.
fn happened(view: &View<'_>, sequence: u64, tail: u64) -> Result<Option<Timestamp>, JournalError> {
    if sequence >= tail {
        return Ok(None);
    }
    Ok(view.events(sequence, 1)?.first().map(|record| record.event.head.event_time))
}

/// The events that a target is about, as far as a mandate admits them: of each language the newest, newest first, since the newest of all
/// may concern others.
fn records(
    view: &View<'_>,
    target: &Target,
    mandate: &Mandate,
    tail: u64,
) -> Result<Result<Vec<Vec<EventRecord>>, Rejection>, JournalError> {
    let (id, edition) = match target {
        Target::Statement(id) => (id, None),
        Target::Edition(name) => (&name.statement, Some(name)),
    };
    let missing = if edition.is_some() { Rejection::EditionNotFound } else { Rejection::StatementNotFound };
    let Some(state) = view.state(id)? else { return Ok(Err(missing)) };
    let audience = Audience { view, state: &state, mandate, editors: mandate.of_editors() };
    let mut found = Vec::new();
    if let Some(name) = edition {
        let Some(language) = name.language.find(state.languages.keys()) else { return Ok(Err(missing)) };
        let name = &EditionName::new(id, language, name.number);
        let record = view.event_of_edition(name, tail)?.filter(|record| !record.event.head.kind.is_embargo());
        let facts: Vec<_> = view.edition(name)?.map(|edition| edition.outline.facts).into_iter().collect();
        found.push(record.filter(|record| audience.admits(record, &facts)).into_iter().collect());
    } else {
        for language in state.languages.keys() {
            found.push(audience.admitted(view.newest_events(id, language, tail, EVENTS_MAX)?)?);
        }
    }
    found.retain(|records| !records.is_empty());
    let is_known = !found.is_empty() || edition.is_none() && audience.editors.sees(&state);
    Ok(if is_known { Ok(found) } else { Err(missing) })
}

/// A caller who asks about the events of a statement.
struct Audience<'a> {
    view: &'a View<'a>,
    state: &'a State,
    mandate: &'a Mandate,
    /// What of the mandate is for those who work on statements.
    editors: Mandate,
}

impl Audience<'_> {
    fn admitted(&self, records: Vec<EventRecord>) -> Result<Vec<EventRecord>, JournalError> {
        let mut admitted = Vec::new();
        for record in records {
            if self.admits(&record, &self.view.facts_of(&record)?) {
                admitted.push(record);
            }
        }
        Ok(admitted)
    }

    /// Whether the caller may know of an event about texts with these facts: it is public, or under embargo and the caller is cleared, or
    /// the caller works on it.
    fn admits(&self, record: &EventRecord, facts: &[Facts]) -> bool {
        let (head, kind) = (&record.event.head, &self.state.statement.kind);
        let (id, language) = (&head.statement, &head.language_code);
        let is_public = self.state.live(language).is_some_and(Live::is_visible);
        // Of what was erased under embargo no facts are left.
        if facts.is_empty() {
            return self.editors.is_unlimited();
        }
        facts.iter().any(|facts| {
            self.editors.admits(id, kind, language, facts)
                || if head.kind.is_embargo() {
                    self.mandate.admits_embargoed(id, kind, language, facts)
                } else {
                    is_public && self.mandate.admits(id, kind, language, facts)
                }
        })
    }
}

//! Who follows under which name, and how far they are: kept in memory, and noted in the journal many at a time.
//!
//! **Invariants**
//! - What a site said is answered, and shown to others, once it is on the device. All that is said within [`NOTE_AFTER`] goes in one
//!   write, so a crowd that acknowledges costs the writers of the record nothing (`a_crowd_that_acknowledges_costs_few_writes`).
//! - One stream at a time follows under a name: the last. The one before is told so and ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{FeedRefusal, Shared, selection::Fingerprint};
use crate::{
    domain::{
        id::SubscriptionId,
        rejection::Rejection,
        subscription::{Progress, Subscription},
    },
    journal::JournalError,
};

/// How long what was said waits for more to be said.
const NOTE_AFTER: Duration = Duration::from_millis(20);
/// Subscriptions in one write: each takes about 1 KiB.
const NOTED_MAX: usize = 256;

/// A named subscription, as it stands.
#[derive(Debug)]
struct Account {
    progress: Progress,
    /// The same as it is on the device: what others are shown.
    noted: Progress,
    /// Who follows under this name.
    holder: Option<Holder>,
}

/// A stream that follows under a name.
#[derive(Debug)]
pub(super) struct Holder {
    /// Ends it.
    superseded: CancellationToken,
    /// [`Subscription::version`] of what it follows.
    version: u64,
}

impl Account {
    fn new(noted: Progress) -> Self {
        Self { progress: noted.clone(), noted, holder: None }
    }
}

#[derive(Debug, Default)]
struct Accounts {
    by_id: BTreeMap<SubscriptionId, Account>,
    /// Those with something that is not noted yet.
    unnoted: BTreeSet<SubscriptionId>,
    /// How many times something was said.
    said: u64,
}

/// How far the noting is: everything up to a number of times, or why it ended.
type Noted = Result<u64, JournalError>;

#[derive(Debug)]
pub(super) struct Ledger {
    accounts: Mutex<Accounts>,
    said: Notify,
    noted: watch::Sender<Noted>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { accounts: Mutex::default(), said: Notify::new(), noted: watch::Sender::new(Ok(0)) }
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a subscription is on the device, and whether somebody follows under its name; none if nothing is known of it since the
    /// start.
    pub(super) fn standing(&self, subscription: &Subscription) -> Option<(Progress, bool)> {
        let accounts = self.lock();
        let account = accounts.by_id.get(&subscription.id)?;
        let same = account.noted.subscription == subscription.number;
        same.then(|| (account.noted.clone(), account.holder.is_some()))
    }

    /// Ends the stream that follows under a name as it was before: what it wants has changed, or is no more. A call that is repeated
    /// changes nothing, and ends nothing.
    pub(super) fn release(&self, changed: &Subscription) {
        let mut accounts = self.lock();
        let Some(account) = accounts.by_id.get_mut(&changed.id) else { return };
        if let Some(holder) = account.holder.take_if(|holder| holder.version < changed.version) {
            holder.superseded.cancel();
        }
    }

    /// Waits until what was said up to a number of times is on the device.
    async fn settle(&self, said: u64) -> Result<(), JournalError> {
        let mut noted = self.noted.subscribe();
        let settled = noted.wait_for(|noted| noted.as_ref().map_or(true, |noted| said <= *noted)).await;
        let noted = settled.map_err(|_| JournalError::Closed("nothing is noted any more".to_owned()))?;
        noted.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Returns once nothing is noted any more.
    pub(super) async fn ended(&self) {
        drop(self.noted.subscribe().wait_for(Result::is_err).await);
    }

    /// That is on the device now.
    fn is_noted(&self, part: &[(SubscriptionId, Progress)]) {
        let mut accounts = self.lock();
        for (id, progress) in part {
            if let Some(account) = accounts.by_id.get_mut(id)
                && account.noted.subscription == progress.subscription
            {
                account.noted.clone_from(progress);
            }
        }
    }

    /// Takes what is to be noted, and up to when that is everything.
    fn unnoted(&self) -> (Vec<(SubscriptionId, Progress)>, u64) {
        let mut accounts = self.lock();
        let ids = std::mem::take(&mut accounts.unnoted);
        let progress = ids.into_iter().filter_map(|id| {
            let progress = accounts.by_id.get(&id)?.progress.clone();
            Some((id, progress))
        });
        (progress.collect(), accounts.said)
    }
}

/// Notes in the journal what was said, until nobody can say anything more or the journal takes no writes.
pub(super) async fn note(shared: Arc<Shared>) {
    let ledger = &shared.ledger;
    loop {
        let more = async {
            ledger.said.notified().await;
            sleep(NOTE_AFTER).await;
        };
        let stops = tokio::select! {
            () = more => false,
            () = shared.ended.cancelled() => true,
        };
        let (progress, said) = ledger.unnoted();
        for part in progress.chunks(NOTED_MAX) {
            if let Err(failure) = shared.journal.note(part.to_vec()).await {
                error!(%failure, "what sites have applied cannot be noted any more");
                drop(ledger.noted.send_replace(Err(failure)));
                return;
            }
            ledger.is_noted(part);
        }
        drop(ledger.noted.send_replace(Ok(said)));
        if stops {
            drop(ledger.noted.send_replace(Err(JournalError::Closed("the service stops".to_owned()))));
            return;
        }
    }
}

impl Shared {
    /// Changes how far a subscription is, and returns once that is on the device.
    pub(super) async fn change<T>(
        &self,
        subscription: &Subscription,
        change: impl FnOnce(&mut Progress, &mut Option<Holder>) -> Result<T, Rejection>,
    ) -> Result<T, FeedRefusal> {
        let (changed, said) = self.change_unsettled(subscription, change).await?;
        self.ledger.settle(said).await?;
        Ok(changed)
    }

    /// The same before it is on the device, and what to wait for until it is.
    async fn change_unsettled<T>(
        &self,
        subscription: &Subscription,
        change: impl FnOnce(&mut Progress, &mut Option<Holder>) -> Result<T, Rejection>,
    ) -> Result<(T, u64), FeedRefusal> {
        let (known, _) = self.known(vec![subscription.clone()]).await?.swap_remove(0);
        Ok(self.change_known(subscription, known, change)?)
    }

    fn change_known<T>(
        &self,
        subscription: &Subscription,
        known: Progress,
        change: impl FnOnce(&mut Progress, &mut Option<Holder>) -> Result<T, Rejection>,
    ) -> Result<(T, u64), Rejection> {
        let mut accounts = self.ledger.lock();
        let Accounts { by_id, unnoted, said } = &mut *accounts;
        let account = by_id.entry(subscription.id.clone()).or_insert_with(|| Account::new(known.clone()));
        if account.progress.subscription < subscription.number {
            // It was of another that had this name. Who followed that one may say nothing of this one: no generation comes twice.
            let generation = account.progress.generation.max(known.generation);
            if let Some(holder) = account.holder.take() {
                holder.superseded.cancel();
            }
            *account = Account::new(Progress { generation, ..known });
        }
        if account.progress.subscription != subscription.number {
            return Err(Rejection::SubscriptionNotFound);
        }
        let changed = change(&mut account.progress, &mut account.holder)?;
        unnoted.insert(subscription.id.clone());
        *said += 1;
        self.ledger.said.notify_one();
        Ok((changed, *said))
    }
}

/// The right to follow under a name, until somebody else takes it. Letting go of it is noted.
#[derive(Debug)]
pub(super) struct Hold {
    shared: Arc<Shared>,
    id: SubscriptionId,
    pub(super) generation: u64,
    superseded: CancellationToken,
}

impl Hold {
    /// Takes the name from whoever holds it. It is on the device before anything is sent, so no generation comes twice.
    pub(super) async fn take(
        shared: Arc<Shared>,
        subscription: &Subscription,
        mandate: Fingerprint,
    ) -> Result<Self, FeedRefusal> {
        let superseded = CancellationToken::new();
        let holder = Holder { superseded: superseded.clone(), version: subscription.version };
        let now = shared.journal.now();
        let taken = shared.change_unsettled(subscription, |progress, held| {
            progress.hold(mandate.0, now);
            if let Some(before) = held.replace(holder) {
                before.superseded.cancel();
            }
            Ok(progress.generation)
        });
        let (generation, said) = taken.await?;
        // It lets go also where the caller does not wait for the device.
        let hold = Self { shared, id: subscription.id.clone(), generation, superseded };
        hold.shared.ledger.settle(said).await?;
        Ok(hold)
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.is_cancelled()
    }

    pub(super) async fn superseded(&self) {
        self.superseded.cancelled().await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut accounts = self.shared.ledger.lock();
        if let Some(account) = accounts.by_id.get_mut(&self.id)
            && account.progress.generation == self.generation
        {
            account.holder = None;
            account.progress.contact_time = Some(self.shared.journal.now());
            accounts.unnoted.insert(self.id.clone());
            self.shared.ledger.said.notify_one();
        }
    }
}

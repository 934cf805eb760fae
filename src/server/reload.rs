//! What may change while the service runs: the policy, and the files of TLS. They are read again now and then, and at SIGHUP.
//!
//! **Invariants**
//! - What cannot be used changes nothing, and is told once (`a_broken_policy_leaves_the_one_before`, `broken_files_change_nothing`).
//! - Once a policy is another one, every stream is looked at (`a_revoked_token_ends_a_hundred_streams_and_leaves_the_others`).

use std::{
    collections::BTreeMap,
    fmt::Display,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::tls::Tls;
use crate::{access::Access, feed::Feed};

/// Between two looks at the files: a certificate is renewed days before the old one ends.
const EVERY: Duration = Duration::from_secs(10);

/// Follows the files until `shutdown`, and has every stream see whether its right holds whenever the policy is another one.
pub(super) async fn follow(
    access: Access,
    tls: Option<Arc<Tls>>,
    feed: Feed,
    faults: Faults,
    shutdown: CancellationToken,
) {
    let has_certificates = tls.as_ref().is_some_and(|tls| tls.takes_certificates());
    let mut changes = access.changes();
    let mut hangup = signal(SignalKind::hangup()).ok();
    doubt(&access, has_certificates);
    let (mut policy, mut encryption) = (Reported::new(POLICY, &faults), Reported::new(TLS, &faults));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = changes.changed() => {
                feed.review();
                continue;
            }
            () = sleep(EVERY) => {}
            () = hung_up(&mut hangup) => {
                (policy.said, encryption.said) = Default::default();
                access.fetch_keys();
            }
        }
        let (files, tls) = (access.clone(), tls.clone());
        let read = spawn_blocking(move || (files.reload(), tls.map_or(Ok(false), |tls| tls.reload())));
        let Ok((read, tls)) = read.await else { continue };
        let is_another = matches!(read, Ok(true));
        policy.report(read);
        encryption.report(tls);
        if is_another {
            doubt(&access, has_certificates);
        }
    }
}

/// Tells what of the policy may not be meant, and what nobody can do by it.
fn doubt(access: &Access, has_certificates: bool) {
    for doubt in access.doubts(has_certificates) {
        warn!(what = POLICY, %doubt, "is used as it is");
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// What may be found faulty when it is read again.
const POLICY: &str = "policy";
const TLS: &str = "tls";
pub(super) const KEYS: &str = "keys";

/// Of what the newest cannot be used. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Faults {
    /// Each sort, and whether something of it cannot be used.
    pub(super) fn all(&self) -> BTreeMap<String, bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [POLICY, TLS, KEYS].map(|what| (what.to_owned(), known.get(what).is_some_and(|many| *many > 0))).into()
    }

    fn note(&self, what: &'static str, change: impl Fn(u32) -> u32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let many = known.entry(what).or_default();
        *many = change(*many);
    }
}

/// Files of one sort, and what was said of them last: a fault is told once, until it is another.
pub(super) struct Reported {
    what: &'static str,
    said: String,
    /// Where it is counted while it is faulty.
    faults: Faults,
    is_faulty: bool,
}

impl Reported {
    pub(super) fn new(what: &'static str, faults: &Faults) -> Self {
        Self { what, said: String::new(), faults: faults.clone(), is_faulty: false }
    }

    fn note(&mut self, is_faulty: bool) {
        let was_faulty = mem::replace(&mut self.is_faulty, is_faulty);
        match (was_faulty, is_faulty) {
            (false, true) => self.faults.note(self.what, |many| many + 1),
            (true, false) => self.faults.note(self.what, |many| many.saturating_sub(1)),
            (false, false) | (true, true) => {}
        }
    }

    pub(super) fn report(&mut self, read: Result<bool, impl Display>) {
        let what = self.what;
        let was_faulty = self.is_faulty;
        self.note(read.is_err());
        match read.map_err(|fault| fault.to_string()) {
            Ok(changed) => {
                self.said.clear();
                if changed {
                    info!(what, "changed, and holds from now on");
                } else if was_faulty {
                    info!(what, "can be used again, and is what holds");
                }
            }
            Err(fault) if fault == self.said => {}
            Err(fault) => {
                warn!(what, %fault, "cannot be used: what was before holds on");
                self.said = fault;
            }
        }
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        self.note(false);
    }
}

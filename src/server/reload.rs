//! What may change while the service runs: the policy, and the files of TLS. They are read again now and then, and at SIGHUP.
//!
//! **Invariants**
//! - What cannot be used changes nothing, and is told once (`a_broken_policy_leaves_the_one_before`, `broken_files_change_nothing`).
//! - Once a policy is another one, every stream is looked at (`a_revoked_token_ends_a_hundred_streams_and_leaves_the_others`).

use std::{fmt::Display, sync::Arc, time::Duration};

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
pub(super) async fn follow(access: Access, tls: Option<Arc<Tls>>, feed: Feed, shutdown: CancellationToken) {
    let mut changes = access.changes();
    let mut hangup = signal(SignalKind::hangup()).ok();
    let (mut policy, mut encryption) = (Reported::new("policy"), Reported::new("TLS"));
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
        let (access, tls) = (access.clone(), tls.clone());
        let read = spawn_blocking(move || (access.reload(), tls.map_or(Ok(false), |tls| tls.reload())));
        let Ok((access, tls)) = read.await else { continue };
        policy.report(access);
        encryption.report(tls);
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Files of one sort, and what was said of them last: a fault is told once, until it is another.
pub(super) struct Reported {
    what: &'static str,
    said: String,
}

impl Reported {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, said: String::new() }
    }

    pub(super) fn report(&mut self, read: Result<bool, impl Display>) {
        let what = self.what;
        match read.map_err(|fault| fault.to_string()) {
            Ok(changed) => {
                self.said.clear();
                if changed {
                    info!(what, "changed, and holds from now on");
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

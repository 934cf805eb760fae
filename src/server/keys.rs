//! Fetches the keys of the identity providers that the policy names by their address.
//!
//! **Invariants**
//! - What cannot be fetched, or is no set of keys, changes nothing: tokens are believed by the keys that were there before
//!   (`keys_that_are_fetched_are_followed`).
//! - A key that is not known is asked for soon, but not more often than [`MISSED_EVERY`], whoever sends tokens.

use std::{collections::HashMap, fs, time::Duration};

use reqwest::{Certificate, Client, StatusCode, redirect::Policy};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::reload::{Faults, KEYS, Reported};
use crate::access::{Access, KeySource};

/// Between two looks at a provider.
const EVERY: Duration = Duration::from_mins(5);
/// After one that failed.
const FAILED_EVERY: Duration = Duration::from_secs(30);
/// Between two looks because of a key that is not known.
const MISSED_EVERY: Duration = Duration::from_secs(30);
/// How long a provider may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes of its answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The keys that are fetched, and when each is looked at again.
pub(super) struct Keys {
    access: Access,
    faults: Faults,
    known: HashMap<KeySource, Known>,
}

struct Known {
    reported: Reported,
    due: Instant,
}

impl Keys {
    /// Fetches what the policy names, so that nobody is refused who comes first. Waits for who does not answer, for a while.
    pub(super) async fn fetched(access: Access, faults: Faults) -> Self {
        let mut keys = Self { access, faults, known: HashMap::new() };
        keys.fetch_due(Instant::now()).await;
        keys
    }

    /// Fetches them now and then until `shutdown`, and as soon as somebody wants it.
    pub(super) async fn follow(mut self, shutdown: CancellationToken) {
        let access = self.access.clone();
        let mut changes = access.changes();
        let mut looked = Instant::now();
        let following = async {
            loop {
                let next = self.known.values().map(|known| known.due).min().unwrap_or_else(|| Instant::now() + EVERY);
                let missed = async {
                    access.key_missed().await;
                    sleep_until(looked + MISSED_EVERY).await;
                };
                // What is due; what the policy names anew is due at once.
                let upto = tokio::select! {
                    Ok(()) = changes.changed() => Instant::now(),
                    () = sleep_until(next) => Instant::now(),
                    () = access.keys_wanted() => Instant::now() + EVERY,
                    () = missed => Instant::now() + EVERY,
                };
                if self.fetch_due(upto).await {
                    looked = Instant::now();
                }
            }
        };
        shutdown.run_until_cancelled(following).await;
    }

    /// Fetches those that are due by then, together, and says whether there were any.
    async fn fetch_due(&mut self, upto: Instant) -> bool {
        let sources = self.access.key_sources();
        self.known.retain(|source, _| sources.contains(source));
        let due = sources.into_iter().filter(|source| self.known.get(source).is_none_or(|known| known.due <= upto));
        let mut fetching = JoinSet::new();
        for source in due {
            fetching.spawn(async move {
                let answer = timeout(ANSWER_MAX, fetch(&source)).await;
                (source, answer.unwrap_or_else(|_| Err(format!("no answer in {ANSWER_MAX:?}"))))
            });
        }
        let any = !fetching.is_empty();
        while let Some(Ok((source, answer))) = fetching.join_next().await {
            let taken =
                answer.and_then(|answer| self.access.take_keys(&source, &answer).map_err(|fault| fault.to_string()));
            let due = Instant::now() + if taken.is_ok() { EVERY } else { FAILED_EVERY };
            let told = taken.map_err(|fault| format!("{}: {fault}", source.place()));
            let faults = &self.faults;
            let known =
                self.known.entry(source).or_insert_with(|| Known { reported: Reported::new(KEYS, faults), due });
            known.due = due;
            known.reported.report(told);
        }
        any
    }
}

/// What a source answers.
async fn fetch(source: &KeySource) -> Result<Vec<u8>, String> {
    // Whoever is sent elsewhere believes somebody else.
    let mut client = Client::builder().redirect(Policy::none());
    if source.is_here() {
        // Nobody stands between, and there is no certificate.
        client = client.no_proxy().tls_certs_only([]);
    }
    if let Some(ca) = &source.ca {
        let pem = fs::read(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        client = client.tls_certs_only(Certificate::from_pem_bundle(&pem).map_err(told)?);
    }
    let asked = client.build().map_err(told)?.get(&source.url).send();
    let mut response = asked.await.map_err(told)?;
    if response.status() != StatusCode::OK {
        return Err(format!("answers {}", response.status()));
    }
    let mut answer = Vec::new();
    while let Some(part) = response.chunk().await.map_err(told)? {
        answer.extend_from_slice(&part);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(format!("answers more than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    Ok(answer)
}

/// An error with what it came from, without the address.
fn told(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}

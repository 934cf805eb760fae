//! How long a durable write takes, and how much goes in one.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Seconds. A disk that syncs at once takes the first; at the last the journal closes.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];
/// Entries: up to as many as go in one.
const ENTRIES: [f64; 8] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Durable writes since the start. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Commits {
    /// How long each took, in seconds.
    pub seconds: Histogram,
    /// Entries in each; 0 where only acknowledgements were.
    pub entries: Histogram,
}

impl Commits {
    pub(in crate::journal) fn new() -> Self {
        Self { seconds: Histogram::new(SECONDS), entries: Histogram::new(ENTRIES) }
    }

    pub(super) fn note(&self, took: Duration, entries: usize) {
        self.seconds.observe(took.as_secs_f64());
        self.entries.observe(f64::from(u32::try_from(entries).unwrap_or(u32::MAX)));
    }
}

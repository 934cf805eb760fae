//! A crowd: 10,000 subscribers over connections of their own, and five events a second. Each gets each once.

use std::sync::Arc;

use crate::{
    fanout::{connect, pace, percentile},
    peers::{Counted, Peer},
};

const SUBSCRIBERS: usize = 10_000;
const EVENTS: usize = 30;
const PACE: u64 = 5;

/// What one run shows.
pub(crate) const ROWS: [&str; 6] =
    ["lost", "twice", "µs of the server a delivery", "p50 ms", "p99 ms", "idle, KiB a subscriber"];

/// One run with one peer: what [`ROWS`] say. What does not come within two minutes counts as lost, and ends the benchmark.
pub(crate) async fn measure<P: Peer>(bytes: usize) -> Vec<f64> {
    let peer = P::start(EVENTS, bytes).await;
    let counted = Arc::new(Counted::default());
    let before = peer.process().resident_kib();
    let _subscriptions = connect(&peer, SUBSCRIBERS, &counted).await;
    let idle = (peer.process().resident_kib() - before) / SUBSCRIBERS as f64;
    let cpu = peer.process().cpu();
    let took = pace(&peer, 0..EVENTS, PACE, 0, SUBSCRIBERS as u64, &counted).await;
    let deliveries = (EVENTS * SUBSCRIBERS) as f64;
    let cost = (peer.process().cpu() - cpu) / deliveries;
    let came = counted.settled().await as f64;
    let (lost, twice) = ((deliveries - came).max(0.0), (came - deliveries).max(0.0));
    vec![lost, twice, cost, percentile(&took, 50), percentile(&took, 99), idle]
}

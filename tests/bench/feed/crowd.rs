//! A crowd: 10,000 subscribers over connections of their own, and five events a second. Each gets each once.

use std::{sync::Arc, time::Instant};

use crate::{
    fanout::{connect, pace, percentile},
    peers::{Counted, Peer},
};

const SUBSCRIBERS: usize = 10_000;
const EVENTS: usize = 30;
const PACE: u64 = 5;

/// What one run shows.
pub(crate) const ROWS: [&str; 7] =
    ["lost", "twice", "events/s kept", "µs of the server a delivery", "p50 ms", "p99 ms", "idle, KiB a subscriber"];
/// The row of the chart.
pub(crate) const BARS: [(usize, &str); 1] = [(3, "µs a delivery")];

/// One run with one peer: what [`ROWS`] say. Each subscriber is counted by itself. An event is published once all have got the one
/// before: who cannot keep the pace shows it there, and if one does not come within two minutes the benchmark ends.
pub(crate) async fn measure<P: Peer>(bytes: usize) -> Vec<f64> {
    let peer = P::start(EVENTS, bytes).await;
    let counted = Arc::new(Counted::default());
    let before = peer.process().resident_kib();
    let each: Vec<_> = (0..SUBSCRIBERS).map(|_| Arc::new(Counted::of_one(&counted))).collect();
    let _subscriptions = connect(&peer, &each).await;
    let idle = (peer.process().resident_kib() - before) / SUBSCRIBERS as f64;
    let (cpu, begun) = (peer.process().cpu(), Instant::now());
    let took = pace(&peer, 0..EVENTS, PACE, 0, SUBSCRIBERS as u64, &counted).await;
    let kept = EVENTS as f64 / begun.elapsed().as_secs_f64();
    let cost = (peer.process().cpu() - cpu) / (EVENTS * SUBSCRIBERS) as f64;
    counted.settle().await;
    let lost: u64 = each.iter().map(|one| (EVENTS as u64).saturating_sub(one.delivered())).sum();
    let twice: u64 = each.iter().map(|one| one.delivered().saturating_sub(EVENTS as u64)).sum();
    vec![lost as f64, twice as f64, kept, cost, percentile(&took, 50), percentile(&took, 99), idle]
}

//! What it takes to send everything from the first event on to those who come late.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinSet;

use crate::peers::{Counted, Keeper, publish_all};

/// Events that there are.
pub(crate) const EVENTS: usize = 100_000;
/// How many catch up at a time.
const CROWDS: [usize; 2] = [1, 10];
/// Publications under way at a time.
const WRITERS: usize = 128;

/// What one run shows.
pub(crate) const ROWS: [&str; 4] = [
    "1 subscriber, MB/s",
    "10 subscribers, MB/s",
    "10 subscribers, µs of the server an event",
    "MiB of the server afterwards",
];

/// The rows of the chart.
pub(crate) const BARS: [(usize, &str); 2] = [(0, "1 subscriber"), (1, "10 subscribers")];

/// One run with one peer: what [`ROWS`] say. A MB is 10^6 bytes of events' words.
pub(crate) async fn measure<P: Keeper>(bytes: usize) -> Vec<f64> {
    let peer = P::start(EVENTS, bytes).await;
    publish_all(&peer, 0..EVENTS, WRITERS).await;
    let (mut figures, mut cost, mut first) = (Vec::new(), 0.0, 0);
    for crowd in CROWDS {
        let (counted, cpu, begun) = (Arc::new(Counted::default()), peer.process().cpu(), Instant::now());
        let mut connecting = JoinSet::new();
        for number in first..first + crowd {
            let (peer, counted) = (peer.clone(), Arc::clone(&counted));
            connecting.spawn(async move { peer.replay(number, counted).await });
        }
        let _subscriptions = connecting.join_all().await;
        let deliveries = EVENTS * crowd;
        counted.reach(deliveries as u64).await;
        figures.push((deliveries * bytes) as f64 / begun.elapsed().as_secs_f64() / 1e6);
        cost = (peer.process().cpu() - cpu) / deliveries as f64;
        first += crowd;
    }
    figures.extend([cost, peer.process().resident_kib() / 1_024.0]);
    figures
}

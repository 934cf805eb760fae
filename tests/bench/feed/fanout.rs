//! What a delivery costs: live, in a burst, and at a steady pace. What it takes to publish is in the figures.

use std::{sync::Arc, time::Duration, time::Instant};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::peers::{Counted, Peer};

/// Events that are published as fast as it goes.
const BURST: usize = 300;
/// Events that are published one after the other, each once all have got the one before.
const LIVE: usize = 100;
/// Events that are published at a steady pace, and how many a second.
const PACED: usize = 60;
const PACE: u64 = 20;
/// All of them.
const EVENTS: usize = BURST + LIVE + PACED;
/// Publications under way at a time, in a burst.
const UNDER_WAY: usize = 64;
/// Subscribers that connect at a time.
const CONNECTING: usize = 64;

/// What one run shows.
pub(crate) const ROWS: [&str; 7] = [
    "burst, µs a delivery",
    "burst, thousand deliveries/s",
    "live, µs a delivery",
    "20 events/s, µs a delivery",
    "20 events/s, p50 ms",
    "20 events/s, p99 ms",
    "idle, KiB a subscriber",
];
/// What the chart shows of it.
pub(crate) const BARS: [(usize, &str); 2] = [(0, "burst"), (2, "live, one event at a time")];

/// One run with one peer: what [`ROWS`] say.
pub(crate) async fn measure<P: Peer>(subscribers: usize, bytes: usize) -> Vec<f64> {
    let peer = P::start(EVENTS, bytes).await;
    let counted = Arc::new(Counted::default());
    let before = peer.process().resident_kib();
    let gate = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    for number in 0..subscribers {
        let (peer, counted, gate) = (peer.clone(), Arc::clone(&counted), Arc::clone(&gate));
        connecting.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            peer.subscribe(number, counted).await
        });
    }
    let _subscriptions = connecting.join_all().await;
    sleep(Duration::from_secs(2)).await;
    let idle = (peer.process().resident_kib() - before) / subscribers as f64;
    let all = subscribers as u64;
    let per_delivery = |cpu: f64, events: usize| cpu / (events * subscribers) as f64;

    let (cpu, mut delivered, since) = (peer.process().cpu(), 0, Instant::now());
    let gate = Arc::new(Semaphore::new(UNDER_WAY));
    let mut publishing = JoinSet::new();
    for number in 0..BURST {
        let (peer, gate) = (peer.clone(), Arc::clone(&gate));
        publishing.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            peer.publish(number).await;
        });
    }
    publishing.join_all().await;
    delivered += BURST as u64 * all;
    counted.reach(delivered).await;
    let rate = (BURST * subscribers) as f64 / since.elapsed().as_secs_f64();
    let burst = per_delivery(peer.process().cpu() - cpu, BURST);

    let cpu = peer.process().cpu();
    for number in BURST..BURST + LIVE {
        peer.publish(number).await;
        delivered += all;
        counted.reach(delivered).await;
    }
    let live = per_delivery(peer.process().cpu() - cpu, LIVE);

    let cpu = peer.process().cpu();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / PACE));
    for number in BURST + LIVE..EVENTS {
        ticks.tick().await;
        counted.reach(delivered).await;
        counted.send();
        peer.publish(number).await;
        delivered += all;
    }
    counted.reach(delivered).await;
    let paced = per_delivery(peer.process().cpu() - cpu, PACED);
    let took = counted.took();
    let percentile = |percent: usize| took.get(took.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0);
    vec![burst, rate / 1_000.0, live, paced, percentile(50), percentile(99), idle]
}

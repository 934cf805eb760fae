//! What a delivery costs: live, in a burst, and at a steady pace. What it takes to publish is in the figures.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{interval, sleep},
};

use crate::peers::{Counted, Peer};

/// How many events.
struct Load {
    /// Published as fast as it goes.
    burst: usize,
    /// One after the other, each once all have got the one before.
    live: usize,
    /// At a steady pace.
    paced: usize,
}

impl Load {
    /// A large crowd makes the figures steady with fewer events.
    fn of(subscribers: usize) -> Self {
        if subscribers > 1_000 {
            Self { burst: 100, live: 30, paced: 40 }
        } else {
            Self { burst: 300, live: 100, paced: 60 }
        }
    }

    fn all(&self) -> usize {
        self.burst + self.live + self.paced
    }
}

/// Events a second, where the pace is steady.
const PACE: u64 = 20;
/// Publications under way at a time, in a burst.
const UNDER_WAY: usize = 64;
/// Subscribers that connect at a time.
const CONNECTING: usize = 64;

/// What one run shows.
pub(crate) const ROWS: [&str; 8] = [
    "burst, µs a delivery",
    "burst, thousand deliveries/s",
    "live, µs a delivery",
    "20 events/s, µs a delivery",
    "20 events/s, p50 ms",
    "20 events/s, p99 ms",
    "20 events/s, of which kept",
    "idle, KiB a subscriber",
];
/// What the chart shows of it.
pub(crate) const BARS: [(usize, &str); 2] = [(0, "burst"), (2, "live, one event at a time")];

/// One run with one peer: what [`ROWS`] say.
pub(crate) async fn measure<P: Peer>(subscribers: usize, bytes: usize) -> Vec<f64> {
    let load = Load::of(subscribers);
    let peer = P::start(load.all(), bytes).await;
    let counted = Arc::new(Counted::default());
    let before = peer.process().resident_kib();
    let _subscriptions = connect(&peer, &vec![Arc::clone(&counted); subscribers]).await;
    let idle = (peer.process().resident_kib() - before) / subscribers as f64;
    let all = subscribers as u64;
    let per_delivery = |cpu: f64, events: usize| cpu / (events * subscribers) as f64;

    let (cpu, mut delivered, since) = (peer.process().cpu(), 0, Instant::now());
    let gate = Arc::new(Semaphore::new(UNDER_WAY));
    let mut publishing = JoinSet::new();
    for number in 0..load.burst {
        let (peer, gate) = (peer.clone(), Arc::clone(&gate));
        publishing.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            peer.publish(number).await;
        });
    }
    publishing.join_all().await;
    delivered += load.burst as u64 * all;
    counted.reach(delivered).await;
    let rate = (load.burst * subscribers) as f64 / since.elapsed().as_secs_f64();
    let burst = per_delivery(peer.process().cpu() - cpu, load.burst);

    let cpu = peer.process().cpu();
    for number in load.burst..load.burst + load.live {
        peer.publish(number).await;
        delivered += all;
        counted.reach(delivered).await;
    }
    let live = per_delivery(peer.process().cpu() - cpu, load.live);

    let cpu = peer.process().cpu();
    let begun = Instant::now();
    let took = pace(&peer, load.burst + load.live..load.all(), PACE, delivered, all, &counted).await;
    let paced = per_delivery(peer.process().cpu() - cpu, load.paced);
    let kept = load.paced as f64 / begun.elapsed().as_secs_f64();
    vec![burst, rate / 1_000.0, live, paced, percentile(&took, 50), percentile(&took, 99), kept, idle]
}

/// A subscriber over a connection of its own for each who counts, once all of them follow and it is quiet.
pub(crate) async fn connect<P: Peer>(peer: &P, counting: &[Arc<Counted>]) -> Vec<P::Subscription> {
    let gate = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    for (number, counted) in counting.iter().enumerate() {
        let (peer, counted, gate) = (peer.clone(), Arc::clone(counted), Arc::clone(&gate));
        connecting.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            peer.subscribe(number, counted).await
        });
    }
    let subscriptions = connecting.join_all().await;
    sleep(Duration::from_secs(2)).await;
    subscriptions
}

/// Publishes these, so many a second or as fast as they are delivered, of which `all` want each; gives how long each took on its way.
pub(crate) async fn pace<P: Peer>(
    peer: &P,
    numbers: Range<usize>,
    a_second: u64,
    mut delivered: u64,
    all: u64,
    counted: &Counted,
) -> Vec<f64> {
    let mut ticks = interval(Duration::from_millis(1_000 / a_second));
    for number in numbers {
        ticks.tick().await;
        counted.reach(delivered).await;
        counted.send();
        peer.publish(number).await;
        delivered += all;
    }
    counted.reach(delivered).await;
    counted.took()
}

/// Of values in order, that below which so many percent lie.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
}

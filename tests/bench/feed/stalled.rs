//! What subscribers that take nothing cost, in memory and in the others' time.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    fanout::{pace, percentile},
    peers::{Counted, Peer as _, onrecord::Onrecord, publish_all},
};

/// Subscribers that take nothing, and others.
const STALLED: usize = 1_000;
const OTHERS: usize = 100;
/// Bytes that the stalled are behind in the end.
const BEHIND: usize = 10_000_000;
/// Publications under way at a time.
const WRITERS: usize = 16;
/// Publications whose way is timed, and how many a second.
const PACED: usize = 200;
const PACE: u64 = 20;

/// What one run shows.
pub(crate) const ROWS: [&str; 6] = [
    "KiB a stalled subscriber",
    "MiB that the same events take without them",
    "p50 ms of the others before",
    "p99 ms before",
    "p99 ms with the stalled",
    "p99 with them by p99 before",
];
/// The row of the chart.
pub(crate) const BARS: [(usize, &str); 1] = [(0, "KiB each")];

/// A service with [`OTHERS`] who follow it, and how far it is.
struct Run {
    service: Onrecord,
    counted: Arc<Counted>,
    published: usize,
    delivered: u64,
}

impl Run {
    fn took(&mut self, events: usize) {
        self.published += events;
        self.delivered += (events * OTHERS) as u64;
    }

    /// Publishes so many, and waits until the others have them.
    async fn publish(&mut self, events: usize) {
        publish_all(&self.service, self.published..self.published + events, WRITERS).await;
        self.took(events);
        self.counted.reach(self.delivered).await;
        sleep(Duration::from_secs(1)).await;
    }

    /// How long events take to the others.
    async fn pace(&mut self) -> Vec<f64> {
        let events = self.published..self.published + PACED;
        let took = pace(&self.service, events, PACE, self.delivered, OTHERS as u64, &self.counted).await;
        self.took(PACED);
        took
    }
}

/// One run: what [`ROWS`] say. The window is full before it is measured, so that what it takes is not counted, and what the store takes for
/// as many events without the stalled is taken off.
pub(crate) async fn measure(bytes: usize) -> Vec<f64> {
    let behind = BEHIND / bytes;
    // The window holds 64 MiB of events, each with 1 KiB or more beside its words.
    let full = (64 << 20) / (bytes + 1_024);
    let service = Onrecord::start(full + 2 * (behind + PACED), bytes).await;
    publish_all(&service, 0..full, WRITERS).await;
    let counted = Arc::new(Counted::default());
    let mut others = Vec::new();
    for number in 0..OTHERS {
        others.push(service.subscribe(number, Arc::clone(&counted)).await);
    }
    let mut run = Run { service: service.clone(), counted, published: full, delivered: 0 };
    let before = run.pace().await;
    let at_first = service.process().resident_kib();
    run.publish(behind).await;
    let between = service.process().resident_kib();
    let mut connecting = JoinSet::new();
    for _ in 0..STALLED {
        let service = service.clone();
        connecting.spawn(async move { service.stall().await });
    }
    let _stalled = connecting.join_all().await;
    run.publish(behind).await;
    let without = between - at_first;
    let each = (service.process().resident_kib() - between - without) / STALLED as f64;
    let after = run.pace().await;
    let (before_99, after_99) = (percentile(&before, 99), percentile(&after, 99));
    vec![each, without / 1_024.0, percentile(&before, 50), before_99, after_99, after_99 / before_99]
}

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
pub(crate) const ROWS: [&str; 5] = [
    "KiB a stalled subscriber",
    "p50 ms of the others before",
    "p99 ms before",
    "p99 ms with the stalled",
    "p99 with them by p99 before",
];
/// The row of the chart.
pub(crate) const BARS: [(usize, &str); 1] = [(0, "KiB each")];

/// One run: what [`ROWS`] say. The window is full before it is measured, so that what it takes is not counted.
pub(crate) async fn measure(bytes: usize) -> Vec<f64> {
    let behind = BEHIND / bytes;
    // The window holds 64 MiB of events, each with 1 KiB or more beside its words.
    let full = (64 << 20) / (bytes + 1_024);
    let service = Onrecord::start(full + behind + 2 * PACED, bytes).await;
    publish_all(&service, 0..full, WRITERS).await;
    let counted = Arc::new(Counted::default());
    let mut others = Vec::new();
    for number in 0..OTHERS {
        others.push(service.subscribe(number, Arc::clone(&counted)).await);
    }
    let all = OTHERS as u64;
    let before = pace(&service, full..full + PACED, PACE, 0, all, &counted).await;
    let resident = service.process().resident_kib();
    let mut connecting = JoinSet::new();
    for _ in 0..STALLED {
        let service = service.clone();
        connecting.spawn(async move { service.stall().await });
    }
    let _stalled = connecting.join_all().await;
    publish_all(&service, full + PACED..full + PACED + behind, WRITERS).await;
    counted.reach(((PACED + behind) * OTHERS) as u64).await;
    sleep(Duration::from_secs(1)).await;
    let each = (service.process().resident_kib() - resident) / STALLED as f64;
    let first = full + PACED + behind;
    let sent = ((PACED + behind) * OTHERS) as u64;
    let after = pace(&service, first..first + PACED, PACE, sent, all, &counted).await;
    let (before_99, after_99) = (percentile(&before, 99), percentile(&after, 99));
    vec![each, percentile(&before, 50), before_99, after_99, after_99 / before_99]
}

//! What subscribers that take nothing cost, in memory and in the others' time.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::peers::{Counted, Peer as _, onrecord::Onrecord, publish_all};

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
pub(crate) const ROWS: [&str; 4] =
    ["KiB a stalled subscriber", "p50 ms of the others before", "p99 ms before", "p99 ms with the stalled"];

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
    let before = paced(&service, &counted, full, 0).await;
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
    let after = paced(&service, &counted, full + PACED + behind, PACED + behind).await;
    vec![each, percentile(&before, 50), percentile(&before, 99), percentile(&after, 99)]
}

/// Publishes the drafts from `first` on at a steady pace, and gives how long each took to each of the others, in ms, sorted; all of them
/// have got so many events `before`.
async fn paced(service: &Onrecord, counted: &Counted, first: usize, before: usize) -> Vec<f64> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / PACE));
    for number in 0..PACED {
        ticks.tick().await;
        counted.reach(((before + number) * OTHERS) as u64).await;
        counted.send();
        service.publish(first + number).await;
    }
    counted.reach(((before + PACED) * OTHERS) as u64).await;
    counted.took()
}

fn percentile(took: &[f64], percent: usize) -> f64 {
    took[(took.len() - 1) * percent / 100]
}

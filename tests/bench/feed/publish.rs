//! What a durable publication costs its caller: so many writers, each of which publishes again once it was answered.

use std::time::Instant;

use crate::peers::{Peer, publish_all};

/// Writers at a time, and how many publications all of them make.
const LOADS: [(usize, usize); 4] = [(1, 400), (16, 1_600), (64, 3_200), (256, 5_120)];

/// What one run shows.
pub(crate) const ROWS: [&str; 8] = [
    "1 writer, publications/s",
    "16 writers",
    "64 writers",
    "256 writers",
    "1 writer, µs of the server a publication",
    "16 writers, µs",
    "64 writers, µs",
    "256 writers, µs",
];

/// The rows of the chart.
pub(crate) const BARS: [(usize, &str); 4] = [(0, "1 writer"), (1, "16"), (2, "64"), (3, "256")];

/// Publications a second for each load, then what the server's processor spent on each: what [`ROWS`] say.
pub(crate) async fn measure<P: Peer>(bytes: usize) -> Vec<f64> {
    let all: usize = LOADS.iter().map(|(_, publications)| publications).sum();
    let peer = P::start(all, bytes).await;
    let (mut rates, mut costs, mut first) = (Vec::new(), Vec::new(), 0);
    for (writers, publications) in LOADS {
        let (begun, spent) = (Instant::now(), peer.process().cpu());
        publish_all(&peer, first..first + publications, writers).await;
        rates.push(publications as f64 / begun.elapsed().as_secs_f64());
        costs.push((peer.process().cpu() - spent) / publications as f64);
        first += publications;
    }
    rates.extend(costs);
    rates
}

//! What a crowd of newcomers costs, who all take the whole state at once.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::peers::{Stateful, publish_all};

/// Texts of which the state consists.
const TEXTS: usize = 500;
/// How many come at once.
const NEWCOMERS: usize = 1_000;
/// Publications under way at a time.
const WRITERS: usize = 64;

/// What one run shows.
pub(crate) const ROWS: [&str; 3] =
    ["seconds until all have it", "ms of the server each", "MiB of the server afterwards"];

/// The rows of the chart.
pub(crate) const BARS: [(usize, &str); 1] = [(0, "s until all have it")];

/// One run with one peer: what [`ROWS`] say.
pub(crate) async fn measure<P: Stateful>(bytes: usize) -> Vec<f64> {
    let peer = P::start(TEXTS, bytes).await;
    publish_all(&peer, 0..TEXTS, WRITERS).await;
    let (cpu, begun) = (peer.process().cpu(), Instant::now());
    let mut coming = JoinSet::new();
    for _ in 0..NEWCOMERS {
        let peer = peer.clone();
        coming.spawn(async move { peer.snapshot().await });
    }
    coming.join_all().await;
    let took = begun.elapsed().as_secs_f64();
    let cost = (peer.process().cpu() - cpu) / NEWCOMERS as f64 / 1_000.0;
    vec![took, cost, peer.process().resident_kib() / 1_024.0]
}

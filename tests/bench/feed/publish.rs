//! What a durable publication costs its caller: so many writers, each of which publishes again once it was answered.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::peers::Peer;

/// Writers at a time, and how many publications all of them make.
const LOADS: [(usize, usize); 4] = [(1, 400), (16, 1_600), (64, 3_200), (256, 5_120)];

/// What one run shows.
pub(crate) const ROWS: [&str; 4] = ["1 writer", "16 writers", "64 writers", "256 writers"];

/// Publications a second, for each load: what [`ROWS`] say.
pub(crate) async fn measure<P: Peer>(bytes: usize) -> Vec<f64> {
    let all: usize = LOADS.iter().map(|(_, publications)| publications).sum();
    let peer = P::start(all, bytes).await;
    let (mut rates, mut first) = (Vec::new(), 0);
    for (writers, publications) in LOADS {
        let begun = Instant::now();
        let mut writing = JoinSet::new();
        for writer in 0..writers {
            let (peer, numbers) = (peer.clone(), (first + writer..first + publications).step_by(writers));
            writing.spawn(async move {
                for number in numbers {
                    peer.publish(number).await;
                }
            });
        }
        writing.join_all().await;
        rates.push(publications as f64 / begun.elapsed().as_secs_f64());
        first += publications;
    }
    rates
}

//! Turns to begin a long message: one stream after the other, so that calls do not wait behind thousands of them.
//!
//! An event wakes all its streams at once. Each has one place in tokio's queue, and copying a text of 512 KiB to 2,000 sockets takes half a second
//! of processor time: a call that comes then would be answered after that (`docs/benchmarks/attacks.md`).
//!
//! **Invariants**
//! - One stream begins, then tasks that are ready run, then the next begins: the queue stays short. A peer that reads nothing delays no other,
//!   since its task is not ready. Test: `one_begins_and_others_run_in_between`.
//! - At least one stream begins for each [`EVERY`], so that a service with much else to do delays none for long: 5,000 streams begin within 5 s.
//! - There are as many waiting as open streams at most, and those that ended since the last turn.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
    time::Instant,
};

/// How long one turn may take while others run. tokio lets a task that yields wait until its worker has nothing else to do, or for 61 polls.
const EVERY: Duration = Duration::from_millis(1);

/// Streams that wait for their turn, in the order in which they came. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    streams: Mutex<VecDeque<oneshot::Sender<()>>>,
    any: Notify,
}

impl Turns {
    /// Resolves when the turn has come.
    pub(super) fn wait(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.streams().push_back(sender);
        self.0.any.notify_one();
        receiver
    }

    /// Gives turns. Runs until it is dropped.
    pub(super) async fn give(self) {
        loop {
            self.0.any.notified().await;
            let mut due = Instant::now();
            while let Some(stream) = self.next() {
                // A stream that has ended meanwhile needs no turn.
                if stream.send(()).is_err() {
                    continue;
                }
                due += EVERY;
                if due >= Instant::now() {
                    yield_now().await;
                    due = due.min(Instant::now());
                }
            }
        }
    }

    fn next(&self) -> Option<oneshot::Sender<()>> {
        self.streams().pop_front()
    }

    fn streams(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<()>>> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_begins_and_others_run_in_between() {
        const STREAMS: usize = 20;
        let turns = Turns::default();
        drop(turns.wait());
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..STREAMS {
            let (turn, begun) = (turns.wait(), Arc::clone(&begun));
            tokio::spawn(async move {
                turn.await.unwrap();
                begun.fetch_add(1, Relaxed);
            });
        }
        let giving = tokio::spawn(turns.give());
        let mut seen = vec![0];
        while seen.last() < Some(&3) {
            yield_now().await;
            seen.push(begun.load(Relaxed));
        }
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{seen:?}");
        // Others take long: what is due begins at once.
        advance(EVERY * 5).await;
        yield_now().await;
        assert!((8..STREAMS).contains(&begun.load(Relaxed)), "{begun:?}");
        giving.abort();
    }
}

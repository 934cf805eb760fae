//! Turns to begin a long message: one stream after the other, so that calls do not wait behind thousands of them.
//!
//! An event wakes all its streams at once. Each has one place in tokio's queue, and copying a text of 512 KiB to 2,000 sockets takes half a second
//! of processor time: a call that comes then would be answered after that (`docs/benchmarks/attacks.md`).
//!
//! **Invariants**
//! - One stream begins, then the tasks that are ready run, then the next begins: the queue stays short. A peer that reads nothing delays no other,
//!   since its task is not ready. Test: `one_begins_and_others_run_in_between`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
};

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
            while let Some(stream) = self.next() {
                // A stream that has ended meanwhile needs no turn.
                if stream.send(()).is_ok() {
                    yield_now().await;
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

    use super::*;

    #[tokio::test]
    async fn one_begins_and_others_run_in_between() {
        const STREAMS: usize = 12;
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
        while seen.last() != Some(&STREAMS) {
            yield_now().await;
            seen.push(begun.load(Relaxed));
        }
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{seen:?}");
        giving.abort();
    }
}

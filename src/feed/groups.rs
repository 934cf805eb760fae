//! Wakes streams in groups, and lets other tasks run between two groups. Waking thousands of streams at once would queue all of them before a
//! call that arrives then.
//!
//! **Invariants**
//! - The position that a stream sees never goes back, and is never newer than the window (`each_group_learns_the_newest`).
//! - Every group is woken after the last move of the window (`each_group_learns_the_newest`).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::window::Position;
use crate::pace::Pace;

/// Streams in a group. A delivery takes 24 µs of processor time (`docs/sizing.md`), so a group takes less than 1 ms.
const GROUP_MAX: usize = 32;
/// Longest time between two groups while other tasks run.
const EVERY: Duration = Duration::from_millis(1);

/// The groups of all streams.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<Vec<watch::Sender<Position>>>);

impl Groups {
    /// Adds a stream to a group with room for it.
    pub(super) fn join(&self, window: &watch::Sender<Position>) -> watch::Receiver<Position> {
        let mut groups = self.groups();
        if let Some(group) = groups.iter().find(|group| group.receiver_count() < GROUP_MAX) {
            // The other streams of the group are not notified of this: `wake` does it.
            group.send_if_modified(|position| {
                *position = *window.borrow();
                false
            });
            return group.subscribe();
        }
        let (group, joined) = watch::channel(*window.borrow());
        groups.push(group);
        joined
    }

    /// Wakes all groups at the start and after each move of the window. Runs until it is dropped.
    pub(super) async fn wake(&self, window: &watch::Sender<Position>) {
        let mut moves = window.subscribe();
        // The window may have moved, and streams joined, before this ran.
        moves.mark_changed();
        while moves.changed().await.is_ok() {
            let mut pace = Pace::new(EVERY);
            let mut number = 0;
            while let Some(is_occupied) = self.wake_one(number, window) {
                number += 1;
                if is_occupied {
                    pace.step().await;
                }
            }
        }
    }

    /// Wakes a group. Returns false for an empty group, and none after the last.
    fn wake_one(&self, number: usize, window: &watch::Sender<Position>) -> Option<bool> {
        let groups = self.groups();
        let group = groups.get(number)?;
        // Read within the lock of the group, so that its position never goes back.
        group.send_modify(|position| *position = *window.borrow());
        Some(group.receiver_count() > 0)
    }

    fn groups(&self) -> MutexGuard<'_, Vec<watch::Sender<Position>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::yield_now;

    use super::*;

    fn at(tail: u64) -> Position {
        Position { tail, failed: false, draining: false, reviews: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn each_group_learns_the_newest() {
        let (window, groups) = (Arc::new(watch::Sender::new(at(1))), Arc::new(Groups::default()));
        let mut streams: Vec<_> = (0..=2 * GROUP_MAX).map(|_| groups.join(&window)).collect();
        assert_eq!(groups.groups().len(), 3);
        let waking = tokio::spawn({
            let (window, groups) = (Arc::clone(&window), Arc::clone(&groups));
            async move { groups.wake(&window).await }
        });
        let woken = |streams: &[watch::Receiver<Position>]| {
            streams.iter().filter(|stream| stream.has_changed().unwrap()).count()
        };
        // The window moves before the task runs.
        window.send_replace(at(1));
        while woken(&streams) < streams.len() {
            yield_now().await;
        }
        for stream in &mut streams {
            drop(stream.borrow_and_update());
        }
        yield_now().await;
        window.send_replace(at(2));
        while woken(&streams) == 0 {
            yield_now().await;
        }
        assert_eq!(woken(&streams), GROUP_MAX, "one group, then others run");
        // A stream that joins a group that was not woken yet sees the newest position.
        let joined = groups.join(&window);
        assert_eq!((joined.borrow().tail, joined.has_changed().unwrap()), (2, false));
        window.send_replace(at(3));
        let mut seen = vec![1; streams.len()];
        while seen.iter().any(|tail| *tail < 3) {
            yield_now().await;
            for (seen, stream) in seen.iter_mut().zip(&streams) {
                let tail = stream.borrow().tail;
                assert!(*seen <= tail, "{seen}, {tail}");
                *seen = tail;
            }
        }
        assert_eq!(woken(&streams), streams.len());
        // Streams that left make room.
        streams.truncate(1);
        drop(joined);
        streams.extend((0..3 * GROUP_MAX - 1).map(|_| groups.join(&window)));
        assert_eq!((streams.len(), groups.groups().len()), (3 * GROUP_MAX, 3));
        waking.abort();
    }
}

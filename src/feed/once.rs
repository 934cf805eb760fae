//! What many want at the same moment, read once for all of them.
//!
//! **Invariants**
//! - The first who wants something reads it, and the others wait for that. If it fails, or whoever read it is gone, the next one reads.
//! - At most so many are kept; the oldest goes first.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

/// The newest, by what was asked for.
#[derive(Debug)]
pub(super) struct Once<K, V> {
    most: usize,
    kept: Mutex<VecDeque<(K, Arc<OnceCell<V>>)>>,
}

impl<K: PartialEq, V: Clone> Once<K, V> {
    /// Keeps `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// What is kept, or what `read` gives.
    pub(super) async fn get<E, F: Future<Output = Result<V, E>>>(
        &self,
        key: K,
        read: impl FnOnce() -> F,
    ) -> Result<V, E> {
        self.cell(key).get_or_try_init(read).await.cloned()
    }

    /// Forgets all. Whoever waits gets what is being read.
    pub(super) fn forget(&self) {
        self.kept().clear();
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut kept = self.kept();
        if let Some((_, cell)) = kept.iter().find(|(other, _)| *other == key) {
            return Arc::clone(cell);
        }
        let cell = Arc::default();
        kept.push_back((key, Arc::clone(&cell)));
        if kept.len() > self.most {
            kept.pop_front();
        }
        cell
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(K, Arc<OnceCell<V>>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_want_the_same_wait_for_one_reading() {
        let (once, readings) = (Once::<u32, u32>::new(2), AtomicU32::new(0));
        let get = async |key| {
            let read = async || {
                tokio::task::yield_now().await;
                Ok::<_, ()>(readings.fetch_add(1, Ordering::Relaxed))
            };
            once.get(key, read).await.unwrap()
        };
        assert_eq!(tokio::join!(get(1), get(1), get(1)), (0, 0, 0));
        assert_eq!((get(2).await, get(1).await), (1, 0));
        assert_eq!((get(3).await, get(2).await, get(1).await), (2, 1, 3), "the oldest went first");
        once.forget();
        assert_eq!(get(1).await, 4);
    }

    #[tokio::test]
    async fn what_failed_is_read_by_the_next() {
        let once = Once::new(1);
        assert_eq!(once.get(1, async || Err::<u32, _>("no")).await, Err("no"));
        assert_eq!(once.get(1, async || Ok::<_, &str>(7)).await, Ok(7));
    }
}

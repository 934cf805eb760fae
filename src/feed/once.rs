//! What many want at the same moment, read once for all of them.
//!
//! **Invariants**
//! - It is read by a task of its own: nobody waits for somebody who is not looked at, because there is no room on his connection.
//! - If it fails, whoever waits is told, and the next one reads again.
//! - At most so many are kept; the oldest goes first.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use crate::journal::{JournalError, ended_early};

/// What was asked for, and what was read; no more than `MOST`.
type Kept<K, V> = VecDeque<(K, Arc<OnceCell<V>>)>;

/// The newest `MOST`, by what was asked for.
#[derive(Debug)]
pub(super) struct Once<K, V, const MOST: usize>(Mutex<Kept<K, V>>);

impl<K, V, const MOST: usize> Default for Once<K, V, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V: Clone + Send + Sync + 'static, const MOST: usize> Once<K, V, MOST> {
    /// What is kept, or what `read` gives.
    pub(super) async fn get(
        &self,
        key: K,
        read: impl Future<Output = Result<V, JournalError>> + Send + 'static,
    ) -> Result<V, JournalError> {
        let cell = self.cell(key);
        if let Some(kept) = cell.get() {
            return Ok(kept.clone());
        }
        apart(async move { cell.get_or_try_init(|| read).await.cloned() }).await
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
        if kept.len() > MOST {
            kept.pop_front();
        }
        cell
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads by a task of its own: who asks is looked at only while there is room on his connection, and may have a place among the readers.
async fn apart<V: Send + 'static>(
    read: impl Future<Output = Result<V, JournalError>> + Send + 'static,
) -> Result<V, JournalError> {
    tokio::spawn(read).await.map_err(|error| ended_early(&error))?
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        task::{Context, Waker},
    };

    use tokio::task::yield_now;

    use super::*;

    /// Counts readings.
    fn reading(readings: &Arc<AtomicU32>) -> impl Future<Output = Result<u32, JournalError>> + Send + 'static {
        let readings = Arc::clone(readings);
        async move {
            yield_now().await;
            Ok(readings.fetch_add(1, Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn many_who_want_the_same_wait_for_one_reading() {
        let (once, readings) = (Once::<u32, u32, 2>::default(), Arc::default());
        let get = async |key| once.get(key, reading(&readings)).await.unwrap();
        assert_eq!(tokio::join!(get(1), get(1), get(1)), (0, 0, 0));
        assert_eq!((get(2).await, get(1).await), (1, 0));
        assert_eq!((get(3).await, get(2).await, get(1).await), (2, 1, 3), "the oldest went first");
        once.forget();
        assert_eq!(get(1).await, 4);
    }

    #[tokio::test]
    async fn what_failed_is_read_by_the_next() {
        let once = Once::<u32, u32, 1>::default();
        assert_eq!(once.get(1, async { Err(JournalError::Busy) }).await, Err(JournalError::Busy));
        assert_eq!(once.get(1, async { Ok(7) }).await, Ok(7));
    }

    #[tokio::test]
    async fn whoever_began_it_and_is_not_looked_at_again_holds_up_nobody() {
        let (once, readings) = (Once::<u32, u32, 1>::default(), Arc::default());
        let mut began = Box::pin(once.get(1, reading(&readings)));
        assert!(began.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(once.get(1, reading(&readings)).await, Ok(0));
        drop(began);
    }
}

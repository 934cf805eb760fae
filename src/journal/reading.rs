//! The store as readers have it: opened anew once sled cannot read on.
//!
//! After a failed write sled may be unable to read a page: it finishes the splitting of a page when that is read next, and cannot.
//! Opened anew it recovers, as after a crash; where that cannot be written either, a private copy of it does (`opening.rs`).
//!
//! **Invariants**
//! - It is opened anew only after the journal has closed for writing, and never beside another instance: the old one has let go first.
//! - The lock of the directory is held throughout.

use std::{
    fs::File,
    mem,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard},
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::{error, info};

use super::{
    JournalError, opening,
    store::{Store, StoreError},
};

/// How long the readers and the writer may take to let go of the old store.
const LET_GO_MAX: Duration = Duration::from_secs(5);
const LET_GO_LOOK: Duration = Duration::from_millis(20);
/// Between two tries, each of which reads the whole store.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// The store under all readers.
#[derive(Debug)]
pub(super) struct Reading {
    directory: PathBuf,
    cache_bytes: u64,
    /// The same lock as the store's.
    lock: File,
    held: RwLock<Held>,
    /// When it was last tried to open it anew.
    tried: Mutex<Option<Instant>>,
    readable: watch::Sender<bool>,
}

#[derive(Debug)]
struct Held {
    /// Which instance it is.
    instance: u32,
    /// None if it could not be opened.
    store: Option<Arc<Store>>,
}

impl Reading {
    pub(super) fn new(store: Arc<Store>, directory: PathBuf, cache_bytes: u64) -> Result<Self, StoreError> {
        let lock = store.lock()?;
        let held = RwLock::new(Held { instance: 0, store: Some(store) });
        Ok(Self { directory, cache_bytes, lock, held, tried: Mutex::default(), readable: watch::Sender::new(true) })
    }

    /// The store, and which instance of it; none while it cannot be opened.
    pub(super) fn store(&self) -> (u32, Option<Arc<Store>>) {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        (held.instance, held.store.clone())
    }

    /// Bytes that are free on the disk where it lies.
    pub(super) fn disk_free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.directory).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether reads are answered.
    pub(super) fn readable(&self) -> watch::Receiver<bool> {
        self.readable.subscribe()
    }

    /// Notes whether a read was answered.
    pub(super) fn note(&self, readable: bool) {
        self.readable.send_if_modified(|before| mem::replace(before, readable) != readable);
    }

    /// Opens the store anew if this `instance` of it is still the one that readers have. Blocks.
    ///
    /// # Errors
    /// If it cannot be opened, or was tried a moment ago.
    pub(super) fn open_anew(&self, instance: u32) -> Result<(), JournalError> {
        // One at a time, and apart from what readers look at, who must not wait for it.
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store().0 != instance {
            return Ok(());
        }
        if tried.is_some_and(|tried| tried.elapsed() < TRY_EVERY) {
            return Err(JournalError::Store(format!(
                "reads fail; the store is opened anew at most every {} s",
                TRY_EVERY.as_secs()
            )));
        }
        let opened = self.replace();
        *tried = Some(Instant::now());
        opened
    }

    fn replace(&self) -> Result<(), JournalError> {
        let before = self.held().store.take();
        if let Some(store) = before {
            match let_go(store) {
                Ok(store) => store.abandon(),
                Err(store) => {
                    self.held().store = Some(store);
                    return Err(JournalError::Store("reads fail, and a call that hangs holds the store".to_owned()));
                }
            }
        }
        let unwritable = JournalError::Unwritable("a write failed".to_owned());
        let lock = self.lock.try_clone()?;
        match opening::for_readers(&self.directory, self.cache_bytes, lock, &unwritable) {
            Ok(store) => {
                info!("reads had failed: the store was opened anew for them");
                let mut held = self.held();
                held.store = Some(Arc::new(store));
                held.instance += 1;
                Ok(())
            }
            Err(failure) => {
                error!(%failure, "reads fail, and the store cannot be opened anew");
                Err(failure)
            }
        }
    }

    fn held(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store, once nobody else has it.
fn let_go(mut store: Arc<Store>) -> Result<Store, Arc<Store>> {
    let since = Instant::now();
    loop {
        store = match Arc::try_unwrap(store) {
            Ok(store) => return Ok(store),
            Err(store) if since.elapsed() > LET_GO_MAX => return Err(store),
            Err(store) => store,
        };
        sleep(LET_GO_LOOK);
    }
}

//! Opens a store for a service: for writing, or for readers alone where nothing can be written.
//!
//! A full disk, a used-up quota, a read-only mount or missing permissions must not keep a service from starting: readers and subscribers are
//! served, editors are refused, and the reason says what to do.
//!
//! | tried | what it needs |
//! |---|---|
//! | open the store in place | room for a snapshot of sled, and for the end of its last segment |
//! | release the ballast, and open it in place | the room that the ballast had |
//! | open a private copy (`store/private.rs`) | room for the store in `$TMPDIR` or `/var/tmp` |
//!
//! **Invariants**
//! - What is opened after the first failed is for readers alone, until a start at which nothing fails. Test: `tests/faults/full.py`.

use std::{fs::File, path::Path, sync::Arc};

use tracing::warn;

use super::{
    JournalError, Options, ballast,
    store::{Store, StoreError, lock},
    writer::Writer,
};

/// A store that is open, and its writer, or why nothing can be written.
pub(super) struct Opened {
    pub(super) store: Arc<Store>,
    pub(super) writer: Result<Writer, JournalError>,
}

/// Opens or creates the store of a service. Blocks.
///
/// # Errors
/// If the store is in use, damaged, or cannot be opened even for readers.
pub(super) fn open(options: &Options) -> Result<Opened, JournalError> {
    let Options { directory, cache_bytes, .. } = options;
    let lock = lock(directory)?;
    let unwritable = match Store::open_locked(directory, *cache_bytes, lock.try_clone()?).map_err(JournalError::from) {
        Ok(store) => {
            let store = Arc::new(store);
            if let Err(no_room) = ballast::lay(directory, store.bytes()?) {
                return Ok(Opened { store, writer: Err(no_room) });
            }
            match Writer::open(Arc::clone(&store), options) {
                Err(failure @ JournalError::Unwritable(_)) => {
                    // After a failed write sled may be unable to read.
                    if let Some(store) = Arc::into_inner(store) {
                        store.abandon();
                    }
                    failure
                }
                begun => return begun.map(|writer| Opened { store, writer: Ok(writer) }),
            }
        }
        Err(failure @ JournalError::Unwritable(_)) => failure,
        Err(failure) => return Err(failure),
    };
    let store = for_readers(directory, *cache_bytes, lock, &unwritable)?;
    Ok(Opened { store: Arc::new(store), writer: Err(unwritable) })
}

/// Opens for readers a store that is not in use, after something could not be written.
///
/// # Errors
/// If that cannot be done either.
pub(super) fn for_readers(
    directory: &Path,
    cache_bytes: u64,
    lock: File,
    unwritable: &JournalError,
) -> Result<Store, JournalError> {
    // Opening it writes, and there may be no room left.
    ballast::drop(directory);
    match Store::open_locked(directory, cache_bytes, lock.try_clone()?) {
        Err(StoreError::Unwritable(_)) => {
            let copied = Store::open_copy(directory, cache_bytes, lock);
            let store = copied.map_err(|failure| {
                unwritable.clone().and(&format!("; without that, readers cannot be served either: {failure}"))
            })?;
            warn!("readers are served from a private copy of the store, as it cannot be written");
            Ok(store)
        }
        opened => Ok(opened?),
    }
}

//! Where the journal stands when it is opened, and whether that is where it stood.

use std::path::Path;

use tracing::{info, warn};

use super::salt;
use crate::{
    domain::digest::Digest,
    journal::{
        JournalError,
        clock::Clock,
        commit, key,
        row::{EntryRow, EventRow, FORMAT, Meta, decode, encode, format_fault},
        store::{Change, Store},
        watermark,
    },
};

/// Reads where the journal stands, or begins a new one. A store that has less than it had is refused, and left as it is.
pub(super) fn meta(store: &Store, directory: &Path, clock: &Clock) -> Result<Meta, JournalError> {
    let mark = match watermark::read(directory) {
        Err(JournalError::Damaged(fault)) => {
            warn!(fault, "it is begun anew");
            None
        }
        mark => mark?,
    };
    let Some(row) = store.get(&key::meta())? else {
        if let Some(mark) = mark {
            return Err(JournalError::Damaged(format!("it is empty: it once had {} entries", mark.entries())));
        }
        return begin(store, clock);
    };
    let meta = decode(&row.value)?;
    check_end(store, &meta)?;
    match mark.map(|mark| mark.missing(store, &meta)).transpose()?.flatten() {
        Some(fault) => Err(JournalError::Damaged(fault)),
        None => Ok(Meta { format: FORMAT, ..meta }),
    }
}

/// The first start of a store that was built from a copy: whoever saw entries that the copy lacks is told that the history differs.
pub(super) fn begin_epoch(store: &Store, meta: &mut Meta, clock: &Clock) -> Result<(), JournalError> {
    if meta.restored {
        let changes = commit::begin_epoch(clock.now().max(meta.time), salt()?, meta);
        store.commit(&changes, meta.next_entry - 1)?;
        info!(epoch = meta.epoch, "the record was restored from a copy: a new epoch begins");
    }
    Ok(())
}

fn begin(store: &Store, clock: &Clock) -> Result<Meta, JournalError> {
    let meta = Meta {
        format: FORMAT,
        feed_id: salt()?.0,
        epoch: 1,
        next_entry: 1,
        entry_hash: Digest::ZERO,
        next_sequence: 1,
        event_hash: Digest::ZERO,
        time: clock.now(),
        restored: false,
    };
    store.commit(&[Change::put(key::meta(), encode(&meta))], 0)?;
    Ok(meta)
}

/// The newest entry and event have to be there, with the hashes that were noted in the same write.
fn check_end(store: &Store, meta: &Meta) -> Result<(), JournalError> {
    if let Some(words) = format_fault(meta.format) {
        return Err(JournalError::Damaged(words));
    }
    let fault = |what: &str| JournalError::Damaged(format!("the newest {what} is not the one that was noted"));
    let entry = store.get(&key::entry(meta.next_entry - 1))?.map(|row| decode::<EntryRow>(&row.value)).transpose()?;
    if entry.map_or(Digest::ZERO, |row| row.hash) != meta.entry_hash {
        return Err(fault("entry"));
    }
    let event =
        store.get(&key::event(meta.next_sequence - 1))?.map(|row| decode::<EventRow>(&row.value)).transpose()?;
    if event.map_or(Digest::ZERO, |row| row.hash) != meta.event_hash {
        return Err(fault("event"));
    }
    Ok(())
}

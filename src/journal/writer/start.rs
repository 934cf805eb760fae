//! Where the journal stands when it is opened, and whether that is where it stood.

use std::path::Path;

use tracing::{info, warn};

use super::step::salt;
use crate::{
    domain::{digest::Digest, id::Caller, time::Timestamp},
    journal::{
        JournalError,
        clock::{MOVE_MAX, TrustedClock},
        commit::{self, Asked},
        dates::{self, Dates},
        key,
        row::{EntryRow, EventRow, FORMAT, Meta, check_format, decode, encode},
        store::{Change, Store},
        watermark,
    },
};

/// Entries and events that are checked at every start: four groups. The rest is read by `scrub` and `verify`.
const LINKS_CHECKED: usize = 256;

/// Reads where the journal stands, or begins a new one. A store that has less than it had is refused, and left as it is.
pub(super) fn meta(store: &Store, directory: &Path, clock: &TrustedClock) -> Result<Meta, JournalError> {
    find(store, directory)?.map_or_else(|| begin(store, clock), Ok)
}

/// Reads where a journal stands to which nothing can be written, for the reason given.
///
/// # Errors
/// As [`meta`]; and if there is no record yet, or it was restored and its first start, which has to write, is still to come.
pub(super) fn read_only(store: &Store, directory: &Path, unwritable: &JournalError) -> Result<Meta, JournalError> {
    let meta = find(store, directory)?.filter(|meta| !meta.restored);
    meta.ok_or_else(|| unwritable.clone().and(". The first start of a record has to write"))
}

/// Reads where the journal stands; none if it was not begun.
fn find(store: &Store, directory: &Path) -> Result<Option<Meta>, JournalError> {
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
        return Ok(None);
    };
    let meta = decode(&row.value)?;
    check_end(store, &meta)?;
    match mark.map(|mark| mark.missing(store, &meta)).transpose()?.flatten() {
        Some(fault) => Err(JournalError::Damaged(fault)),
        None => Ok(Some(Meta { format: FORMAT, ..dates::upgrade(store, meta)? })),
    }
}

/// The first start of a store that was built from a copy: whoever saw entries that the copy lacks is told that the history differs.
pub(super) fn begin_epoch(store: &Store, meta: &mut Meta, clock: &TrustedClock) -> Result<(), JournalError> {
    if meta.restored {
        let now = clock.now();
        let changes = commit::begin_epoch(now, salt()?, meta);
        commit_own(store, meta, changes, now)?;
        info!(epoch = meta.epoch, "the record was restored from a copy: a new epoch begins");
    }
    Ok(())
}

/// Says, also in the record, that it was written by a clock that was ahead of this one. Which of the two is right is not known without a time
/// service or a person. Writes are taken: a clock that is behind publishes nothing early, and the record would otherwise stand still until
/// the time has caught up with a clock that was wrong once.
pub(super) fn look_at_clock(store: &Store, meta: &mut Meta, clock: &TrustedClock) -> Result<(), JournalError> {
    let (now, doubt) = clock.judged();
    let behind = meta.time.micros_since(now);
    let is_behind = u128::try_from(behind).is_ok_and(|behind| behind > MOVE_MAX.as_micros());
    if meta.next_entry == 1 || !is_behind || doubt.is_some() {
        return Ok(());
    }
    let (newest_entry_time, behind_seconds) = (meta.time, behind / 1_000_000);
    warn!(
        %now, %newest_entry_time, behind_seconds,
        "the clock is behind the newest entry: either it is wrong now, or it was ahead when that was written. New entries get the time of now"
    );
    let reason = format!(
        "the clock is {behind_seconds} s behind entry {}, which is of {newest_entry_time}",
        meta.next_entry - 1
    );
    let caller = Caller::service();
    let changes = commit::confirm_clock(&Asked::by(&caller, None), reason, now, salt()?, meta);
    commit_own(store, meta, changes, now)
}

/// Commits an entry of the service's own, before there is a writer.
fn commit_own(store: &Store, meta: &Meta, mut changes: Vec<Change>, now: Timestamp) -> Result<(), JournalError> {
    let mut dates = Dates::default();
    dates.add(now, meta.next_sequence);
    changes.extend(dates.onto(store)?);
    changes.push(Change::put(key::meta(), encode(meta)));
    Ok(store.commit(&changes, meta.next_entry - 1)?)
}

fn begin(store: &Store, clock: &TrustedClock) -> Result<Meta, JournalError> {
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

/// The newest entries and events have to be there, whole and chained, up to the hashes that were noted in the same write.
fn check_end(store: &Store, meta: &Meta) -> Result<(), JournalError> {
    check_format(meta.format)?;
    check_chain("entry", meta.next_entry, meta.entry_hash, |number| {
        let Some(row) = store.get(&key::entry(number))? else { return Ok(None) };
        let row: EntryRow = decode(&row.value)?;
        Ok(Some(Link { fault: row.fault()?, hash: row.hash, previous_hash: row.previous_hash }))
    })?;
    check_chain("event", meta.next_sequence, meta.event_hash, |number| {
        let Some(row) = store.get(&key::event(number))? else { return Ok(None) };
        let row: EventRow = decode(&row.value)?;
        Ok(Some(Link { fault: row.fault()?, hash: row.hash, previous_hash: row.previous_hash }))
    })
}

/// One link of a chain, and what is wrong with it.
struct Link {
    fault: Option<&'static str>,
    hash: Digest,
    previous_hash: Digest,
}

/// Follows the end of a chain back from the hash that was noted.
fn check_chain(
    what: &str,
    next: u64,
    newest: Digest,
    link: impl Fn(u64) -> Result<Option<Link>, JournalError>,
) -> Result<(), JournalError> {
    let mut expected = newest;
    for number in (1..next).rev().take(LINKS_CHECKED) {
        let damaged = |words: &str| JournalError::Damaged(format!("{what} {number} {words}"));
        let link = link(number)?.ok_or_else(|| damaged("is missing"))?;
        if link.hash != expected {
            return Err(damaged("is not the one that was noted after it"));
        }
        if let Some(fault) = link.fault {
            return Err(damaged(&format!("is damaged: {fault}")));
        }
        expected = link.previous_hash;
    }
    let all = next - 1 <= u64::try_from(LINKS_CHECKED).unwrap_or(u64::MAX);
    if all && expected != Digest::ZERO {
        return Err(JournalError::Damaged(format!("the first {what} does not begin the chain")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Clock, row::FORMAT, store::Change, verify::fixture};

    /// Why the fixture is refused once it was changed so.
    fn refusal(change: impl FnOnce(&Store) -> Change) -> String {
        let directory = fixture::store();
        let store = Store::open_existing(directory.path(), 1 << 20).unwrap();
        let change = change(&store);
        store.commit(&[change], 1).unwrap();
        let clock = TrustedClock::begin(Clock::System, directory.path());
        meta(&store, directory.path(), &clock).unwrap_err().to_string()
    }

    fn row<T: serde::de::DeserializeOwned>(store: &Store, key: &[u8]) -> T {
        decode(&store.get(key).unwrap().unwrap().value).unwrap()
    }

    #[test]
    fn a_store_whose_newest_entries_or_events_do_not_hang_together_is_refused() {
        let entry = |number| refusal(move |_| Change::remove(key::entry(number)));
        assert_eq!(entry(10), "the store is damaged: entry 10 is missing");
        assert_eq!(entry(4), "the store is damaged: entry 4 is missing");
        assert_eq!(
            refusal(|store| Change::put(key::entry(5), store.get(&key::entry(4)).unwrap().unwrap().value)),
            "the store is damaged: entry 5 is not the one that was noted after it"
        );
        let altered = refusal(|store| {
            let row: EventRow = row(store, &key::event(2));
            Change::put(key::event(2), encode(&EventRow { seal: b"{}".to_vec(), ..row }))
        });
        assert_eq!(altered, "the store is damaged: event 2 is damaged: the event is not what was hashed");
        let forged = refusal(|store| {
            let row: EntryRow = row(store, &key::entry(1));
            let previous_hash = Digest::of(&[b"another"]);
            Change::put(key::entry(1), encode(&EntryRow { previous_hash, ..row }))
        });
        assert_eq!(forged, "the store is damaged: entry 1 is damaged: the entry is not what was hashed");
    }

    #[test]
    fn a_store_of_a_newer_format_is_refused_with_advice() {
        let newer = refusal(|store| {
            let meta: Meta = row(store, &key::meta());
            Change::put(key::meta(), encode(&Meta { format: FORMAT + 1, ..meta }))
        });
        assert_eq!(
            newer,
            "the store has format 5, and this onrecord reads 1 to 4: use the onrecord that wrote it, or a newer one"
        );
    }
}

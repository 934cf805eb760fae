//! The store: sled 0.34.7 behind the few calls the journal needs. The only place that names sled.
//!
//! **Invariants**
//! - A commit is on the device, whole, when [`Store::commit`] returns: `flush`, which waits for sled's writes, then
//!   `fdatasync` on our own descriptor of the same file, because sled's flush is not an fsync on Linux.
//! - Every value carries a CRC32C over its key and itself; what does not check is an error, never a value.
//! - No value above 64 KiB reaches sled, so it never makes a blob file, which it would not sync.
//!
//! The figures and the reasons are in `src/ARCHITECTURE.md`, "What sled is asked to do".

mod compression;
mod envelope;
mod fault;
mod open;
mod places;
mod private;
mod rows;

use std::{
    collections::BTreeMap,
    fs::File,
    ops::Bound,
    path::{Path, PathBuf},
    thread,
};

pub(super) use envelope::Row;
#[cfg(any(test, fuzzing))]
pub(super) use envelope::fuzz;
use envelope::{chunk_key, chunk_of, chunk_space};
pub(super) use fault::StoreError;
pub(super) use open::{LOCK, SEGMENT_BYTES, lock, remove_half_files};
pub(super) use places::Places;
use rows::Rows;

/// The folder of sled's files of the store that is in a directory.
fn existing(directory: &Path) -> Result<PathBuf, StoreError> {
    let unreadable = |error| StoreError::Io(format!("{} cannot be read: {error}", directory.display()));
    let places = Places::of(directory).map_err(unreadable)?;
    let store = places.store().map_err(unreadable)?.map(Path::to_owned);
    store.ok_or_else(|| StoreError::Io(format!("{} holds no store", directory.display())))
}

/// One change of a commit: a row put, or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl Change {
    pub(super) fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { key, value: Some(value) }
    }

    pub(super) fn remove(key: Vec<u8>) -> Self {
        Self { key, value: None }
    }

    /// About how much it writes.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// A key and its row.
pub(super) type Scanned = Result<(Vec<u8>, Row), StoreError>;

/// An ordered map on disk. Reads may come from any thread; commits come from the writer's only.
#[derive(Debug)]
pub(super) struct Store {
    db: sled::Db,
    /// Our own descriptor of sled's file, for `fdatasync`.
    file: File,
    /// Held as long as the store is open.
    lock: File,
}

impl Store {
    /// Opens or creates the store in a directory. Blocks; a store of 1,000,000 events takes seconds.
    ///
    /// # Errors
    /// If it is in use, cannot be read or written, or is not one of ours.
    pub(super) fn open(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let lock = lock(directory)?;
        Self::open_locked(directory, cache_bytes, lock)
    }

    /// The same with the directory's lock in hand.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub(super) fn open_locked(directory: &Path, cache_bytes: u64, lock: File) -> Result<Self, StoreError> {
        let (db, file) = open::open(directory, cache_bytes)?;
        Ok(Self { db, file, lock })
    }

    /// The same for a store that is there already.
    ///
    /// # Errors
    /// As [`Store::open`], and if there is none.
    pub(super) fn open_existing(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        existing(directory)?;
        Self::open(directory, cache_bytes)
    }

    /// Opens a private copy of the store that is in a directory, whose lock is given. What is written goes into the copy alone.
    ///
    /// # Errors
    /// As [`Store::open_existing`], and if there is no room for a copy.
    pub(super) fn open_copy(directory: &Path, cache_bytes: u64, lock: File) -> Result<Self, StoreError> {
        let (db, file) = private::open(&existing(directory)?, cache_bytes)?;
        Ok(Self { db, file, lock })
    }

    /// The same without the lock, which is taken. Not a byte changes in the directory.
    ///
    /// # Errors
    /// As [`Store::open_copy`], and if it is in use.
    pub(super) fn open_unchanged(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let lock = open::lock_unchanged(directory, &existing(directory)?)?;
        Self::open_copy(directory, cache_bytes, lock)
    }

    /// Closes it. Nobody else can open it before the lock is dropped.
    pub(super) fn close(self) -> File {
        let Self { db, file, lock } = self;
        drop((db, file));
        lock
    }

    /// The directory's lock, which holds as long as any copy of it does.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        Ok(self.lock.try_clone()?)
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata()?.len())
    }

    /// Lets go of it elsewhere: after a failed write that may take sled for ever.
    pub(super) fn abandon(self) {
        thread::spawn(move || drop(self));
    }

    /// Every row, in the order of keys, readable or not.
    pub(super) fn rows(&self) -> Rows<'_> {
        self.rows_after(&[])
    }

    /// The same, of the rows after a key.
    pub(super) fn rows_after(&self, key: &[u8]) -> Rows<'_> {
        let range = (Bound::Excluded(key.to_vec()), Bound::Unbounded);
        Rows::new(self, self.db.range::<Vec<u8>, _>(range))
    }

    /// What [`Store::rows`] says of a key now.
    pub(super) fn row_now(&self, key: &[u8]) -> Option<Result<Row, StoreError>> {
        let mut rows = Rows::new(self, self.db.range::<Vec<u8>, _>(key.to_vec()..));
        rows.next().filter(|(found, _)| found == key).map(|(_, row)| row)
    }

    /// Takes a row away that may not be readable, with the parts that it may have had. Not durable before the next commit.
    pub(super) fn discard(&self, key: &[u8]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        batch.remove(key);
        self.clear_all_chunks(&mut batch, key)?;
        Ok(self.db.apply_batch(batch)?)
    }

    /// The row under a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        match self.db.get(key)? {
            Some(stored) => self.unwrap(key, stored),
            None => Ok(None),
        }
    }

    /// The entry that wrote the row under a key.
    pub(super) fn version(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let Some(stored) = self.db.get(key)? else { return Ok(None) };
        Ok(Some(envelope::open(key, &stored)?.version))
    }

    /// Rows from `from` on (before it, if `reverse`) whose keys begin with `prefix`.
    pub(super) fn scan<'s>(
        &'s self,
        prefix: &[u8],
        from: Bound<Vec<u8>>,
        reverse: bool,
    ) -> Box<dyn Iterator<Item = Scanned> + 's> {
        let low = Bound::Included(prefix.to_vec());
        let high = end_of(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        let empty = matches!(&from, Bound::Included(key) | Bound::Excluded(key) if !key.starts_with(prefix));
        let range = match (from, reverse) {
            (Bound::Unbounded, _) => (low, high),
            (from, false) => (from, high),
            (from, true) => (low, from),
        };
        if empty {
            return Box::new(std::iter::empty());
        }
        let rows = self.db.range::<Vec<u8>, _>(range);
        let read = move |item: sled::Result<(sled::IVec, sled::IVec)>| match item {
            Ok((key, stored)) => {
                let row = self.unwrap(&key, stored).transpose()?;
                Some(row.map(|row| (key.to_vec(), row)))
            }
            Err(failure) => Some(Err(failure.into())),
        };
        if reverse { Box::new(rows.rev().filter_map(read)) } else { Box::new(rows.filter_map(read)) }
    }

    /// Applies all changes of one entry, see [`Store::commit_many`].
    pub(super) fn commit(&self, changes: &[Change], version: u64) -> Result<(), StoreError> {
        self.commit_many(changes.iter().map(|change| (change, version)))
    }

    /// Applies all changes in one atomic write and returns once it is on the device. Into each row goes the number of the entry that
    /// wrote it. Of a key that comes more than once the last change counts.
    ///
    /// # Errors
    /// If anything failed. What is on the device is then unknown until the store was opened again: write no more.
    pub(super) fn commit_many<'c>(
        &self,
        changes: impl IntoIterator<Item = (&'c Change, u64)>,
    ) -> Result<(), StoreError> {
        let last: BTreeMap<_, _> =
            changes.into_iter().map(|(change, version)| (&change.key, (change, version))).collect();
        let mut batch = sled::Batch::default();
        for (change, version) in last.into_values() {
            self.clear_chunks(&mut batch, &change.key)?;
            match &change.value {
                Some(value) => {
                    for (key, row) in envelope::seal(&change.key, value, version) {
                        if key != change.key {
                            // sled writes a batch key by key, and one whose page cannot be read would end it in the middle.
                            self.db.get(&key)?;
                        }
                        batch.insert(key, row);
                    }
                }
                None => batch.remove(change.key.as_slice()),
            }
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.file.sync_data()?;
        Ok(())
    }

    /// The row that is stored so, or what took its place while its parts were read; none if it was removed in between.
    fn unwrap(&self, key: &[u8], mut stored: sled::IVec) -> Result<Option<Row>, StoreError> {
        loop {
            let fault = match self.join(key, &stored) {
                Err(fault @ StoreError::Damaged(_)) => fault,
                joined => return joined.map(Some),
            };
            match self.db.get(key)? {
                None => return Ok(None),
                Some(now) if now == stored => return Err(fault),
                Some(now) => stored = now,
            }
        }
    }

    fn join(&self, key: &[u8], stored: &[u8]) -> Result<Row, StoreError> {
        let head = envelope::open(key, stored)?;
        let mut payload = head.payload.to_vec();
        for number in 1..=head.chunks {
            let key = chunk_key(key, number);
            let fault = |words: &str| StoreError::Damaged(format!("a part of a row {words}"));
            let stored = self.db.get(&key)?.ok_or_else(|| fault("is missing"))?;
            let part = envelope::open(&key, &stored)?;
            if part.version != head.version {
                return Err(fault("is of another version"));
            }
            payload.extend_from_slice(part.payload);
        }
        Ok(Row { version: head.version, value: head.value(payload)? })
    }

    /// A row that is put or removed must not leave chunks of the one before.
    fn clear_chunks(&self, batch: &mut sled::Batch, key: &[u8]) -> Result<(), StoreError> {
        let Some(stored) = self.db.get(key)? else { return Ok(()) };
        let Ok(head) = envelope::open(key, &stored) else {
            // It is damaged, and has as many as there are.
            return self.clear_all_chunks(batch, key);
        };
        for chunk in (1..=head.chunks).map(|number| chunk_key(key, number)) {
            self.db.get(&chunk)?;
            batch.remove(chunk);
        }
        Ok(())
    }

    fn clear_all_chunks(&self, batch: &mut sled::Batch, key: &[u8]) -> Result<(), StoreError> {
        for part in self.db.scan_prefix(chunk_space(key)).keys() {
            let part = part?;
            if chunk_of(&part).is_some_and(|(head, _)| head == key) {
                batch.remove(part);
            }
        }
        Ok(())
    }
}

/// The first key after all that begin with a prefix.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{envelope::CHUNK_BYTES, *};

    fn store(directory: &Path) -> Store {
        Store::open(directory, 1 << 20).unwrap()
    }

    #[test]
    fn a_long_row_is_chunked_and_comes_back_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut long = vec![7; 3 * CHUNK_BYTES + 1];
        getrandom::fill(&mut long).unwrap();
        let open = store(directory.path());
        open.commit(&[Change::put(b"t1".to_vec(), long.clone())], 1).unwrap();
        assert_eq!(open.get(b"t1").unwrap().unwrap().value, long);
        open.commit(&[Change::put(b"t1".to_vec(), vec![1])], 2).unwrap();
        assert_eq!(open.get(b"t1").unwrap().unwrap(), Row { version: 2, value: vec![1] });
        assert_eq!(open.db.len(), 1, "no chunk is left behind");
        drop(open);
        assert_eq!(store(directory.path()).get(b"t1").unwrap().unwrap().value, vec![1]);
    }

    #[test]
    fn a_flipped_bit_is_damage_and_not_a_value() {
        let directory = tempfile::tempdir().unwrap();
        let open = store(directory.path());
        open.commit(&[Change::put(b"k".to_vec(), b"value".to_vec())], 1).unwrap();
        let mut stored = open.db.get(b"k").unwrap().unwrap().to_vec();
        *stored.last_mut().unwrap() ^= 1;
        open.db.insert(b"k", stored).unwrap();
        assert!(matches!(open.get(b"k"), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_damaged_row_can_be_written_over_and_removed_with_all_its_chunks() {
        let directory = tempfile::tempdir().unwrap();
        let mut long = vec![7; 2 * CHUNK_BYTES];
        getrandom::fill(&mut long).unwrap();
        let open = store(directory.path());
        for change in [Change::put(b"t1".to_vec(), vec![1]), Change::remove(b"t1".to_vec())] {
            open.commit(&[Change::put(b"t1".to_vec(), long.clone())], 1).unwrap();
            let mut stored = open.db.get(b"t1").unwrap().unwrap().to_vec();
            *stored.last_mut().unwrap() ^= 1;
            open.db.insert(b"t1", stored).unwrap();
            open.commit(std::slice::from_ref(&change), 2).unwrap();
            assert_eq!(open.get(b"t1").unwrap().map(|row| row.value), change.value);
            assert_eq!(open.db.len(), usize::from(change.value.is_some()), "no chunk is left behind");
        }
    }

    #[test]
    fn a_scan_stays_in_its_prefix_in_both_directions() {
        let directory = tempfile::tempdir().unwrap();
        let open = store(directory.path());
        let put = |key: &[u8]| Change::put(key.to_vec(), Vec::new());
        open.commit(&[put(b"a1"), put(b"b1"), put(b"b2"), put(b"b3"), put(b"c1")], 1).unwrap();
        let keys = |from: Bound<&[u8]>, reverse| -> Vec<Vec<u8>> {
            open.scan(b"b", from.map(<[u8]>::to_vec), reverse).map(|row| row.unwrap().0).collect()
        };
        assert_eq!(keys(Bound::Unbounded, false), [b"b1", b"b2", b"b3"]);
        assert_eq!(keys(Bound::Excluded(b"b1"), false), [b"b2", b"b3"]);
        assert_eq!(keys(Bound::Excluded(b"b3"), true), [b"b2", b"b1"]);
        assert_eq!(keys(Bound::Included(b"b9"), false), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_store_is_open_once() {
        let directory = tempfile::tempdir().unwrap();
        let _open = store(directory.path());
        let error = Store::open(directory.path(), 1 << 20).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
    }
}

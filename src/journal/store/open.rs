//! The open protocol. Each step was paid for by somebody: see `src/ARCHITECTURE.md`, "What sled is asked to do".

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use super::{StoreError, places::Places};

/// Bytes of a segment of sled's log. It is a property of the file: sled refuses to open it with another.
pub(in crate::journal) const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// Milliseconds between the rounds of sled's background thread, which also collects free space.
const COLLECT_MILLIS: u64 = 100;

/// What sled says when its file is locked.
const SLED_LOCKED: &str = "could not acquire lock";
/// How often that is tried again, and after how long: two seconds in all.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(20);
/// The same for our own lock, which a child has until it begins: a tenth of a second in all.
const FORK_TRIES_MAX: u32 = 25;
const FORK_RETRY_AFTER: Duration = Duration::from_millis(4);
/// The file in a store's directory that is locked.
pub(in crate::journal) const LOCK: &str = "lock";
/// More than a small file beside the store has.
const HALF_FILE_BYTES_MAX: u64 = 1024;
/// How the name of a snapshot ends while sled writes it.
pub(super) const HALF_SNAPSHOT: &str = "generating";

/// Opens sled in `directory`, whose lock is held, creating it if needed: the database, and a descriptor of its file.
pub(super) fn open(directory: &Path, cache_bytes: u64) -> Result<(sled::Db, File), StoreError> {
    let places = Places::of(directory)?;
    places.clean_up()?;
    remove_half_files(directory)?;
    let inner = places.current;
    fs::create_dir_all(&inner)?;
    remove_half_snapshots(&inner)?;
    read_everything(&inner)?;
    sync_everything(directory, &inner)?;
    let db = recover(&config(&inner, cache_bytes))?;
    sync_everything(directory, &inner)?;
    Ok((db, database_file(&inner)?))
}

pub(super) fn database_file(inner: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(inner.join("db"))
}

pub(super) fn config(inner: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new()
        .path(inner)
        .segment_size(usize::try_from(SEGMENT_BYTES).unwrap_or(usize::MAX))
        .cache_capacity(cache_bytes)
        .flush_every_ms(Some(COLLECT_MILLIS))
}

pub(super) fn recover(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let mut tries = 0;
    loop {
        // sled panics on some kinds of damage; the caller is to get an error.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| StoreError::Damaged("sled could not recover it".to_owned()))?;
        match opened {
            // We hold the lock, so it is an instance of this very process, whose threads let go a moment after it was dropped.
            Err(sled::Error::Io(error)) if error.to_string().contains(SLED_LOCKED) && tries < LOCK_TRIES_MAX => {
                tries += 1;
                sleep(LOCK_RETRY_AFTER);
            }
            opened => return Ok(opened?),
        }
    }
}

/// Makes the directory, if it is not there, and takes its lock, which whoever had it before may hold for a moment more.
/// Where nothing can be written the directory itself is locked, if the file is not there.
pub(in crate::journal) fn lock(directory: &Path) -> Result<File, StoreError> {
    fs::create_dir_all(directory)?;
    match File::create(directory.join(LOCK)) {
        Err(error) if StoreError::is_unwritable(error.kind()) => {
            take(File::open(directory.join(LOCK)).or_else(|_| File::open(directory))?, directory)
        }
        created => take(created?, directory),
    }
}

/// Takes the lock of the store in a directory, and creates nothing. Where there is no file to lock, sled's own file is locked, as sled does.
pub(super) fn lock_unchanged(directory: &Path, store: &Path) -> Result<File, StoreError> {
    match File::open(directory.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => take(File::open(store.join("db"))?, directory),
        opened => take(opened?, directory),
    }
}

fn take(lock: File, directory: &Path) -> Result<File, StoreError> {
    let mut tries = 0;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            // A child of the process that had it holds it too, from its fork until it begins.
            Err(TryLockError::WouldBlock) if tries < FORK_TRIES_MAX => {
                tries += 1;
                sleep(FORK_RETRY_AFTER);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Io(format!("{} is in use by another process", directory.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

pub(super) fn is_half_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == HALF_SNAPSHOT)
}

/// A kill leaves half files of what is replaced as a whole (`last-copy`, `clock`), under the names that the crate `tempfile` gives.
pub(in crate::journal) fn remove_half_files(directory: &Path) -> Result<(), StoreError> {
    for item in fs::read_dir(directory)? {
        let item = item?;
        let is_half = item.file_name().to_str().is_some_and(|name| name.starts_with(".tmp") && name.len() == 10);
        if is_half && item.file_type()?.is_file() && item.metadata()?.len() < HALF_FILE_BYTES_MAX {
            fs::remove_file(item.path())?;
        }
    }
    Ok(())
}

/// A kill while sled writes a snapshot leaves a half one that it would take for the newest.
fn remove_half_snapshots(inner: &Path) -> Result<(), StoreError> {
    for path in files(inner)?.into_iter().filter(|path| is_half_snapshot(path)) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// sled takes a read error during recovery for the end of the log, and what follows would be lost without a word.
fn read_everything(inner: &Path) -> Result<(), StoreError> {
    let mut buffer = vec![0; 1 << 20];
    for path in files(inner)? {
        let mut file = File::open(&path)?;
        while file.read(&mut buffer)? > 0 {}
    }
    Ok(())
}

/// What a crash left unsynced has to be on the device before recovery writes over anything; so has what recovery wrote.
fn sync_everything(directory: &Path, inner: &Path) -> Result<(), StoreError> {
    for path in files(inner)? {
        File::open(path)?.sync_all()?;
    }
    let directory = directory.canonicalize()?;
    let inner = inner.canonicalize()?;
    for folder in [Some(inner.as_path()), inner.parent(), Some(&directory), directory.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

pub(super) fn files(inner: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in fs::read_dir(inner)? {
        let path = item?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

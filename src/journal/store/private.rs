//! A private copy of a store: for reading one that must not be changed, or cannot be written.
//!
//! sled writes as it opens: it fills up the end of its log, and writes a snapshot. So a store on a read-only mount or a full disk cannot be
//! opened in place, and a check that promises to change nothing must not try. The copy takes as much room as the store, in `$TMPDIR`,
//! `/var/tmp` or the system's temporary folder, and as much time as reading the store once and writing it once.
//!
//! **Invariants**
//! - The store that is copied is not changed in a single byte. Test: `a_verify_changes_no_file`.
//! - The database, with all words in it, has no name while it is filled and used: the file system gives its room back however the
//!   process ends. Test: `tests/faults/kills.py` looks for what a killed `verify` left behind.

use std::{
    env,
    fmt::Display,
    fs::{self, File, Permissions},
    io::{self, Seek as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use tempfile::{Builder, TempDir, tempfile_in};

use super::{
    StoreError,
    open::{SEGMENT_BYTES, config, database_file, files, is_half_snapshot, recover},
};

/// Where large temporary files belong, by the Filesystem Hierarchy Standard 3.0, section 5.15.
const LARGE_FILES: &str = "/var/tmp";
const MIB: u64 = 1 << 20;

/// Copies sled's folder, and opens the copy: the database, and a descriptor of its file.
pub(super) fn open(store: &Path, cache_bytes: u64) -> Result<(sled::Db, File), StoreError> {
    let root = root();
    check_room(store, &root)?;
    let (folder, _database) = copy(store, &root)?;
    // Nothing of a copy has to survive a loss of power.
    let db = recover(&config(folder.path(), cache_bytes).temporary(true)).map_err(|failure| match failure {
        StoreError::Unwritable(words) => no_room(&root, &words),
        StoreError::Io(_) | StoreError::Damaged(_) => failure,
    })?;
    let file = database_file(folder.path())?;
    Ok((db, file))
}

fn no_room(root: &Path, why: &dyn Display) -> StoreError {
    let root = root.display();
    StoreError::Io(format!("no private copy of the store in {root}: {why}; set TMPDIR to a folder that has room"))
}

fn root() -> PathBuf {
    if env::var_os("TMPDIR").is_none() && Path::new(LARGE_FILES).is_dir() {
        LARGE_FILES.into()
    } else {
        env::temp_dir()
    }
}

/// The folder, and its database, which the folder only has a link to.
fn copy(store: &Path, root: &Path) -> Result<(TempDir, File), StoreError> {
    let failed = |error: io::Error| {
        // Else the store itself cannot be read.
        if StoreError::is_unwritable(error.kind()) { no_room(root, &error) } else { error.into() }
    };
    let mine = Permissions::from_mode(0o700);
    let folder = Builder::new().prefix("onrecord-").permissions(mine).tempdir_in(root).map_err(failed)?;
    let mut database = tempfile_in(root).map_err(failed)?;
    for path in files(store)? {
        let name = path.strip_prefix(store).map_err(io::Error::other)?;
        if name == Path::new("db") {
            io::copy(&mut File::open(&path)?, &mut database).map_err(failed)?;
        } else if !is_half_snapshot(&path) {
            let to = folder.path().join(name);
            fs::create_dir_all(to.parent().unwrap_or(folder.path())).map_err(failed)?;
            fs::copy(&path, &to).map_err(failed)?;
        }
    }
    database.rewind()?;
    symlink(format!("/proc/self/fd/{}", database.as_raw_fd()), folder.path().join("db")).map_err(failed)?;
    Ok((folder, database))
}

fn check_room(store: &Path, root: &Path) -> Result<(), StoreError> {
    let mut needed = SEGMENT_BYTES;
    for path in files(store)? {
        needed += fs::metadata(path)?.len();
    }
    let disk = rustix::fs::statvfs(root).map_err(|error| no_room(root, &io::Error::from(error)))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(no_room(root, &format!("it takes {} MiB, and {} are free", needed.div_ceil(MIB), free / MIB)))
}

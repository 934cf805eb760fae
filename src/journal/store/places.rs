//! Where sled's folder lies, and the folders that a compaction has beside it.
//!
//! ```text
//! DIRECTORY/sled              the store: a folder, or a symbolic link to one elsewhere, which is followed
//! FOLDER.compacting           beside the folder itself: a new store that a compaction writes
//! FOLDER.old                  the store before, from the first rename of a compaction until it is deleted
//! ```
//!
//! **Invariants**
//! - Whatever a compaction that was killed left behind, exactly one of `FOLDER` and `FOLDER.old` is the store: `FOLDER` if it exists.
//!   Test: `erased_words_are_in_no_file_of_a_compacted_store_and_the_record_is_the_same`, and `tests/faults/kills.py` at each step.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tracing::info;

/// The folder of sled's files, in the directory of a store.
const SLED: &str = "sled";
const OLD: &str = ".old";
const FRESH: &str = ".compacting";
/// As many symbolic links as Linux follows in one path.
const LINKS_MAX: usize = 40;

/// The folders of one store, with symbolic links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Places {
    /// The store.
    pub(in crate::journal) current: PathBuf,
    /// The store before the compaction that is under way.
    pub(in crate::journal) old: PathBuf,
    /// The store that a compaction writes, in a directory of its own.
    pub(in crate::journal) fresh: PathBuf,
}

impl Places {
    /// The folders of the store in a directory, whether they exist or not.
    ///
    /// # Errors
    /// If `sled` is a symbolic link that leads nowhere.
    pub(in crate::journal) fn of(directory: &Path) -> io::Result<Self> {
        let mut current = directory.join(SLED);
        let mut links = 0;
        // Step by step: between two renames of a compaction the last target does not exist.
        while let Ok(target) = fs::read_link(&current) {
            links += 1;
            if links > LINKS_MAX {
                return Err(io::Error::other(format!(
                    "{} is a loop of symbolic links",
                    directory.join(SLED).display()
                )));
            }
            current = current.parent().unwrap_or(directory).join(target);
        }
        let Some(name) = current.file_name().map(ToOwned::to_owned) else {
            return Err(io::Error::other(format!("{} names no folder", current.display())));
        };
        let beside = |ending: &str| {
            let mut name = name.clone();
            name.push(ending);
            current.with_file_name(name)
        };
        let (old, fresh) = (beside(OLD), beside(FRESH));
        Ok(Self { current, old, fresh })
    }

    /// The folder that is the store now; none if there is no store.
    ///
    /// # Errors
    /// If that cannot be seen.
    pub(in crate::journal) fn store(&self) -> io::Result<Option<&Path>> {
        for folder in [&self.current, &self.old] {
            // What may not be looked at may be there.
            if folder.join("db").try_exists()? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// The folders that a killed compaction left behind and that are not the store.
    pub(in crate::journal) fn left_behind(&self) -> Vec<&Path> {
        let old = Some(&self.old).filter(|old| old.exists() && self.current.exists());
        let fresh = Some(&self.fresh).filter(|fresh| fresh.exists());
        old.into_iter().chain(fresh).map(PathBuf::as_path).collect()
    }

    /// Puts the old store back if a compaction was killed between its two renames, and deletes what it left behind.
    ///
    /// # Errors
    /// If that cannot be written. Nothing is lost then, and it can be repeated.
    pub(in crate::journal) fn clean_up(&self) -> io::Result<()> {
        if self.old.exists() && !self.current.exists() {
            fs::rename(&self.old, &self.current)?;
            self.sync()?;
            info!(folder = %self.current.display(), "a compaction was interrupted: the store before it is used");
        }
        for folder in self.left_behind() {
            fs::remove_dir_all(folder)?;
            info!(folder = %folder.display(), "deleted what an interrupted compaction left behind");
        }
        Ok(())
    }

    /// Puts the store in `fresh` in the place of the current one, which is deleted.
    ///
    /// # Errors
    /// If that cannot be written. One of the two is the store then: [`Places::clean_up`] finds out which.
    pub(in crate::journal) fn swap(&self) -> io::Result<()> {
        fs::rename(&self.current, &self.old)?;
        fs::rename(self.fresh.join(SLED), &self.current)?;
        self.sync()?;
        self.clean_up()?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        // A relative path of one part lies in the working directory.
        let parent = self.current.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_linked_folder_is_found_where_it_lies_even_while_it_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        symlink("../disk/record", data.join(SLED)).unwrap();
        let disk = data.join("../disk");
        let places = Places::of(&data).unwrap();
        assert_eq!(places.current, disk.join("record"));
        assert_eq!(places.old, disk.join("record.old"));
        assert_eq!(places.fresh, disk.join("record.compacting"));
        fs::create_dir_all(places.old.join("blobs")).unwrap();
        fs::create_dir_all(&places.fresh).unwrap();
        assert_eq!(places.left_behind(), [&places.fresh], "the old one is the store");
        places.clean_up().unwrap();
        assert!(data.join(SLED).join("blobs").exists() && !places.old.exists() && !places.fresh.exists());
    }

    #[test]
    fn a_loop_of_links_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        symlink(SLED, directory.path().join(SLED)).unwrap();
        assert!(Places::of(directory.path()).unwrap_err().to_string().contains("loop of symbolic links"));
    }
}

//! What a crash interrupted, and stores that lie elsewhere: nothing is taken for damage that is none, and nothing is left behind.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use onrecord::{
    api::{self, v1},
    journal::{Journal, JournalError, Options, Restore, compact, verify},
};
use tempfile::TempDir;

use crate::{
    awkward_cases::expunge,
    harness::{Service, publish, words},
    survival::{CACHE_BYTES, backup, begin, holds, restored, verified},
};

/// A store with a text that was erased, and one that was not.
async fn store() -> TempDir {
    let service = Service::start().await;
    for id in ["kept", "erased"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words(&format!("Abracadabra {id}"))).await;
    }
    expunge(&service, "erased").await.unwrap();
    service.stop().await.into_directory()
}

/// Every file and folder, what is in it, and when it was changed.
fn tree(directory: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for item in fs::read_dir(directory).unwrap() {
        let item = item.unwrap();
        let changed = item.metadata().unwrap().modified().unwrap();
        if item.path().is_dir() {
            found.extend(tree(&item.path()));
            found.insert(item.path(), (changed, Vec::new()));
        } else {
            found.insert(item.path(), (changed, fs::read(item.path()).unwrap()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verify_changes_no_file() {
    let store = store().await;
    let clean = verified(store.path());
    // What crashes leave: a half snapshot of sled, a half compaction; and a store that was copied without its lock.
    fs::write(store.path().join("sled/snap.0000000000000001.generating"), "half").unwrap();
    fs::create_dir(store.path().join("sled.compacting")).unwrap();
    fs::remove_file(store.path().join("lock")).unwrap();
    let before = tree(store.path());
    let report = verified(store.path());
    assert_eq!(tree(store.path()), before);
    assert_eq!((report.findings.len(), report.under_way.len()), (0, 1), "{report:?}");
    assert_eq!(report.state_digest, clean.state_digest);
    let service = Service::start_on(Arc::new(store)).await;
    let stopped = service.stop().await;
    assert!(!stopped.directory().join("sled.compacting").exists(), "a start deletes it");
    assert_eq!(verified(stopped.directory()).under_way, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verify_leaves_a_store_that_is_in_use_alone() {
    let directory = tempfile::tempdir().unwrap();
    let _journal = Journal::open(Options::new(directory.path().to_owned())).unwrap();
    let refused = verify(directory.path(), CACHE_BYTES, false).unwrap_err();
    assert!(matches!(&refused, JournalError::Store(words) if words.contains("in use")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_follows_a_link_and_leaves_nothing_behind() {
    let store = store().await;
    let before = verified(store.path());
    let disk = tempfile::tempdir().unwrap();
    let (sled, record) = (store.path().join("sled"), disk.path().join("record"));
    // A rename would not do: the temporary folders may be on two file systems.
    fs::create_dir(&record).unwrap();
    for item in fs::read_dir(&sled).unwrap().map(Result::unwrap).filter(|item| !item.path().is_dir()) {
        fs::copy(item.path(), record.join(item.file_name())).unwrap();
    }
    fs::remove_dir_all(&sled).unwrap();
    symlink(&record, &sled).unwrap();
    // The directory as a whole is a link too.
    let data = disk.path().join("data");
    symlink(store.path(), &data).unwrap();
    assert!(holds(&record, b"Abracadabra erased"), "sled keeps what it does not need until it writes over it");
    assert_eq!(compact(&data, CACHE_BYTES).unwrap().report, before);
    assert_eq!(fs::read_link(&sled).unwrap(), record, "the link is kept");
    let mut left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["data", "record"]);
    assert!(!holds(&record, b"Abracadabra erased") && holds(&record, b"Abracadabra kept"));
    assert_eq!(verified(&data), before);

    // A crash between the two renames, with a link: the target does not exist.
    fs::rename(&record, disk.path().join("record.old")).unwrap();
    fs::create_dir(disk.path().join("record.compacting")).unwrap();
    assert_eq!(verified(&data).state_digest, before.state_digest);
    let stopped = Service::start_on(Arc::new(store)).await.stop().await;
    assert!(
        record.is_dir() && !disk.path().join("record.old").exists() && !disk.path().join("record.compacting").exists()
    );
    assert_eq!(verified(stopped.directory()), before);

    // A link below the folder would stay, and with it what was erased.
    fs::rename(record.join("db"), disk.path().join("db")).unwrap();
    symlink(disk.path().join("db"), record.join("db")).unwrap();
    let refused = compact(&data, CACHE_BYTES).unwrap_err();
    assert!(refused.to_string().contains("db is a symbolic link"), "{refused}");
    assert_eq!(verified(stopped.directory()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_copy_is_not_taken_for_a_store() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let (header, entries, _) = backup(&service, &v1::BackupEnd::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let mut restore = begin(directory.path(), &header);
    restore.put(&api::backup_entry(entries[0].clone()).unwrap()).unwrap();
    // As if it had been killed, while a small file was replaced.
    drop(restore);
    fs::write(directory.path().join(".tmpAb12Cd"), "half").unwrap();
    let opened = Journal::open(Options::new(directory.path().to_owned())).map(drop);
    let checked = verify(directory.path(), CACHE_BYTES, true).map(drop);
    let compacted = compact(directory.path(), CACHE_BYTES).map(drop);
    for refused in [opened, checked, compacted] {
        assert!(refused.unwrap_err().to_string().contains("holds a part of a copy"));
    }
    // The next restore into it begins anew.
    let (_, whole) = restored(&header, &entries).await;
    let mut restore = begin(directory.path(), &header);
    for entry in entries {
        restore.put(&api::backup_entry(entry).unwrap()).unwrap();
    }
    assert_eq!(restore.finish(Vec::new()).await.unwrap(), whole);
    assert_eq!(verified(directory.path()), whole);
    let identity = api::backup_identity(&header).unwrap();
    let over = Restore::begin(directory.path(), CACHE_BYTES, identity, header.storage_format).unwrap_err();
    assert!(over.to_string().contains("is not empty"), "never over a store: {over}");
    assert_eq!(verified(directory.path()), whole);
}

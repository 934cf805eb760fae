//! The record survives, or says that it did not: `verify`, damage, repair.

use std::{fs, path::Path};

use onrecord::{
    api::v1::{self, ChangeKind},
    journal::{JournalError, Report, verify},
};
use proptest::{collection::vec, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use tempfile::TempDir;

use crate::{
    awkward_cases::expunge,
    harness::{Person, Service, approved, changed, publish, words},
};

const CACHE_BYTES: u64 = 1 << 20;

/// A store with something of everything: long texts, several languages, what waits, what is owed, what was erased.
async fn store() -> TempDir {
    let service = Service::start().await;
    let mut author = service.person("author");
    for id in ["fire", "flood", "erased"] {
        author.create(id, "en").await;
        publish(&service, id, "en", words("First")).await;
        publish(&service, id, "de", v1::Content { body: "Lang. ".repeat(20_000), ..words("Erste") }).await;
        publish(&service, id, "en", changed("Second", ChangeKind::Correction)).await;
    }
    let later = approved(&service, "fire", "fr", words("Plus tard")).await;
    let request = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&later]) };
    service.person("publisher").publish(request).await.unwrap();
    let forced = author.save("flood", "fr", words("Vite")).await;
    let request = v1::PublishDraftsRequest { force: true, reason: "Now.".into(), ..Person::publication(&[&forced]) };
    service.person("publisher").publish(request).await.unwrap();
    service.person("publisher").withdraw("flood", &[]).await.unwrap();
    expunge(&service, "erased").await.unwrap();
    service.stop().await.into_directory()
}

fn check(directory: &Path) -> Report {
    loop {
        match verify(directory, CACHE_BYTES, false) {
            // The tasks of a service that was stopped let go of it a moment later.
            Err(JournalError::Store(words)) if words.contains("in use") => std::thread::yield_now(),
            report => return report.unwrap(),
        }
    }
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        if item.path().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_into(&item.path(), &to);
        } else {
            fs::copy(item.path(), &to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_what_was_written_to_it() {
    let store = store().await;
    let report = check(store.path());
    assert_eq!(report.findings, []);
    assert!(report.entries > 20 && report.events > 10 && report.rows > report.entries, "{report:?}");
    assert_eq!(check(copy(store.path()).path()), report, "equal stores have equal digests");
}

/// A byte is flipped at random places of a store's files: that is found when it is opened or verified, or nothing was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_silent() {
    let store = store().await;
    let whole = check(store.path());
    let files = ["sled/db", "sled/conf", "watermark"].map(|name| store.path().join(name));
    let bytes: Vec<_> = files.iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    let cases = std::env::var("ONRECORD_FLIPS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(25);
    let flips = vec((any::<u32>(), 1..=u8::MAX), cases).new_tree(&mut TestRunner::default()).unwrap().current();
    let (mut found, mut unused) = (0, 0);
    for (case, (place, flip)) in flips.into_iter().enumerate() {
        let file = if case % 25 == 0 { 1 + case / 25 % 2 } else { 0 };
        let damaged = copy(store.path());
        let path = damaged.path().join(files[file].strip_prefix(store.path()).unwrap());
        let mut content = fs::read(&path).unwrap();
        let place = usize::try_from((u64::from(place) * bytes[file]) >> 32).unwrap();
        content[place] ^= flip;
        fs::write(&path, content).unwrap();
        match verify(damaged.path(), CACHE_BYTES, false) {
            Err(_) => found += 1,
            Ok(report) if !report.is_clean() => found += 1,
            // Nothing that was written lay there, or sled keeps a newer copy.
            Ok(report) => {
                assert_eq!(report, whole, "byte {place} of {}", path.display());
                unused += 1;
            }
        }
    }
    eprintln!("{found} found, {unused} where nothing was");
    assert!(found > 0 || cases < 25, "some places matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_its_newest_entries_is_refused() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let stopped = service.stop().await;
    let older = copy(stopped.directory());
    let service = stopped.start(0).await;
    publish(&service, "fire", "en", words("First")).await;
    let newer = service.stop().await.into_directory();
    fs::remove_dir_all(newer.path().join("sled")).unwrap();
    fs::create_dir(newer.path().join("sled")).unwrap();
    copy_into(&older.path().join("sled"), &newer.path().join("sled"));
    let report = check(newer.path());
    assert_eq!(report.findings[0].fault, "its newest 4 entries are gone: it once had 5");
    let config = onrecord::config::Config::insecure(newer.path().to_owned());
    let refused = onrecord::journal::Journal::open(config.journal).unwrap_err();
    assert!(refused.to_string().contains("its newest 4 entries are gone"), "{refused}");
}

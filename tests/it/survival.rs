//! The record survives, or says that it did not: `verify`, damage, repair.

use std::{fs, io::Read as _, path::Path, sync::Arc};

use onrecord::{
    api::{
        self,
        v1::{self, ChangeKind, backup_response::Message},
    },
    journal::{JournalError, Report, Restore, compact, verify},
};
use proptest::{collection::vec, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use tempfile::TempDir;
use tonic::Code;

use crate::{
    awkward_cases::expunge,
    harness::{Person, Service, approved, changed, publish, refused, words},
};

pub(crate) const CACHE_BYTES: u64 = 1 << 20;

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

pub(crate) fn verified(directory: &Path) -> Report {
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
    let report = verified(store.path());
    assert_eq!(report.findings, []);
    assert!(report.entries > 20 && report.events > 10 && report.rows > report.entries, "{report:?}");
    assert_eq!(verified(copy(store.path()).path()), report, "equal stores have equal digests");
}

/// Damages a copy of a store, and says whether that is found. If not, nothing that was written lay there: the store is the same.
///
/// An erasure, the last thing that was written, may have lost its end: that is said, and finishing it gives the same store.
fn is_found(store: &Path, whole: &Report, file: &str, damage: impl FnOnce(&mut Vec<u8>)) -> bool {
    let damaged = copy(store);
    let path = damaged.path().join(file);
    let mut content = fs::read(&path).unwrap();
    damage(&mut content);
    fs::write(&path, content).unwrap();
    match verify(damaged.path(), CACHE_BYTES, false) {
        Err(_) => true,
        Ok(report) if !report.is_clean() => true,
        Ok(report) => {
            let is_said = !report.under_way.is_empty();
            assert_eq!(Report { under_way: Vec::new(), ..report }, *whole, "{file}");
            is_said
        }
    }
}

/// Random places in a file, as fractions of its length.
fn places(cases: usize) -> Vec<(u32, u8)> {
    vec((any::<u32>(), 1..=u8::MAX), cases).new_tree(&mut TestRunner::default()).unwrap().current()
}

fn place(fraction: u32, length: usize) -> usize {
    usize::try_from((u64::from(fraction) * u64::try_from(length).unwrap()) >> 32).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_silent() {
    let store = store().await;
    let whole = verified(store.path());
    let cases = std::env::var("ONRECORD_FLIPS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(25);
    let mut found = 0;
    for (case, (fraction, flip)) in places(cases).into_iter().enumerate() {
        let file = ["sled/db", "sled/conf", "watermark"][if case % 25 == 0 { 1 + case / 25 % 2 } else { 0 }];
        found += usize::from(is_found(store.path(), &whole, file, |content| {
            // sled's file ends in zeros that nobody reads.
            let written: Vec<_> = (0..content.len()).filter(|at| content[*at] != 0).collect();
            content[written[place(fraction, written.len())]] ^= flip;
        }));
    }
    eprintln!("{found} of {cases} found; nothing was where the others were");
    assert!(found > 0, "some places matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_or_missing_file_is_never_silent() {
    let store = store().await;
    let whole = verified(store.path());
    for (fraction, _) in places(10) {
        is_found(store.path(), &whole, "sled/db", |content| content.truncate(place(fraction, content.len())));
    }
    assert!(is_found(store.path(), &whole, "sled/db", Vec::clear));
    let without = copy(store.path());
    fs::remove_file(without.path().join("sled/db")).unwrap();
    assert!(verify(without.path(), CACHE_BYTES, false).is_err());
    let config = onrecord::config::Config::insecure(without.path().to_owned());
    assert!(onrecord::journal::Journal::open(config.journal).is_err(), "a watermark without a store is no new store");
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
    let report = verified(newer.path());
    assert_eq!(report.findings[0].fault, "its newest 4 entries are gone: it once had 5");
    let config = onrecord::config::Config::insecure(newer.path().to_owned());
    let refused = onrecord::journal::Journal::open(config.journal).unwrap_err();
    assert!(refused.to_string().contains("its newest 4 entries are gone"), "{refused}");
}

/// What a backup sends that goes on after an entry, and where it ends.
pub(crate) async fn backup(
    service: &Service,
    after: &v1::BackupEnd,
) -> (v1::BackupHeader, Vec<v1::BackupEntry>, v1::BackupEnd) {
    let request = v1::BackupRequest { after_entry: after.entry, after_hash: after.hash.clone(), follow: false };
    let mut stream = service.person("operator").backups.backup(request).await.unwrap().into_inner();
    let (mut header, mut entries, mut end) = (None, Vec::new(), None);
    while let Some(message) = stream.message().await.unwrap() {
        match message.message.unwrap() {
            Message::Header(it) => header = Some(it),
            Message::Part(part) => entries.extend(part.entries),
            Message::End(it) => end = Some(it),
        }
    }
    (header.unwrap(), entries, end.unwrap())
}

pub(crate) fn begin(directory: &Path, header: &v1::BackupHeader) -> Restore {
    let identity = api::backup_identity(header).unwrap();
    Restore::begin(directory, CACHE_BYTES, identity, header.storage_format).unwrap()
}

pub(crate) async fn restored(header: &v1::BackupHeader, entries: &[v1::BackupEntry]) -> (TempDir, Report) {
    let directory = tempfile::tempdir().unwrap();
    let mut restore = begin(directory.path(), header);
    for entry in entries {
        restore.put(&api::backup_entry(entry.clone()).unwrap()).unwrap();
    }
    let report = restore.finish(Vec::new()).await.unwrap();
    (directory, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_same_store_elsewhere_and_knows_a_lost_future() {
    let service = Service::start().await;
    for id in ["fire", "erased"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words("Sesame")).await;
    }
    let (header, mut entries, end) = backup(&service, &v1::BackupEnd::default()).await;
    expunge(&service, "erased").await.unwrap();
    publish(&service, "fire", "en", changed("Second", ChangeKind::Major)).await;
    let (_, more, end) = backup(&service, &end).await;
    entries.extend(more);
    let read = |start: v1::Start, cursor: &str| v1::ReadFeedRequest {
        start: start.into(),
        cursor: cursor.to_owned(),
        max_events: 1_000,
        ..Default::default()
    };
    let mut site = service.person("site");
    let seen = site.feed.read_feed(read(v1::Start::Beginning, "")).await.unwrap().into_inner();
    publish(&service, "fire", "en", changed("Lost", ChangeKind::Major)).await;
    let lost = site.feed.read_feed(read(v1::Start::Cursor, &seen.cursor)).await.unwrap().into_inner();
    assert_eq!(lost.deliveries.len(), 1);
    let (directory, report) = restored(&header, &entries).await;
    assert_eq!(report.entries, end.entry);
    assert_eq!(verified(directory.path()).state_digest, report.state_digest);

    let elsewhere = Service::start_on(Arc::new(directory)).await;
    let mut site = elsewhere.person("site");
    let again = site.feed.read_feed(read(v1::Start::Beginning, "")).await.unwrap().into_inner();
    assert_eq!(again.deliveries, seen.deliveries, "the same events, and no erased words");
    let events = again.deliveries.into_iter().map(|delivery| delivery.event.unwrap());
    let erased: Vec<_> = events.filter(|event| event.statement == "statements/erased").collect();
    assert!(erased.len() == 2 && !format!("{erased:?}").contains("Sesame"), "{erased:?}");
    let resumed = site.feed.read_feed(read(v1::Start::Cursor, &seen.cursor)).await.unwrap().into_inner();
    assert!(resumed.deliveries.is_empty());
    refused(
        site.feed.read_feed(read(v1::Start::Cursor, &lost.cursor)).await,
        Code::FailedPrecondition,
        "CURSOR_DIVERGED",
    );
    publish(&elsewhere, "fire", "en", changed("Another", ChangeKind::Major)).await;
    refused(
        site.feed.read_feed(read(v1::Start::Cursor, &lost.cursor)).await,
        Code::FailedPrecondition,
        "CURSOR_DIVERGED",
    );
    let ahead = v1::BackupRequest { after_entry: 9_999, after_hash: "0".repeat(64), follow: false };
    let refusal = elsewhere.person("operator").backups.backup(ahead).await.map(drop);
    refused(refusal, Code::FailedPrecondition, "BACKUP_DIVERGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_after_a_restore_begins_an_epoch_by_an_entry() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let (header, entries, _) = backup(&service, &v1::BackupEnd::default()).await;
    let (directory, report) = restored(&header, &entries).await;
    assert_eq!(
        verified(service.stop().await.directory()).state_digest,
        report.state_digest,
        "equal until it is started"
    );

    let elsewhere = Service::start_on(Arc::new(directory)).await;
    let newest = |entries: Vec<v1::Entry>| entries.into_iter().next_back().unwrap();
    let mut auditor = elsewhere.person("auditor");
    let listed = auditor.editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap().into_inner().entries;
    let entry = newest(listed);
    assert_eq!((entry.action.as_str(), entry.caller.as_str()), ("BeginEpoch", "service"));
    assert_eq!(
        i64::from(entry.epoch),
        entry.commit_time.unwrap().seconds,
        "lives that begin at other times are told apart"
    );
    assert_eq!((entry.name.as_str(), entry.statement.as_str()), ("entries/2", ""));
    assert_eq!(entry.reason, "restored from a copy that ends with entry 1");
    let (again, entries, _) = backup(&elsewhere, &v1::BackupEnd::default()).await;
    assert_eq!((&again.feed_id, again.epoch), (&header.feed_id, entry.epoch));
    let stopped = elsewhere.stop().await;
    assert_eq!(verified(stopped.directory()).findings, []);
    let elsewhere = stopped.start(0).await;
    let listed = elsewhere.person("auditor").editorial.list_entries(v1::ListEntriesRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().entries.len(), 2, "the second start begins none");

    // An old header says less than the entries do.
    let (directory, _) = restored(&header, &entries).await;
    let third = Service::start_on(Arc::new(directory)).await;
    let (last, ..) = backup(&third, &v1::BackupEnd::default()).await;
    assert!(last.epoch > again.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_tampered_with_is_not_restored() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let (header, entries, _) = backup(&service, &v1::BackupEnd::default()).await;
    for (place, entry) in entries.iter().enumerate() {
        for row in 0..entry.rows.len() {
            let directory = tempfile::tempdir().unwrap();
            let mut restore = begin(directory.path(), &header);
            let mut entries = entries.clone();
            let value = &mut entries[place].rows[row].value;
            let middle = value.len() / 2;
            value[middle] ^= 1;
            let put = entries.into_iter().try_for_each(|entry| restore.put(&api::backup_entry(entry).unwrap()));
            assert!(put.is_err() || restore.finish(Vec::new()).await.is_err(), "row {row} of entry {}", place + 1);
        }
    }
    let skipped = [&entries[..1], &entries[2..]].concat();
    let directory = tempfile::tempdir().unwrap();
    let mut restore = begin(directory.path(), &header);
    let put = skipped.into_iter().try_for_each(|entry| restore.put(&api::backup_entry(entry).unwrap()));
    assert!(matches!(put, Err(JournalError::Damaged(_))), "{put:?}");
}

/// What stored values are compressed with.
const DICTIONARY: &[u8] = include_bytes!("../../src/journal/store/dictionary.zstd");
/// What a Zstandard frame begins with (RFC 8878, 3.1.1).
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether some file of a store has these words, as they are or in a compressed value, whole or cut off.
pub(crate) fn holds(directory: &Path, words: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|item| {
        let path = item.unwrap().path();
        if path.is_dir() {
            return holds(&path, words);
        }
        let content = fs::read(path).unwrap();
        let frames = (0..content.len()).filter(|at| content[*at..].starts_with(&FRAME));
        has(&content, words) || frames.into_iter().any(|at| has(&expanded(&content[at..]), words))
    })
}

fn has(content: &[u8], words: &[u8]) -> bool {
    content.windows(words.len()).any(|window| window == words)
}

/// What a frame holds, as far as it can be read.
fn expanded(frame: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_dictionary(frame, DICTIONARY).unwrap();
    let _ = decoder.single_frame().read_to_end(&mut value);
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_words_are_in_no_file_of_a_compacted_store_and_the_record_is_the_same() {
    let service = Service::start().await;
    for id in ["kept", "erased"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words(&format!("Abracadabra {id}"))).await;
    }
    // A language whose slots are empty again, and one that waits under embargo.
    let mut author = service.person("author");
    let draft = author.save("erased", "fr", words("Jamais")).await;
    let discard = v1::DiscardDraftRequest { name: draft.name, etag: draft.etag, ..Default::default() };
    author.editorial.discard_draft(discard).await.unwrap();
    let waits = approved(&service, "erased", "de", words("Wartet")).await;
    let request =
        v1::PublishDraftsRequest { embargo_end_time: service.in_seconds(60), ..Person::publication(&[&waits]) };
    service.person("publisher").publish(request).await.unwrap();
    expunge(&service, "erased").await.unwrap();
    let store = service.stop().await.into_directory();
    let before = verified(store.path());
    assert!(holds(store.path(), b"Abracadabra erased"), "sled keeps what it does not need until it writes over it");
    let compacted = compact(store.path(), CACHE_BYTES).unwrap();
    assert_eq!(compacted.report, before);
    assert_eq!(verified(store.path()), before);
    assert!(!holds(store.path(), b"Abracadabra erased"));
    assert!(holds(store.path(), b"Abracadabra kept"));

    // A crash between the renames, and one after them: the store is the one that counts, and the next start cleans up.
    let (sled, old) = (store.path().join("sled"), store.path().join("sled.old"));
    fs::rename(&sled, &old).unwrap();
    assert_eq!(verified(store.path()), before);
    let stopped = Service::start_on(Arc::new(store)).await.stop().await;
    assert!(sled.exists() && !old.exists());
    fs::create_dir(&old).unwrap();
    let report = verified(stopped.directory());
    assert_eq!(report.under_way, [format!("{} was left behind by a compaction that was interrupted", old.display())]);
    assert_eq!(Report { under_way: Vec::new(), ..report }, before);
    let service = stopped.start(0).await;
    assert!(!old.exists());
    assert_eq!(service.person("reader").read("kept", "en").await.unwrap().live.unwrap().sequence, 1);
}

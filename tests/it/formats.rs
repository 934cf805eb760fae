//! A stored fixture of each format, opened for ever. `tests/fixtures/storage-1` is the record of README's tour; `storage-2` has a text that
//! was saved twice, approved, published and withdrawn; `storage-3` has two named subscriptions, and no index over times. All were killed, not closed.

use std::{fs, path::Path, sync::Arc};

use onrecord::api::v1::{self, ChangeKind, event, live};
use tempfile::TempDir;

use crate::{
    harness::{Service, chained, changed, publish},
    survival::verified,
};

/// A cursor of version 1 at the end of the fixture's feed, for everything.
const CURSOR_1: &str = "AXBIMKR1FQwM31iUsoLvhoUAAAABAAAAAAAAAASgKacaoIbkUrVJoQvjykfN";

pub(crate) fn store(format: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format).join("sled");
    let to = directory.path().join("sled");
    fs::create_dir(&to).unwrap();
    for file in ["conf", "db"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    directory
}

async fn fixture() -> Service {
    Service::start_on(Arc::new(store("storage-1"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_format_1_opens() {
    let service = fixture().await;
    let mut reader = service.person("reader");
    let live = reader.read("data-centre-fire", "en").await.unwrap().live.unwrap();
    assert_eq!(live.state(), live::State::Withdrawn);
    let edition = live.edition.unwrap();
    assert_eq!((edition.number, edition.content.unwrap().title.as_str()), (2, "There was no fire in our data centre"));
    assert_eq!(edition.content_digest, "165fdd8b42756b676519731a97b1aadc0986d334d0c0936ff6a4dd22c5a74dfd");
    let entries = reader.editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap().into_inner().entries;
    assert_eq!(entries.len(), 10);
    let mut previous = "0".repeat(64);
    for entry in entries {
        assert_eq!(entry.previous_hash, previous);
        assert_eq!(entry.hash, chained(&entry.previous_hash, &entry.seal));
        previous = entry.hash;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_format_1_is_written_on_as_the_newest() {
    let service = fixture().await;
    publish(&service, "data-centre-fire", "en", changed("There was none", ChangeKind::Major)).await;
    let store = service.stop().await;
    let report = verified(store.directory());
    assert_eq!((report.findings, report.entries), (Vec::new(), 14));
    let live =
        Service::start_on(Arc::new(store.into_directory())).await.person("reader").read("data-centre-fire", "en").await;
    assert_eq!(live.unwrap().live.unwrap().edition.unwrap().number, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_format_2_opens() {
    let directory = store("storage-2");
    let report = verified(directory.path());
    assert_eq!((report.findings, report.entries, report.events), (Vec::new(), 7, 2));
    let service = Service::start_on(Arc::new(directory)).await;
    let live = service.person("reader").read("wet-basement", "en").await.unwrap().live.unwrap();
    assert_eq!(live.state(), live::State::Withdrawn);
    let content = live.edition.unwrap().content.unwrap();
    assert_eq!(content.body, "There is no water at all in the basement.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_format_3_opens() {
    let directory = store("storage-3");
    let report = verified(directory.path());
    assert_eq!((report.findings, report.entries, report.events), (Vec::new(), 8, 2));
    let service = Service::start_on(Arc::new(directory)).await;
    let request = v1::ListSubscriptionsRequest::default();
    let listed = service.person("operator").feed.list_subscriptions(request).await.unwrap().into_inner().subscriptions;
    let standing = |it: &v1::Subscription| (it.name.clone(), it.generation, it.acknowledged_sequence);
    let bot = ("subscriptions/bot".to_owned(), 2, 2);
    assert_eq!(listed.iter().map(standing).collect::<Vec<_>>(), [bot, ("subscriptions/press-site".to_owned(), 2, 2)]);
    assert_eq!(listed[0].filter.as_ref().unwrap().kinds, ["notice"]);
}

/// The moments of the events of a store, and what was public then: how many titles.
async fn dates(service: &Service) -> Vec<(prost_types::Timestamp, u64)> {
    let mut reader = service.person("reader");
    let request = v1::ReadFeedRequest { start: v1::Start::Beginning.into(), ..Default::default() };
    let feed = reader.feed.read_feed(request).await.unwrap().into_inner();
    let mut dates = Vec::new();
    for event in feed.deliveries.into_iter().map(|delivery| delivery.event.unwrap()) {
        let time = event.event_time.unwrap();
        let at = onrecord::domain::time::Timestamp::from_parts(time.seconds, time.nanos).unwrap();
        let tail = service.journal.read(move |view| view.tail_at(at)).await.unwrap();
        assert_eq!(tail, event.sequence + 1);
        dates.push((time, tail));
    }
    dates
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_an_index_over_times_gets_one_when_it_is_opened() {
    for (format, events) in [("storage-1", 3), ("storage-2", 2), ("storage-3", 2)] {
        let directory = store(format);
        let before = verified(directory.path());
        assert!(before.storage_format < 4, "{before:?}");
        let service = Service::start_on(Arc::new(directory)).await;
        assert_eq!(dates(&service).await.len(), events, "{format}");
        let stopped = service.stop().await;
        let after = verified(stopped.directory());
        assert_eq!((after.storage_format, after.findings), (4, Vec::new()));
        assert_eq!(after.rows, before.rows + u64::try_from(events).unwrap(), "{format}");
        assert_eq!(after.state_digest, before.state_digest, "the index follows from what was there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_version_1_resumes() {
    let service = fixture().await;
    let mut site = service.person("site");
    let request = |start: v1::Start, cursor: &str| v1::ReadFeedRequest {
        start: start.into(),
        cursor: cursor.into(),
        ..Default::default()
    };
    let all = site.feed.read_feed(request(v1::Start::Beginning, "")).await.unwrap().into_inner();
    let types: Vec<_> = all.deliveries.iter().map(|delivery| delivery.event.as_ref().unwrap().r#type()).collect();
    assert_eq!(types, [event::Type::Published, event::Type::Corrected, event::Type::Withdrawn]);
    let rest = site.feed.read_feed(request(v1::Start::Cursor, CURSOR_1)).await.unwrap().into_inner();
    assert_eq!((rest.deliveries.len(), rest.tail), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn watermark_format_1_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/storage-1/watermark");
    fs::copy(from, directory.path().join("watermark")).unwrap();
    let config = onrecord::config::Config::insecure(directory.path().to_owned());
    let refusal = onrecord::journal::Journal::open(config.journal).unwrap_err();
    assert_eq!(refusal.to_string(), "the store is damaged: it is empty: it once had 10 entries");
}

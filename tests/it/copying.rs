//! Copies that are made while the record goes on: words are erased, and lives of the record are abandoned.

use std::sync::Arc;

use onrecord::{
    api::v1::{self, ChangeKind, backup_response::Message, live},
    domain::digest::Digest,
};
use tonic::Code;

use crate::{
    awkward_cases::expunge,
    harness::{Person, Service, approved, changed, publish, refused, words},
    survival::{backup, restored, verified},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_across_an_erasure_has_nothing_left_that_was_due_or_owed() {
    let service = Service::start().await;
    let mut publisher = service.person("publisher");
    service.person("author").create("fire", "en").await;
    let draft = approved(&service, "fire", "en", words("Later")).await;
    let request = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    publisher.publish(request).await.unwrap();
    let forced = service.person("author").save("fire", "fr", words("Vite")).await;
    let request = v1::PublishDraftsRequest { force: true, reason: "Now.".into(), ..Person::publication(&[&forced]) };
    let live = publisher.publish(request).await.unwrap().live.pop().unwrap();
    let expires = v1::Content { expire_time: service.in_seconds(120), ..words("Bald vorbei") };
    publish(&service, "fire", "de", expires).await;
    let (header, mut entries, end) = backup(&service, &v1::BackupEnd::default()).await;
    service.advance(61).await;
    publisher.withdraw("fire", &["de"]).await.unwrap();
    let edition = live.edition.unwrap();
    let approval =
        v1::ApproveEditionRequest { name: edition.name, content_digest: edition.content_digest, ..Default::default() };
    service.person("reviewer").editorial.approve_edition(approval).await.unwrap();
    expunge(&service, "fire").await.unwrap();
    let (_, more, _) = backup(&service, &end).await;
    entries.extend(more);
    let (_directory, report) = restored(&header, &entries).await;
    assert_eq!(report.state_digest, verified(service.stop().await.directory()).state_digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_lost_words_on_the_way_is_not_whole_before_the_erasure() {
    let service = Service::start().await;
    let mut author = service.person("author");
    // More than is on its way while the caller does not read.
    for number in 0..30 {
        large(&service, number).await;
    }
    for id in ["erased", "kept"] {
        author.create(id, "en").await;
        publish(&service, id, "en", words("Sesame")).await;
    }
    let begun = *service.journal.newest_entry().borrow();
    let mut stream =
        service.person("operator").backups.backup(v1::BackupRequest::default()).await.unwrap().into_inner();
    let Message::Header(header) = stream.message().await.unwrap().unwrap().message.unwrap() else { panic!() };
    // Nor does what is read last get as far as the erasure by itself.
    for number in 30..45 {
        large(&service, number).await;
    }
    expunge(&service, "erased").await.unwrap();
    let erasing = *service.journal.newest_entry().borrow();
    let (mut entries, mut end) = (Vec::new(), None);
    while let Some(message) = stream.message().await.unwrap() {
        match message.message.unwrap() {
            Message::Part(part) => entries.extend(part.entries),
            Message::End(it) => end = Some(it),
            Message::Header(_) => panic!("a second header"),
        }
    }
    assert!(begun < erasing && end.unwrap().entry == erasing, "the erasure came after the call, and is in the copy");
    let (directory, _) = restored(&header, &entries).await;
    let elsewhere = Service::start_on(Arc::new(directory)).await;
    let mut reader = elsewhere.person("reader");
    let state = async |id: &str| reader.clone().read(id, "en").await.unwrap().live.unwrap().state();
    assert_eq!((state("erased").await, state("kept").await), (live::State::Expunged, live::State::Published));
    refused(reader.read("large-1", "en").await, Code::NotFound, "STATEMENT_NOT_FOUND");
}

async fn large(service: &Service, number: u32) {
    let (mut author, id) = (service.person("author"), format!("large-{number}"));
    author.create(&id, "en").await;
    author.save(&id, "en", v1::Content { body: noise(number), ..words("Large") }).await;
}

/// 200,000 characters that cannot be compressed.
fn noise(seed: u32) -> String {
    let block = |number: u32| hex::encode(Digest::of(&[&seed.to_be_bytes(), &number.to_be_bytes()]).as_bytes());
    (0..3_125).map(block).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_an_abandoned_life_is_told_so_by_the_next() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let (header, entries, _) = backup(&service, &v1::BackupEnd::default()).await;
    let (directory, _) = restored(&header, &entries).await;
    let abandoned = Service::start_on_at(Arc::new(directory), 60).await;
    let cursor = |deliveries: v1::ReadFeedResponse| deliveries.cursor;
    let read = |cursor: String| v1::ReadFeedRequest {
        start: if cursor.is_empty() { v1::Start::Beginning } else { v1::Start::Cursor }.into(),
        cursor,
        ..Default::default()
    };
    let before = cursor(abandoned.person("site").feed.read_feed(read(String::new())).await.unwrap().into_inner());
    publish(&abandoned, "fire", "en", changed("Second", ChangeKind::Major)).await;
    let lost = cursor(abandoned.person("site").feed.read_feed(read(before.clone())).await.unwrap().into_inner());

    // That store turns out bad, and the same copy is restored again.
    let (directory, _) = restored(&header, &entries).await;
    let next = Service::start_on_at(Arc::new(directory), 120).await;
    let mut site = next.person("site");
    refused(site.feed.read_feed(read(lost.clone())).await, Code::FailedPrecondition, "CURSOR_DIVERGED");
    site.feed.read_feed(read(before)).await.expect("what it saw is in both");
    publish(&next, "fire", "en", changed("Another second", ChangeKind::Major)).await;
    refused(site.feed.read_feed(read(lost)).await, Code::FailedPrecondition, "CURSOR_DIVERGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_before_a_record_was_restored_is_held() {
    let service = Service::start().await;
    for (id, seconds) in [("before", 60), ("after", 120)] {
        service.person("author").create(id, "en").await;
        let draft = approved(&service, id, "en", words(id)).await;
        let later =
            v1::PublishDraftsRequest { release_time: service.in_seconds(seconds), ..Person::publication(&[&draft]) };
        service.person("publisher").publish(later).await.unwrap();
    }
    let (header, entries, _) = backup(&service, &v1::BackupEnd::default()).await;
    let (directory, _) = restored(&header, &entries).await;

    let directory = Arc::new(directory);
    let elsewhere = Service::start_on_at(Arc::clone(&directory), 90).await;
    elsewhere.advance(0).await;
    let held = elsewhere.person("publisher").release("before", "en").await.unwrap();
    assert_eq!(held.blocked_reason(), v1::release::BlockedReason::Missed, "it may have been called off after the copy");
    elsewhere.advance(31).await;
    let live = elsewhere.person("reader").read("after", "en").await.unwrap().live.unwrap();
    assert_eq!(live.state(), live::State::Published, "what was due later goes out");
}

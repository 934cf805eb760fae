//! What a downstream site relies on: in order, without a gap, resumable anywhere.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use onrecord::api::v1::{self, ChangeKind, Start, closing, event, subscribe_response::Message};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{Person, Service, approved, at, changed, from, moved, publish, refused, sequences, words};

fn rebuttals() -> Option<v1::Filter> {
    Some(v1::Filter { kinds: vec!["rebuttal".to_owned()], ..Default::default() })
}

fn opened(message: Message) -> v1::Opened {
    let Message::Opened(opened) = message else { panic!("opened first, not {message:?}") };
    opened
}

/// A statement with one edition: one event.
async fn say(service: &Service, id: &str) {
    service.person("author").create(id, "en").await;
    publish(service, id, "en", words(id)).await;
}

/// The cursor after everything so far.
async fn cursor(service: &Service) -> String {
    opened(service.person("site").follow(from(Start::Now)).await.unwrap().next().await).cursor
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_says_where_the_stream_starts() {
    let service = Service::start().await;
    say(&service, "one").await;
    say(&service, "two").await;
    let known = cursor(&service).await;
    for (request, start_sequence, resumed) in
        [(from(Start::Beginning), 1, false), (from(Start::Now), 3, false), (at(&known), 3, true)]
    {
        let opened = opened(service.person("site").follow(request).await.unwrap().next().await);
        assert_eq!((opened.start_sequence, opened.resumed, opened.tail), (start_sequence, resumed, 3));
        assert_eq!((opened.earliest_sequence, opened.feed_id.len(), opened.cursor.is_empty()), (1, 32, false));
    }
    let snapshot = opened(service.person("site").follow(from(Start::Snapshot)).await.unwrap().next().await);
    assert_eq!((snapshot.start_sequence, snapshot.cursor.as_str()), (3, ""), "snapshot_end has the first cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_the_snapshot_and_what_follows_there_is_no_gap() {
    let service = Service::start().await;
    let all: Vec<_> = (0..12).map(|number| format!("s{number}")).collect();
    let mut site = service.person("site");
    let publishing = async {
        for id in &all {
            say(&service, id).await;
        }
    };
    let following = async {
        let mut early = site.clone().follow_all().await;
        early.until(4).await;
        let mut stream = site.follow(from(Start::Snapshot)).await.unwrap();
        let start = opened(stream.next().await).start_sequence;
        let mut held = Vec::new();
        let end = loop {
            match stream.next().await {
                Message::Snapshot(part) => held.extend(part.live.into_iter().map(|live| live.sequence)),
                Message::SnapshotEnd(end) => break end,
                other => panic!("a part or the end of the snapshot, not {other:?}"),
            }
        };
        assert_eq!(end.item_count, u64::try_from(held.len()).unwrap());
        assert!(held.iter().all(|sequence| *sequence < start));
        held.sort_unstable();
        held.extend(sequences(&stream.until(12).await));
        held
    };
    let ((), held) = tokio::join!(publishing, following);
    assert_eq!(held, (1..=12).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_at_any_message_misses_nothing_and_repeats_nothing() {
    let service = Service::start().await;
    let mut stream = service.person("site").follow_all().await;
    let mut cursors = vec![opened(stream.next().await).cursor];
    for number in 1..=5 {
        say(&service, &format!("s{number}")).await;
        let Message::EventBatch(batch) = stream.next().await else { panic!("a batch") };
        cursors.push(batch.cursor);
    }
    say(&service, "last").await;
    for (seen, cursor) in (0..).zip(&cursors) {
        let resumed = service.person("site").follow(at(cursor)).await.unwrap().until(6).await;
        assert_eq!(sequences(&resumed), (seen + 1..=6).collect::<Vec<_>>());
    }
    let service = service.stop().await.start(1).await;
    let resumed = service.person("site").follow(at(&cursors[3])).await.unwrap().until(6).await;
    assert_eq!(sequences(&resumed), [4, 5, 6], "also after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_keeps_the_cursor_of_a_filtered_subscriber_fresh() {
    let service = Service::start().await;
    say(&service, "notice").await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = v1::SubscribeRequest { filter: rebuttals(), heartbeat_interval, ..from(Start::Beginning) };
    let mut stream = service.person("site").follow(request).await.unwrap();
    opened(stream.next().await);
    let Message::Heartbeat(beat) = stream.next().await else { panic!("a heartbeat: nothing matches") };
    assert_eq!((beat.tail, beat.server_time), (2, service.in_seconds(0)));
    let request = v1::SubscribeRequest { filter: rebuttals(), ..at(&beat.cursor) };
    let resumed = opened(service.person("site").follow(request).await.unwrap().next().await);
    assert_eq!((resumed.resumed, resumed.start_sequence), (true, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_drained_ends_with_a_cursor_that_resumes() {
    let service = Service::start().await;
    let mut stream = service.person("site").follow_all().await;
    say(&service, "one").await;
    stream.until(1).await;
    let following = async {
        loop {
            if let Message::Closing(closing) = stream.next().await {
                assert!(stream.0.message().await.unwrap().is_none(), "it is the last message");
                break closing;
            }
        }
    };
    let (stopped, closing) = tokio::join!(service.stop(), following);
    assert_eq!(closing.reason(), closing::Reason::Drain);
    assert!(closing.reconnect_after.is_some());
    let service = stopped.start(1).await;
    say(&service, "two").await;
    let resumed = service.person("site").follow(at(&closing.cursor)).await.unwrap().until(2).await;
    assert_eq!(sequences(&resumed), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_feed_has_diverged() {
    let (ours, theirs) = (Service::start().await, Service::start().await);
    let result = ours.person("site").follow(at(&cursor(&theirs).await)).await;
    refused(result.map(|_| ()), Code::FailedPrecondition, "CURSOR_DIVERGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_with_another_history_has_diverged() {
    let service = Service::start().await;
    let before = cursor(&service).await;
    say(&service, "one").await;
    let result = service.person("site").follow(at(&moved(&before, 2))).await;
    refused(result.map(|_| ()), Code::FailedPrecondition, "CURSOR_DIVERGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_ahead_of_this_replica_is_told_to_wait() {
    let service = Service::start().await;
    let ahead = moved(&cursor(&service).await, 9);
    let status =
        refused(service.person("site").follow(at(&ahead)).await.map(|_| ()), Code::Unavailable, "REPLICA_BEHIND");
    assert!(status.get_details_retry_info().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cursor_is_refused_as_invalid() {
    let service = Service::start().await;
    let good = cursor(&service).await;
    let mut flipped = BASE64_URL_SAFE_NO_PAD.decode(&good).unwrap();
    flipped[25] ^= 1;
    for bad in ["garbage", "%%%", "AAAA", &good[1..], &BASE64_URL_SAFE_NO_PAD.encode(flipped)] {
        let result = service.person("site").follow(at(bad)).await;
        refused(result.map(|_| ()), Code::InvalidArgument, "CURSOR_INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_belongs_to_its_filter_and_clearance() {
    let service = Service::start().await;
    let cursor = cursor(&service).await;
    let filtered = v1::SubscribeRequest { filter: rebuttals(), ..at(&cursor) };
    let cleared = v1::SubscribeRequest { include_embargoed: true, ..at(&cursor) };
    for request in [filtered, cleared] {
        let result = service.person("site").follow(request).await;
        refused(result.map(|_| ()), Code::FailedPrecondition, "FILTER_CHANGED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_older_than_what_may_be_replayed_is_trimmed() {
    let service = Service::start_with(|config| config.feed.replay_events_max = Some(2)).await;
    let old = cursor(&service).await;
    for id in ["one", "two", "three", "four"] {
        say(&service, id).await;
    }
    let mut site = service.person("site");
    assert_eq!(sequences(&site.follow_all().await.until(4).await), [3, 4]);
    let status = refused(site.follow(at(&old)).await.map(|_| ()), Code::OutOfRange, "CURSOR_TRIMMED");
    assert_eq!(status.get_details_error_info().unwrap().metadata["earliestSequence"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_one_commit_come_in_one_batch() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let mut stream = service.person("site").follow_all().await;
    let (english, german) = (
        approved(&service, "fire", "en", words("First")).await,
        approved(&service, "fire", "de", words("Erstens")).await,
    );
    service.person("publisher").publish(Person::publication(&[&german, &english])).await.unwrap();
    assert_eq!(sequences(&stream.deliveries().await), [1, 2]);
    publish(&service, "fire", "en", changed("Right", ChangeKind::Correction)).await;
    let types: Vec<_> = stream.deliveries().await.iter().map(|one| one.event.as_ref().unwrap().r#type()).collect();
    assert_eq!(types, [event::Type::Corrected, event::Type::TranslationStale]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_can_be_read_at_once() {
    let service = Service::start().await;
    let mut stream = service.person("site").follow_all().await;
    say(&service, "fire").await;
    let sent = stream.deliveries().await.remove(0).event.unwrap().live.unwrap();
    assert_eq!(service.person("reader").read("fire", "").await.unwrap().live.unwrap(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_read_page_by_page_and_streamed_on_from_there() {
    let service = Service::start().await;
    for id in ["one", "two", "three", "four", "five"] {
        say(&service, id).await;
    }
    let mut site = service.person("site");
    let mut request = v1::ReadFeedRequest { start: Start::Beginning.into(), max_events: 2, ..Default::default() };
    for expected in [&[1, 2][..], &[3, 4], &[5], &[]] {
        let page = site.feed.read_feed(request.clone()).await.unwrap().into_inner();
        assert_eq!((sequences(&page.deliveries).as_slice(), page.tail), (expected, 6));
        request = v1::ReadFeedRequest { start: Start::Cursor.into(), cursor: page.cursor, ..request };
    }
    say(&service, "six").await;
    assert_eq!(sequences(&site.follow(at(&request.cursor)).await.unwrap().until(6).await), [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_editions_are_compared_field_by_field() {
    let service = Service::start().await;
    say(&service, "fire").await;
    publish(&service, "fire", "en", changed("Water", ChangeKind::Major)).await;
    let request = v1::DiffEditionsRequest {
        from_edition: "statements/fire/editions/en.1".to_owned(),
        to_edition: "statements/fire/editions/en.live".to_owned(),
    };
    let answer = service.person("reader").statements.diff_editions(request).await.unwrap().into_inner();
    let title = answer.differences.iter().find(|difference| difference.field == "title").expect("the title differs");
    assert!(title.unified_diff.contains("-fire\n") && title.unified_diff.contains("+Water"), "{}", title.unified_diff);
    let body = answer.differences.iter().find(|difference| difference.field == "body").expect("the body differs");
    assert!(body.unified_diff.contains("-fire, in full."), "{}", body.unified_diff);
    assert!(answer.differences.iter().all(|difference| difference.field != "topics"), "only what differs");
}

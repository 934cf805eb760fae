//! Places in the feed: before it, beyond it, at its floor, in another one.

use std::time::Duration;

use onrecord::{
    api::v1::{self, Start, closing, event, subscribe_response::Message},
    client::{Credentials, Follower, Options, channel},
};
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{Shelf, apart, opened, say, say_all};
use crate::{
    awkward_cases::expunge,
    harness::{Service, at, fields, from, moved, next_of, refused, sequences},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_at_the_floor_is_still_sent() {
    for erased in [false, true] {
        let service = Service::start_with(|config| config.feed.replay_events_max = Some(1)).await;
        let start = opened(&mut service.person("site").follow(from(Start::Now)).await.unwrap()).await.cursor;
        say(&service, "fire", 10).await;
        let before = opened(&mut service.person("site").follow(from(Start::Now)).await.unwrap()).await.cursor;
        let expected = if erased {
            expunge(&service, "fire").await.unwrap();
            event::Type::Expunged
        } else {
            service.person("publisher").withdraw("fire", &[]).await.unwrap();
            event::Type::Withdrawn
        };
        // The floor is the event that takes the statement away.
        for request in [at(&before), from(Start::Beginning)] {
            let mut stream = service.person("site").follow(request).await.unwrap();
            assert_eq!(opened(&mut stream).await.earliest_sequence, 2);
            let deliveries = stream.deliveries().await;
            assert_eq!(sequences(&deliveries), [2]);
            assert_eq!(deliveries[0].event.as_ref().unwrap().r#type(), expected);
        }
        let below = service.person("site").follow(at(&start)).await;
        refused(below.map(|_| ()), Code::OutOfRange, "CURSOR_TRIMMED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_future_brings_nothing_old() {
    let service = Service::start_with(|config| config.feed.behind_wait = Duration::from_millis(300)).await;
    say_all(&service, 1..=3, 10).await;
    let now = opened(&mut service.person("site").follow(from(Start::Now)).await.unwrap()).await.cursor;
    // What is published while it is waited for is old to whoever is ahead.
    let mut ahead = apart(&service, "site");
    let (status, ()) = tokio::join!(ahead.follow(at(&moved(&now, 900))), say_all(&service, 4..=5, 10));
    let status = refused(status.map(|_| ()), Code::Unavailable, "REPLICA_BEHIND");
    assert!(status.get_details_retry_info().is_some());
    // Once the feed gets there it is another history, and never the events from there on.
    let (status, ()) = tokio::join!(ahead.follow(at(&moved(&now, 7))), say(&service, "s6", 10));
    let status = status.map(|_| ()).unwrap_err();
    let reason = status.get_details_error_info().unwrap().reason;
    assert!(["REPLICA_BEHIND", "CURSOR_DIVERGED"].contains(&reason.as_str()), "{status:?}");
    refused(
        service.person("site").follow(at(&moved(&now, 7))).await.map(|_| ()),
        Code::FailedPrecondition,
        "CURSOR_DIVERGED",
    );
    let page = v1::ReadFeedRequest { start: Start::Cursor.into(), cursor: moved(&now, u64::MAX), ..Default::default() };
    refused(service.person("site").feed.read_feed(page).await, Code::Unavailable, "REPLICA_BEHIND");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_before_the_first() {
    let service = Service::start().await;
    let mut site = service.person("site");
    let mut stream = site.follow(from(Start::Beginning)).await.unwrap();
    let empty = opened(&mut stream).await;
    assert_eq!((empty.start_sequence, empty.tail, next_of(&empty.cursor)), (1, 1, 1));
    let nowhere = site.follow(at(&moved(&empty.cursor, 0))).await;
    refused(nowhere.map(|_| ()), Code::InvalidArgument, "CURSOR_INVALID");
    let status = refused(site.follow(at("")).await.map(|_| ()), Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["cursor"]);
    let page = v1::ReadFeedRequest { start: Start::Beginning.into(), max_events: -1, ..Default::default() };
    let status = refused(site.feed.read_feed(page).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["max_events"]);
    // The place before the first event is one that can be kept.
    say(&service, "fire", 10).await;
    assert_eq!(sequences(&stream.deliveries().await), [1]);
    assert_eq!(sequences(&site.follow(at(&empty.cursor)).await.unwrap().deliveries().await), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_snapshot_is_not_followed_by_a_gap() {
    let service = Service::start_with(|config| config.feed.replay_events_max = Some(3)).await;
    // More than the connection takes unread: the snapshot waits for its newcomer.
    say_all(&service, 1..=20, 400_000).await;
    let mut stream = apart(&service, "site").follow(from(Start::Snapshot)).await.unwrap();
    let start = opened(&mut stream).await.start_sequence;
    say_all(&service, 21..=30, 10).await;
    let mut items = 0;
    let mut ended = false;
    loop {
        match stream.next().await {
            Message::Snapshot(part) => items += part.live.len(),
            Message::SnapshotEnd(end) => {
                assert_eq!((end.item_count, next_of(&end.cursor)), (20, start));
                ended = true;
            }
            Message::Heartbeat(_) => {}
            Message::Closing(closing) => {
                assert_eq!(closing.reason(), closing::Reason::Trimmed);
                break;
            }
            other => panic!("events below the floor are gone, and this comes: {other:?}"),
        }
    }
    assert!(ended && items == 20, "{ended}, {items}");
    // Who begins again gets there: nothing is published meanwhile.
    let mut again = apart(&service, "site").follow(from(Start::Snapshot)).await.unwrap();
    let mut items = 0;
    loop {
        match again.next().await {
            Message::Snapshot(part) => items += part.live.len(),
            Message::SnapshotEnd(end) => break assert_eq!(next_of(&end.cursor), 31),
            _ => {}
        }
    }
    assert_eq!(items, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_behind_never_makes_a_site_begin_anew() {
    let service = Service::start_with(|config| config.feed.behind_wait = Duration::from_millis(50)).await;
    say_all(&service, 1..=3, 10).await;
    let now = opened(&mut service.person("site").follow(from(Start::Now)).await.unwrap()).await.cursor;
    let site = Shelf::at(&moved(&now, 900));
    let mut shown = site.0.subscribe();
    let mut options = Options { snapshot_when_diverged: true, ..Options::all() };
    options.credentials = Credentials::stated("site").unwrap();
    let mut follower = Follower::new(channel(&format!("http://{}", service.address)).unwrap(), options, site);
    let tried = timeout(Duration::from_secs(20), shown.wait_for(|shown| shown.lost >= 3));
    tokio::select! {
        ended = follower.run() => panic!("it waits for the replica, and does not end: {ended:?}"),
        tried = tried => drop(tried.expect("it tries again").unwrap()),
    }
    let shown = shown.borrow().clone();
    assert_eq!((shown.snapshots, shown.applied, shown.opened), (0, Vec::new(), 0));
    assert_eq!(next_of(&shown.position.unwrap().cursor), 900, "it is where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_begun_anew_under_the_same_names_has_diverged() {
    let (before, after) = (Service::start().await, Service::start().await);
    say_all(&before, 1..=3, 10).await;
    let cursor = opened(&mut before.person("site").follow(from(Start::Now)).await.unwrap()).await.cursor;
    // The same statements, in the same order, in as many events, and more: the numbers fit, the history does not.
    say_all(&after, 1..=5, 10).await;
    refused(after.person("site").follow(at(&cursor)).await.map(|_| ()), Code::FailedPrecondition, "CURSOR_DIVERGED");
    let page = v1::ReadFeedRequest { start: Start::Cursor.into(), cursor, ..Default::default() };
    refused(after.person("site").feed.read_feed(page).await, Code::FailedPrecondition, "CURSOR_DIVERGED");
}

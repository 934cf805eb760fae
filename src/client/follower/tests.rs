//! Over a real connection, against a feed that says what it is told to say.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Code, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::{
    api::v1::{
        self, Heartbeat,
        delivery::FilterChange,
        feed_service_server::{FeedService, FeedServiceServer},
    },
    client::{channel, check::fixture},
};

mod scripted;

use scripted::*;

#[tokio::test]
async fn after_a_broken_stream_it_goes_on_from_the_newest_cursor() {
    let broken = vec![opened(), batch(&[1], "after-1", 9), batch(&[2], "after-2", 9), reset()];
    let closed = vec![opened(), says(Message::Closing(Closing { cursor: "later".to_owned(), ..Closing::default() }))];
    let ended = vec![opened()];
    let rest = vec![opened(), batch(&[3, 4], "after-4", 5)];
    let (ended, site, requests) = follow(Shelf::default(), vec![broken, closed, ended, rest]).await;
    ended.unwrap();
    let cursors: Vec<_> = requests.iter().map(|request| request.cursor.as_str()).collect();
    assert_eq!(cursors, ["", "after-2", "later", "later"]);
    assert_eq!((site.kept.applied.as_slice(), site.cursor()), ([1, 2, 3, 4].as_slice(), "after-4"));
    assert_eq!(site.kept.position.unwrap().last.unwrap().sequence, 4);
}

#[tokio::test]
async fn a_commit_in_parts_is_applied_whole_or_not_at_all() {
    let broken = vec![opened(), batch(&[1], "after-1", 9), batch(&[2], "", 9), Err(Status::unavailable(""))];
    let whole = vec![opened(), batch(&[2], "", 4), batch(&[3], "after-3", 4)];
    let (ended, site, requests) = follow(Shelf::default(), vec![broken, whole]).await;
    ended.unwrap();
    assert_eq!(requests[1].cursor, "after-1");
    assert_eq!(site.kept.applied, [1, 2, 3]);
}

#[tokio::test]
async fn what_breaks_the_contract_is_refused_and_nothing_of_it_is_kept() {
    let (_, site, _) = follow(Shelf::default(), vec![vec![opened(), batch(&[1, 2], "after-2", 3)]]).await;
    let mut forged = fixture::event(3);
    forged.previous_hash = "9".repeat(64);
    forged.hash = fixture::hash(&forged);
    let forged = EventBatch {
        deliveries: vec![Delivery::new(FilterChange::Left, forged)],
        cursor: "x".to_owned(),
        tail: 9,
        ..EventBatch::default()
    };
    let table = [
        (batch(&[3, 2], "x", 9), Breach::Order { sequence: 2, newest: 3 }),
        (batch(&[2], "x", 9), Breach::Order { sequence: 2, newest: 2 }),
        (says(Message::EventBatch(forged)), Breach::Chain { sequence: 3 }),
    ];
    for (message, breach) in table {
        // Also in another process, which has the position that was kept.
        let (ended, after, _) = follow(site.clone().restarted(), vec![vec![opened(), message]]).await;
        assert!(matches!(ended, Err(FollowError::Breach(found)) if found == breach), "{breach}");
        assert_eq!(after.kept, site.kept);
    }
    let end = SnapshotEnd { cursor: "at-50".to_owned(), item_count: 1 };
    let (ended, ..) = follow(Shelf::default(), vec![vec![opened(), says(Message::SnapshotEnd(end))]]).await;
    assert!(matches!(ended, Err(FollowError::Breach(Breach::Snapshot { came: 0, wanted: 1 }))));
}

#[tokio::test]
async fn a_site_that_fails_ends_it_and_what_it_kept_stays() {
    let scripts = vec![vec![opened(), batch(&[1], "after-1", 9), reset()], vec![opened(), batch(&[666], "x", 667)]];
    let (ended, site, _) = follow(Shelf::default(), scripts).await;
    assert!(matches!(ended, Err(FollowError::Site("no room"))));
    assert_eq!((site.kept.applied.as_slice(), site.cursor()), ([1].as_slice(), "after-1"));
}

#[tokio::test]
async fn a_feed_that_diverged_ends_it_unless_a_snapshot_was_asked_for() {
    let diverged = || vec![refusal(Code::FailedPrecondition, "CURSOR_DIVERGED")];
    let first = || vec![opened(), batch(&[1], "c", 9), reset()];
    let (ended, site, requests) = follow(Shelf::default(), vec![first(), diverged()]).await;
    assert!(matches!(ended, Err(FollowError::Diverged(_))));
    assert_eq!((requests.len(), site.kept.applied.len()), (2, 1));
    let scripts = vec![first(), diverged(), snapshot()];
    let (ended, site, _) =
        follow_with(Shelf::default(), scripts, |options| options.snapshot_when_diverged = true).await;
    ended.unwrap();
    assert!(site.notes.contains(&Note::Diverged) && site.kept.snapshots == 1);
}

/// The state at 50, and a heartbeat.
fn snapshot() -> Script {
    let part = Snapshot::new(vec![fixture::live(40)], Vec::new());
    let end = SnapshotEnd { cursor: "at-50".to_owned(), item_count: 1 };
    let heartbeat = Heartbeat { cursor: "at-51".to_owned(), next_sequence: 52, tail: 52, ..Heartbeat::default() };
    let messages = [Message::Snapshot(part), Message::SnapshotEnd(end), Message::Heartbeat(heartbeat)];
    [opened()].into_iter().chain(messages.map(says)).collect()
}

#[tokio::test]
async fn a_trimmed_cursor_takes_a_snapshot() {
    let trimmed = vec![refusal(Code::OutOfRange, "CURSOR_TRIMMED")];
    let scripts = vec![vec![opened(), batch(&[1], "c", 9), reset()], trimmed, snapshot()];
    let (ended, site, requests) = follow(Shelf::default(), scripts).await;
    ended.unwrap();
    assert_eq!((requests[2].start(), requests[2].cursor.as_str()), (Start::Snapshot, ""));
    assert_eq!((site.cursor(), site.kept.applied.as_slice(), site.kept.snapshots), ("at-51", [40].as_slice(), 1));
}

#[tokio::test]
async fn a_replica_that_is_behind_is_waited_for() {
    let behind = vec![refusal(Code::FailedPrecondition, "REPLICA_BEHIND")];
    let first = vec![opened(), batch(&[1], "c", 9), reset()];
    let (ended, _, requests) = follow(Shelf::default(), vec![first, behind, vec![opened(), batch(&[2], "d", 3)]]).await;
    ended.unwrap();
    assert_eq!(requests[2].cursor, "c");
}

#[tokio::test]
async fn what_only_a_person_can_mend_ends_it() {
    let closed =
        |reason: closing::Reason| says(Message::Closing(Closing { reason: reason.into(), ..Closing::default() }));
    let superseded = vec![opened(), closed(closing::Reason::Superseded)];
    let (ended, _, requests) = follow(Shelf::default(), vec![superseded]).await;
    assert!(matches!(ended, Err(FollowError::Superseded)));
    assert_eq!(requests.len(), 1);
    // There may be a new credential: it comes again once.
    let revoked = vec![opened(), closed(closing::Reason::AccessRevoked)];
    let gone = vec![refusal(Code::Unauthenticated, "CREDENTIAL_EXPIRED")];
    let (ended, _, requests) = follow(Shelf::default(), vec![revoked, gone]).await;
    assert!(matches!(ended, Err(FollowError::Refused(_))));
    assert_eq!(requests.len(), 2);
    let (ended, ..) = follow(Shelf::default(), vec![vec![refusal(Code::FailedPrecondition, "FILTER_CHANGED")]]).await;
    assert!(matches!(ended, Err(FollowError::FilterChanged(_))));
    let (ended, ..) = follow(Shelf::default(), vec![vec![refusal(Code::PermissionDenied, "NO")]]).await;
    assert!(matches!(ended, Err(FollowError::Refused(_))));
    let away = (0..9).map(|_| vec![Err(Status::unavailable("away"))]).collect();
    let (ended, _, requests) = follow(Shelf::default(), away).await;
    assert!(matches!(ended, Err(FollowError::GaveUp(Lost::Status(_)))));
    assert_eq!(requests.len(), 6, "somebody waits");
}

#[tokio::test]
async fn whoever_follows_under_a_name_acknowledges_what_was_kept_and_nothing_else() {
    let hello = || says(Message::Opened(Opened { generation: 7, ..Opened::default() }));
    let scripts = vec![vec![hello(), batch(&[1], "after-1", 9), reset()], vec![hello(), batch(&[666], "x", 667)]];
    let named = |options: &mut Options| options.wanted = Wanted::Named("subscriptions/shelf".to_owned());
    let (ended, site, feed) = follow_with(Shelf::default(), scripts, named).await;
    assert!(matches!(ended, Err(FollowError::Site("no room"))));
    assert_eq!(feed.requests.lock().unwrap()[0].subscription, "subscriptions/shelf");
    let acknowledged = feed.acknowledged.lock().unwrap().clone();
    let said: Vec<_> = acknowledged.iter().map(|it| (it.generation, it.cursor.as_str())).collect();
    assert_eq!((said.as_slice(), site.cursor()), ([(7, "after-1")].as_slice(), "after-1"));
}

#[tokio::test]
async fn an_acknowledgement_that_was_lost_is_said_again_by_the_next_holder() {
    let hello = Opened { generation: 8, cursor: "after-1".to_owned(), ..Opened::default() };
    let scripts = Arc::new(Mutex::new([vec![says(Message::Opened(hello))]].into()));
    let feed = Scripted { scripts, stays_open: true, ..Scripted::default() };
    let position = Some(Position { cursor: "after-1".to_owned(), last: None });
    let shelf = Shelf { held: Shown { position, ..Shown::default() }, ..Shelf::default() };
    let (url, server) = serve(&feed).await;
    let mut follower =
        Follower::new(channel(&url).unwrap(), Options::wanting(Wanted::Named("subscriptions/shelf".to_owned())), shelf);
    let following = tokio::spawn(async move { follower.run().await });
    let said = async {
        while feed.acknowledged.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), said).await.expect("it is said while the stream is open and quiet");
    let said = feed.acknowledged.lock().unwrap().remove(0);
    assert_eq!((said.generation, said.cursor.as_str()), (8, "after-1"));
    following.abort();
    server.abort();
}

#[tokio::test]
async fn a_heartbeat_on_the_way_does_not_make_it_current() {
    let beat = |next_sequence| {
        says(Message::Heartbeat(Heartbeat {
            cursor: format!("at-{next_sequence}"),
            next_sequence,
            tail: 9,
            ..Heartbeat::default()
        }))
    };
    let scripts = vec![vec![opened(), beat(5), batch(&[7], "after-7", 9), beat(9)]];
    let (ended, site, _) = follow(Shelf::default(), scripts).await;
    ended.unwrap();
    assert_eq!((site.kept.applied.as_slice(), site.cursor()), ([7].as_slice(), "at-9"));
}

#[tokio::test]
async fn a_heartbeat_between_the_parts_of_a_commit_leaves_the_place_before_it() {
    let beat = says(Message::Heartbeat(Heartbeat {
        cursor: "at-2".to_owned(),
        next_sequence: 2,
        tail: 9,
        ..Heartbeat::default()
    }));
    let cut = vec![opened(), batch(&[1], "after-1", 9), batch(&[2], "", 9), beat, reset()];
    let again = vec![opened(), batch(&[2], "", 4), batch(&[3], "after-3", 4)];
    let (ended, site, requests) = follow(Shelf::default(), vec![cut, again]).await;
    ended.unwrap();
    assert_eq!((requests[1].cursor.as_str(), site.kept.applied.as_slice()), ("at-2", [1, 2, 3].as_slice()));
}

#[tokio::test]
async fn what_the_site_did_not_take_is_sent_again_to_the_same_follower() {
    let scripts = vec![vec![opened(), batch(&[1], "after-1", 9), batch(&[666], "x", 667)], vec![]];
    let feed = Scripted { scripts: Arc::new(Mutex::new(scripts.into())), ..Scripted::default() };
    let (url, server) = serve(&feed).await;
    let options = Options { begin: Begin::Beginning, until_current: true, ..Options::all() };
    let mut follower = Follower::new(channel(&url).unwrap(), options, Shelf::default());
    assert!(matches!(follower.run().await, Err(FollowError::Site("no room"))));
    assert!(follower.run().await.is_err(), "the script is at its end");
    server.abort();
    let requests = feed.requests.lock().unwrap();
    assert_eq!(requests[1].cursor, "after-1");
}

#[tokio::test]
async fn who_begins_now_misses_nothing_though_it_is_cut_off_at_once() {
    let hello = says(Message::Opened(Opened { cursor: "here".to_owned(), ..Opened::default() }));
    let scripts = vec![vec![hello, reset()], vec![opened(), batch(&[8], "c", 9)]];
    let (ended, _, feed) = follow_with(Shelf::default(), scripts, |options| options.begin = Begin::Now).await;
    ended.unwrap();
    let requests = feed.requests.lock().unwrap().clone();
    let asked = requests.iter().map(|request| (request.start(), request.cursor.as_str()));
    assert_eq!(asked.collect::<Vec<_>>(), [(Start::Now, ""), (Start::Cursor, "here")]);
}

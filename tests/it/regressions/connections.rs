//! Connections that are cut, full, old, or never end.

use std::time::Duration;

use onrecord::{
    api::v1::{Start, closing, subscribe_response::Message},
    client::{Begin, Credentials, Follower, Options, channel},
};
use tokio::{sync::watch, time::timeout};
use tonic::transport::Channel;

use super::{Shelf, Shown, apart, notices, opened, say, say_all};
use crate::{
    harness::{Person, Service, at, from, next_of, sequences},
    way::Way,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn follower(way: &Way, begin: Begin, site: Shelf) -> Follower<Shelf> {
    let mut options = Options { begin, ..Options::all() };
    options.credentials = Credentials::stated("site").unwrap();
    Follower::new(channel(&way.url()).unwrap(), options, site)
}

async fn until(shown: &mut watch::Receiver<Shown>, done: impl FnMut(&Shown) -> bool) -> Shown {
    timeout(PATIENCE, shown.wait_for(done)).await.expect("it gets there in time").unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_off_again_and_again_never_goes_back() {
    let service = Service::start().await;
    let way = Way::to(service.address).await;
    let site = Shelf::new();
    let mut shown = site.0.subscribe();
    let mut follower = follower(&way, Begin::Beginning, site);
    let following = tokio::spawn(async move { follower.run().await });
    let mut number = 0;
    for cut in 0..6 {
        // Large enough to be cut in the middle of one.
        say_all(&service, number + 1..=number + 8, 150_000).await;
        number += 8;
        if cut % 2 == 0 {
            until(&mut shown, |shown| shown.opened > 0 && shown.applied.last() >= Some(&(number - 4))).await;
        }
        way.cut(true);
    }
    let shown = until(&mut shown, |shown| shown.applied.last() == Some(&number)).await;
    assert_eq!(shown.applied, (1..=number).collect::<Vec<_>>(), "each once, in order");
    assert!(shown.opened > 1 && shown.lost > 1 && shown.snapshots == 0, "{shown:?}");
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_off_before_the_first_event_goes_on_from_there() {
    let service = Service::start().await;
    say_all(&service, 1..=3, 10).await;
    let way = Way::to(service.address).await;
    let site = Shelf::new();
    let mut shown = site.0.subscribe();
    let mut follower = follower(&way, Begin::Now, site);
    let following = tokio::spawn(async move { follower.run().await });
    until(&mut shown, |shown| shown.position.is_some()).await;
    way.cut(false);
    until(&mut shown, |shown| shown.lost > 0).await;
    say_all(&service, 4..=6, 10).await;
    way.cut(true);
    let shown = until(&mut shown, |shown| shown.applied.last() == Some(&6)).await;
    assert_eq!(shown.applied, [4, 5, 6], "neither from the beginning nor from when it was back");
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_events_that_nobody_reads_end_no_connection() {
    const EVENTS: u64 = 1_500;
    let service = Service::start().await;
    let mut site = apart(&service, "site");
    let mut stream = site.follow(from(Start::Now)).await.unwrap();
    opened(&mut stream).await;
    notices(&service, "fire", EVENTS).await;
    // Another call over the same connection, and then all that waits.
    site.read("fire", "en").await.unwrap();
    let seen = sequences(&stream.until(EVENTS).await);
    assert_eq!(seen, (1..=EVENTS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_hold_up_no_follower() {
    let service = Service::start().await;
    // All three over one connection: together they fill its window.
    let mut lazy = apart(&service, "lazy");
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(lazy.follow(from(Start::Beginning)).await.unwrap());
    }
    let way = Way::to(service.address).await;
    let site = Shelf::new();
    let mut shown = site.0.subscribe();
    let mut follower = follower(&way, Begin::Beginning, site);
    let following = tokio::spawn(async move { follower.run().await });
    say_all(&service, 1..=40, 200_000).await;
    let shown = until(&mut shown, |shown| shown.applied.last() == Some(&40)).await;
    assert_eq!(shown.applied, (1..=40).collect::<Vec<_>>());
    following.abort();
    // They were held up by nobody but themselves.
    for stream in &mut unread {
        assert_eq!(sequences(&stream.until(40).await), (1..=40).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_that_take_nothing_hold_up_no_other() {
    let service = Service::start_with(|config| config.feed.window_bytes_max = 1).await;
    say_all(&service, 1..=80, 1_000).await;
    let endpoint = Channel::from_shared(format!("http://{}", service.address)).unwrap();
    let mut held = Vec::new();
    // Without any room at all, not even for the first message: more of them than may read at a time.
    for number in 0..24 {
        let mut person = Person::new(&endpoint.clone().initial_stream_window_size(0).connect_lazy(), "newcomer");
        let start = if number % 2 == 0 { Start::Snapshot } else { Start::Beginning };
        held.push(person.follow(from(start)).await.unwrap());
    }
    let mut stream = apart(&service, "site").follow(from(Start::Snapshot)).await.unwrap();
    while !matches!(stream.next().await, Message::SnapshotEnd(_)) {}
    let mut stream = apart(&service, "site").follow(from(Start::Beginning)).await.unwrap();
    assert_eq!(sequences(&stream.until(80).await), (1..=80).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_age_ends_with_a_cursor_and_its_connection_stays() {
    let service = Service::start_with(|config| config.feed.lifetime = Duration::from_secs(2)).await;
    let way = Way::to(service.address).await;
    let mut site = Person::new(&Channel::from_shared(way.url()).unwrap().connect_lazy(), "site");
    let mut cursor = None;
    let mut seen = Vec::new();
    for number in 1..=3 {
        let request = cursor.as_deref().map_or_else(|| from(Start::Beginning), at);
        let mut stream = site.follow(request).await.unwrap();
        say(&service, &format!("s{number}"), 10).await;
        let closing = loop {
            match stream.next().await {
                Message::EventBatch(batch) => seen.extend(sequences(&batch.deliveries)),
                Message::Closing(closing) => break closing,
                _ => {}
            }
        };
        assert_eq!(closing.reason(), closing::Reason::Lifetime);
        assert_eq!(stream.0.message().await.unwrap(), None, "it ends, and is not cut off");
        assert_eq!(next_of(&closing.cursor), number + 1);
        cursor = Some(closing.cursor);
        site.read("s1", "en").await.unwrap();
    }
    assert_eq!(way.taken(), 1, "all of it went over one connection");
    assert_eq!(seen, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_does_not_hold_up_the_end() {
    let service = Service::start_with(|config| config.drain = Duration::from_secs(1)).await;
    let mut unread = apart(&service, "site").follow(from(Start::Now)).await.unwrap();
    let mut read = apart(&service, "site").follow(from(Start::Now)).await.unwrap();
    let reading = tokio::spawn(async move { while !matches!(read.next().await, Message::Closing(_)) {} });
    say_all(&service, 1..=20, 500_000).await;
    // The harness gives it 20 seconds.
    let stopped = service.stop().await;
    // Whoever read was told.
    reading.await.unwrap();
    // Whoever did not goes on from what it had.
    let mut last = None;
    while let Ok(Ok(Some(message))) = timeout(PATIENCE, unread.0.message()).await {
        match message.message.unwrap() {
            Message::Opened(opened) => last = Some(opened.cursor),
            Message::EventBatch(batch) => last = Some(batch.cursor),
            Message::Heartbeat(beat) => last = Some(beat.cursor),
            _ => {}
        }
    }
    let last = last.expect("a cursor");
    let service = stopped.start(1).await;
    let rest = apart(&service, "site").follow(at(&last)).await.unwrap().until(20).await;
    assert_eq!(sequences(&rest), (next_of(&last)..=20).collect::<Vec<_>>());
}

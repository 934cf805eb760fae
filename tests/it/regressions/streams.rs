//! Streams that are slow, starved, filtered, or late.

use std::time::Duration;

use onrecord::api::v1::{self, Start, closing, subscribe_response::Message};
use prost::Message as _;
use tokio::{task::JoinSet, time::sleep};

use super::{apart, impatient, notices, opened, say_all};
use crate::harness::{Service, at, from, next_of, sequences};

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_never_overtakes_an_event() {
    let service = Service::start().await;
    let mut stream = apart(&service, "site").follow(impatient(from(Start::Beginning))).await.unwrap();
    let mut place = next_of(&opened(&mut stream).await.cursor);
    // 8 MB, of which the connection takes some; a heartbeat is due, again and again, while the rest waits.
    say_all(&service, 1..=40, 200_000).await;
    sleep(Duration::from_millis(2_500)).await;
    let mut seen = Vec::new();
    let mut beats = 0;
    // Two when all was sent: the last may have been on its way.
    while beats < 2 {
        let reached = match stream.next().await {
            Message::EventBatch(batch) => {
                let came = sequences(&batch.deliveries);
                assert!(came.iter().all(|sequence| *sequence >= place), "{came:?} after {place}");
                seen.extend(came);
                next_of(&batch.cursor)
            }
            Message::Heartbeat(beat) => {
                let next = next_of(&beat.cursor);
                assert_eq!(next, beat.next_sequence);
                assert!(
                    next <= seen.last().map_or(1, |last| last + 1),
                    "a heartbeat at {next} after {:?}",
                    seen.last()
                );
                beats += usize::from(seen.len() == 40);
                next
            }
            other => panic!("{other:?}"),
        };
        assert!(reached >= place, "it went back from {place} to {reached}");
        place = reached;
    }
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_starved_are_told_and_lose_nothing_without_a_word() {
    let service = Service::start_with(|config| config.feed.replay_events_max = Some(10)).await;
    let mut starved = Vec::new();
    for _ in 0..10 {
        let mut stream = apart(&service, "site").follow(from(Start::Now)).await.unwrap();
        opened(&mut stream).await;
        starved.push(stream);
    }
    // 24 MB: far more than a connection takes unread.
    say_all(&service, 1..=60, 400_000).await;
    let mut readers = JoinSet::new();
    for mut stream in starved {
        readers.spawn(async move {
            let mut seen = 0;
            loop {
                match stream.next().await {
                    Message::EventBatch(batch) => {
                        for sequence in sequences(&batch.deliveries) {
                            assert_eq!(sequence, seen + 1, "no event is left out");
                            seen = sequence;
                        }
                    }
                    Message::Heartbeat(_) => {}
                    Message::Closing(closing) => {
                        assert_eq!(closing.reason(), closing::Reason::Trimmed);
                        assert_eq!(next_of(&closing.cursor), seen + 1);
                        return seen;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    for seen in readers.join_all().await {
        assert!((1..50).contains(&seen), "it was told after event {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_subscriber_far_behind_hears_where_it_is() {
    // Nothing is at hand: all of it is read from the store.
    let service = Service::start_with(|config| config.feed.window_bytes_max = 1).await;
    notices(&service, "fire", 1_150).await;
    let filter = Some(v1::Filter { kinds: vec!["rebuttal".to_owned()], ..Default::default() });
    let begin = v1::SubscribeRequest { filter: filter.clone(), ..impatient(from(Start::Beginning)) };
    let mut stream = apart(&service, "site").follow(begin).await.unwrap();
    assert_eq!(opened(&mut stream).await.start_sequence, 1);
    let mut places = Vec::new();
    let mut cursor = String::new();
    while places.last() != Some(&1_151) {
        match stream.next().await {
            Message::Heartbeat(beat) => {
                assert_eq!(next_of(&beat.cursor), beat.next_sequence);
                places.push(beat.next_sequence);
                cursor = beat.cursor;
            }
            other => panic!("nothing matches, and this comes: {other:?}"),
        }
    }
    assert!(places.is_sorted() && (1_001..1_151).contains(&places[0]), "it hears on the way: {places:?}");
    let resume = v1::SubscribeRequest { filter, ..at(&cursor) };
    assert_eq!(opened(&mut apart(&service, "site").follow(resume).await.unwrap()).await.start_sequence, 1_151);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_with_the_first_message_and_no_message_is_large() {
    let service = Service::start().await;
    // What waits is ten times what a gRPC client takes in one message unless it is told otherwise: 4 MiB.
    say_all(&service, 1..=80, 500_000).await;
    all_of_it(&service).await;
    let service = service.stop().await.start(1).await;
    all_of_it(&service).await;
}

/// Follows 80 events of half a MB from the first on.
async fn all_of_it(service: &Service) {
    let mut stream = apart(service, "site").follow(from(Start::Beginning)).await.unwrap();
    assert!(opened(&mut stream).await.encoded_len() < 512);
    let mut seen = 0;
    while seen < 80 {
        let Message::EventBatch(batch) = stream.next().await else { continue };
        let bytes = batch.encoded_len();
        assert!(bytes <= (1 << 20) + 520_000, "a message of {bytes} bytes");
        seen += batch.deliveries.len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_during_a_burst_loses_nothing() {
    let service = Service::start_with(|config| config.feed.window_bytes_max = 64 * 1_024).await;
    let mut stream = apart(&service, "site").follow(from(Start::Now)).await.unwrap();
    opened(&mut stream).await;
    // A hundred times what is kept at hand.
    say_all(&service, 1..=64, 100_000).await;
    let seen = sequences(&stream.until(64).await);
    assert_eq!(seen, (1..=64).collect::<Vec<_>>());
}

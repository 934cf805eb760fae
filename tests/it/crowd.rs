//! 500 subscribers over connections of their own, of whom 50 never read and 150 are cut off again and again, follow the binary while
//! editors publish, and while it is stopped and started once. What each saw is recorded, and compared with the whole feed as it is read
//! afterwards: one invariant, one test. Others are elsewhere: I9 (prefixes) in `copying` and `survival`, I17 (fencing, what was acknowledged)
//! in `subscriptions` and `tests/clients/sites`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::{Duration, Instant},
};

use onrecord::api::v1::{self, ChangeKind, closing, delivery::FilterChange, subscribe_response::Message};
use prost::Message as _;
use tokio::{
    runtime::Runtime,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::transport::Channel;

use crate::{
    harness::{Person, changed, next_of},
    kills::{Server, port},
};

const SUBSCRIBERS: usize = 500;
const STATEMENTS: usize = 8;
const ROUNDS: usize = 12;
const LANGUAGES: [&str; 2] = ["en", "de"];
const TOPICS: [&str; 2] = ["energy", "health"];
const HEARTBEAT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(1);

mod gathered;

use gathered::*;

fn topics(event: &v1::Event) -> &[String] {
    &event.live.as_ref().unwrap().edition.as_ref().unwrap().content.as_ref().unwrap().topics
}

/// How each event of the feed stands to a filter, decided from the feed alone.
fn changes(topic: Option<&str>) -> BTreeMap<u64, FilterChange> {
    let admits = |topics: &[String]| topic.is_none_or(|topic| topics.iter().any(|it| it == topic));
    let (mut state, mut changes) = (BTreeMap::new(), BTreeMap::new());
    for (sequence, event) in &CROWD.log {
        let after = admits(topics(event));
        let before = state.insert((&event.statement, &event.language_code), after).unwrap_or(false);
        let filter_change = match (before, after) {
            (false, true) => FilterChange::Entered,
            (true, true) => FilterChange::Stayed,
            (true, false) => FilterChange::Left,
            (false, false) => continue,
        };
        changes.insert(*sequence, filter_change);
    }
    changes
}

fn entry(event: &v1::Event) -> String {
    let seal: serde_json::Value = serde_json::from_slice(&event.seal).unwrap();
    seal["entry"].as_str().unwrap().to_owned()
}

#[test]
fn i0_the_crowd_did_what_it_was_to_do() {
    let readers = CROWD.subscribers.iter().filter(|subscriber| subscriber.plan.reads).count();
    assert_eq!((readers, CROWD.log.len() as u64), (450, CROWD.tail - 1));
    let resumed = streams().filter(|(_, seen)| seen.resumed_at.is_some()).count();
    let broken =
        streams().filter(|(plan, seen)| plan.start == v1::Start::Snapshot && seen.resumed_at.is_none()).count();
    assert!(resumed > 1_000 && broken > 225, "{resumed} resumed, {broken} snapshots");
}

#[test]
fn i1_sequences_rise_within_a_stream() {
    for (_, seen) in streams() {
        let sequences: Vec<_> = seen.deliveries().map(|(_, event)| event.sequence).collect();
        assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    }
}

#[test]
fn i2_nothing_comes_twice_to_whoever_resumes() {
    for subscriber in &CROWD.subscribers {
        let mut seen = BTreeSet::new();
        for stream in &subscriber.streams {
            if stream.resumed_at.is_none() {
                seen.clear();
            }
            for (_, event) in stream.deliveries() {
                assert!(seen.insert(event.sequence), "{} came twice to {:?}", event.sequence, subscriber.plan);
            }
        }
    }
}

#[test]
fn i3_exactly_what_the_filter_admits_comes_byte_for_byte() {
    for (plan, seen) in streams() {
        let changes = changes(plan.topic);
        let Some((_, end, _)) = seen.places().into_iter().next_back() else { continue };
        let wanted: Vec<_> =
            changes.range(seen.opened().start_sequence..end).map(|(at, filter_change)| (*at, *filter_change)).collect();
        let came = seen.deliveries().filter(|(_, event)| event.sequence < end);
        assert_eq!(came.map(|(filter_change, event)| (event.sequence, filter_change)).collect::<Vec<_>>(), wanted);
        for (filter_change, event) in
            seen.deliveries().filter(|(filter_change, _)| *filter_change != FilterChange::Left)
        {
            let logged = &CROWD.log[&event.sequence];
            // What was published and is withdrawn since is shown as it was: the words are public still.
            assert_eq!(event.encode_to_vec(), logged.encode_to_vec(), "{filter_change:?}");
        }
    }
}

#[test]
fn i4_no_place_lies_inside_a_commit() {
    let pairs = CROWD.log.values().zip(CROWD.log.values().skip(1));
    let inside: BTreeSet<u64> =
        pairs.filter(|(one, next)| entry(one) == entry(next)).map(|(_, next)| next.sequence).collect();
    assert!(inside.len() >= STATEMENTS * ROUNDS, "there are commits of several events");
    for (_, seen) in streams() {
        let places = seen.places().into_iter().map(|(_, next, _)| next).chain([seen.opened().start_sequence]);
        places.for_each(|place| assert!(!inside.contains(&place), "{place}"));
    }
}

#[test]
fn i5_whoever_resumes_goes_on_with_the_next_event() {
    for (plan, seen) in streams().filter(|(_, seen)| seen.resumed_at.is_some()) {
        let at = seen.resumed_at.unwrap();
        assert!(seen.opened().resumed && seen.opened().start_sequence == at);
        if let Some((_, first)) = seen.deliveries().next() {
            assert_eq!(Some(&first.sequence), changes(plan.topic).range(at..).next().map(|(sequence, _)| sequence));
        }
    }
}

#[test]
fn i6_a_place_is_never_behind_what_was_sent_nor_ahead_of_the_feed() {
    for (_, seen) in streams() {
        let (mut newest, mut before) = (0, 0);
        for (at, (_, message)) in seen.messages.iter().enumerate() {
            if let Message::EventBatch(batch) = message {
                for event in batch.deliveries.iter().filter_map(|it| it.event.as_ref()) {
                    assert!(event.sequence >= before, "{} after the place {before}", event.sequence);
                    newest = newest.max(event.sequence);
                }
            }
            if let Some((_, place, tail)) = seen.places().into_iter().find(|(place, ..)| *place == at) {
                assert!(newest < place && before <= place && place <= tail);
                before = place;
            }
        }
    }
}

/// What a subscriber holds in the end: what it folded, stream after stream.
fn folded(subscriber: &Subscriber) -> BTreeMap<(String, String), u64> {
    let mut state = BTreeMap::new();
    let mut parts: Vec<v1::Live> = Vec::new();
    for stream in &subscriber.streams {
        if stream.resumed_at.is_none() {
            state.clear();
        }
        parts.clear();
        for (_, message) in &stream.messages {
            match message {
                Message::Snapshot(part) => parts.extend(part.live.clone()),
                Message::SnapshotEnd(end) => {
                    assert_eq!(end.item_count, parts.len() as u64);
                    let shown = parts.drain(..).map(|live| ((live.statement, live.language_code), live.sequence));
                    state = shown.collect();
                }
                Message::EventBatch(batch) => {
                    for delivery in &batch.deliveries {
                        let event = delivery.event.clone().unwrap();
                        let key = (event.statement, event.language_code);
                        match event.live.filter(|_| delivery.filter_change() != FilterChange::Left) {
                            Some(live) => drop(state.insert(key, live.sequence)),
                            None => drop(state.remove(&key)),
                        }
                    }
                }
                _ => {}
            }
        }
    }
    state
}

/// What a filter leaves of the state in the end.
fn state(topic: Option<&str>) -> BTreeMap<(String, String), u64> {
    let mut state = BTreeMap::new();
    for event in CROWD.log.values() {
        state.insert((event.statement.clone(), event.language_code.clone()), event);
    }
    state.retain(|_, event| topic.is_none_or(|topic| topics(event).iter().any(|it| it == topic)));
    state.into_iter().map(|(key, event)| (key, event.sequence)).collect()
}

#[test]
fn i7_folding_a_filtered_stream_gives_the_filtered_state() {
    for subscriber in CROWD.subscribers.iter().filter(|it| it.plan.reads && it.plan.start == v1::Start::Beginning) {
        assert_eq!(folded(subscriber), state(subscriber.plan.topic), "{:?}", subscriber.plan);
    }
}

#[test]
fn i8_a_snapshot_and_what_follows_give_the_state_however_often_it_was_broken() {
    for subscriber in CROWD.subscribers.iter().filter(|it| it.plan.reads && it.plan.start == v1::Start::Snapshot) {
        assert_eq!(folded(subscriber), state(subscriber.plan.topic), "{:?}", subscriber.plan);
    }
}

#[test]
fn i10_a_read_is_never_older_than_an_event_that_came() {
    let asked = CROWD.subscribers.iter().filter(|subscriber| subscriber.plan.asks);
    let older: Vec<_> = asked.flat_map(|subscriber| &subscriber.older).collect();
    assert!(older.is_empty(), "{older:?}");
}

/// KiB that the service has taken once 30 MB were published beside so many who follow and never read.
async fn grown(who_never_read: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let port = port();
    let channel = connect(port);
    let server = Server::start(directory.path(), port, &channel).await;
    let before = server.resident_kib();
    let mut held = Vec::new();
    for _ in 0..who_never_read {
        let mut person = Person::new(&connect(port), "site");
        held.push(person.follow_all().await);
    }
    let mut editor = Person::new(&channel, "editor");
    editor.create("long", "en").await;
    for number in 0..60 {
        let kind = if number == 0 { ChangeKind::Initial } else { ChangeKind::Minor };
        let content = v1::Content { body: "0123456789".repeat(50_000), ..changed(&number.to_string(), kind) };
        let draft = editor.save("long", "en", content).await;
        let publication = Person::publication(&[&draft]);
        let request = v1::PublishDraftsRequest { force: true, reason: "Now.".to_owned(), ..publication };
        editor.publish(request).await.unwrap();
    }
    server.resident_kib() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn i15_whoever_never_reads_costs_a_message_and_no_queue() {
    let (alone, beside) = (grown(0).await, grown(40).await);
    // Each is 30 MB behind: queues would take 1.2 GB. What each has is the message under way, of half a MB, and its buffers.
    let most = alone + 40 * 3 * 1_024;
    assert!(beside < most, "{beside} KiB beside 40 who never read, {alone} KiB without");
    eprintln!("{beside} KiB beside 40 who never read, {alone} KiB without");
}

#[test]
fn i16_every_stream_is_opened_and_says_something_in_time() {
    for (_, seen) in streams() {
        let (opened, _) = seen.messages[0];
        assert!(opened - seen.asked < PATIENCE, "it took {:?}", opened - seen.asked);
        let quiet = seen.messages.windows(2).map(|two| two[1].0 - two[0].0).max().unwrap_or_default();
        // The machine is shared; the rule is one and a half intervals.
        assert!(quiet < HEARTBEAT * 10, "nothing for {quiet:?}");
    }
    // That everybody reached the end is what the crowd waited for.
    assert!(CROWD.subscribers.iter().filter(|it| it.plan.reads).all(|it| it.streams.last().unwrap().was_cut));
}

#[test]
fn i18_a_service_that_stops_tells_everybody_where_to_go_on() {
    let mut told = 0;
    for (_, seen) in streams().filter(|(_, seen)| !seen.was_cut) {
        let (_, Message::Closing(closing)) = seen.messages.last().unwrap() else {
            panic!("{:?}", seen.messages.last())
        };
        assert_eq!(closing.reason(), closing::Reason::Drain);
        let in_snapshot = !seen.messages.iter().any(|(_, message)| matches!(message, Message::SnapshotEnd(_)));
        let needs_none = in_snapshot && seen.opened().cursor.is_empty();
        assert!(needs_none || !closing.cursor.is_empty());
        told += 1;
    }
    assert!(told >= 300, "{told} were there when it stopped");
}

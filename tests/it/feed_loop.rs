//! The loop itself, on a feed of its own over the journal of a service.

use std::{sync::Arc, time::Duration};

use onrecord::{
    api::{
        ENCODER,
        v1::{self, ChangeKind},
    },
    domain::{
        event::EventKind,
        filter::Filter,
        id::{Code, SubscriptionId},
        mandate::Mandate,
    },
    feed::{
        ClosingReason, Delivery, Feed, FeedRefusal, FilterChange, Message, Messages, Options, Part, Right, Start,
        StreamRequest, Wanted,
    },
    journal::Form,
};
use prost::Message as _;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::harness::{Person, Service, approved, changed, publish, words};

fn everything() -> Arc<Mandate> {
    Arc::new(Mandate::everything())
}

fn all(start: Start) -> StreamRequest {
    StreamRequest {
        start,
        wanted: these(Filter::default()),
        form: Form::Message,
        heartbeat: Duration::from_mins(1),
        right: Right::to_everything(),
    }
}

fn these(filter: Filter) -> Wanted {
    Wanted::These { filter, include_embargoed: false }
}

fn about(topic: &str) -> Filter {
    Filter { topics: vec![Code::parse(topic).unwrap()], ..Filter::default() }
}

async fn next(stream: &mut Messages) -> Message {
    tokio::time::timeout(Duration::from_secs(20), stream.next()).await.unwrap().expect("the stream goes on")
}

fn feed(service: &Service, change: impl FnOnce(&mut Options)) -> (Feed, CancellationToken) {
    let (mut options, drain) = (Options::default(), CancellationToken::new());
    change(&mut options);
    (Feed::start(service.journal.clone(), options, ENCODER, drain.clone()), drain)
}

/// Whether a text is sent.
fn has_words(delivery: &Delivery) -> bool {
    let event = v1::Delivery::decode(delivery.bytes().clone()).unwrap().event.unwrap();
    event.live.and_then(|live| live.edition).is_some_and(|edition| edition.content.is_some())
        || event.embargo.is_some_and(|it| it.content.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_are_refused_where_those_who_follow_are_not() {
    let service = Service::start().await;
    publish(&service, "fire", "en", {
        service.person("author").create("fire", "en").await;
        words("First")
    })
    .await;
    let (feed, _drain) = feed(&service, |options| (options.streams_max, options.snapshots_max) = (3, 1));
    let mut newcomer = feed.subscribe(all(Start::Snapshot)).await.unwrap();
    let refused = feed.subscribe(all(Start::Snapshot)).await.map(drop);
    assert_eq!(refused, Err(FeedRefusal::TooManySnapshots { most: 1 }));
    let follows =
        (feed.subscribe(all(Start::Beginning)).await.unwrap(), feed.subscribe(all(Start::Now)).await.unwrap());
    assert_eq!(feed.subscribe(all(Start::Now)).await.map(drop), Err(FeedRefusal::TooManyStreams { most: 3 }));
    drop(follows);
    // Its place is free once it asks for what follows its snapshot.
    while !matches!(next(&mut newcomer).await, Message::SnapshotEnd { .. }) {}
    let asks = tokio::time::timeout(Duration::from_millis(10), newcomer.next()).await;
    assert!(asks.is_err());
    feed.subscribe(all(Start::Snapshot)).await.unwrap();
}

/// More languages than events are looked at in one go.
const LANGUAGES: &str = "aa ab af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es \
    et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg";

/// Withdraws a text in some languages and gives it notice after notice: an event for each language and notice.
async fn events(service: &Service, id: &str, languages: &[&str], commits: usize) {
    service.person("author").create(id, languages[0]).await;
    let mut drafts = Vec::new();
    for language in languages {
        drafts.push(approved(service, id, language, words(language)).await);
    }
    let drafts: Vec<_> = drafts.iter().collect();
    service.person("publisher").publish(Person::publication(&drafts)).await.unwrap();
    for number in 1..commits {
        let notice = v1::Notice { text: format!("Notice {number}"), ..Default::default() };
        let name = format!("statements/{id}");
        let request = v1::WithdrawStatementRequest { name, notice: Some(notice), ..Default::default() };
        service.person("publisher").editorial.withdraw_statement(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_after_its_lifetime_with_a_heartbeat_and_a_cursor() {
    let service = Service::start().await;
    let (feed, _drain) = feed(&service, |options| options.lifetime = Duration::from_millis(100));
    let mut stream = feed.subscribe(all(Start::Now)).await.unwrap();
    assert!(matches!(next(&mut stream).await, Message::Opened { .. }));
    let Message::Heartbeat { cursor: fresh, .. } = next(&mut stream).await else { panic!("a heartbeat") };
    let Message::Closing { reason, cursor, reconnect_after } = next(&mut stream).await else { panic!("the end") };
    assert_eq!((reason, &cursor), (ClosingReason::Lifetime, &fresh));
    assert!(reconnect_after <= Duration::from_secs(2));
    assert!(stream.next().await.is_none());
    assert!(feed.subscribe(all(Start::Cursor(cursor))).await.is_ok());
}

/// How long after one another, and after now, heartbeats come until another message does. The clock of tokio stands.
async fn heartbeats(stream: &mut Messages, most: usize) -> (Vec<Duration>, Option<Message>) {
    let (mut intervals, mut last) = (Vec::new(), Instant::now());
    while intervals.len() < most {
        match next(stream).await {
            Message::Heartbeat { .. } => intervals.push(last.elapsed()),
            other => return (intervals, Some(other)),
        }
        last = Instant::now();
    }
    (intervals, None)
}

/// Each comes one interval after the one before, with the variation of its stream, to the millisecond of tokio's timer.
#[track_caller]
fn one_an_interval(intervals: &[Duration], first_late: Duration) {
    let (first, others) = intervals.split_first().unwrap();
    let interval = *others.last().unwrap();
    assert!((Duration::from_secs(9)..=Duration::from_millis(11_001)).contains(&interval), "{intervals:?}");
    assert!(others.iter().all(|other| other.abs_diff(interval) <= Duration::from_millis(1)), "{intervals:?}");
    assert!(*first <= interval + Duration::from_millis(1) && *first + first_late >= interval, "{intervals:?}");
}

#[tokio::test]
async fn a_quiet_stream_has_one_heartbeat_an_interval() {
    let service = Service::start().await;
    events(&service, "fire", &["en"], 1).await;
    let (feed, _drain) = feed(&service, |options| options.lifetime = Duration::from_hours(1));
    let quiet = |start| StreamRequest { heartbeat: Duration::from_secs(10), ..all(start) };
    let mut stream = feed.subscribe(quiet(Start::Now)).await.unwrap();
    assert!(matches!(next(&mut stream).await, Message::Opened { .. }));
    tokio::time::pause();
    one_an_interval(&heartbeats(&mut stream, 5).await.0, Duration::from_secs(1));
    // Events, so close to each other that the last of them are gathered.
    tokio::time::resume();
    events(&service, "flood", &["en"], 8).await;
    let mut seen = 0;
    while seen < 8 {
        if let Message::Batch { deliveries, .. } = next(&mut stream).await {
            seen += deliveries.len();
        }
    }
    tokio::time::pause();
    one_an_interval(&heartbeats(&mut stream, 5).await.0, Duration::from_secs(1));
    // A snapshot, and what follows it.
    tokio::time::resume();
    let mut stream = feed.subscribe(quiet(Start::Snapshot)).await.unwrap();
    while !matches!(next(&mut stream).await, Message::SnapshotEnd { .. }) {}
    tokio::time::pause();
    one_an_interval(&heartbeats(&mut stream, 5).await.0, Duration::from_secs(1));
}

#[tokio::test]
async fn the_end_of_a_lifetime_adds_the_one_heartbeat_before_it() {
    let service = Service::start().await;
    let (feed, _drain) = feed(&service, |options| options.lifetime = Duration::from_mins(1));
    let mut stream =
        feed.subscribe(StreamRequest { heartbeat: Duration::from_secs(10), ..all(Start::Now) }).await.unwrap();
    assert!(matches!(next(&mut stream).await, Message::Opened { .. }));
    tokio::time::pause();
    let (mut intervals, end) = heartbeats(&mut stream, usize::MAX).await;
    assert!(matches!(end, Some(Message::Closing { reason: ClosingReason::Lifetime, .. })), "{end:?}");
    let last = intervals.pop().unwrap();
    one_an_interval(&intervals, Duration::from_secs(1));
    assert!(last < intervals[1], "it comes with the end: {last:?} after {intervals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_feed_closes_its_streams_and_takes_no_new_ones() {
    let service = Service::start().await;
    let (feed, drain) = feed(&service, |_| {});
    let mut stream = feed.subscribe(all(Start::Now)).await.unwrap();
    drain.cancel();
    let mut seen = Vec::new();
    while let Some(message) = stream.next().await {
        seen.push(message);
    }
    assert!(matches!(seen[seen.len() - 2], Message::Heartbeat { .. }), "{seen:?}");
    assert!(matches!(seen[seen.len() - 1], Message::Closing { reason: ClosingReason::Drain, .. }), "{seen:?}");
    assert!(matches!(feed.subscribe(all(Start::Now)).await, Err(onrecord::feed::FeedRefusal::Draining)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_the_service_stops_may_still_say_how_far_it_got() {
    let service = Service::start().await;
    let id = SubscriptionId::parse("site").unwrap();
    let named = v1::CreateSubscriptionRequest {
        subscription_id: id.to_string(),
        subscription: Some(v1::Subscription::default()),
        ..Default::default()
    };
    service.person("operator").feed.create_subscription(named).await.unwrap();
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let (feed, drain) = feed(&service, |_| {});
    let mut stream =
        feed.subscribe(StreamRequest { wanted: Wanted::Named(id.clone()), ..all(Start::Beginning) }).await.unwrap();
    let Message::Opened { generation, .. } = next(&mut stream).await else { panic!("it is opened first") };
    drain.cancel();
    let mut last = String::new();
    while let Some(message) = stream.next().await {
        if let Message::Closing { cursor, .. } = message {
            last = cursor;
        }
    }
    feed.acknowledge(id.clone(), generation, &last).await.unwrap();
    feed.end().await;
    assert!(feed.acknowledge(id, generation, &last).await.is_err(), "it is not on the device any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_falls_below_the_floor_is_told() {
    let service = Service::start().await;
    events(&service, "before", &["en"], 1).await;
    let (feed, _drain) = feed(&service, |options| options.replay_events_max = Some(3));
    let mut stream = feed.subscribe(all(Start::Now)).await.unwrap();
    events(&service, "fire", &["en"], 12).await;
    let mut cursors = Vec::new();
    loop {
        match next(&mut stream).await {
            Message::Batch { cursor, .. } | Message::Heartbeat { cursor, .. } => cursors.push(cursor),
            Message::Closing { reason, cursor, .. } => {
                assert_eq!((reason, Some(&cursor)), (ClosingReason::Trimmed, cursors.last()));
                break;
            }
            _ => {}
        }
    }
    let refusal = feed.subscribe(all(Start::Cursor(cursors.remove(0)))).await.unwrap_err();
    assert!(matches!(refusal, onrecord::feed::FeedRefusal::CursorTrimmed { earliest: 11 }), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_is_never_inside_a_commit() {
    let service = Service::start().await;
    events(&service, "fire", &["en", "de", "fr"], 2).await;
    let (feed, _drain) = feed(&service, |options| options.replay_events_max = Some(4));
    let mut stream = feed.subscribe(all(Start::Beginning)).await.unwrap();
    let Message::Opened { start_sequence, earliest_sequence, tail, .. } = next(&mut stream).await else { panic!() };
    assert_eq!((earliest_sequence, start_sequence, tail), (3, 4, 7));
    let Message::Batch { deliveries, .. } = next(&mut stream).await else { panic!() };
    assert_eq!(deliveries.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_comes_in_parts_and_page_by_page() {
    let service = Service::start().await;
    service.person("author").create("large", "en").await;
    let mut drafts = Vec::new();
    for language in ["en", "de", "fr", "it", "es"] {
        let content = v1::Content { body: "x".repeat(400 * 1024), ..words(language) };
        drafts.push(approved(&service, "large", language, content).await);
    }
    let (window, _one) = feed(&service, |_| {});
    let (cold, _two) = feed(&service, |options| options.window_bytes_max = 1);
    let drafts: Vec<_> = drafts.iter().collect();
    service.person("publisher").publish(Person::publication(&drafts)).await.unwrap();
    events(&service, "small", &["en"], 1).await;
    for feed in [window, cold] {
        let mut stream = feed.subscribe(all(Start::Beginning)).await.unwrap();
        next(&mut stream).await;
        let mut parts: Vec<(usize, bool)> = Vec::new();
        while parts.iter().map(|(count, ..)| count).sum::<usize>() < 6 {
            let Message::Batch { deliveries, cursor, more, .. } = next(&mut stream).await else { panic!() };
            assert!(deliveries.iter().all(has_words));
            assert_eq!(cursor.is_empty(), more);
            parts.push((deliveries.len(), more));
        }
        assert_eq!(parts, [(2, true), (2, true), (1, false), (1, false)]);
        let (mut start, mut pages) = (Start::Beginning, Vec::<usize>::new());
        while pages.iter().sum::<usize>() < 6 {
            let page = feed.read(start, Filter::default(), false, Form::Message, &everything(), 100).await.unwrap();
            pages.push(page.deliveries.len());
            start = Start::Cursor(page.cursor);
        }
        assert_eq!(pages, [2, 2, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_that_are_filtered_out_bring_a_heartbeat() {
    let service = Service::start().await;
    events(&service, "fire", &["en", "de", "fr", "it", "es", "pt", "nl", "da", "sv", "fi"], 105).await;
    let (feed, _drain) = feed(&service, |_| {});
    let mut stream =
        feed.subscribe(StreamRequest { wanted: these(about("energy")), ..all(Start::Beginning) }).await.unwrap();
    next(&mut stream).await;
    let Message::Heartbeat { cursor, tail, .. } = next(&mut stream).await else { panic!("a heartbeat") };
    assert_eq!(tail, 1_051);
    let mut resumed =
        feed.subscribe(StreamRequest { wanted: these(about("energy")), ..all(Start::Cursor(cursor)) }).await.unwrap();
    let Message::Opened { start_sequence, .. } = next(&mut resumed).await else { panic!() };
    assert!((1_001..1_051).contains(&start_sequence), "{start_sequence}");
    let page = feed.read(Start::Beginning, about("energy"), false, Form::Message, &everything(), 10).await.unwrap();
    assert!(page.deliveries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_longer_than_what_is_read_at_once_comes_in_one_batch() {
    let service = Service::start().await;
    let names: Vec<&str> = LANGUAGES.split_whitespace().collect();
    let (window, _one) = feed(&service, |_| {});
    let (cold, _two) = feed(&service, |options| options.window_bytes_max = 1);
    events(&service, "many", &names, 1).await;
    for feed in [window, cold] {
        let mut stream = feed.subscribe(all(Start::Beginning)).await.unwrap();
        next(&mut stream).await;
        let Message::Batch { deliveries, more, .. } = next(&mut stream).await else { panic!() };
        assert_eq!((deliveries.len(), more), (names.len(), false));
        let page =
            feed.read(Start::Beginning, Filter::default(), false, Form::Message, &everything(), 3).await.unwrap();
        assert_eq!(page.deliveries.len(), names.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_a_filtered_subscriber_that_was_away() {
    let service = Service::start().await;
    let (feed, _drain) = feed(&service, |_| {});
    service.person("author").create("fire", "en").await;
    let tagged = |content: v1::Content, topic: &str| v1::Content { topics: vec![topic.to_owned()], ..content };
    publish(&service, "fire", "en", tagged(words("Fire"), "energy")).await;
    let page = feed.read(Start::Beginning, about("energy"), false, Form::Message, &everything(), 10).await.unwrap();
    assert_eq!(page.deliveries[0].filter_change, FilterChange::Entered);
    publish(&service, "fire", "en", tagged(changed("Fire", ChangeKind::Major), "health")).await;
    crate::awkward_cases::expunge(&service, "fire").await.unwrap();
    let page =
        feed.read(Start::Cursor(page.cursor), about("energy"), false, Form::Message, &everything(), 10).await.unwrap();
    let kinds: Vec<_> =
        page.deliveries.iter().map(|one| (one.item.record.event.head.kind, one.filter_change)).collect();
    assert_eq!(kinds, [(EventKind::Updated, FilterChange::Left), (EventKind::Expunged, FilterChange::Left)]);
    let whole = feed.read(Start::Beginning, Filter::default(), false, Form::Message, &everything(), 10).await.unwrap();
    assert_eq!(whole.deliveries.len(), 3, "no hole in the chain");
    assert!(whole.deliveries.iter().all(|one| one.filter_change == FilterChange::Left && !has_words(one)));
}

async fn part(stream: &mut Messages) -> Arc<Part> {
    let Message::Snapshot(part) = next(stream).await else { panic!("a part of a snapshot") };
    part
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_in_parts_and_closes_without_a_cursor() {
    let service = Service::start().await;
    for id in ["a", "b", "c"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", v1::Content { body: "x".repeat(200 * 1024), ..words(id) }).await;
    }
    let (feed, drain) = feed(&service, |_| {});
    let mut stream = feed.subscribe(all(Start::Snapshot)).await.unwrap();
    next(&mut stream).await;
    let first = part(&mut stream).await;
    let live = v1::Snapshot::decode(first.bytes().clone()).unwrap().live;
    let names: Vec<_> = live.iter().map(|live| live.statement.as_str()).collect();
    assert_eq!(names, ["statements/a", "statements/b"]);
    assert!(live.iter().all(|live| live.edition.as_ref().unwrap().content.is_some()));
    assert_eq!(v1::Snapshot::decode(part(&mut stream).await.bytes().clone()).unwrap().live.len(), 1);
    let Message::SnapshotEnd { item_count, .. } = next(&mut stream).await else { panic!() };
    assert_eq!(item_count, 3);
    let mut second = feed.subscribe(all(Start::Snapshot)).await.unwrap();
    next(&mut second).await;
    assert!(Arc::ptr_eq(&first, &part(&mut second).await), "it was read and encoded once");
    // What was erased since is no longer in the part that was kept, and what was added before it sends nothing again.
    crate::awkward_cases::expunge(&service, "c").await.unwrap();
    for number in 0..20 {
        service.person("author").create(&format!("a{number}"), "en").await;
    }
    let Message::SnapshotEnd { item_count, .. } = next(&mut second).await else { panic!("c is no longer there") };
    assert_eq!(item_count, 2);
    let mut third = feed.subscribe(all(Start::Snapshot)).await.unwrap();
    next(&mut third).await;
    drain.cancel();
    let mut last = None;
    while let Some(message) = third.next().await {
        assert!(!matches!(message, Message::SnapshotEnd { .. }), "it was drained before");
        last = Some(message);
    }
    let Some(Message::Closing { reason, cursor, .. }) = last else { panic!("{last:?}") };
    assert_eq!((reason, cursor.as_str()), (ClosingReason::Drain, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_text_under_embargo_reaches_a_filtered_holder() {
    let service = Service::start().await;
    let (feed, _drain) = feed(&service, |_| {});
    service.person("author").create("report", "en").await;
    let content = v1::Content { topics: vec!["energy".to_owned()], ..words("Secret") };
    let draft = approved(&service, "report", "en", content).await;
    let embargo =
        v1::PublishDraftsRequest { embargo_end_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(embargo).await.unwrap();
    let page = feed.read(Start::Beginning, about("energy"), true, Form::Message, &everything(), 10).await.unwrap();
    assert_eq!(page.deliveries[0].filter_change, FilterChange::Entered);
    crate::awkward_cases::expunge(&service, "report").await.unwrap();
    let whole = feed.read(Start::Beginning, Filter::default(), true, Form::Message, &everything(), 10).await.unwrap();
    assert!(!whole.deliveries.iter().any(has_words), "the window holds no erased text");
    let page =
        feed.read(Start::Cursor(page.cursor), about("energy"), true, Form::Message, &everything(), 10).await.unwrap();
    assert_eq!(page.deliveries.len(), 1);
}

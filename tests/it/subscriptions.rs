//! Named subscriptions: who follows under a name, what it has applied, and who has not.

use std::sync::Arc;

use onrecord::{
    api::v1::{self, ChangeKind, closing, delivery_report::Outcome, subscribe_response::Message, subscription::State},
    journal::compact,
};
use tonic::{Code, Status};

use crate::{
    harness::{Person, Service, Stream, changed, fields, publish, refused, words},
    survival::verified,
};

mod holder;

use holder::Holder;

const CACHE_BYTES: u64 = 1 << 20;

fn about(topics: &[&str]) -> v1::Filter {
    v1::Filter { topics: topics.iter().map(ToString::to_string).collect(), ..Default::default() }
}

async fn create(person: &mut Person, id: &str, filter: v1::Filter) -> v1::Subscription {
    let subscription = v1::Subscription { filter: Some(filter), ..Default::default() };
    let request = v1::CreateSubscriptionRequest {
        subscription_id: id.to_owned(),
        subscription: Some(subscription),
        ..Default::default()
    };
    person.feed.create_subscription(request).await.unwrap().into_inner().subscription.unwrap()
}

async fn get(person: &mut Person, id: &str) -> Result<v1::Subscription, Status> {
    let request = v1::GetSubscriptionRequest { name: format!("subscriptions/{id}") };
    Ok(person.feed.get_subscription(request).await?.into_inner().subscription.unwrap())
}

/// What became of what happened last to a statement, or of an edition: site, sequence, outcome.
async fn deliveries(service: &Service, name: &str) -> Vec<(String, u64, Outcome)> {
    let request = v1::ListDeliveriesRequest { parent: name.to_owned(), ..Default::default() };
    let listed = service.person("press-officer").feed.list_deliveries(request).await.unwrap().into_inner();
    let row = |report: v1::DeliveryReport| (report.subscription.clone(), report.sequence, report.outcome());
    listed.deliveries.into_iter().map(row).collect()
}

fn site(id: &str) -> String {
    format!("subscriptions/{id}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_kept_changed_and_ended_and_the_audit_trail_says_who_did_it() {
    let service = Service::start().await;
    let mut operator = service.person("operator");
    let made = create(&mut operator, "press-site", about(&["energy"])).await;
    assert_eq!((made.name.as_str(), made.creator.as_str()), ("subscriptions/press-site", "operator"));
    assert_eq!((made.state(), made.generation, made.lag_events), (State::Idle, 0, 0));
    let again = v1::CreateSubscriptionRequest {
        subscription_id: "press-site".to_owned(),
        subscription: Some(v1::Subscription::default()),
        ..Default::default()
    };
    refused(operator.feed.create_subscription(again).await, Code::AlreadyExists, "SUBSCRIPTION_EXISTS");

    let update = |etag: &str| v1::UpdateSubscriptionRequest {
        subscription: Some(v1::Subscription {
            name: site("press-site"),
            etag: etag.to_owned(),
            annotations: [("owner".to_owned(), "web team".to_owned())].into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["annotations".to_owned()] }),
        request_id: "f3a1c3de-7f7b-4c2f-9d38-2f4c8a6d1e01".to_owned(),
        ..Default::default()
    };
    refused(operator.feed.update_subscription(update("\"99\"")).await, Code::Aborted, "ETAG_MISMATCH");
    let changed = operator.feed.update_subscription(update(&made.etag)).await.unwrap().into_inner();
    let repeated = operator.feed.update_subscription(update(&made.etag)).await.unwrap().into_inner();
    assert_eq!(changed, repeated, "the first answer again");
    let changed = changed.subscription.unwrap();
    assert_eq!(changed.filter, Some(about(&["energy"])), "the mask names the annotations alone");
    assert_eq!(changed.annotations["owner"], "web team");

    for id in ["a-site", "z-site"] {
        create(&mut operator, id, v1::Filter::default()).await;
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListSubscriptionsRequest { page_size: 2, page_token };
        let page = operator.feed.list_subscriptions(request).await.unwrap().into_inner();
        listed.extend(page.subscriptions.into_iter().map(|it| it.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [site("a-site"), site("press-site"), site("z-site")]);

    let delete = v1::DeleteSubscriptionRequest { name: site("press-site"), ..Default::default() };
    operator.feed.delete_subscription(delete.clone()).await.unwrap();
    refused(operator.feed.delete_subscription(delete).await, Code::NotFound, "SUBSCRIPTION_NOT_FOUND");
    refused(get(&mut operator, "press-site").await, Code::NotFound, "SUBSCRIPTION_NOT_FOUND");
    let other = create(&mut operator, "press-site", v1::Filter::default()).await;
    assert_ne!(other.etag, changed.etag);

    let entries =
        operator.editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap().into_inner().entries;
    let about_it = entries.iter().filter(|entry| entry.subscription == site("press-site"));
    let actions: Vec<_> = about_it.map(|entry| (entry.action.as_str(), entry.caller.as_str())).collect();
    let by_operator = |action| (action, "operator");
    let steps = ["CreateSubscription", "UpdateSubscription", "DeleteSubscription", "CreateSubscription"];
    assert_eq!(actions, steps.map(by_operator));
    assert_eq!(verified(service.stop().await.directory()).findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_under_a_name_goes_on_where_it_acknowledged() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    create(&mut service.person("operator"), "site", v1::Filter::default()).await;
    let mut holder = Holder::open(&service, "site").await;
    assert!(!holder.opened.resumed, "nothing was acknowledged: the state comes first");
    let cursor = holder.snapshot().await;
    assert_eq!(holder.acknowledge(&cursor).await.unwrap(), 1);
    for title in ["Second", "Third"] {
        publish(&service, "fire", "en", changed(title, ChangeKind::Major)).await;
    }
    let (sequences, cursor) = holder.batch().await;
    assert_eq!(sequences[0], 2);
    assert_eq!(holder.acknowledge(&cursor).await.unwrap(), *sequences.last().unwrap());
    let mut reader = service.person("site");
    let old = reader.feed.read_feed(v1::ReadFeedRequest {
        start: v1::Start::Beginning.into(),
        max_events: 1,
        ..Default::default()
    });
    let old = old.await.unwrap().into_inner().cursor;
    assert_eq!(holder.acknowledge(&old).await.unwrap(), *sequences.last().unwrap(), "it does not go back");
    let standing = get(&mut service.person("operator"), "site").await.unwrap();
    let lag = 3 - sequences.last().unwrap();
    assert_eq!((standing.state(), standing.generation, standing.lag_events), (State::Active, 1, lag));

    // Also after a restart, and in a store that was written anew.
    drop(holder);
    let stopped = service.stop().await;
    assert_eq!(verified(stopped.directory()).findings, []);
    compact(stopped.directory(), CACHE_BYTES).unwrap();
    let service = stopped.start(60).await;
    publish(&service, "fire", "en", changed("Fourth", ChangeKind::Major)).await;
    let standing = get(&mut service.person("operator"), "site").await.unwrap();
    assert_eq!((standing.state(), standing.lag_events), (State::Idle, lag + 1));
    let mut holder = Holder::open(&service, "site").await;
    assert!(holder.opened.resumed && holder.generation == 2);
    assert_eq!(holder.batch().await.0[0], sequences.last().unwrap() + 1);
    assert_eq!(verified(service.stop().await.directory()).findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_follow_under_one_name_the_last_alone_may_acknowledge() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    create(&mut service.person("operator"), "site", v1::Filter::default()).await;
    let mut first = Holder::open(&service, "site").await;
    let cursor = first.snapshot().await;
    let mut second = Holder::open(&service, "site").await;
    assert_eq!(first.closing().await, closing::Reason::Superseded);
    refused(first.acknowledge(&cursor).await, Code::Aborted, "SUBSCRIPTION_SUPERSEDED");
    refused(first.reject(1).await, Code::Aborted, "SUBSCRIPTION_SUPERSEDED");
    assert_eq!(get(&mut service.person("operator"), "site").await.unwrap().acknowledged_sequence, 0);
    assert_eq!(second.acknowledge(&cursor).await.unwrap(), 1);
    drop(first);
    let standing = get(&mut service.person("operator"), "site").await.unwrap();
    assert_eq!(
        (standing.state(), standing.generation),
        (State::Active, 2),
        "the old stream's end is not the new one's"
    );

    let delete = v1::DeleteSubscriptionRequest { name: site("site"), ..Default::default() };
    service.person("operator").feed.delete_subscription(delete).await.unwrap();
    assert_eq!(second.closing().await, closing::Reason::Superseded);
    refused(second.acknowledge(&cursor).await, Code::NotFound, "SUBSCRIPTION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_that_was_cut_off_is_named_until_it_has_applied_the_withdrawal() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let content = v1::Content { topics: vec!["energy".to_owned()], ..words("First") };
    publish(&service, "fire", "en", content).await;
    let mut operator = service.person("operator");
    for (id, filter) in [("app", about(&[])), ("bot", about(&["energy"])), ("other", about(&["health"]))] {
        create(&mut operator, id, filter).await;
    }
    let mut holders = Vec::new();
    for id in ["app", "bot", "other"] {
        let mut holder = Holder::open(&service, id).await;
        let cursor = holder.snapshot().await;
        holder.acknowledge(&cursor).await.unwrap();
        holders.push(holder);
    }
    let edition = "statements/fire/editions/en.1";
    let applied = |id: &str, sequence| (site(id), sequence, Outcome::Applied);
    let waiting = |id: &str, sequence| (site(id), sequence, Outcome::Waiting);
    assert_eq!(deliveries(&service, edition).await, [applied("app", 1), applied("bot", 1)]);

    // The bot is cut off when the statement is withdrawn.
    holders.remove(1);
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    let app = &mut holders[0];
    let (sequences, cursor) = app.batch().await;
    assert_eq!(sequences, [2]);
    assert_eq!(deliveries(&service, "statements/fire").await, [waiting("app", 2), waiting("bot", 2)]);
    app.acknowledge(&cursor).await.unwrap();
    assert_eq!(deliveries(&service, "statements/fire").await, [applied("app", 2), waiting("bot", 2)]);
    assert_eq!(deliveries(&service, edition).await, [applied("app", 1), applied("bot", 1)]);
    let standing = get(&mut operator, "bot").await.unwrap();
    assert_eq!((standing.state(), standing.lag_events, standing.acknowledged_sequence), (State::Idle, 1, 1));

    let mut bot = Holder::open(&service, "bot").await;
    let (sequences, cursor) = bot.batch().await;
    assert_eq!(sequences, [2]);
    bot.reject(2).await.unwrap();
    let report = v1::ListDeliveriesRequest { parent: "statements/fire".to_owned(), ..Default::default() };
    let reports = operator.feed.list_deliveries(report).await.unwrap().into_inner().deliveries;
    assert_eq!(reports[1].outcome(), Outcome::Rejected);
    assert_eq!(reports[1].rejection.as_ref().unwrap().reason_code, "too-long");
    assert_eq!(get(&mut operator, "bot").await.unwrap().state(), State::Rejecting);
    bot.acknowledge(&cursor).await.unwrap();
    assert_eq!(deliveries(&service, "statements/fire").await, [applied("app", 2), applied("bot", 2)]);
    refused(bot.reject(2).await, Code::FailedPrecondition, "ALREADY_APPLIED");
    assert_eq!(get(&mut operator, "bot").await.unwrap().state(), State::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_filter_begins_anew() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let content = v1::Content { topics: vec!["energy".to_owned()], ..words("First") };
    publish(&service, "fire", "en", content).await;
    let mut operator = service.person("operator");
    let made = create(&mut operator, "site", about(&["health"])).await;
    let mut holder = Holder::open(&service, "site").await;
    let cursor = holder.snapshot().await;
    holder.acknowledge(&cursor).await.unwrap();
    let update = v1::UpdateSubscriptionRequest {
        subscription: Some(v1::Subscription { filter: Some(about(&["energy"])), ..made }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["filter".to_owned()] }),
        ..Default::default()
    };
    operator.feed.update_subscription(update).await.unwrap();
    assert_eq!(holder.closing().await, closing::Reason::Superseded);
    refused(holder.acknowledge(&cursor).await, Code::FailedPrecondition, "FILTER_CHANGED");
    assert_eq!(deliveries(&service, "statements/fire").await, [(site("site"), 1, Outcome::Waiting)]);
    let request = |start: v1::Start| v1::SubscribeRequest {
        start: start.into(),
        subscription: site("site"),
        ..Default::default()
    };
    let goes_on = service.person("site").follow(request(v1::Start::Acknowledged)).await.map(drop);
    refused(goes_on, Code::FailedPrecondition, "FILTER_CHANGED");
    let stream = service.person("site").follow(request(v1::Start::Snapshot)).await.unwrap();
    let mut holder = Holder { stream, ..holder };
    let Message::Opened(opened) = holder.stream.next().await else { panic!("it opens") };
    holder.generation = opened.generation;
    let cursor = holder.snapshot().await;
    assert_eq!(holder.acknowledge(&cursor).await.unwrap(), 1);
    assert_eq!(deliveries(&service, "statements/fire").await, [(site("site"), 1, Outcome::Applied)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_stalled_and_what_is_wrong_is_named() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let mut operator = service.person("operator");
    create(&mut operator, "site", v1::Filter::default()).await;
    let mut holder = Holder::open(&service, "site").await;
    let cursor = holder.snapshot().await;
    publish(&service, "fire", "en", words("First")).await;
    holder.batch().await;
    assert_eq!(get(&mut operator, "site").await.unwrap().state(), State::Active);
    service.advance(61).await;
    let standing = get(&mut operator, "site").await.unwrap();
    assert_eq!((standing.state(), standing.lag.unwrap().seconds), (State::Stalled, 61));

    refused(holder.reject(2).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    refused(holder.acknowledge("nonsense").await, Code::InvalidArgument, "CURSOR_INVALID");
    let wrong = refused(holder.acknowledge("").await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&wrong), ["cursor"]);
    assert_eq!(holder.acknowledge(&cursor).await.unwrap(), 0, "it has applied nothing, and says so");
    let request = v1::SubscribeRequest {
        start: v1::Start::Acknowledged.into(),
        filter: Some(about(&["energy"])),
        ..Default::default()
    };
    let unnamed = refused(operator.follow(request.clone()).await.map(drop), Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&unnamed), ["subscription"]);
    let both = v1::SubscribeRequest { subscription: site("site"), ..request };
    let both = refused(operator.follow(both).await.map(drop), Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&both), ["filter"]);
    let nobody = v1::SubscribeRequest {
        start: v1::Start::Acknowledged.into(),
        subscription: site("nobody"),
        ..Default::default()
    };
    refused(operator.follow(nobody).await.map(drop), Code::NotFound, "SUBSCRIPTION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_acknowledges_costs_few_writes() {
    const CROWD: usize = 60;
    let service = Arc::new(Service::start().await);
    service.person("author").create("fire", "en").await;
    let mut holders = Vec::new();
    for number in 0..CROWD {
        let id = format!("site-{number}");
        create(&mut service.person("operator"), &id, v1::Filter::default()).await;
        holders.push(Holder::open(&service, &id).await);
    }
    publish(&service, "fire", "en", words("First")).await;
    let mut cursors = Vec::new();
    for holder in &mut holders {
        holder.snapshot().await;
        cursors.push(holder.batch().await.1);
    }
    let (writes, entries) = (service.journal.writes(), *service.journal.newest_entry().borrow());
    let mut tasks = tokio::task::JoinSet::new();
    for (mut holder, cursor) in holders.into_iter().zip(cursors) {
        tasks.spawn(async move {
            assert_eq!(holder.acknowledge(&cursor).await.unwrap(), 1);
            holder
        });
    }
    let holders = tasks.join_all().await;
    assert_eq!(*service.journal.newest_entry().borrow(), entries, "what was applied is no part of the record");
    let writes = service.journal.writes() - writes;
    assert!(writes <= 20, "{writes} writes for {CROWD} acknowledgements");
    drop(holders);
    let service = Arc::into_inner(service).unwrap().stop().await.start(0).await;
    let request = v1::ListSubscriptionsRequest { page_size: 1_000, ..Default::default() };
    let listed = service.person("operator").feed.list_subscriptions(request).await.unwrap().into_inner().subscriptions;
    assert!(listed.len() == CROWD && listed.iter().all(|it| it.acknowledged_sequence == 1), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_ends_nobodys_stream() {
    let service = Service::start().await;
    let mut operator = service.person("operator");
    let request = v1::CreateSubscriptionRequest {
        subscription_id: "site".to_owned(),
        subscription: Some(v1::Subscription::default()),
        request_id: "4f9c2f0a-6a3c-4c0f-9d3e-0d2f5b8a7c11".to_owned(),
        ..Default::default()
    };
    operator.feed.create_subscription(request.clone()).await.unwrap();
    let mut holder = Holder::open(&service, "site").await;
    let cursor = holder.snapshot().await;
    operator.feed.create_subscription(request).await.unwrap();
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let (sequences, after) = holder.batch().await;
    assert_eq!(sequences, [1]);
    assert_ne!(after, cursor);
    assert_eq!(holder.acknowledge(&after).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_followed_a_deleted_name_may_say_nothing_under_the_new_one() {
    let service = Service::start().await;
    let mut operator = service.person("operator");
    create(&mut operator, "site", v1::Filter::default()).await;
    let mut old = Holder::open(&service, "site").await;
    let cursor = old.snapshot().await;
    let delete = v1::DeleteSubscriptionRequest { name: site("site"), ..Default::default() };
    operator.feed.delete_subscription(delete).await.unwrap();
    create(&mut operator, "site", v1::Filter::default()).await;
    let mut new = Holder::open(&service, "site").await;
    assert!(new.generation > old.generation, "no generation comes twice");
    refused(old.acknowledge(&cursor).await, Code::Aborted, "SUBSCRIPTION_SUPERSEDED");
    drop(old);
    let cursor = new.snapshot().await;
    new.acknowledge(&cursor).await.unwrap();
    assert_eq!(get(&mut operator, "site").await.unwrap().state(), State::Active, "its stream is still its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_asked_for_the_newest_event_that_concerns_it() {
    let service = Service::start().await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    let about_energy = v1::Content { topics: vec!["energy".to_owned()], ..words("First") };
    publish(&service, "fire", "en", about_energy).await;
    create(&mut service.person("operator"), "site", about(&["energy"])).await;
    for (text, kind) in [("Second", ChangeKind::Major), ("Third", ChangeKind::Major)] {
        let content = v1::Content { topics: vec!["health".to_owned()], ..changed(text, kind) };
        publish(&service, "fire", "en", content).await;
    }
    let told = deliveries(&service, "statements/fire").await;
    assert_eq!(told, [(site("site"), 2, Outcome::Waiting)], "it left with event 2, which the site has not heard of");
}

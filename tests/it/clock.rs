//! Jumps of the wall clock: nothing goes out early, nothing twice, and nothing is dated wrongly once the clock is right again.

mod credentials;
mod record;
mod shown;

use onrecord::{
    api::v1::{self, ConfirmClockRequest, event, release},
    domain::time::Timestamp,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    awkward_cases::events,
    harness::{BEGINNING, Person, Service, approved, fields, from, publish, refused, words},
};

/// Jumps that every case is tried with: 20 minutes and a day ahead, an hour back.
const JUMPS: [i64; 3] = [20 * 60, 86_400, -3_600];
/// When what waits in these tests is due, in seconds after the beginning.
const DUE: i64 = 600;

/// Seconds from the beginning to a time.
fn seconds(time: Option<prost_types::Timestamp>) -> i64 {
    time.unwrap().seconds - BEGINNING / 1_000_000
}

/// A service with a statement that is live, a release that is scheduled and a text under embargo, both due at [`DUE`].
async fn scene() -> Service {
    let service = Service::start().await;
    for id in ["live", "scheduled", "embargoed"] {
        service.person("author").create(id, "en").await;
    }
    publish(&service, "live", "en", words("Live")).await;
    let time = service.in_seconds(DUE);
    let draft = approved(&service, "scheduled", "en", words("Scheduled")).await;
    let later = v1::PublishDraftsRequest { release_time: time, ..Person::publication(&[&draft]) };
    service.person("publisher").publish(later).await.unwrap();
    let draft = approved(&service, "embargoed", "en", words("Embargoed")).await;
    let embargo = v1::PublishDraftsRequest { embargo_end_time: time, ..Person::publication(&[&draft]) };
    service.person("publisher").publish(embargo).await.unwrap();
    service.advance(60).await;
    service
}

/// What happened, to what, and when: in seconds after the beginning.
async fn story(service: &Service) -> Vec<(event::Type, String, i64)> {
    let told = |event: v1::Event| {
        let statement = event.statement.trim_start_matches("statements/").to_owned();
        (event.r#type(), statement, seconds(event.event_time))
    };
    events(service).await.into_iter().map(told).collect()
}

fn happened(kind: event::Type, statement: &str, at: i64) -> (event::Type, String, i64) {
    (kind, statement.to_owned(), at)
}

/// A draft of a new text of a statement.
async fn try_save(service: &Service, id: &str) -> Result<v1::Draft, Status> {
    let (name, content) = (format!("statements/{id}/drafts/fr"), Some(words("Feu")));
    service.person("author").try_save(v1::Draft { name, content, ..Default::default() }).await
}

async fn confirm(service: &Service, time: Option<prost_types::Timestamp>) -> Result<v1::Clock, Status> {
    let answer = service.person("operator").clock.confirm_clock(ConfirmClockRequest { time }).await?;
    Ok(answer.into_inner().clock.unwrap())
}

/// Confirmations in the audit trail: who, and why.
async fn confirmations(service: &Service) -> Vec<(String, String, i64)> {
    let entries = service.person("auditor").editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap();
    let entries = entries.into_inner().entries.into_iter().filter(|entry| entry.action == "ConfirmClock");
    entries.map(|entry| (entry.caller, entry.reason, seconds(entry.commit_time))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_and_returns_publishes_nothing_early_and_nothing_twice() {
    for jump in JUMPS {
        let service = scene().await;
        service.jump(jump).await;
        let refusal = refused(try_save(&service, "live").await, Code::Unavailable, "CLOCK_IN_DOUBT");
        assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
        assert_eq!(refusal.get_details_error_info().unwrap().metadata["movedSeconds"], jump.to_string());
        let before = [happened(event::Type::Published, "live", 0), happened(event::Type::Embargoed, "embargoed", 0)];
        assert_eq!(story(&service).await, before, "nothing went out at {jump:+} s");

        // What protects readers goes out, by the time that is trusted; reads go on, and so do editors' reads.
        service.advance(5).await;
        service.person("publisher").withdraw("live", &["en"]).await.unwrap();
        let at =
            |as_of_time| v1::GetStatementRequest { name: "statements/live".into(), as_of_time, ..Default::default() };
        let (seconds_now, nanos) = Timestamp::from_micros(BEGINNING).plus_seconds(65).parts();
        let now = Some(prost_types::Timestamp { seconds: seconds_now, nanos });
        let live = service.person("reader").statements.get_statement(at(now)).await.unwrap().into_inner();
        assert_eq!(live.statement.unwrap().live.unwrap().state(), v1::live::State::Withdrawn);
        let waits = service.person("publisher").release("scheduled", "en").await.unwrap();
        assert_eq!(waits.state(), release::State::Scheduled);

        service.jump(-jump).await;
        try_save(&service, "live").await.unwrap();
        let fresh = publish(&service, "live", "de", words("Lebt")).await;
        assert_eq!(seconds(fresh.edition.unwrap().publish_time), 65, "{jump:+} s");
        service.advance(DUE - 65).await;
        service.advance(86_400).await;
        let mut expected = before.to_vec();
        expected.extend([
            happened(event::Type::Withdrawn, "live", 65),
            happened(event::Type::Published, "live", 65),
            happened(event::Type::Published, "embargoed", DUE),
            happened(event::Type::Published, "scheduled", DUE),
        ]);
        assert_eq!(story(&service).await, expected, "{jump:+} s");
        assert_eq!(confirmations(&service).await, [], "there was nothing to confirm");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_due_while_the_clock_is_in_doubt_waits_until_it_is_not() {
    for jump in JUMPS {
        let service = scene().await;
        service.jump(jump).await;
        service.advance(DUE).await;
        assert_eq!(story(&service).await.len(), 2, "nothing is decided by a clock in doubt");
        service.jump(-jump).await;
        let late = DUE + 60;
        let out = ["embargoed", "scheduled"].map(|id| happened(event::Type::Published, id, late));
        assert_eq!(story(&service).await[2..], out, "{jump:+} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_confirms_a_clock_that_is_right() {
    let service = scene().await;
    service.jump(1_200).await;
    let wrong = confirm(&service, service.in_seconds(-1_200)).await;
    let wrong = refused(wrong, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&wrong), ["time"]);
    assert!(wrong.message().contains("2026-01-01T00:21:00Z"), "it says what its clock reads: {wrong:?}");
    let none = refused(confirm(&service, None).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&none), ["time"]);
    assert_eq!(story(&service).await.len(), 2);

    let clock = confirm(&service, service.in_seconds(20)).await.unwrap();
    assert_eq!((clock.in_doubt, clock.wall_clock_offset, seconds(clock.time)), (false, None, 1_260));
    service.journal.poke().await.unwrap();
    let out = ["embargoed", "scheduled"].map(|id| happened(event::Type::Published, id, 1_260));
    assert_eq!(story(&service).await[2..], out, "what came due with it goes out");
    let reason = "the wall clock had moved by +1200.000 s against the steady clock".to_owned();
    assert_eq!(confirmations(&service).await, [("operator".to_owned(), reason, 1_260)]);
    confirm(&service, service.in_seconds(0)).await.unwrap();
    assert_eq!(confirmations(&service).await.len(), 1, "there was nothing to confirm the second time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stays_is_believed_after_an_hour() {
    let service = scene().await;
    service.jump(-3_600).await;
    service.advance(3_599).await;
    refused(try_save(&service, "live").await, Code::Unavailable, "CLOCK_IN_DOUBT");
    service.advance(1).await;
    try_save(&service, "live").await.unwrap();
    let reason =
        "the wall clock had moved by -3600.000 s against the steady clock, and has stayed there for 60 minutes";
    assert_eq!(confirmations(&service).await, [("service".to_owned(), reason.to_owned(), 60)]);
    // What was due by the time before goes out when the time comes again, and once.
    assert_eq!(story(&service).await.len(), 2);
    service.advance(DUE - 60).await;
    service.advance(7_200).await;
    let out = ["embargoed", "scheduled"].map(|id| happened(event::Type::Published, id, DUE));
    assert_eq!(story(&service).await[2..], out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_suspended_does_late_what_was_due_and_does_it_once() {
    let service = scene().await;
    // Both clocks go on while the process, or the machine, stands still.
    service.advance(1_800).await;
    let out = ["embargoed", "scheduled"].map(|id| happened(event::Type::Published, id, 1_860));
    assert_eq!(story(&service).await[2..], out);
    try_save(&service, "live").await.unwrap();
    let service = service.stop().await.start(10).await;
    assert_eq!(story(&service).await.len(), 4);
    assert_eq!(confirmations(&service).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_refused_in_doubt_and_their_acknowledgements_are_not() {
    let service = scene().await;
    let mut operator = service.person("operator");
    let request = |id: &str| v1::CreateSubscriptionRequest { subscription_id: id.to_owned(), ..Default::default() };
    operator.feed.create_subscription(request("site")).await.unwrap();
    let named = v1::SubscribeRequest { subscription: "subscriptions/site".to_owned(), ..from(v1::Start::Snapshot) };
    let mut stream = service.person("site").follow(named).await.unwrap();
    let v1::subscribe_response::Message::Opened(opened) = stream.next().await else { panic!("it opens") };
    let cursor = loop {
        if let v1::subscribe_response::Message::SnapshotEnd(end) = stream.next().await {
            break end.cursor;
        }
    };
    service.jump(86_400).await;
    refused(operator.feed.create_subscription(request("other")).await, Code::Unavailable, "CLOCK_IN_DOUBT");
    let acknowledge =
        v1::AcknowledgeRequest { name: "subscriptions/site".to_owned(), generation: opened.generation, cursor };
    service.person("site").feed.acknowledge(acknowledge).await.unwrap();
}

//! What a clock that was ahead leaves in the record, and what a restart does with a clock that moved.

use std::sync::Arc;

use onrecord::{
    api::v1::{self, ChangeKind, event},
    domain::time::Timestamp,
};
use tonic::Code;

use super::{
    BEGINNING, Person, Service, approved, confirm, confirmations, happened, publish, refused, seconds, story, try_save,
    words,
};
use crate::{harness::changed, survival::verified};

/// A record of which one publication is dated a day ahead, opened by a clock that is right: no clock was there to compare with.
async fn dated_ahead() -> Service {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let directory = Arc::new(service.stop().await.into_directory());
    let service = Service::start_on_at(directory, 86_400).await;
    publish(&service, "fire", "en", changed("Ahead", ChangeKind::Major)).await;
    let directory = Arc::new(service.stop().await.into_directory());
    Service::start_on_at(directory, 60).await
}

async fn title_at(service: &Service, as_of_time: Option<prost_types::Timestamp>) -> String {
    let request = v1::GetStatementRequest { name: "statements/fire".into(), as_of_time, ..Default::default() };
    let reading = service.person("reader").statements.get_statement(request).await.unwrap().into_inner().statement;
    reading.unwrap().live.unwrap().edition.unwrap().content.unwrap().title
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_once_dates_nothing_after_it() {
    let service = dated_ahead().await;
    let clock = service.person("operator").clock.get_clock(v1::GetClockRequest {}).await.unwrap().into_inner();
    let clock = clock.clock.unwrap();
    assert_eq!((clock.in_doubt, clock.record_offset.unwrap().seconds), (false, 86_340), "it is said");
    let confirmed = confirmations(&service).await;
    let [(caller, reason, at)] = &confirmed[..] else { panic!("it is in the record") };
    assert_eq!((caller.as_str(), *at), ("service", 60));
    assert!(
        reason.starts_with("the clock is 86340 s behind entry ") && reason.ends_with("of 2026-01-02T00:00:00Z"),
        "{reason}"
    );
    assert_eq!(title_at(&service, service.in_seconds(0)).await, "Ahead", "now is what is live, whatever its date");
    assert_eq!(title_at(&service, service.in_seconds(-1)).await, "First");

    let live = publish(&service, "fire", "en", changed("Today", ChangeKind::Major)).await;
    assert_eq!(seconds(live.edition.unwrap().publish_time), 60);
    assert_eq!((seconds(live.major_change_time), seconds(live.first_publish_time)), (60, 0));
    assert_eq!(title_at(&service, service.in_seconds(0)).await, "Today", "now is what is live");
    assert_eq!(title_at(&service, service.in_seconds(-1)).await, "First");

    // A release of later today, which a clock that was a day ahead would have refused as past.
    service.person("author").create("flood", "en").await;
    let draft = approved(&service, "flood", "en", words("Later today")).await;
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(600), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(later).await.unwrap();
    service.advance(600).await;
    let expected = [
        happened(event::Type::Published, "fire", 0),
        happened(event::Type::Updated, "fire", 86_400),
        happened(event::Type::Updated, "fire", 60),
        happened(event::Type::Published, "flood", 660),
    ];
    assert_eq!(story(&service).await, expected, "in the order of their sequences");

    let stopped = service.stop().await;
    let report = verified(stopped.directory());
    assert_eq!((report.findings, report.events), (Vec::new(), 4));
    let service = stopped.start(86_400).await;
    assert_eq!(title_at(&service, service.in_seconds(0)).await, "Today");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_make_a_jump_true() {
    for jump in super::JUMPS {
        let service = super::scene().await;
        service.jump(jump).await;
        let stopped = service.stop().await;
        let service = stopped.start(0).await;
        refused(try_save(&service, "live").await, Code::Unavailable, "CLOCK_IN_DOUBT");
        assert_eq!(story(&service).await.len(), 2, "nothing went out at {jump:+} s");
        service.person("publisher").withdraw("live", &["en"]).await.unwrap();
        assert_eq!(story(&service).await[2], happened(event::Type::Withdrawn, "live", 60));
        let clock = confirm(&service, service.in_seconds(0)).await.unwrap();
        // The withdrawal, of a minute after the beginning, is dated later than the hour before.
        let behind = clock.record_offset.map(|behind| behind.seconds);
        assert_eq!((clock.in_doubt, behind), (false, (jump < 0).then_some(3_600)), "{jump:+} s");
        try_save(&service, "live").await.unwrap();
        let service = service.stop().await.start(0).await;
        try_save(&service, "scheduled").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_without_a_reference_is_believed_and_what_is_wrong_with_it_is_said() {
    let service = super::scene().await;
    let directory = Arc::new(service.stop().await.into_directory());
    // Another boot, an hour behind: nothing goes out early, and nothing is refused.
    let service = Service::start_on_at(directory, -3_600).await;
    assert_eq!(service.journal.clock().behind_record_micros(), 3_600_000_000);
    try_save(&service, "live").await.unwrap();
    assert_eq!(story(&service).await.len(), 2);
    assert_eq!(confirmations(&service).await.len(), 1, "it is in the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_its_first_event_nothing_was_public() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let at = |micros| Timestamp::from_micros(BEGINNING + micros);
    let tails = service.journal.read(move |view| Ok((view.tail_at(at(-1))?, view.tail_at(at(0))?))).await.unwrap();
    assert_eq!(tails, (1, 2));
}

//! What the clock does, and what was public then.

use onrecord::api::v1::{self, ChangeKind, draft, event, live, release};
use tonic::Code;

use super::{shown, title, types};
use crate::harness::{Person, Service, approved, changed, publish, refused, words};

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_update_cannot_undo_a_correction() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let update = approved(&service, "fire", "en", changed("Update", ChangeKind::Major)).await;
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&update]) };
    service.person("publisher").publish(later).await.unwrap();
    publish(&service, "fire", "en", changed("Corrected", ChangeKind::Correction)).await;
    service.advance(61).await;
    let held = service.person("publisher").release("fire", "en").await.unwrap();
    assert_eq!(held.blocked_reason(), release::BlockedReason::BaseSuperseded);
    let reading = service.person("reader").read("fire", "en").await.unwrap();
    assert_eq!(reading.live.unwrap().edition.unwrap().content.unwrap().title, "Corrected");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_over_a_release_time_publishes_in_order_or_holds() {
    let service = Service::start().await;
    for (id, seconds) in [("second", 20), ("first", 10)] {
        service.person("author").create(id, "en").await;
        let draft = approved(&service, id, "en", words(id)).await;
        let later =
            v1::PublishDraftsRequest { release_time: service.in_seconds(seconds), ..Person::publication(&[&draft]) };
        service.person("publisher").publish(later).await.unwrap();
    }
    service.person("author").create("late", "en").await;
    let draft = approved(&service, "late", "en", words("late")).await;
    let later = v1::PublishDraftsRequest {
        release_time: service.in_seconds(15),
        max_lateness: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
        ..Person::publication(&[&draft])
    };
    service.person("publisher").publish(later).await.unwrap();
    let service = service.stop().await.start(600).await;
    let seen = service.person("site").follow_all().await.until(2).await;
    let statements: Vec<_> = seen.iter().map(|delivery| delivery.event.clone().unwrap().statement).collect();
    assert_eq!(statements, ["statements/first", "statements/second"]);
    let held = service.person("publisher").release("late", "en").await.unwrap();
    assert_eq!(held.blocked_reason(), release::BlockedReason::Missed);
    let service = service.stop().await.start(600).await;
    service.advance(1).await;
    let entries = service.person("auditor").editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap();
    let due = entries.into_inner().entries.into_iter().filter(|entry| entry.action == "ReleaseDue").count();
    assert_eq!(due, 3, "each once, also after another restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_of_one_call_are_held_together() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let english = approved(&service, "fire", "en", words("First")).await;
    let german = approved(&service, "fire", "de", words("Erstens")).await;
    let publication = Person::publication(&[&english, &german]);
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..publication };
    service.person("publisher").publish(later).await.unwrap();
    publish(&service, "fire", "de", words("Sofort")).await;
    service.advance(61).await;
    for (language, reason) in
        [("en", release::BlockedReason::CompanionBlocked), ("de", release::BlockedReason::BaseSuperseded)]
    {
        let held = service.person("publisher").release("fire", language).await.unwrap();
        assert_eq!((held.blocked_reason(), held.companions.len()), (reason, 2));
    }
    assert_eq!(types(&service).await, [event::Type::Published], "nothing went out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_release_that_is_called_off_is_an_approved_draft_again() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = approved(&service, "fire", "en", words("First")).await;
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    let waits = service.person("publisher").publish(later).await.unwrap().releases.remove(0);
    let request = v1::CancelReleaseRequest { name: waits.name, etag: waits.etag, ..Default::default() };
    let cancelled = service.person("publisher").editorial.cancel_release(request).await.unwrap().into_inner();
    let back = cancelled.draft.unwrap();
    assert_eq!((back.state(), &back.content_digest), (draft::State::Approved, &draft.content_digest));
    refused(service.person("publisher").release("fire", "en").await, Code::NotFound, "RELEASE_NOT_FOUND");
    service.advance(61).await;
    assert_eq!(types(&service).await, [], "nobody is told");
    service.person("publisher").publish(Person::publication(&[&back])).await.unwrap();
    assert_eq!(title(&shown(&service, "fire", "en").await), "First");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_expires_by_itself_unless_it_is_held() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let content = v1::Content { expire_time: service.in_seconds(60), ..words("For an hour") };
    publish(&service, "fire", "en", content).await;
    let mut legal = service.person("legal");
    let hold = |legal_hold| v1::SetLegalHoldRequest {
        name: "statements/fire".into(),
        legal_hold,
        reason: "A court looks at it.".into(),
        ..Default::default()
    };
    legal.editorial.set_legal_hold(hold(true)).await.unwrap();
    service.advance(61).await;
    assert_eq!(legal.read("fire", "").await.unwrap().live.unwrap().state(), live::State::Published);
    legal.editorial.set_legal_hold(hold(false)).await.unwrap();
    service.advance(1).await;
    assert_eq!(legal.read("fire", "").await.unwrap().live.unwrap().state(), live::State::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_can_ask_what_was_public_then() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let then = service.in_seconds(0);
    service.advance(60).await;
    publish(&service, "fire", "en", changed("Second", ChangeKind::Major)).await;
    let at = |as_of_time| v1::GetStatementRequest { name: "statements/fire".into(), as_of_time, ..Default::default() };
    let mut reader = service.person("reader");
    let past = reader.statements.get_statement(at(then)).await.unwrap().into_inner().statement.unwrap();
    assert_eq!(past.live.unwrap().edition.unwrap().content.unwrap().title, "First");
    let future = reader.statements.get_statement(at(service.in_seconds(1))).await;
    refused(future, Code::InvalidArgument, "INVALID_ARGUMENT");
}

//! Drafts, approvals, and calls that are made twice.

use onrecord::api::v1::{self, draft, event};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{REQUEST, events, owed, types};
use crate::harness::{Person, Service, approved, refused, words};

#[tokio::test(flavor = "multi_thread")]
async fn two_editors_at_once_do_not_overwrite_each_other() {
    let service = Service::start().await;
    service.person("anna").create("fire", "en").await;
    let read = service.person("anna").save("fire", "en", words("First")).await;
    let hers = v1::Draft { content: Some(words("Hers")), ..read.clone() };
    service.person("anna").try_save(hers).await.unwrap();
    let his = v1::Draft { content: Some(words("His")), ..read };
    let status = refused(service.person("ben").try_save(his).await, Code::Aborted, "ETAG_MISMATCH");
    assert!(status.message().contains("revision 2, saved by anna"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_comes_second_is_told_revision_editor_and_time_of_the_first() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let read = service.person("author").save("fire", "en", words("First")).await;
    let mine = v1::Draft { content: Some(words("Mine")), ..read.clone() };
    service.person("colleague").try_save(mine).await.unwrap();
    let other = v1::Draft { content: Some(words("Other")), ..read };
    let status = refused(service.person("author").try_save(other).await, Code::Aborted, "ETAG_MISMATCH");
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!((metadata["revision"].as_str(), metadata["editor"].as_str()), ("2", "colleague"));
    assert_eq!(metadata["updateTime"], "2026-01-01T00:00:00Z");
    let request = v1::GetDraftRequest { name: "statements/fire/drafts/en".to_owned(), ..Default::default() };
    let kept = service.person("author").editorial.get_draft(request).await.unwrap().into_inner().draft.unwrap();
    assert_eq!((kept.content.unwrap().title.as_str(), &kept.etag), ("Mine", &metadata["etag"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_void_after_an_edit() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = approved(&service, "fire", "en", words("Approved")).await;
    let edited = v1::Draft { content: Some(words("Edited")), ..draft.clone() };
    let edited = service.person("author").try_save(edited).await.unwrap();
    assert_eq!((edited.state(), edited.approval.clone()), (draft::State::Draft, None));
    let mut publisher = service.person("publisher");
    refused(publisher.publish(Person::publication(&[&draft])).await, Code::Aborted, "ETAG_MISMATCH");
    refused(publisher.publish(Person::publication(&[&edited])).await, Code::FailedPrecondition, "DRAFT_NOT_APPROVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_a_text_that_they_wrote() {
    let service = Service::start().await;
    service.person("anna").create("fire", "en").await;
    let draft = service.person("anna").save("fire", "en", words("First")).await;
    let more = v1::Draft { content: Some(words("First, edited")), ..draft };
    let draft = service.person("ben").try_save(more).await.unwrap();
    let draft = service.person("ben").submit(&draft).await.unwrap();
    for author in ["anna", "ben"] {
        refused(service.person(author).approve(&draft).await, Code::PermissionDenied, "OWN_TEXT");
    }
    service.person("carla").approve(&draft).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_languages_go_out_together_or_not_at_all() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let english = approved(&service, "fire", "en", words("First")).await;
    let german = service.person("author").save("fire", "de", words("Erstens")).await;
    let both = Person::publication(&[&english, &german]);
    let refusal = service.person("publisher").publish(both).await;
    refused(refusal, Code::FailedPrecondition, "DRAFT_NOT_APPROVED");
    refused(service.person("reader").read("fire", "").await, Code::NotFound, "STATEMENT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_edition_owes_its_approval_until_somebody_else_gives_it() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = service.person("author").save("fire", "en", words("Now")).await;
    let force = v1::PublishDraftsRequest { force: true, reason: "Now.".into(), ..Person::publication(&[&draft]) };
    let live = service.person("publisher").publish(force).await.unwrap().live.remove(0);
    let edition = live.edition.unwrap();
    let owed = || async {
        let request = v1::ListPendingApprovalsRequest::default();
        service
            .person("auditor")
            .editorial
            .list_pending_approvals(request)
            .await
            .unwrap()
            .into_inner()
            .pending_approvals
            .len()
    };
    assert_eq!(owed().await, 1);
    let approve = v1::ApproveEditionRequest {
        name: edition.name.clone(),
        content_digest: edition.content_digest.clone(),
        ..Default::default()
    };
    for own in ["author", "publisher"] {
        let refusal = service.person(own).editorial.approve_edition(approve.clone()).await;
        refused(refusal, Code::PermissionDenied, "OWN_TEXT");
    }
    service.person("reviewer").editorial.approve_edition(approve).await.unwrap();
    assert_eq!(owed().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_approval_is_of_that_very_text_and_given_once() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = service.person("author").save("fire", "en", words("Run")).await;
    let forced =
        v1::PublishDraftsRequest { force: true, reason: "A fire.".to_owned(), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(forced).await.unwrap();
    let waiting = owed(&service).await;
    assert_eq!((waiting.len(), waiting[0].publisher.as_str(), waiting[0].reason.as_str()), (1, "publisher", "A fire."));
    let edition = waiting[0].edition.clone().unwrap();
    let approval = |content_digest: &str| v1::ApproveEditionRequest {
        name: edition.name.clone(),
        content_digest: content_digest.to_owned(),
        ..Default::default()
    };
    for party in ["author", "publisher"] {
        let result = service.person(party).editorial.approve_edition(approval(&edition.content_digest)).await;
        refused(result, Code::PermissionDenied, "OWN_TEXT");
    }
    let mut reviewer = service.person("reviewer");
    assert!(reviewer.editorial.approve_edition(approval(&"0".repeat(64))).await.is_err(), "that is another text");
    assert_eq!(owed(&service).await.len(), 1);
    reviewer.editorial.approve_edition(approval(&edition.content_digest)).await.unwrap();
    assert_eq!(owed(&service).await, []);
    let again = reviewer.editorial.approve_edition(approval(&edition.content_digest)).await;
    refused(again, Code::FailedPrecondition, "APPROVAL_NOT_PENDING");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_id_gets_the_first_answer_also_after_a_restart() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = approved(&service, "fire", "en", words("First")).await;
    let request = v1::PublishDraftsRequest { request_id: REQUEST.to_owned(), ..Person::publication(&[&draft]) };
    let first = service.person("publisher").publish(request.clone()).await.unwrap();
    assert_eq!(service.person("publisher").publish(request.clone()).await.unwrap(), first);
    let service = service.stop().await.start(1).await;
    assert_eq!(service.person("publisher").publish(request.clone()).await.unwrap(), first);
    assert_eq!(events(&service).await.len(), 1);
    let other = v1::PublishDraftsRequest { parent: "statements/flood".to_owned(), ..request };
    refused(service.person("publisher").publish(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_answers_as_if_and_changes_nothing() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let draft = approved(&service, "fire", "en", words("First")).await;
    let request = Person::publication(&[&draft]);
    let trial = v1::PublishDraftsRequest { validate_only: true, request_id: REQUEST.to_owned(), ..request.clone() };
    let answer = service.person("publisher").publish(trial).await.unwrap();
    assert_eq!(answer.live.len(), 1);
    refused(service.person("reader").read("fire", "en").await, Code::NotFound, "STATEMENT_NOT_FOUND");
    assert_eq!(types(&service).await, []);
    let real = v1::PublishDraftsRequest { request_id: REQUEST.to_owned(), ..request };
    service.person("publisher").publish(real).await.unwrap();
    assert_eq!(types(&service).await, [event::Type::Published], "a trial does not use up its request id");
}

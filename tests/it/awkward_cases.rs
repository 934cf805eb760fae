//! The cases that cost others years, each by its name.

use onrecord::api::v1::{self, ChangeKind, RemovalMode, draft, event, live, release};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Person, Service, approved, changed, publish, refused, words};

const REQUEST: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

fn title(live: &v1::Live) -> &str {
    &live.edition.as_ref().unwrap().content.as_ref().expect("a text").title
}

/// What a reader is shown.
async fn shown(service: &Service, id: &str, language: &str) -> v1::Live {
    service.person("reader").read(id, language).await.unwrap().live.unwrap()
}

/// Every event so far, those about embargoes too.
async fn events(service: &Service) -> Vec<v1::Event> {
    let start = v1::Start::Beginning.into();
    let request = v1::ReadFeedRequest { start, include_embargoed: true, max_events: 1_000, ..Default::default() };
    let page = service.person("site").feed.read_feed(request).await.unwrap().into_inner();
    page.deliveries.into_iter().map(|delivery| delivery.event.unwrap()).collect()
}

async fn types(service: &Service) -> Vec<event::Type> {
    events(service).await.iter().map(v1::Event::r#type).collect()
}

/// Removed by two people.
async fn take_down(service: &Service, id: &str, mode: RemovalMode, target: &str) -> Result<(), Status> {
    let name = format!("statements/{id}");
    let notice = v1::Notice { text: "It is gone.".to_owned(), ..Default::default() };
    let first = v1::RemoveStatementRequest {
        name: name.clone(),
        mode: mode.into(),
        notice: (mode == RemovalMode::Gone).then_some(notice),
        redirect_statement: target.to_owned(),
        reason: "A court said so.".to_owned(),
        ..Default::default()
    };
    let proposed = service.person("publisher").editorial.remove_statement(first).await?.into_inner();
    let proposal_id = proposed.proposal.unwrap().proposal_id;
    let second = v1::RemoveStatementRequest { name, proposal_id, ..Default::default() };
    service.person("reviewer").editorial.remove_statement(second).await?;
    Ok(())
}

/// Erased by two people.
pub(crate) async fn expunge(service: &Service, id: &str) -> Result<(), Status> {
    let name = format!("statements/{id}");
    let reason_code = "court-order".to_owned();
    let first = v1::ExpungeStatementRequest { name: name.clone(), reason_code, ..Default::default() };
    let proposed = service.person("lawyer").editorial.expunge_statement(first).await?.into_inner();
    let proposal_id = proposed.proposal.unwrap().proposal_id;
    let second = v1::ExpungeStatementRequest { name, proposal_id, ..Default::default() };
    service.person("judge").editorial.expunge_statement(second).await?;
    Ok(())
}

async fn hold(service: &Service, id: &str, legal_hold: bool) {
    let (name, reason) = (format!("statements/{id}"), "A trial.".to_owned());
    let request = v1::SetLegalHoldRequest { name, legal_hold, reason, ..Default::default() };
    service.person("lawyer").editorial.set_legal_hold(request).await.unwrap();
}

async fn owed(service: &Service) -> Vec<v1::OwedApproval> {
    let request = v1::ListOwedApprovalsRequest::default();
    service.person("reviewer").editorial.list_owed_approvals(request).await.unwrap().into_inner().owed_approvals
}

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
async fn withdrawing_before_the_embargo_lifts_tells_only_those_who_hold_it() {
    let service = Service::start().await;
    service.person("author").create("report", "en").await;
    let draft = approved(&service, "report", "en", words("Secret")).await;
    let embargo =
        v1::PublishDraftsRequest { embargo_end_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(embargo).await.unwrap();
    let withdrawn = service.person("publisher").withdraw("report", &[]).await.unwrap();
    assert_eq!(withdrawn.cancelled_releases, ["statements/report/releases/en"]);
    service.advance(61).await;
    let cleared =
        v1::SubscribeRequest { start: v1::Start::Beginning.into(), include_embargoed: true, ..Default::default() };
    let seen = service.person("wire").follow(cleared).await.unwrap().until(2).await;
    let types: Vec<_> = seen.iter().map(|delivery| delivery.event.as_ref().unwrap().r#type()).collect();
    assert_eq!(types, [event::Type::Embargoed, event::Type::EmbargoCancelled]);
    publish(&service, "report", "en", words("Something else")).await;
    let others = service.person("site").follow_all().await.until(3).await;
    assert_eq!(others.len(), 1, "who does not hold it is told nothing of it");
}

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
async fn one_language_corrected_leaves_the_others_stale_until_they_catch_up() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "de", words("Erstens")).await;
    publish(&service, "fire", "en", changed("First.", ChangeKind::Minor)).await;
    let mut reader = service.person("reader");
    assert_eq!(reader.read("fire", "de").await.unwrap().live.unwrap().stale_since_edition, "");
    publish(&service, "fire", "en", changed("Corrected", ChangeKind::Correction)).await;
    let german = reader.read("fire", "de").await.unwrap().live.unwrap();
    assert_eq!(german.stale_since_edition, "statements/fire/editions/en.3");
    assert_eq!(german.edition.unwrap().content.unwrap().title, "Erstens");
    publish(&service, "fire", "de", changed("Berichtigt", ChangeKind::Correction)).await;
    assert_eq!(reader.read("fire", "de").await.unwrap().live.unwrap().stale_since_edition, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reinstated_text_is_a_new_edition_with_the_same_digest() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let first = publish(&service, "fire", "en", words("First")).await.edition.unwrap();
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    let propose = v1::ReinstateStatementRequest {
        name: "statements/fire".into(),
        reason: "It is true after all.".into(),
        ..Default::default()
    };
    let mut publisher = service.person("publisher");
    let proposal = publisher.editorial.reinstate_statement(propose).await.unwrap().into_inner().proposal.unwrap();
    let second = v1::ReinstateStatementRequest {
        name: "statements/fire".into(),
        proposal_id: proposal.proposal_id,
        ..Default::default()
    };
    let alone = publisher.editorial.reinstate_statement(second.clone()).await;
    refused(alone, Code::PermissionDenied, "SECOND_PERSON_REQUIRED");
    let stands = service.person("other").editorial.reinstate_statement(second).await.unwrap().into_inner();
    let again = stands.live[0].edition.clone().unwrap();
    assert_eq!((again.number, again.change_kind()), (2, ChangeKind::Reinstatement));
    assert_eq!(again.content_digest, first.content_digest);
    let last = service.person("site").follow_all().await.until(3).await.pop().unwrap().event.unwrap();
    assert_eq!(last.r#type(), event::Type::Reinstated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_stops_matching_is_told_to_let_go() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let in_region = |region: &str, content: v1::Content| v1::Content { region_codes: vec![region.into()], ..content };
    publish(&service, "fire", "en", in_region("BR", words("First"))).await;
    publish(&service, "fire", "en", in_region("DE", changed("Second", ChangeKind::Correction))).await;
    let filter = |region: &str| v1::SubscribeRequest {
        start: v1::Start::Beginning.into(),
        filter: Some(v1::Filter { region_codes: vec![region.into()], ..Default::default() }),
        ..Default::default()
    };
    let brazil = service.person("site").follow(filter("BR")).await.unwrap().until(2).await;
    let scopes: Vec<_> = brazil.iter().map(v1::Delivery::scope).collect();
    assert_eq!(scopes, [v1::delivery::Scope::Entered, v1::delivery::Scope::Left]);
    let left = brazil[1].event.clone().unwrap();
    assert!(
        left.live.is_none() && left.correction.is_some(),
        "who held the text learns what was wrong, and gets no new one"
    );
    let germany = service.person("site").follow(filter("DE")).await.unwrap().until(2).await;
    assert_eq!(germany.iter().map(v1::Delivery::scope).collect::<Vec<_>>(), [v1::delivery::Scope::Entered]);
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

/// Removes a statement as two people.
async fn remove(service: &Service, request: v1::RemoveStatementRequest) -> v1::RemoveStatementResponse {
    let name = request.name.clone();
    let proposed = service.person("publisher").editorial.remove_statement(request).await.unwrap().into_inner();
    let proposal_id = proposed.proposal.unwrap().proposal_id;
    let second = v1::RemoveStatementRequest { name, proposal_id, ..Default::default() };
    service.person("other").editorial.remove_statement(second).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_equals_not_found() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let hidden = v1::RemoveStatementRequest {
        name: "statements/fire".into(),
        mode: RemovalMode::Hidden.into(),
        reason: "By order.".into(),
        ..Default::default()
    };
    remove(&service, hidden).await;
    let mut reader = service.person("reader");
    let words_of = |status: Status| (status.code(), status.message().to_owned(), status.details().to_vec());
    let hidden = words_of(reader.read("fire", "").await.unwrap_err());
    assert_eq!(hidden, words_of(reader.read("never", "").await.unwrap_err()));
    let edition =
        |id: &str| v1::GetEditionRequest { name: format!("statements/{id}/editions/en.1"), ..Default::default() };
    let hidden = words_of(reader.statements.get_edition(edition("fire")).await.unwrap_err());
    assert_eq!(hidden, words_of(reader.statements.get_edition(edition("never")).await.unwrap_err()));
    let history = |id: &str| v1::ListEditionsRequest { parent: format!("statements/{id}"), ..Default::default() };
    let hidden = words_of(reader.statements.list_editions(history("fire")).await.unwrap_err());
    assert_eq!(hidden, words_of(reader.statements.list_editions(history("never")).await.unwrap_err()));
    let all = reader.statements.list_statements(v1::ListStatementsRequest::default()).await.unwrap().into_inner();
    assert!(all.live.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_translation_shows_its_notice_and_not_the_source() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "fr", words("Premier")).await;
    service.person("publisher").withdraw("fire", &["fr"]).await.unwrap();
    let mut reader = service.person("reader");
    let canadian = reader.read("fire", "fr-CA").await.unwrap();
    let shown = canadian.live.unwrap();
    assert_eq!((canadian.requested_language_code.as_str(), shown.language_code.as_str()), ("fr-CA", "fr"));
    assert_eq!(shown.state(), live::State::Withdrawn);
    assert_eq!(shown.notice.unwrap().text, "It is no longer true.");
    assert_eq!(shown.edition.unwrap().content.unwrap().title, "Premier", "the text stays readable");
    assert_eq!(reader.read("fire", "ja").await.unwrap().live.unwrap().language_code, "en");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_text_leaves_ids_digests_and_an_unbroken_chain() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("Unspeakable")).await;
    publish(&service, "fire", "en", changed("Unspeakable too", ChangeKind::Correction)).await;
    let propose = v1::ExpungeStatementRequest {
        name: "statements/fire".into(),
        reason_code: "court-order".into(),
        ..Default::default()
    };
    let hold = |legal_hold| v1::SetLegalHoldRequest {
        name: "statements/fire".into(),
        legal_hold,
        reason: "A court looks at it.".into(),
        ..Default::default()
    };
    let mut legal = service.person("legal");
    legal.editorial.set_legal_hold(hold(true)).await.unwrap();
    refused(legal.editorial.expunge_statement(propose.clone()).await, Code::FailedPrecondition, "LEGAL_HOLD");
    legal.editorial.set_legal_hold(hold(false)).await.unwrap();
    let proposal = legal.editorial.expunge_statement(propose).await.unwrap().into_inner().proposal.unwrap();
    let second = v1::ExpungeStatementRequest {
        name: "statements/fire".into(),
        proposal_id: proposal.proposal_id,
        ..Default::default()
    };
    service.person("counsel").editorial.expunge_statement(second).await.unwrap();
    let shown = service.person("reader").read("fire", "").await.unwrap().live.unwrap();
    assert_eq!(shown.state(), live::State::Expunged);
    let request = v1::ReadFeedRequest { start: v1::Start::Beginning.into(), ..Default::default() };
    let feed = service.person("site").feed.read_feed(request).await.unwrap().into_inner();
    assert!(!format!("{feed:?}{shown:?}").contains("Unspeakable"));
    let mut previous = vec![0; 32];
    for event in feed.deliveries.into_iter().map(|delivery| delivery.event.unwrap()) {
        assert_eq!(event.previous_hash, previous);
        let hash = onrecord::domain::digest::Digest::of(&[&event.previous_hash, &event.seal]);
        assert_eq!(event.hash, hash.as_bytes());
        previous = event.hash;
    }
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
        let request = v1::ListOwedApprovalsRequest::default();
        service
            .person("auditor")
            .editorial
            .list_owed_approvals(request)
            .await
            .unwrap()
            .into_inner()
            .owed_approvals
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
    let past = reader.statements.get_statement(at(then)).await.unwrap().into_inner().reading.unwrap();
    assert_eq!(past.live.unwrap().edition.unwrap().content.unwrap().title, "First");
    let future = reader.statements.get_statement(at(service.in_seconds(1))).await;
    refused(future, Code::InvalidArgument, "INVALID_ARGUMENT");
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
    let request = v1::GetDraftRequest { name: "statements/fire/drafts/en".to_owned() };
    let kept = service.person("author").editorial.get_draft(request).await.unwrap().into_inner().draft.unwrap();
    assert_eq!((kept.content.unwrap().title.as_str(), &kept.etag), ("Mine", &metadata["etag"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_are_told_once_and_quietly_that_a_translation_is_stale() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "de", words("Erstens")).await;
    publish(&service, "fire", "en", changed("Frist", ChangeKind::Minor)).await;
    assert_eq!(shown(&service, "fire", "de").await.stale_since_edition, "", "MINOR makes nothing stale");
    publish(&service, "fire", "en", changed("Right", ChangeKind::Correction)).await;
    publish(&service, "fire", "en", changed("More", ChangeKind::Major)).await;
    assert_eq!(shown(&service, "fire", "de").await.stale_since_edition, "statements/fire/editions/en.3");
    let seen = events(&service).await;
    let stale: Vec<_> = seen.iter().filter(|event| event.r#type() == event::Type::TranslationStale).collect();
    assert_eq!(stale.len(), 1, "once, until it has caught up");
    assert_eq!((stale[0].language_code.as_str(), stale[0].notify), ("de", false));
    publish(&service, "fire", "de", changed("Richtig", ChangeKind::Correction)).await;
    assert_eq!(shown(&service, "fire", "de").await.stale_since_edition, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_shows_in_no_history_comparison_or_snapshot_either() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "en", changed("Second", ChangeKind::Major)).await;
    take_down(&service, "fire", RemovalMode::Hidden, "").await.unwrap();
    let mut reader = service.person("reader");
    let mut answers = Vec::new();
    for id in ["fire", "never"] {
        let edition = |number: u32| format!("statements/{id}/editions/en.{number}");
        let get = v1::GetEditionRequest { name: edition(1), ..Default::default() };
        let list = v1::ListEditionsRequest { parent: format!("statements/{id}"), ..Default::default() };
        let diff = v1::DiffEditionsRequest { from_edition: edition(1), to_edition: edition(2) };
        let statuses = [
            refused(reader.read(id, "en").await, Code::NotFound, "STATEMENT_NOT_FOUND"),
            refused(reader.statements.get_edition(get).await, Code::NotFound, "EDITION_NOT_FOUND"),
            refused(reader.statements.list_editions(list).await, Code::NotFound, "STATEMENT_NOT_FOUND"),
            refused(reader.statements.diff_editions(diff).await, Code::NotFound, "EDITION_NOT_FOUND"),
        ];
        answers.push(statuses.map(|status| (status.message().to_owned(), status.details().to_vec())));
    }
    assert_eq!(answers[0], answers[1]);
    let list = reader.statements.list_statements(v1::ListStatementsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.live, []);
    let request = v1::SubscribeRequest { start: v1::Start::Snapshot.into(), ..Default::default() };
    let mut stream = reader.follow(request).await.unwrap();
    loop {
        match stream.next().await {
            v1::subscribe_response::Message::SnapshotEnd(end) => break assert_eq!(end.item_count, 0),
            v1::subscribe_response::Message::Snapshot(part) => assert_eq!(part.live, []),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_shows_its_notice_without_the_text() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    take_down(&service, "fire", RemovalMode::Gone, "").await.unwrap();
    let gone = shown(&service, "fire", "en").await;
    assert_eq!((gone.state(), gone.notice.unwrap().text.as_str()), (live::State::Gone, "It is gone."));
    assert_eq!(gone.edition.unwrap().content, None);
    let request =
        v1::GetEditionRequest { name: "statements/fire/editions/en.1".to_owned(), include_canonical_content: true };
    let edition = service.person("reader").statements.get_edition(request).await.unwrap().into_inner().edition.unwrap();
    assert_eq!((edition.content, edition.canonical_content), (None, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_names_its_target_and_may_not_lead_back() {
    let service = Service::start().await;
    for id in ["old", "new"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words(id)).await;
    }
    let bad = [("old", "statements/old"), ("old", "statements/never")];
    for (id, target) in bad {
        let result = take_down(&service, id, RemovalMode::Redirect, target).await;
        assert!(result.is_err(), "{id} to {target}");
    }
    take_down(&service, "old", RemovalMode::Redirect, "statements/new").await.unwrap();
    let old = shown(&service, "old", "en").await;
    assert_eq!((old.state(), old.redirect_statement.as_str()), (live::State::Redirected, "statements/new"));
    assert_eq!(old.edition.unwrap().content, None);
    let back = take_down(&service, "new", RemovalMode::Redirect, "statements/old").await;
    refused(back, Code::FailedPrecondition, "REDIRECT_TARGET_NOT_PUBLIC");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_falls_back_to_its_parent_and_then_to_the_source() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    for (published, served) in [("en", "en"), ("fr", "fr"), ("fr-CA", "fr-CA")] {
        publish(&service, "fire", published, words(published)).await;
        let reading = service.person("reader").read("fire", "fr-CA").await.unwrap();
        assert_eq!(reading.requested_language_code, "fr-CA");
        assert_eq!(reading.live.unwrap().language_code, served);
    }
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
        [("en", release::BlockedReason::CompanionHeld), ("de", release::BlockedReason::BaseSuperseded)]
    {
        let held = service.person("publisher").release("fire", language).await.unwrap();
        assert_eq!((held.blocked_reason(), held.companions.len()), (reason, 2));
    }
    assert_eq!(types(&service).await, [event::Type::Published], "nothing went out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_hold_stops_an_erasure_also_one_that_was_proposed_before() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let (name, reason_code) = ("statements/fire".to_owned(), "court-order".to_owned());
    let first = v1::ExpungeStatementRequest { name: name.clone(), reason_code, ..Default::default() };
    let proposed = service.person("lawyer").editorial.expunge_statement(first).await.unwrap().into_inner();
    hold(&service, "fire", true).await;
    let proposal_id = proposed.proposal.unwrap().proposal_id;
    let second = v1::ExpungeStatementRequest { name, proposal_id, ..Default::default() };
    let result = service.person("judge").editorial.expunge_statement(second).await;
    refused(result, Code::FailedPrecondition, "LEGAL_HOLD");
    refused(expunge(&service, "fire").await, Code::FailedPrecondition, "LEGAL_HOLD");
    assert_eq!(title(&shown(&service, "fire", "en").await), "First");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_edition_keeps_its_digest_and_past_events_their_hashes() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let first = publish(&service, "fire", "en", words("Unspeakable")).await;
    publish(&service, "fire", "en", changed("Unspeakable too", ChangeKind::Correction)).await;
    service.person("author").save("fire", "en", changed("Unspeakable still", ChangeKind::Major)).await;
    let before = events(&service).await;
    expunge(&service, "fire").await.unwrap();
    let erased = shown(&service, "fire", "en").await;
    assert_eq!(erased.state(), live::State::Expunged);
    let request =
        v1::GetEditionRequest { name: "statements/fire/editions/en.1".to_owned(), include_canonical_content: true };
    let edition = service.person("reader").statements.get_edition(request).await.unwrap().into_inner().edition.unwrap();
    assert_eq!((edition.expunged, &edition.content_digest), (true, &first.edition.unwrap().content_digest));
    assert_eq!((&edition.content, edition.canonical_content.len()), (&None, 0));
    let after = events(&service).await;
    for words in ["Unspeakable", "What was wrong."] {
        assert!(!format!("{erased:?}{edition:?}{after:?}").contains(words), "{words}");
    }
    assert_eq!(after.last().unwrap().r#type(), event::Type::Expunged);
    let mut previous = vec![0; 32];
    for event in &after {
        assert_eq!(event.previous_hash, previous);
        assert_eq!(event.hash, Sha256::new().chain_update(&previous).chain_update(&event.seal).finalize().as_slice());
        previous.clone_from(&event.hash);
    }
    assert!(
        before.iter().zip(&after).all(|(old, new)| old.hash == new.hash && old.content_digest == new.content_digest)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owed_approval_is_of_that_very_text_and_given_once() {
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
    refused(again, Code::FailedPrecondition, "APPROVAL_NOT_OWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_a_withdrawn_text_is_published_as_reinstated() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    publish(&service, "fire", "en", changed("Right", ChangeKind::Correction)).await;
    let again = shown(&service, "fire", "en").await;
    assert_eq!((again.state(), again.notice.as_ref(), title(&again)), (live::State::Published, None, "Right"));
    let last = events(&service).await.pop().unwrap();
    assert_eq!((last.r#type(), last.channel_action()), (event::Type::Reinstated, event::ChannelAction::Reply));
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
    let other = v1::PublishDraftsRequest { name: "statements/flood".to_owned(), ..request };
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

#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_again_changes_the_notice_quietly() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    let last = events(&service).await.pop().unwrap();
    assert_eq!(
        (last.r#type(), last.notify, last.channel_action()),
        (event::Type::NoticeChanged, false, event::ChannelAction::Edit)
    );
    assert_eq!(last.live.unwrap().state(), live::State::Withdrawn);
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

//! What need not be kept is taken away, nothing else, and the record is as sound as before.

use std::{path::Path, time::Duration};

use onrecord::{
    api::v1::{self, ChangeKind, live},
    journal::{Pruned, Report, Retention, compact},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    harness::{Person, Service, approved, changed, publish, refused, words},
    survival::{holds, verified},
};

const CACHE_BYTES: u64 = 1 << 20;
const DAY: i64 = 24 * 60 * 60;
const FOR_EVER: Retention = Retention { drafts_for: None, drafts_max: None, requests_for: None };

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_hours(days * 24))
}

fn clean(directory: &Path) -> Report {
    let report = verified(directory);
    assert_eq!(report.findings, []);
    report
}

/// Saves a draft over the one before.
async fn save_again(author: &mut Person, draft: v1::Draft, title: &str) -> v1::Draft {
    let content = Some(v1::Content { change_note: "New.".into(), ..changed(title, ChangeKind::Major) });
    author.try_save(v1::Draft { content, ..draft }).await.unwrap()
}

/// A statement with an edition, four texts that were never in one, and the draft that took their place.
async fn much_edited(service: &Service) -> v1::Draft {
    let mut author = service.person("author");
    author.create("fire", "en").await;
    let mut draft = author.save("fire", "en", words("Abracadabra 1")).await;
    draft = save_again(&mut author, draft, "Abracadabra 2").await;
    author.editorial.discard_draft(discard(&draft)).await.unwrap();
    publish(service, "fire", "en", words("Published")).await;
    draft = author.save("fire", "en", changed("Abracadabra 3", ChangeKind::Major)).await;
    draft = save_again(&mut author, draft, "Abracadabra 4").await;
    save_again(&mut author, draft, "Abracadabra 5").await
}

fn discard(draft: &v1::Draft) -> v1::DiscardDraftRequest {
    v1::DiscardDraftRequest { name: draft.name.clone(), etag: draft.etag.clone(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_others_took_the_place_of_go_by_age() {
    let service = Service::start().await;
    much_edited(&service).await;
    assert_eq!(service.journal.prune_once(FOR_EVER).await.unwrap(), Pruned::default());
    let policy = Retention { drafts_for: days(90), ..FOR_EVER };
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned::default(), "they are young");
    service.advance(91 * DAY).await;
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned { texts: 4, answers: 0 });
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned::default(), "and no more");
    let mut reader = service.person("reader");
    assert_eq!(reader.read("fire", "en").await.unwrap().live.unwrap().state(), live::State::Published);
    let name = "statements/fire/drafts/en".to_owned();
    let draft = reader
        .editorial
        .get_draft(v1::GetDraftRequest { name, ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .draft
        .unwrap();
    assert_eq!(draft.content.unwrap().title, "Abracadabra 5");

    let store = service.stop().await;
    let before = clean(store.directory());
    let compacted = compact(store.directory(), CACHE_BYTES).unwrap();
    assert_eq!(compacted.report, before);
    for gone in 1..=4 {
        // The titles stay in the audit trail.
        assert!(!holds(store.directory(), format!("Abracadabra {gone}, in full").as_bytes()), "{gone}");
    }
    assert!(holds(store.directory(), b"Abracadabra 5, in full"));
    store.start(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_a_text_counts_from_when_another_took_its_place() {
    let service = Service::start().await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    let draft = author.save("fire", "en", words("Long thought about")).await;
    service.advance(100 * DAY).await;
    let draft = save_again(&mut author, draft, "A mistake").await;
    let policy = Retention { drafts_for: days(90), ..FOR_EVER };
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned::default(), "it can be looked up still");
    service.advance(50 * DAY).await;
    author.editorial.discard_draft(discard(&draft)).await.unwrap();
    service.advance(41 * DAY).await;
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned { texts: 1, answers: 0 });
    service.advance(50 * DAY).await;
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned { texts: 1, answers: 0 });
    clean(service.stop().await.directory());
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_others_took_the_place_of_go_by_number() {
    let service = Service::start().await;
    much_edited(&service).await;
    let policy = |max| Retention { drafts_max: Some(max), ..FOR_EVER };
    assert_eq!(service.journal.prune_once(policy(4)).await.unwrap(), Pruned::default());
    assert_eq!(service.journal.prune_once(policy(3)).await.unwrap(), Pruned { texts: 1, answers: 0 });
    assert_eq!(service.journal.prune_once(policy(0)).await.unwrap(), Pruned { texts: 3, answers: 0 });
    clean(service.stop().await.directory());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_subscribers_were_sent_or_waits_is_kept() {
    let service = Service::start().await;
    let mut publisher = service.person("publisher");
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("Published")).await;
    let draft = approved(&service, "fire", "en", changed("Embargoed", ChangeKind::Major)).await;
    let request =
        v1::PublishDraftsRequest { embargo_end_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    publisher.publish(request).await.unwrap();
    let release = publisher.release("fire", "en").await.unwrap();
    let cancel =
        v1::CancelReleaseRequest { name: release.name, etag: release.etag, reason: "No.".into(), ..Default::default() };
    publisher.editorial.cancel_release(cancel).await.unwrap();
    let draft = approved(&service, "fire", "de", words("Wartet")).await;
    let request = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    publisher.publish(request).await.unwrap();
    let nothing = Retention { drafts_max: Some(0), drafts_for: days(0), ..FOR_EVER };
    service.advance(59).await;
    assert_eq!(service.journal.prune_once(nothing).await.unwrap(), Pruned::default());
    service.advance(1).await;
    assert_eq!(service.person("reader").read("fire", "de").await.unwrap().live.unwrap().sequence, 4);
    clean(service.stop().await.directory());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_remembered_as_long_as_the_retention_says() {
    let service = Service::start().await;
    let statement = |owner: &str| v1::Statement {
        kind: "notice".into(),
        source_language_code: "en".into(),
        owner: owner.into(),
        ..Default::default()
    };
    let create = |id: &str, request_id: &str| v1::CreateStatementRequest {
        statement_id: id.into(),
        statement: Some(statement("press")),
        request_id: request_id.into(),
        ..Default::default()
    };
    let mut author = service.person("author");
    let (one, other) = ("f3a1c3de-7f7b-4c2f-9d38-2f4c8a6d1e01", "f3a1c3de-7f7b-4c2f-9d38-2f4c8a6d1e02");
    author.editorial.create_statement(create("old", one)).await.unwrap();
    service.advance(20 * DAY).await;
    author.editorial.create_statement(create("young", other)).await.unwrap();
    service.advance(11 * DAY).await;
    let policy = Retention { requests_for: days(30), ..FOR_EVER };
    author.editorial.create_statement(create("old", one)).await.expect("the first answer again");
    assert_eq!(service.journal.prune_once(policy).await.unwrap(), Pruned { texts: 0, answers: 1 });
    refused(author.editorial.create_statement(create("old", one)).await, Code::AlreadyExists, "STATEMENT_EXISTS");
    author.editorial.create_statement(create("young", other)).await.expect("the first answer again");

    let store = service.stop().await;
    let before = clean(store.directory());
    assert_eq!(compact(store.directory(), CACHE_BYTES).unwrap().report, before, "nothing comes back");
    let service = store.start(0).await;
    let mut author = service.person("author");
    refused(author.editorial.create_statement(create("old", one)).await, Code::AlreadyExists, "STATEMENT_EXISTS");
    author.editorial.create_statement(create("young", other)).await.expect("the first answer again");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_needed_goes_while_editors_write() {
    let service = Service::start().await;
    let nothing = Retention { drafts_for: days(0), drafts_max: Some(0), requests_for: days(0) };
    let writing = async {
        for round in 0..10 {
            let kind = if round == 0 { ChangeKind::Initial } else { ChangeKind::Major };
            let mut author = service.person("author");
            if round == 0 {
                author.create("fire", "en").await;
            }
            let draft = author.save("fire", "en", changed(&format!("Not {round}"), kind)).await;
            author.editorial.discard_draft(discard(&draft)).await.unwrap();
            publish(&service, "fire", "en", changed(&format!("Edition {round}"), kind)).await;
        }
    };
    let written = CancellationToken::new();
    let pruning = async {
        let mut pruned = 0;
        while !written.is_cancelled() {
            pruned += service.journal.prune_once(nothing).await.unwrap().texts;
        }
        pruned
    };
    let (mut pruned, ()) = tokio::join!(pruning, async {
        writing.await;
        written.cancel();
    });
    pruned += service.journal.prune_once(nothing).await.unwrap().texts;
    assert_eq!(pruned, 10);
    for number in 1..=10 {
        let name = format!("statements/fire/editions/en.{number}");
        let request = v1::GetEditionRequest { name, ..Default::default() };
        let edition = service.person("reader").statements.get_edition(request).await.unwrap().into_inner();
        assert_eq!(edition.edition.unwrap().content.unwrap().title, format!("Edition {}", number - 1));
    }
    clean(service.stop().await.directory());
}

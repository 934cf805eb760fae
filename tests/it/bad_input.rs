//! Bad input over the wire: the documented code, reason and field, and nothing changed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use onrecord::{
    api::v1::{self, ChangeKind},
    domain::digest::Digest,
};
use prost::Message;
use tonic::{Code, Request};

use crate::harness::{Person, Service, approved, changed, fields, publish, refused, words};

/// Everything that a caller can change: what is live, and every entry.
async fn everything(service: &Service) -> (Vec<v1::Live>, Vec<v1::Entry>) {
    let mut auditor = service.person("auditor");
    let live = auditor.statements.list_statements(v1::ListStatementsRequest::default()).await.unwrap().into_inner();
    let entries = auditor.editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap().into_inner();
    (live.live, entries.entries)
}

async fn service() -> Service {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    service.person("author").create("flood", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "flood", "en", words("Second")).await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_wrong_are_refused_all_at_once() {
    let service = service().await;
    let before = everything(&service).await;
    let mut author = service.person("author");
    let content = v1::Content {
        title: " ".into(),
        body: "x".repeat(2 << 20),
        body_media_type: "image/png".into(),
        urgency: 10,
        topics: vec!["Bad Topic".into(), "tax".into(), "tax".into()],
        attachments: vec![v1::Attachment {
            title: "A".into(),
            uri: "not a uri".into(),
            size_bytes: -1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let draft = v1::Draft { name: "statements/fire/drafts/en_GB".into(), content: Some(content), ..Default::default() };
    let status = refused(author.try_save(draft).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    for field in [
        "draft.name",
        "draft.content",
        "draft.content.title",
        "draft.content.body",
        "draft.content.body_media_type",
        "draft.content.urgency",
        "draft.content.topics[0]",
        "draft.content.topics[2]",
        "draft.content.attachments[0].uri",
        "draft.content.attachments[0].size_bytes",
    ] {
        assert!(fields(&status).contains(&field.to_owned()), "{field} in {:?}", fields(&status));
    }
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_takes_a_right_id_kind_and_language() {
    let service = service().await;
    let before = everything(&service).await;
    let statement =
        v1::Statement { kind: "A kind".into(), source_language_code: "english".into(), ..Default::default() };
    let request = v1::CreateStatementRequest {
        statement_id: "Fire!".into(),
        statement: Some(v1::Statement { source_language_code: "e".into(), ..statement }),
        request_id: "7".into(),
        ..Default::default()
    };
    let status = refused(
        service.person("author").editorial.create_statement(request).await,
        Code::InvalidArgument,
        "INVALID_ARGUMENT",
    );
    assert_eq!(fields(&status), ["statement_id", "statement.kind", "statement.source_language_code", "request_id"]);
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_is_aborted_with_what_is_there_now() {
    let service = service().await;
    let mut author = service.person("author");
    let first = author.save("fire", "de", words("Eins")).await;
    let again = v1::Draft { content: Some(words("Zwei")), ..first.clone() };
    let second = author.try_save(again.clone()).await.unwrap();
    let before = everything(&service).await;
    let status = refused(author.try_save(again).await, Code::Aborted, "ETAG_MISMATCH");
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.metadata["etag"], second.etag);
    assert_eq!((info.metadata["revision"].as_str(), info.metadata["editor"].as_str()), ("2", "author"));
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_belongs_to_one_call() {
    let service = service().await;
    let mut publisher = service.person("publisher");
    let withdraw = |name: &str| v1::WithdrawStatementRequest {
        name: name.into(),
        notice: Some(v1::Notice { text: "No longer true.".into(), ..Default::default() }),
        request_id: "8d1f6b1c-9d0c-4a30-9d5d-0b0c6d1f7a11".into(),
        ..Default::default()
    };
    let first = publisher.editorial.withdraw_statement(withdraw("statements/fire")).await.unwrap().into_inner();
    let before = everything(&service).await;
    let again = publisher.editorial.withdraw_statement(withdraw("statements/fire")).await.unwrap().into_inner();
    assert_eq!(again, first);
    let other = publisher.editorial.withdraw_statement(withdraw("statements/flood")).await;
    let status = refused(other, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(fields(&status), ["request_id"]);
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_belongs_to_one_call() {
    let service = service().await;
    let mut reader = service.person("reader");
    let list = |token: &str, kind: &str| v1::ListStatementsRequest {
        page_size: 1,
        page_token: token.into(),
        filter: Some(v1::Filter { kinds: vec![kind.into()], ..Default::default() }),
        ..Default::default()
    };
    let first = reader.statements.list_statements(list("", "notice")).await.unwrap().into_inner();
    let next = reader.statements.list_statements(list(&first.next_page_token, "notice")).await.unwrap().into_inner();
    assert_eq!(
        (first.live[0].statement.as_str(), next.live[0].statement.as_str()),
        ("statements/fire", "statements/flood")
    );
    let other = reader.statements.list_statements(list(&first.next_page_token, "rebuttal")).await;
    assert_eq!(fields(&refused(other, Code::InvalidArgument, "INVALID_PAGE_TOKEN")), ["page_token"]);
    let editions = v1::ListEditionsRequest {
        parent: "statements/fire".into(),
        page_token: first.next_page_token,
        ..Default::default()
    };
    refused(reader.statements.list_editions(editions).await, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_feed_has_diverged() {
    let (service, other) = (service().await, service().await);
    let page = |cursor: &str| v1::ReadFeedRequest {
        start: if cursor.is_empty() { v1::Start::Beginning } else { v1::Start::Cursor }.into(),
        cursor: cursor.into(),
        ..Default::default()
    };
    let cursor = other.person("site").feed.read_feed(page("")).await.unwrap().into_inner().cursor;
    let mut site = service.person("site");
    refused(site.feed.read_feed(page(&cursor)).await, Code::FailedPrecondition, "CURSOR_DIVERGED");
    let status = refused(site.feed.read_feed(page("bm9uc2Vuc2U")).await, Code::InvalidArgument, "CURSOR_INVALID");
    assert_eq!(fields(&status), ["cursor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_to_another_statement_that_can_be_read() {
    let service = service().await;
    service.person("author").create("empty", "en").await;
    let before = everything(&service).await;
    let redirect = |target: &str| v1::RemoveStatementRequest {
        name: "statements/fire".into(),
        mode: v1::RemovalMode::Redirect.into(),
        redirect_statement: target.into(),
        reason: "Merged.".into(),
        ..Default::default()
    };
    let mut publisher = service.person("publisher");
    let itself = publisher.editorial.remove_statement(redirect("statements/fire")).await;
    assert_eq!(fields(&refused(itself, Code::InvalidArgument, "INVALID_ARGUMENT")), ["redirect_statement"]);
    for target in ["statements/empty", "statements/never"] {
        let nowhere = publisher.editorial.remove_statement(redirect(target)).await;
        refused(nowhere, Code::FailedPrecondition, "REDIRECT_TARGET_NOT_PUBLIC");
    }
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lies_in_the_future() {
    let service = service().await;
    let draft = approved(&service, "fire", "en", changed("Update", ChangeKind::Major)).await;
    let before = everything(&service).await;
    let mut publisher = service.person("publisher");
    let past = v1::PublishDraftsRequest { release_time: service.in_seconds(-1), ..Person::publication(&[&draft]) };
    assert_eq!(
        fields(&refused(publisher.publish(past).await, Code::InvalidArgument, "INVALID_ARGUMENT")),
        ["release_time"]
    );
    let both = v1::PublishDraftsRequest {
        release_time: service.in_seconds(1),
        embargo_end_time: service.in_seconds(1),
        force: true,
        ..Person::publication(&[&draft])
    };
    let status = refused(publisher.publish(both).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["embargo_end_time", "reason"]);
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let service = service().await;
    let before = everything(&service).await;
    let mut person = service.person("author");
    refused(person.read("never", "").await, Code::NotFound, "STATEMENT_NOT_FOUND");
    let draft =
        v1::Draft { name: "statements/never/drafts/en".into(), content: Some(words("A")), ..Default::default() };
    refused(person.try_save(draft).await, Code::NotFound, "STATEMENT_NOT_FOUND");
    refused(person.withdraw("never", &[]).await, Code::NotFound, "STATEMENT_NOT_FOUND");
    refused(person.release("fire", "en").await, Code::NotFound, "RELEASE_NOT_FOUND");
    let edition = v1::GetEditionRequest { name: "statements/fire/editions/en.9".into(), ..Default::default() };
    refused(person.statements.get_edition(edition).await, Code::NotFound, "EDITION_NOT_FOUND");
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_calls_without_a_name() {
    let service = service().await;
    let mut nameless = v1::statement_service_client::StatementServiceClient::new(service.channel.clone());
    let request = v1::GetStatementRequest { name: "statements/fire".into(), ..Default::default() };
    refused(nameless.get_statement(Request::new(request)).await, Code::Unauthenticated, "CALLER_MISSING");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_lower_limits() {
    let service = Service::start_with(|config| config.limits.lower("title", 10).unwrap()).await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    let draft = |title: &str| v1::Draft {
        name: "statements/fire/drafts/en".into(),
        content: Some(words(title)),
        ..Default::default()
    };
    let status = refused(author.try_save(draft("12345678901")).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["draft.content.title"]);
    author.try_save(draft("1234567890")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_thousands_of_faults_is_refused_in_a_few_words() {
    let service = service().await;
    let before = everything(&service).await;
    let publish = |drafts| v1::PublishDraftsRequest {
        parent: "statements/fire".into(),
        drafts: vec![v1::DraftToPublish::default(); drafts],
        ..Default::default()
    };
    let million = service.person("publisher").publish(publish(1_000_000)).await;
    refused(million, Code::ResourceExhausted, "MESSAGE_TOO_LONG");
    let thousands = service.person("publisher").publish(publish(16_000)).await;
    let status = refused(thousands, Code::InvalidArgument, "INVALID_ARGUMENT");
    let named = fields(&status);
    assert_eq!(named[..3], ["drafts", "drafts[0].language_code", "drafts[0].etag"]);
    assert!(named.len() < 100 && status.message().len() < 1_024 && status.details().len() < 5 * 1_024);
    let rendition = |number| v1::Rendition { channel: format!("c{number}"), text: String::new() };
    let content = v1::Content { renditions: (0..8_000).map(rendition).collect(), ..words("A fire") };
    let draft = v1::Draft { name: "statements/fire/drafts/en".into(), content: Some(content), ..Default::default() };
    let status = refused(service.person("author").try_save(draft).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert!(fields(&status).contains(&"draft.content.renditions".to_owned()), "{:?}", fields(&status));
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_is_a_star_replaces_every_field() {
    let service = Service::start().await;
    let mut person = service.person("author");
    let made = person.create("fire", "en").await;
    let mask = |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() });
    let annotations = |key: &str| [(key.to_owned(), "1".to_owned())].into_iter().collect();
    let set = v1::Statement { owner: "us".into(), annotations: annotations("a"), ..made };
    let update = |statement: &v1::Statement, paths: &[&str]| v1::UpdateStatementRequest {
        statement: Some(statement.clone()),
        update_mask: mask(paths),
        ..Default::default()
    };
    let set = person.editorial.update_statement(update(&set, &["*"])).await.unwrap().into_inner().statement.unwrap();
    assert_eq!((set.owner.as_str(), set.annotations.len()), ("us", 1));
    // What is not set is cleared.
    let other = v1::Statement { owner: String::new(), annotations: annotations("b"), ..set };
    let cleared =
        person.editorial.update_statement(update(&other, &["*"])).await.unwrap().into_inner().statement.unwrap();
    assert_eq!((cleared.owner.as_str(), &cleared.annotations), ("", &annotations("b")));
    for paths in [&["*", "owner"][..], &["owner", "*"], &["*", "*"], &["kind"]] {
        let status = refused(
            person.editorial.update_statement(update(&cleared, paths)).await,
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        );
        assert_eq!(fields(&status), ["update_mask"], "{paths:?}");
    }

    let mut operator = service.person("operator");
    let filter = Some(v1::Filter { kinds: vec!["notice".into()], ..Default::default() });
    let subscription = v1::Subscription { filter, annotations: annotations("a"), ..Default::default() };
    let request = v1::CreateSubscriptionRequest {
        subscription_id: "site".into(),
        subscription: Some(subscription),
        ..Default::default()
    };
    let made = operator.feed.create_subscription(request).await.unwrap().into_inner().subscription.unwrap();
    let cleared = v1::Subscription { filter: None, annotations: annotations("b"), ..made };
    let request =
        v1::UpdateSubscriptionRequest { subscription: Some(cleared), update_mask: mask(&["*"]), ..Default::default() };
    let now = operator.feed.update_subscription(request).await.unwrap().into_inner().subscription.unwrap();
    assert!(now.filter.unwrap_or_default() == v1::Filter::default() && now.annotations == annotations("b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lateness_without_a_time_is_refused() {
    let service = service().await;
    let draft = approved(&service, "fire", "en", changed("Update", ChangeKind::Major)).await;
    let before = everything(&service).await;
    let max_lateness = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let now = v1::PublishDraftsRequest { max_lateness, ..Person::publication(&[&draft]) };
    let status = refused(service.person("publisher").publish(now).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["max_lateness"]);
    assert_eq!(everything(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_a_bound_of_names_and_of_bytes() {
    let service = Service::start().await;
    let ids: Vec<_> = (0..7).map(|number| format!("long-{number}")).collect();
    for id in &ids {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", v1::Content { body: "x".repeat(500 * 1024), ..words(id) }).await;
    }
    let mut reader = service.person("reader");
    let names = |count: usize| ids.iter().take(count).map(|id| format!("statements/{id}")).collect();
    let batch = |names: Vec<String>| v1::BatchGetStatementsRequest { names, ..Default::default() };
    let six = reader.statements.batch_get_statements(batch(names(6))).await.unwrap().into_inner().statements;
    assert_eq!(six.len(), 6);
    let too_many = [batch(names(7)), batch(Vec::new()), batch(vec!["statements/long-0".to_owned(); 101])];
    for (request, words) in too_many.into_iter().zip(["ask for 6 at a time", "it has 0", "it has 101"]) {
        let status =
            refused(reader.statements.batch_get_statements(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
        assert!(fields(&status) == ["names"] && status.message().contains(words), "{status:?}");
    }
}

/// A page token as the service seals it, for a place of our own.
fn forged(request: &impl Message, name: &str, place: &str) -> String {
    let listing = Digest::of(&[name.as_bytes(), b"\0", &request.encode_to_vec()]);
    let mut bytes = [&[1], &listing.as_bytes()[..8], place.as_bytes()].concat();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_that_somebody_made_up_shows_nothing_else() {
    let service = service().await;
    let auditor = service.person("auditor");
    let places = [
        r#"{"after":["fire","en"],"tail":18446744073709551615}"#,
        r#"{"after":["fire"],"tail":1}"#,
        r#"{"after":["","",""],"tail":0}"#,
        r#"{"after":["~","~"],"tail":4294967296}"#,
        r#"{"after":["6a00000000"],"tail":0}"#,
        r#"{"after":["ff","\u0000"],"tail":9223372036854775808}"#,
    ];
    macro_rules! check {
        ($service:ident, $method:ident, $request:ident { $($field:ident: $value:expr),* }, $shown:ident) => {
            let asked = v1::$request { $($field: $value.into(),)* ..Default::default() };
            let mut reader = auditor.clone();
            let all = reader.$service.$method(asked.clone()).await.unwrap().into_inner().$shown;
            for place in places {
                let page_token = forged(&asked, stringify!($request), place);
                match reader.$service.$method(v1::$request { page_token, ..asked.clone() }).await {
                    Ok(page) => {
                        let shown = page.into_inner().$shown;
                        assert!(shown.iter().all(|item| all.contains(item)), "{place}: {shown:?}");
                    }
                    Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{place}: {status:?}"),
                }
            }
        };
    }
    check!(statements, list_statements, ListStatementsRequest {}, live);
    check!(statements, list_editions, ListEditionsRequest { parent: "statements/fire" }, editions);
    check!(editorial, list_drafts, ListDraftsRequest { parent: "statements/-" }, drafts);
    check!(editorial, list_releases, ListReleasesRequest { parent: "statements/-" }, releases);
    check!(editorial, list_pending_approvals, ListPendingApprovalsRequest {}, pending_approvals);
    check!(editorial, list_entries, ListEntriesRequest {}, entries);
    check!(feed, list_subscriptions, ListSubscriptionsRequest {}, subscriptions);
    check!(feed, list_deliveries, ListDeliveriesRequest { parent: "statements/fire" }, deliveries);
}

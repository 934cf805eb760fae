//! Ways on which something hidden could be told from what never was: answers, filters, pages and their tokens, counts, reflection.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use onrecord::{
    access::Role,
    api::v1::{self, subscribe_response::Message},
};
use tonic::{Code, Request, metadata::MetadataValue};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use super::{
    Policy, holder,
    mandates::{Desk, for_audience, said, snapshot, statements},
};
use crate::harness::{Person, from, refused, words};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_another_audience_cannot_be_told_from_what_never_was() {
    let mut policy = Policy::new();
    let desk = Desk::new(&mut policy);
    policy.grant("site", "roles = [\"subscriber\"]\naudiences = [\"press\"]");
    let site = policy.token("site", "");
    let (service, _access) = policy.serve().await;
    desk.publish(&service, "ours", for_audience("Ours", "press")).await;
    desk.publish(&service, "hidden", for_audience("Theirs", "staff")).await;
    desk.publish(&service, "open", words("For all")).await;
    let mut site = holder(&service, &site);

    let mut read = async |id: &str| said(site.read(id, "en").await);
    assert_eq!(read("hidden").await, read("missing").await);
    let mut site = site.clone();
    let mut edition = async |id: &str| {
        let name = format!("statements/{id}/editions/en.1");
        said(site.statements.get_edition(v1::GetEditionRequest { name, ..Default::default() }).await)
    };
    assert_eq!(edition("hidden").await, edition("missing").await);
    let mut site = site.clone();
    let mut history = async |id: &str| {
        let parent = format!("statements/{id}");
        said(site.statements.list_editions(v1::ListEditionsRequest { parent, ..Default::default() }).await)
    };
    assert_eq!(history("hidden").await, history("missing").await);
    let mut site = site.clone();
    let mut differences = async |id: &str| {
        let edition = format!("statements/{id}/editions/en.1");
        let request = v1::DiffEditionsRequest { from_edition: edition.clone(), to_edition: edition };
        said(site.statements.diff_editions(request).await)
    };
    assert_eq!(differences("hidden").await, differences("missing").await);

    let names = ["ours", "hidden", "open", "missing"].map(|id| format!("statements/{id}")).to_vec();
    let mut site = site.clone();
    let batch = v1::BatchGetStatementsRequest { names, ..Default::default() };
    let readings = site.statements.batch_get_statements(batch).await.unwrap().into_inner().statements;
    assert_eq!(readings.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["statements/ours", "statements/open"]);
    let listed = site.statements.list_statements(v1::ListStatementsRequest::default()).await.unwrap().into_inner().live;
    assert_eq!(
        listed.iter().map(|it| it.statement.as_str()).collect::<Vec<_>>(),
        ["statements/open", "statements/ours"]
    );

    let page = v1::ReadFeedRequest { start: v1::Start::Beginning.into(), ..Default::default() };
    let page = site.feed.read_feed(page).await.unwrap().into_inner().deliveries;
    assert_eq!(statements(&page), ["statements/ours", "statements/open"]);
    let mut stream = site.follow(from(v1::Start::Beginning)).await.unwrap();
    assert_eq!(statements(&stream.until(3).await), ["statements/ours", "statements/open"]);
    assert_eq!(snapshot(&mut site, false).await, ["statements/open", "statements/ours"]);
}

/// All that a stream says until it has nothing new, but for what is of this very moment or names the filter.
async fn told_to(site: &mut Person, start: v1::Start, filter: v1::Filter) -> Vec<String> {
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = v1::SubscribeRequest { filter: Some(filter), heartbeat_interval, ..from(start) };
    let (mut stream, mut told) = (site.follow(request).await.unwrap(), Vec::new());
    loop {
        let mut message = stream.next().await;
        let is_last = matches!(message, Message::Heartbeat(_));
        match &mut message {
            Message::Opened(opened) => opened.cursor.clear(),
            Message::SnapshotEnd(end) => end.cursor.clear(),
            Message::EventBatch(batch) => batch.cursor.clear(),
            Message::Heartbeat(heartbeat) => (heartbeat.cursor, heartbeat.server_time) = Default::default(),
            Message::Snapshot(_) | Message::Closing(_) => {}
        }
        told.push(format!("{message:?}"));
        if is_last {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_filter_no_page_token_and_no_count_tells_what_is_hidden() {
    let mut policy = Policy::new();
    let desk = Desk::new(&mut policy);
    policy.grant("site", "roles = [\"subscriber\"]\naudiences = [\"press\"]");
    let site = policy.token("site", "");
    let (service, _access) = policy.serve().await;
    for id in ["alpha", "omega"] {
        desk.publish(&service, id, for_audience(id, "press")).await;
    }
    for number in 0..3 {
        desk.publish(&service, &format!("hidden-{number}"), for_audience("Theirs", "staff")).await;
    }
    let mut site = holder(&service, &site);
    // Streams: as many messages, with the same in them, as for a statement that never was.
    let only = |id: &str| v1::Filter { statements: vec![format!("statements/{id}")], ..Default::default() };
    for start in [v1::Start::Snapshot, v1::Start::Beginning] {
        let (hidden, missing) =
            (told_to(&mut site, start, only("hidden-1")).await, told_to(&mut site, start, only("hidden-7")).await);
        assert_eq!(hidden, missing, "{start:?}");
    }
    // Pages: each is full, and no token names what stands between.
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListStatementsRequest { page_size: 1, page_token: page_token.clone(), ..Default::default() };
        let page = site.statements.list_statements(request).await.unwrap().into_inner();
        pages.push(page.live.iter().map(|live| live.statement.clone()).collect::<Vec<_>>());
        let token = BASE64_URL_SAFE_NO_PAD.decode(&page.next_page_token).unwrap();
        assert!(!String::from_utf8_lossy(&token).contains("hidden"), "{token:?}");
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(pages.iter().all(|page| page.len() <= 1), "{pages:?}");
    assert_eq!(pages.concat(), ["statements/alpha", "statements/omega"]);
    // Reflection tells the API, the same to everybody.
    let channel = service.channel.clone();
    let token = format!("Bearer {}", desk.author).parse::<MetadataValue<_>>().unwrap();
    let mut reflection = ServerReflectionClient::with_interceptor(channel, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    });
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("statements/hidden-1".to_owned())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::once(ask)).await;
    let answer = answers.unwrap().into_inner().message().await;
    assert!(answer.is_err_and(|status| status.code() == Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_of_others_are_in_no_listing_and_no_page_token() {
    let mut policy = Policy::new();
    let (operator, desk) = (policy.role(Role::Operator), Desk::new(&mut policy));
    policy.grant("local", "roles = [\"operator\", \"publisher\"]\nsubscriptions = [\"paris\", \"ulm\"]");
    let local = policy.token("local", "");
    let (service, _access) = policy.serve().await;
    let mut operator = holder(&service, &operator);
    let mut create = async |id: &str| {
        let subscription = Some(v1::Subscription::default());
        let request =
            v1::CreateSubscriptionRequest { subscription_id: id.to_owned(), subscription, ..Default::default() };
        operator.feed.create_subscription(request).await.unwrap();
    };
    let mut local = holder(&service, &local);
    desk.publish(&service, "fire", words("First")).await;
    let mut told = Vec::new();
    for others in [&["paris", "ulm"][..], &["berlin", "rome", "turin", "vienna"][..]] {
        for id in others {
            create(id).await;
        }
        let (mut pages, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListSubscriptionsRequest { page_size: 1, page_token: page_token.clone() };
            let page = local.feed.list_subscriptions(request).await.unwrap().into_inner();
            page_token.clone_from(&page.next_page_token);
            let names: Vec<_> = page.subscriptions.into_iter().map(|subscription| subscription.name).collect();
            pages.push((names, page.next_page_token));
            if page_token.is_empty() {
                break;
            }
        }
        let request = v1::ListDeliveriesRequest { parent: "statements/fire".to_owned(), ..Default::default() };
        let deliveries = local.feed.list_deliveries(request).await.unwrap().into_inner();
        let sites: Vec<_> = deliveries.deliveries.into_iter().map(|delivery| delivery.subscription).collect();
        told.push((pages, sites));
    }
    assert_eq!(told[0], told[1], "whatever others there are");
    let names: Vec<_> = told[0].0.iter().flat_map(|(names, _)| names.clone()).collect();
    assert_eq!(names, ["subscriptions/paris", "subscriptions/ulm"]);
    assert_eq!(told[0].1, names);
}

#[allow(clippy::needless_update, reason = "a request has other fields or not: the table is one")]
/// What every method that names a statement answers somebody about one, but for its name.
async fn everything_about(person: &mut Person, id: &str) -> Vec<(&'static str, (Code, String, Vec<u8>))> {
    let statement = format!("statements/{id}");
    let (draft, release) = (format!("{statement}/drafts/en"), format!("{statement}/releases/en"));
    let (etag, name) = ("\"1\"".to_owned(), statement.clone());
    let notice = Some(v1::Notice { text: "It is no longer true.".to_owned(), ..Default::default() });
    let to_publish = vec![v1::DraftToPublish { language_code: "en".to_owned(), etag: etag.clone() }];
    let changed =
        v1::Statement { name: name.clone(), etag: etag.clone(), owner: "us".to_owned(), ..Default::default() };
    let mut told = Vec::new();
    macro_rules! ask {
        ($service:ident . $method:ident, $request:ident { $($field:ident: $value:expr),* }) => {
            let request = v1::$request { $($field: $value,)* ..Default::default() };
            told.push((stringify!($method), said(person.$service.$method(request).await)));
        };
    }
    ask!(editorial.get_statement_overview, GetStatementOverviewRequest { name: name.clone() });
    ask!(editorial.update_statement, UpdateStatementRequest { statement: Some(changed) });
    ask!(editorial.get_draft, GetDraftRequest { name: draft.clone() });
    ask!(editorial.list_drafts, ListDraftsRequest { parent: name.clone() });
    ask!(editorial.diff_draft, DiffDraftRequest { name: draft.clone() });
    ask!(editorial.list_draft_revisions, ListDraftRevisionsRequest { parent: draft.clone() });
    ask!(editorial.get_draft_revision, GetDraftRevisionRequest { name: draft.clone(), revision: 1 });
    ask!(editorial.get_release, GetReleaseRequest { name: release.clone() });
    ask!(editorial.list_releases, ListReleasesRequest { parent: name.clone() });
    ask!(editorial.list_entries, ListEntriesRequest { statement: name.clone() });
    ask!(editorial.save_draft, SaveDraftRequest { draft: Some(super::mandates::draft(id, "en")) });
    ask!(editorial.submit_draft, SubmitDraftRequest { name: draft.clone(), etag: etag.clone() });
    ask!(editorial.approve_draft, ApproveDraftRequest { name: draft.clone(), etag: etag.clone() });
    let comment = "No.".to_owned();
    ask!(editorial.reject_draft, RejectDraftRequest { name: draft.clone(), etag: etag.clone(), comment: comment });
    ask!(editorial.discard_draft, DiscardDraftRequest { name: draft.clone(), etag: etag.clone() });
    ask!(editorial.publish_drafts, PublishDraftsRequest { parent: name.clone(), drafts: to_publish });
    let (edition, content_digest) = (format!("{statement}/editions/en.1"), "0".repeat(64));
    ask!(editorial.approve_edition, ApproveEditionRequest { name: edition.clone(), content_digest: content_digest });
    let reason = "A mistake.".to_owned();
    ask!(editorial.cancel_release, CancelReleaseRequest { name: release, etag: etag, reason: reason.clone() });
    ask!(editorial.withdraw_statement, WithdrawStatementRequest { name: name.clone(), notice: notice });
    ask!(editorial.reinstate_statement, ReinstateStatementRequest { name: name.clone(), reason: reason.clone() });
    let mode = v1::RemovalMode::Hidden.into();
    ask!(editorial.remove_statement, RemoveStatementRequest { name: name.clone(), mode: mode, reason: reason.clone() });
    let reason_code = "court-order".to_owned();
    ask!(editorial.expunge_statement, ExpungeStatementRequest { name: name.clone(), reason_code: reason_code });
    let proposal_id = "p1".to_owned();
    ask!(editorial.cancel_proposal, CancelProposalRequest { name: name.clone(), proposal_id: proposal_id });
    ask!(editorial.set_legal_hold, SetLegalHoldRequest { name: name.clone(), legal_hold: true, reason: reason });
    ask!(statements.get_statement, GetStatementRequest { name: name.clone() });
    ask!(statements.get_edition, GetEditionRequest { name: edition.clone() });
    ask!(statements.list_editions, ListEditionsRequest { parent: name.clone() });
    let both = (edition.clone(), edition.clone());
    ask!(statements.diff_editions, DiffEditionsRequest { from_edition: both.0, to_edition: both.1 });
    ask!(feed.list_deliveries, ListDeliveriesRequest { parent: name });
    ask!(feed.list_deliveries, ListDeliveriesRequest { parent: edition });
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_every_role_elsewhere_cannot_tell_a_statement_from_a_missing_one() {
    let mut policy = Policy::new();
    let desk = Desk::new(&mut policy);
    let roles = Role::ALL.map(|role| format!("\"{}\"", role.as_str())).join(", ");
    policy.grant("elsewhere", &format!("roles = [{roles}]\nkinds = [\"recall\"]"));
    let token = policy.token("elsewhere", "");
    let (service, _access) = policy.serve().await;
    desk.publish(&service, "there", words("For others")).await;
    let mut person = holder(&service, &token);
    let (there, missing) = (everything_about(&mut person, "there").await, everything_about(&mut person, "gone1").await);
    assert_eq!(there.len(), 30);
    for ((method, there), (_, missing)) in there.iter().zip(&missing) {
        assert_eq!(there, missing, "{method}");
        assert_eq!(there.0, Code::NotFound, "{method}: {}", there.1);
    }
    let all = v1::ListEntriesRequest::default();
    refused(person.editorial.list_entries(all).await, Code::PermissionDenied, "OUT_OF_SCOPE");
}

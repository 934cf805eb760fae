//! What a grant is limited to: what is outside of it is as if it were not there.

use onrecord::{
    access::Role,
    api::v1::{self, subscribe_response::Message},
};
use tonic::{Code, Status};

use super::{Policy, holder};
use crate::harness::{Person, Service, Stream, from, refused, words};

/// Who brings a text to the public.
pub(super) struct Desk {
    pub(super) author: String,
    reviewer: String,
    publisher: String,
}

impl Desk {
    pub(super) fn new(policy: &mut Policy) -> Self {
        Self {
            author: policy.role(Role::Author),
            reviewer: policy.role(Role::Reviewer),
            publisher: policy.role(Role::Publisher),
        }
    }

    /// A new statement with one approved text in English.
    async fn approved(&self, service: &Service, id: &str, content: v1::Content) -> v1::Draft {
        let mut author = holder(service, &self.author);
        author.create(id, "en").await;
        let draft = author.save(id, "en", content).await;
        let draft = author.submit(&draft).await.unwrap();
        holder(service, &self.reviewer).approve(&draft).await.unwrap()
    }

    pub(super) async fn publish(&self, service: &Service, id: &str, content: v1::Content) {
        let draft = self.approved(service, id, content).await;
        holder(service, &self.publisher).publish(Person::publication(&[&draft])).await.unwrap();
    }

    async fn embargo(&self, service: &Service, id: &str, content: v1::Content) {
        let draft = self.approved(service, id, content).await;
        let embargo_end_time = service.in_seconds(60);
        let request = v1::PublishDraftsRequest { embargo_end_time, ..Person::publication(&[&draft]) };
        holder(service, &self.publisher).publish(request).await.unwrap();
    }
}

pub(super) fn for_audience(title: &str, audience: &str) -> v1::Content {
    v1::Content { audiences: vec![audience.to_owned()], ..words(title) }
}

/// Everything that an answer to a refused call says.
pub(super) fn said<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, Vec<u8>) {
    let status = answer.expect_err("a refusal");
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_of_one_language_writes_in_no_other() {
    let mut policy = Policy::new();
    let author = policy.role(Role::Author);
    policy.grant("french", "roles = [\"author\"]\nkinds = [\"notice\"]\nlanguages = [\"fr\"]");
    policy.grant("other", "roles = [\"author\"]\nkinds = [\"recall\"]");
    let (french, other) = (policy.token("french", ""), policy.token("other", ""));
    let (service, _access) = policy.serve().await;
    let (mut author, mut french) = (holder(&service, &author), holder(&service, &french));
    author.create("fire", "en").await;
    author.save("fire", "en", words("A fire")).await;
    french.save("fire", "fr", words("Un feu")).await;
    let request = v1::GetStatementOverviewRequest { name: "statements/fire".to_owned() };
    let seen = french.editorial.get_statement_overview(request).await.unwrap().into_inner().overview.unwrap();
    let languages: Vec<_> = seen.languages.iter().map(|language| language.language_code.as_str()).collect();
    assert_eq!(languages, ["fr"]);
    refused(french.try_save(draft("fire", "de")).await, Code::PermissionDenied, "OUT_OF_SCOPE");
    author.save("fire", "de", words("Ein Feuer")).await;
    // Whether there is a draft by now is not told.
    refused(french.try_save(draft("fire", "de")).await, Code::PermissionDenied, "OUT_OF_SCOPE");
    let etag = seen.languages[0].draft.as_ref().unwrap().etag.clone();
    french.try_save(v1::Draft { etag, ..draft("fire", "fr") }).await.unwrap();
    let listed = v1::ListDraftsRequest { parent: "statements/-".to_owned(), ..Default::default() };
    let listed = french.editorial.list_drafts(listed).await.unwrap().into_inner().drafts;
    assert_eq!(listed.iter().map(|draft| draft.name.as_str()).collect::<Vec<_>>(), ["statements/fire/drafts/fr"]);
    let mut other = holder(&service, &other);
    assert_eq!(said(other.try_save(draft("fire", "fr")).await), said(other.try_save(draft("missing", "fr")).await));
}

pub(super) fn draft(id: &str, language: &str) -> v1::Draft {
    let name = format!("statements/{id}/drafts/{language}");
    v1::Draft { name, content: Some(words("Other words")), ..Default::default() }
}

pub(super) fn statements(deliveries: &[v1::Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| delivery.event.as_ref().unwrap().statement.clone()).collect()
}

/// The statements in a snapshot, live ones and those under embargo.
pub(super) async fn snapshot(site: &mut Person, include_embargoed: bool) -> Vec<String> {
    let request = v1::SubscribeRequest { include_embargoed, ..from(v1::Start::Snapshot) };
    let (mut stream, mut found) = (site.follow(request).await.unwrap(), Vec::new());
    loop {
        match stream.next().await {
            Message::Snapshot(part) => {
                found.extend(part.live.iter().map(|live| live.statement.clone()));
                found.extend(part.embargoes.iter().map(|embargo| embargo.statement.clone()));
            }
            Message::SnapshotEnd(_) => return found,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_under_embargo_goes_to_those_with_clearance_alone() {
    let mut policy = Policy::new();
    let desk = Desk::new(&mut policy);
    let plain = policy.role(Role::Subscriber);
    policy.grant("cleared", "roles = [\"subscriber\"]\naudiences = [\"press\"]\nembargoed = true");
    let cleared = policy.token("cleared", "");
    let (service, _access) = policy.serve().await;
    desk.embargo(&service, "report", for_audience("A report", "press")).await;
    desk.embargo(&service, "internal", for_audience("A plan", "staff")).await;
    for (token, seen) in [(&plain, Vec::new()), (&cleared, vec!["statements/report"])] {
        let mut site = holder(&service, token);
        let start = v1::Start::Beginning.into();
        let page = v1::ReadFeedRequest { start, include_embargoed: true, ..Default::default() };
        let page = site.feed.read_feed(page).await.unwrap().into_inner().deliveries;
        assert_eq!(statements(&page), seen);
        assert_eq!(snapshot(&mut site, true).await, seen);
        for id in ["report", "internal"] {
            assert_eq!(said(site.read(id, "en").await), said(site.read("missing", "en").await));
        }
    }
    // Nor is anybody else told that there was one, once it was called off.
    let mut publisher = holder(&service, &desk.publisher);
    let name = "statements/report/releases/en".to_owned();
    let release = publisher.release("report", "en").await.unwrap();
    let reason = "It is not true.".to_owned();
    let request = v1::CancelReleaseRequest { name, etag: release.etag, reason, ..Default::default() };
    publisher.editorial.cancel_release(request).await.unwrap();
    let start = v1::Start::Beginning.into();
    let page = v1::ReadFeedRequest { start, include_embargoed: true, ..Default::default() };
    let page = holder(&service, &plain).feed.read_feed(page).await.unwrap().into_inner().deliveries;
    assert_eq!(statements(&page), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_with_two_tokens_is_one_person() {
    let mut policy = Policy::new();
    policy.grant("anna", "roles = [\"author\", \"reviewer\"]");
    let (one, other) = (policy.token("anna", ""), policy.token("anna", ""));
    let (service, _access) = policy.serve().await;
    let mut author = holder(&service, &one);
    author.create("fire", "en").await;
    let draft = author.save("fire", "en", words("A fire")).await;
    let draft = author.submit(&draft).await.unwrap();
    refused(holder(&service, &other).approve(&draft).await, Code::PermissionDenied, "OWN_TEXT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_speaks_for_itself_alone() {
    let mut policy = Policy::new();
    let operator = policy.role(Role::Operator);
    policy.grant("paris", "roles = [\"subscriber\"]\nsubscriptions = [\"paris\"]");
    let paris = policy.token("paris", "");
    let (service, _access) = policy.serve().await;
    for id in ["paris", "rome"] {
        let request = v1::CreateSubscriptionRequest {
            subscription_id: id.to_owned(),
            subscription: Some(v1::Subscription::default()),
            ..Default::default()
        };
        holder(&service, &operator).feed.create_subscription(request).await.unwrap();
    }
    let mut site = holder(&service, &paris);
    let request = |id: &str| v1::SubscribeRequest {
        subscription: format!("subscriptions/{id}"),
        ..from(v1::Start::Acknowledged)
    };
    let mut stream = site.follow(request("paris")).await.unwrap();
    let Message::Opened(opened) = stream.next().await else { panic!("it opens") };
    let acknowledge = |id: &str| v1::AcknowledgeRequest {
        name: format!("subscriptions/{id}"),
        generation: opened.generation,
        cursor: opened.cursor.clone(),
    };
    let mut speak = async |id: &str| said(site.feed.acknowledge(acknowledge(id)).await);
    assert_eq!(speak("rome").await, speak("nobody").await);
    let mut site = holder(&service, &paris);
    let mut follow = async |id: &str| said(site.follow(request(id)).await.map(drop));
    assert_eq!(follow("rome").await, follow("nobody").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_site_whose_mandate_changed_begins_anew() {
    let mut policy = Policy::new();
    let (operator, desk) = (policy.role(Role::Operator), Desk::new(&mut policy));
    let mut wider = policy.clone();
    policy.grant("paris", "roles = [\"subscriber\"]\naudiences = [\"press\"]");
    wider.grant("paris", "roles = [\"subscriber\"]\naudiences = [\"press\", \"staff\"]");
    let paris = policy.token("paris", "");
    wider.known("paris", &paris);
    let (service, access) = policy.serve().await;
    let request = v1::CreateSubscriptionRequest {
        subscription_id: "paris".to_owned(),
        subscription: Some(v1::Subscription::default()),
        ..Default::default()
    };
    holder(&service, &operator).feed.create_subscription(request).await.unwrap();
    desk.publish(&service, "theirs", for_audience("Theirs", "staff")).await;
    desk.publish(&service, "ours", for_audience("Ours", "press")).await;
    let mut site = holder(&service, &paris);
    let named = |start| v1::SubscribeRequest { subscription: "subscriptions/paris".to_owned(), ..from(start) };
    let (seen, generation, cursor) = state(site.follow(named(v1::Start::Snapshot)).await.unwrap()).await;
    assert_eq!(seen, ["statements/ours"]);
    let name = "subscriptions/paris".to_owned();
    site.feed.acknowledge(v1::AcknowledgeRequest { name, generation, cursor: cursor.clone() }).await.unwrap();
    site.follow(named(v1::Start::Acknowledged)).await.unwrap();
    let at_cursor = v1::SubscribeRequest { cursor, ..named(v1::Start::Cursor) };
    site.follow(at_cursor.clone()).await.unwrap();

    wider.write();
    access.reload().unwrap();
    for request in [named(v1::Start::Acknowledged), at_cursor.clone()] {
        refused(site.follow(request).await.map(drop), Code::FailedPrecondition, "FILTER_CHANGED");
    }
    // To begin anew is not to have it: what was before is no place to go on from.
    let mut begun = site.follow(named(v1::Start::Snapshot)).await.unwrap();
    let Message::Opened(opened) = begun.next().await else { panic!("it opens") };
    drop(begun);
    let old = v1::AcknowledgeRequest {
        name: "subscriptions/paris".to_owned(),
        generation: opened.generation,
        cursor: at_cursor.cursor.clone(),
    };
    refused(site.feed.acknowledge(old).await, Code::FailedPrecondition, "FILTER_CHANGED");
    for request in [named(v1::Start::Acknowledged), at_cursor] {
        refused(site.follow(request).await.map(drop), Code::FailedPrecondition, "FILTER_CHANGED");
    }
    let (mut seen, generation, cursor) = state(site.follow(named(v1::Start::Snapshot)).await.unwrap()).await;
    seen.sort_unstable();
    assert_eq!(seen, ["statements/ours", "statements/theirs"]);
    let name = "subscriptions/paris".to_owned();
    site.feed.acknowledge(v1::AcknowledgeRequest { name, generation, cursor }).await.unwrap();
    site.follow(named(v1::Start::Acknowledged)).await.unwrap();
}

/// The statements of a snapshot, and what to acknowledge it with.
async fn state(mut stream: Stream) -> (Vec<String>, u64, String) {
    let (mut seen, mut generation) = (Vec::new(), 0);
    loop {
        match stream.next().await {
            Message::Opened(opened) => generation = opened.generation,
            Message::Snapshot(part) => seen.extend(part.live.into_iter().map(|live| live.statement)),
            Message::SnapshotEnd(end) => return (seen, generation, end.cursor),
            other => panic!("a snapshot, not {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_pending_approvals_is_full_of_ones_own() {
    let mut policy = Policy::new();
    let desk = Desk::new(&mut policy);
    policy.grant("french", "roles = [\"reviewer\"]\nlanguages = [\"fr\"]");
    let french = policy.token("french", "");
    let (service, _access) = policy.serve().await;
    let (mut author, mut publisher) = (holder(&service, &desk.author), holder(&service, &desk.publisher));
    author.create("fire", "en").await;
    for language in ["de", "en", "fr"] {
        let draft = author.save("fire", language, words("Now")).await;
        let reason = "There is no time.".to_owned();
        let request = v1::PublishDraftsRequest { force: true, reason, ..Person::publication(&[&draft]) };
        publisher.publish(request).await.unwrap();
    }
    let mut french = holder(&service, &french);
    let first = v1::ListPendingApprovalsRequest { page_size: 1, ..Default::default() };
    let first = french.editorial.list_pending_approvals(first).await.unwrap().into_inner();
    let names: Vec<_> =
        first.pending_approvals.iter().map(|owed| owed.edition.as_ref().unwrap().name.as_str()).collect();
    assert_eq!(names, ["statements/fire/editions/fr.1"]);
    let next = v1::ListPendingApprovalsRequest { page_size: 1, page_token: first.next_page_token };
    let next = french.editorial.list_pending_approvals(next).await.unwrap().into_inner();
    assert!(next.pending_approvals.is_empty() && next.next_page_token.is_empty());
}

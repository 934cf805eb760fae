//! Hidden, gone, redirected and erased.

use onrecord::api::v1::{self, ChangeKind, RemovalMode, event, live};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{REQUEST, events, expunge, hold, shown, take_down, title};
use crate::harness::{Person, Service, approved, chained, changed, publish, refused, words};

#[tokio::test(flavor = "multi_thread")]
async fn hidden_equals_not_found() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    take_down(&service, "fire", RemovalMode::Hidden, "").await.unwrap();
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
    let request = v1::GetEditionRequest {
        name: "statements/fire/editions/en.1".to_owned(),
        content_view: v1::ContentView::Canonical.into(),
    };
    let edition = service.person("reader").statements.get_edition(request).await.unwrap().into_inner().edition.unwrap();
    assert_eq!((edition.content, edition.canonical_content.len()), (None, 0));
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
    let mut previous = "0".repeat(64);
    for event in feed.deliveries.into_iter().map(|delivery| delivery.event.unwrap()) {
        assert_eq!(event.previous_hash, previous);
        assert_eq!(event.hash, chained(&event.previous_hash, &event.seal));
        previous = event.hash;
    }
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
    let request = v1::GetEditionRequest {
        name: "statements/fire/editions/en.1".to_owned(),
        content_view: v1::ContentView::Canonical.into(),
    };
    let edition = service.person("reader").statements.get_edition(request).await.unwrap().into_inner().edition.unwrap();
    assert_eq!((edition.expunged, &edition.content_digest), (true, &first.edition.unwrap().content_digest));
    assert_eq!((&edition.content, edition.canonical_content.len()), (&None, 0));
    let after = events(&service).await;
    for words in ["Unspeakable", "What was wrong."] {
        assert!(!format!("{erased:?}{edition:?}{after:?}").contains(words), "{words}");
    }
    assert_eq!(after.last().unwrap().r#type(), event::Type::Expunged);
    let mut previous = "0".repeat(64);
    for event in &after {
        assert_eq!(event.previous_hash, previous);
        assert_eq!(event.hash, chained(&previous, &event.seal));
        previous.clone_from(&event.hash);
    }
    assert!(
        before.iter().zip(&after).all(|(old, new)| old.hash == new.hash && old.content_digest == new.content_digest)
    );
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
async fn a_listing_that_began_before_does_not_bring_back_what_was_hidden_since() {
    let service = Service::start().await;
    for id in ["fire", "flood"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words(id)).await;
    }
    let mut reader = service.person("reader");
    let first = v1::ListStatementsRequest { page_size: 1, ..Default::default() };
    let page = reader.statements.list_statements(first.clone()).await.unwrap().into_inner();
    assert_eq!(page.live[0].statement, "statements/fire");
    take_down(&service, "flood", RemovalMode::Hidden, "").await.unwrap();
    let next = v1::ListStatementsRequest { page_token: page.next_page_token, ..first };
    let page = reader.statements.list_statements(next).await.unwrap().into_inner();
    assert_eq!(page.live, []);
}

/// What a site is told that follows from the beginning, as often as it asks: by a poll and by a stream.
async fn replays(service: &Service, events: u64) -> [Vec<v1::Delivery>; 2] {
    let start = v1::Start::Beginning.into();
    let request = v1::ReadFeedRequest { start, max_events: 100, ..Default::default() };
    let page = service.person("site").feed.read_feed(request).await.unwrap().into_inner().deliveries;
    [page, service.person("site").follow_all().await.until(events).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_public_now_is_not_shown_of_the_past() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "en", changed("Second", ChangeKind::Major)).await;
    let shows = |deliveries: &[v1::Delivery]| -> Vec<bool> {
        deliveries.iter().map(|delivery| format!("{delivery:?}").contains("in full.")).collect()
    };
    assert_eq!(replays(&service, 2).await.map(|told| shows(&told)), [vec![true, true], vec![true, true]]);
    take_down(&service, "fire", RemovalMode::Gone, "").await.unwrap();
    for told in replays(&service, 3).await {
        assert_eq!(shows(&told), [false, false, false]);
        assert_eq!(told[2].event.as_ref().unwrap().notice.as_ref().unwrap().text, "It is gone.");
    }
    take_down(&service, "fire", RemovalMode::Hidden, "").await.unwrap();
    for told in replays(&service, 4).await {
        assert!(!format!("{told:?}").contains("It is gone."), "nor the notice");
        assert!(told.iter().all(|delivery| delivery.filter_change() == v1::delivery::FilterChange::Left), "{told:?}");
        assert!(!format!("{told:?}").contains("What changed."), "nor the note");
    }
    publish(&service, "fire", "en", changed("Third", ChangeKind::Major)).await;
    for told in replays(&service, 5).await {
        assert_eq!(shows(&told), [true, true, false, false, true], "its history is public again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_keeps_its_reason_and_its_answer_whatever_is_done_at_the_same_moment() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let name = "statements/fire".to_owned();
    let first =
        v1::ExpungeStatementRequest { name: name.clone(), reason_code: "court-order".to_owned(), ..Default::default() };
    let mut lawyer = service.person("lawyer");
    let proposal_id =
        lawyer.editorial.expunge_statement(first).await.unwrap().into_inner().proposal.unwrap().proposal_id;
    let second =
        v1::ExpungeStatementRequest { name, proposal_id, request_id: REQUEST.to_owned(), ..Default::default() };
    let mut judge = service.person("judge");
    let others = (0..20).map(|number| {
        let mut author = service.person("author");
        async move { author.create(&format!("other-{number}"), "en").await }
    });
    let others: JoinSet<_> = others.collect();
    let (answer, _) = tokio::join!(judge.editorial.expunge_statement(second.clone()), others.join_all());
    let answer = answer.unwrap().into_inner();
    hold(&service, "fire", true).await;
    assert_eq!(judge.editorial.expunge_statement(second).await.unwrap().into_inner(), answer);
    let request = v1::ListEntriesRequest { statement: "statements/fire".into(), ..Default::default() };
    let entries = service.person("auditor").editorial.list_entries(request).await.unwrap().into_inner().entries;
    let reasons: Vec<_> = entries.iter().rev().take(2).map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["A trial.", "court-order"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_does_not_come_out_after_a_removal_of_every_language() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let draft = approved(&service, "fire", "de", words("Erste")).await;
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(later).await.unwrap();
    take_down(&service, "fire", RemovalMode::Hidden, "").await.unwrap();
    service.advance(120).await;
    refused(service.person("reader").read("fire", "de").await, Code::NotFound, "STATEMENT_NOT_FOUND");
    let held = service.person("publisher").release("fire", "de").await.unwrap();
    assert_eq!(held.blocked_reason(), v1::release::BlockedReason::Withdrawn);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_text_under_embargo_learns_that_it_was_lifted_though_it_is_gone_since() {
    let service = Service::start().await;
    service.person("author").create("report", "en").await;
    let draft = approved(&service, "report", "en", words("Secret")).await;
    let request =
        v1::PublishDraftsRequest { embargo_end_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(request).await.unwrap();
    let read = |start: v1::Start, cursor: String| v1::ReadFeedRequest {
        start: start.into(),
        cursor,
        include_embargoed: true,
        ..Default::default()
    };
    let mut site = service.person("site");
    let held = site.feed.read_feed(read(v1::Start::Beginning, String::new())).await.unwrap().into_inner();
    assert_eq!(held.deliveries.len(), 1);
    service.advance(60).await;
    take_down(&service, "report", RemovalMode::Gone, "").await.unwrap();
    let rest = site.feed.read_feed(read(v1::Start::Cursor, held.cursor)).await.unwrap().into_inner();
    let lifted: Vec<_> =
        rest.deliveries.iter().map(|delivery| delivery.event.as_ref().unwrap().embargo_lifted).collect();
    assert_eq!(lifted, [true, false]);
    assert!(!format!("{rest:?}").contains("Secret"));
}

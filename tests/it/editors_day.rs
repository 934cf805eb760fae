//! An editor's day by RPC alone: the review queue, differences, earlier revisions, rejections, approvals, proposals and the audit trail.

use onrecord::api::v1::{self, ChangeKind, draft};
use tonic::Code;

use crate::harness::{Person, Service, changed, publish, refused, words};

async fn queue(person: &mut Person, state: draft::State) -> Vec<String> {
    let (parent, state) = ("statements/-".to_owned(), state.into());
    let request = v1::ListDraftsRequest { parent, state, ..Default::default() };
    let drafts = person.editorial.list_drafts(request).await.unwrap().into_inner().drafts;
    drafts.into_iter().map(|draft| draft.name).collect()
}

async fn differences(person: &mut Person, request: v1::DiffDraftRequest) -> v1::DiffDraftResponse {
    person.editorial.diff_draft(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_finds_compares_and_rejects_what_awaits_review() {
    let service = Service::start().await;
    let (mut author, mut reviewer) = (service.person("author"), service.person("reviewer"));
    author.create("fire", "en").await;
    author.create("flood", "en").await;
    publish(&service, "fire", "en", words("A fire")).await;
    author.save("flood", "en", words("A flood")).await;
    let first = author.save("fire", "en", changed("Two fires", ChangeKind::Major)).await;
    service.advance(60).await;
    let content = changed("Three fires", ChangeKind::Major);
    let draft = v1::Draft { name: first.name.clone(), etag: first.etag, content: Some(content), ..Default::default() };
    let second = author.try_save(draft).await.unwrap();
    let submitted = author.submit(&second).await.unwrap();

    assert_eq!(queue(&mut reviewer, draft::State::InReview).await, ["statements/fire/drafts/en"]);
    assert_eq!(queue(&mut reviewer, draft::State::Draft).await, ["statements/flood/drafts/en"]);
    assert_eq!(queue(&mut reviewer, draft::State::Unspecified).await.len(), 2);

    let name = || first.name.clone();
    let from_base = differences(&mut reviewer, v1::DiffDraftRequest { name: name(), ..Default::default() }).await;
    assert_eq!(from_base.from_edition, "statements/fire/editions/en.1");
    assert_eq!(from_base.etag, submitted.etag);
    let title = from_base.differences.iter().find(|diff| diff.field == "title").unwrap();
    assert!(title.unified_diff.contains("-A fire\n") && title.unified_diff.contains("+Three fires\n"), "{title:?}");
    let from_first = v1::DiffDraftRequest { name: name(), from_revision: 1, ..Default::default() };
    let from_first = differences(&mut reviewer, from_first).await.differences;
    assert!(from_first[0].unified_diff.contains("-Two fires\n"), "{from_first:?}");
    let live = v1::DiffDraftRequest {
        name: "statements/flood/drafts/en".to_owned(),
        from_edition: "statements/fire/editions/en.live".to_owned(),
        ..Default::default()
    };
    assert_eq!(differences(&mut reviewer, live).await.from_edition, "statements/fire/editions/en.1");
    let without_base = v1::DiffDraftRequest { name: "statements/flood/drafts/en".to_owned(), ..Default::default() };
    let added = differences(&mut reviewer, without_base).await;
    assert_eq!(added.from_edition, "");
    assert_eq!(added.differences[0].unified_diff, "@@ -0,0 +1 @@\n+A flood\n\\ No newline at end of file\n");

    let request = v1::ListDraftRevisionsRequest { parent: name(), page_size: 1, ..Default::default() };
    let page = reviewer.editorial.list_draft_revisions(request.clone()).await.unwrap().into_inner();
    let token = v1::ListDraftRevisionsRequest { page_token: page.next_page_token.clone(), ..request };
    let rest = reviewer.editorial.list_draft_revisions(token).await.unwrap().into_inner();
    let listed: Vec<_> = page.revisions.iter().chain(&rest.revisions).collect();
    let of = |revision: &&v1::DraftRevision| (revision.revision, revision.editor.clone(), revision.pruned);
    assert_eq!(listed.iter().map(of).collect::<Vec<_>>(), [2, 1].map(|number| (number, "author".to_owned(), false)));
    assert_eq!(listed[1].content_digest, first.content_digest);
    assert_eq!(listed[0].save_time.unwrap().seconds - listed[1].save_time.unwrap().seconds, 60);
    let earlier = v1::GetDraftRevisionRequest { name: name(), revision: 1, ..Default::default() };
    let earlier = reviewer.editorial.get_draft_revision(earlier).await.unwrap().into_inner().revision.unwrap();
    assert_eq!(earlier.content.unwrap().title, "Two fires");
    for revision in [3, u32::MAX] {
        let missing = v1::GetDraftRevisionRequest { name: name(), revision, ..Default::default() };
        refused(reviewer.editorial.get_draft_revision(missing).await, Code::NotFound, "REVISION_NOT_FOUND");
    }

    let reject = v1::RejectDraftRequest {
        name: name(),
        etag: submitted.etag.clone(),
        comment: "Which third?".to_owned(),
        ..Default::default()
    };
    let rejected = reviewer.editorial.reject_draft(reject).await.unwrap().into_inner().draft.unwrap();
    let rejection = rejected.rejection.unwrap();
    assert_eq!((rejection.reviewer.as_str(), rejection.comment.as_str()), ("reviewer", "Which third?"));
    assert_eq!(rejection.content_digest, second.content_digest);
    assert_eq!(queue(&mut reviewer, draft::State::InReview).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_lists_all_statements_and_cancels_a_proposal() {
    let service = Service::start().await;
    let mut author = service.person("author");
    for id in ["empty", "fire", "hidden"] {
        author.create(id, "en").await;
    }
    publish(&service, "fire", "en", words("A fire")).await;
    publish(&service, "hidden", "en", words("A secret")).await;
    crate::awkward_cases::take_down(&service, "hidden", v1::RemovalMode::Hidden, "").await.unwrap();
    let mut publisher = service.person("publisher");
    let remove = v1::RemoveStatementRequest {
        name: "statements/fire".to_owned(),
        mode: v1::RemovalMode::Hidden.into(),
        reason: "Wrong.".to_owned(),
        ..Default::default()
    };
    let proposed = publisher.editorial.remove_statement(remove).await.unwrap().into_inner().proposal.unwrap();

    let names = async |with_proposal_only: bool, page_size: i32| {
        let (mut person, mut names) = (service.person("reviewer"), Vec::new());
        let mut request = v1::ListStatementOverviewsRequest { with_proposal_only, page_size, ..Default::default() };
        loop {
            let page = person.editorial.list_statement_overviews(request.clone()).await.unwrap().into_inner();
            names.extend(page.overviews.into_iter().map(|overview| overview.statement.unwrap().name));
            if page.next_page_token.is_empty() {
                return names;
            }
            request.page_token = page.next_page_token;
        }
    };
    let all = ["statements/empty", "statements/fire", "statements/hidden"];
    for page_size in [1, 2, 0] {
        assert_eq!(names(false, page_size).await, all);
        assert_eq!(names(true, page_size).await, ["statements/fire"]);
    }
    let cancel = |proposal_id: &str| v1::CancelProposalRequest {
        name: "statements/fire".to_owned(),
        proposal_id: proposal_id.to_owned(),
        reason: "It is right.".to_owned(),
        ..Default::default()
    };
    refused(publisher.editorial.cancel_proposal(cancel("another")).await, Code::NotFound, "PROPOSAL_NOT_FOUND");
    publisher.editorial.cancel_proposal(cancel(&proposed.proposal_id)).await.unwrap();
    assert_eq!(names(true, 0).await, [""; 0]);
    let second = v1::RemoveStatementRequest {
        name: "statements/fire".to_owned(),
        proposal_id: proposed.proposal_id,
        ..Default::default()
    };
    let second = service.person("legal").editorial.remove_statement(second).await;
    refused(second, Code::NotFound, "PROPOSAL_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_follows_the_trail_across_a_restart() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("A fire")).await;
    let of = |page: &v1::ListEntriesResponse| -> Vec<_> { page.entries.iter().map(|it| it.action.clone()).collect() };
    let list = async |service: &Service, request: v1::ListEntriesRequest| {
        service.person("auditor").editorial.list_entries(request).await.unwrap().into_inner()
    };
    let all = list(&service, v1::ListEntriesRequest::default()).await;
    assert_eq!(of(&all), ["CreateStatement", "SaveDraft", "SubmitDraft", "ApproveDraft", "PublishDrafts"]);
    assert_eq!((all.next_page_token.as_str(), all.follow_page_token.is_empty()), ("", false));
    let after = list(&service, v1::ListEntriesRequest { after_entry: 3, ..Default::default() }).await;
    assert_eq!(of(&after), ["ApproveDraft", "PublishDrafts"]);
    let by_one = v1::ListEntriesRequest { caller: "reviewer".to_owned(), ..Default::default() };
    let reviewed = list(&service, by_one.clone()).await;
    assert_eq!(of(&reviewed), ["ApproveDraft"]);
    let full = list(&service, v1::ListEntriesRequest { page_size: 5, ..Default::default() }).await;
    assert_eq!((full.entries.len(), full.follow_page_token.is_empty()), (5, false), "the newest entry ends the page");
    let short = list(&service, v1::ListEntriesRequest { page_size: 2, ..Default::default() }).await;
    assert_eq!((short.next_page_token.is_empty(), short.follow_page_token.as_str()), (false, ""));

    service.advance(60).await;
    let now = service.in_seconds(0);
    let service = service.stop().await.start(60).await;
    service.person("author").create("flood", "en").await;
    publish(&service, "flood", "en", words("A flood")).await;
    let follow = v1::ListEntriesRequest { page_token: all.follow_page_token.clone(), ..Default::default() };
    let new = list(&service, follow).await;
    assert_eq!(of(&new), of(&all), "the same steps on another statement");
    assert!(new.entries.iter().all(|entry| entry.statement == "statements/flood"));
    let reviewed = v1::ListEntriesRequest { page_token: reviewed.follow_page_token, ..by_one };
    assert_eq!(of(&list(&service, reviewed).await), ["ApproveDraft"]);
    let since = list(&service, v1::ListEntriesRequest { from_time: now, ..Default::default() }).await;
    assert_eq!(since.entries, new.entries);
}

//! `EditorialService`: parse, submit, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    audit::{self, Asked},
    caller::admitted,
    from_proto::{self, Envelope, both},
    to_proto, v1,
};
use crate::{
    domain::{
        answer::Answer,
        command::{Call, Step},
        digest::Digest,
        id::{Code, StatementId},
        limits::Limits,
        rejection::Rejection,
    },
    journal::{Answered, Journal, JournalError, View},
};

/// The editors' service.
#[derive(Clone, Debug)]
pub struct Editorial {
    pub(super) journal: Journal,
    pub(super) limits: Arc<Limits>,
}

impl Editorial {
    /// Takes the step and returns what a Get with this `content_view` shows of the resources that it changed.
    async fn take(&self, call: Result<Call, Rejection>, content_view: i32) -> Result<to_proto::Answered, Status> {
        let (call, has_texts) = both(call, from_proto::has_texts(content_view)).map_err(audit::refused)?;
        let id = call.command.statement.clone();
        let asked = Asked::new(call.command.step.action().as_str(), &id, call.request_id, call.validate_only);
        let answered = self.journal.submit(call).await.map_err(Status::from);
        let Answered { answer, kind, words, in_another_commit } = asked.tell(answered)?;
        let cached = has_texts.then_some(&words);
        let shown = self.show(&id, kind.as_ref(), &answer, cached).await?;
        let Some(other) = in_another_commit else { return Ok(shown) };
        Ok(shown.settled(&self.show(&id, kind.as_ref(), &other, cached).await?))
    }

    /// Shows an answer with its texts, of which some are cached and the others are read; or without texts, if none are cached.
    async fn show(
        &self,
        id: &StatementId,
        kind: Option<&Code>,
        answer: &Answer,
        cached: Option<&to_proto::Words>,
    ) -> Result<to_proto::Answered, Status> {
        let kind = kind.map_or("", Code::as_str);
        let Some(cached) = cached else { return Ok(to_proto::answered(id, kind, answer, &to_proto::Words::new())) };
        let wanted: Vec<_> = answer.texts().into_iter().map(|(_, text)| text.digest).collect();
        let missing: Vec<_> = wanted.iter().filter(|digest| !cached.contains_key(digest)).copied().collect();
        let mut known = cached.clone();
        if !missing.is_empty() {
            known.extend(self.journal.read(move |view| texts(view, &missing)).await?);
        }
        Ok(to_proto::answered(id, kind, answer, &within_limit(&wanted, &known)))
    }
}

/// `content_view` of calls whose response has no text: unset.
const NO_TEXT: i32 = 0;
/// Bodies that one answer shows, in bytes: it has to fit a client's usual receive limit of 4 MiB, or what was done would look
/// like a failure.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// These texts, until they are more than an answer shows. Blocks.
fn texts(view: &View<'_>, digests: &[Digest]) -> Result<to_proto::Words, JournalError> {
    let (mut texts, mut bytes) = (to_proto::Words::new(), 0);
    for digest in digests {
        let words = view.words(digest)?;
        bytes += words.as_ref().map_or(0, |words| words.canonical.len());
        if bytes > ANSWER_BYTES_MAX {
            break;
        }
        texts.extend(words.map(|words| (*digest, Arc::new(words))));
    }
    Ok(texts)
}

/// The first of these texts, as many as an answer shows.
fn within_limit(wanted: &[Digest], known: &to_proto::Words) -> to_proto::Words {
    let mut bytes = 0;
    let found = wanted.iter().filter_map(|digest| Some((*digest, Arc::clone(known.get(digest)?))));
    let first = found.take_while(|(_, words)| {
        bytes += words.canonical.len();
        bytes <= ANSWER_BYTES_MAX
    });
    first.collect()
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::editorial_service_server::EditorialService for Editorial {
    async fn create_statement(
        &self,
        request: Request<v1::CreateStatementRequest>,
    ) -> Reply<v1::CreateStatementResponse> {
        let shown = self.take(from_proto::create(envelope!(self, request), request.get_ref()), NO_TEXT).await?;
        Ok(Response::new(v1::CreateStatementResponse { statement: shown.statement }))
    }

    async fn update_statement(
        &self,
        request: Request<v1::UpdateStatementRequest>,
    ) -> Reply<v1::UpdateStatementResponse> {
        let shown = self.take(from_proto::update(envelope!(self, request), request.get_ref()), NO_TEXT).await?;
        Ok(Response::new(v1::UpdateStatementResponse { statement: shown.statement }))
    }

    async fn save_draft(&self, request: Request<v1::SaveDraftRequest>) -> Reply<v1::SaveDraftResponse> {
        let shown = self
            .take(from_proto::save(envelope!(self, request), request.get_ref()), request.get_ref().content_view)
            .await?;
        Ok(Response::new(v1::SaveDraftResponse { draft: shown.draft }))
    }

    async fn submit_draft(&self, request: Request<v1::SubmitDraftRequest>) -> Reply<v1::SubmitDraftResponse> {
        let given = request.get_ref();
        let step = |language, etag, _| Step::SubmitDraft { language, etag };
        let shown = self
            .take(
                from_proto::on_draft(envelope!(self, request), &given.name, &given.etag, "", step),
                given.content_view,
            )
            .await?;
        Ok(Response::new(v1::SubmitDraftResponse { draft: shown.draft }))
    }

    async fn approve_draft(&self, request: Request<v1::ApproveDraftRequest>) -> Reply<v1::ApproveDraftResponse> {
        let given = request.get_ref();
        let step = |language, etag, comment| Step::ApproveDraft { language, etag, comment };
        let shown = self
            .take(
                from_proto::on_draft(envelope!(self, request), &given.name, &given.etag, &given.comment, step),
                given.content_view,
            )
            .await?;
        Ok(Response::new(v1::ApproveDraftResponse { draft: shown.draft }))
    }

    async fn reject_draft(&self, request: Request<v1::RejectDraftRequest>) -> Reply<v1::RejectDraftResponse> {
        let given = request.get_ref();
        let step = |language, etag, comment| Step::RejectDraft { language, etag, comment };
        let shown = self
            .take(
                from_proto::on_draft(envelope!(self, request), &given.name, &given.etag, &given.comment, step),
                given.content_view,
            )
            .await?;
        Ok(Response::new(v1::RejectDraftResponse { draft: shown.draft }))
    }

    async fn discard_draft(&self, request: Request<v1::DiscardDraftRequest>) -> Reply<v1::DiscardDraftResponse> {
        let given = request.get_ref();
        let step = |language, etag, _| Step::DiscardDraft { language, etag };
        self.take(from_proto::on_draft(envelope!(self, request), &given.name, &given.etag, "", step), NO_TEXT).await?;
        Ok(Response::new(v1::DiscardDraftResponse {}))
    }

    async fn publish_drafts(&self, request: Request<v1::PublishDraftsRequest>) -> Reply<v1::PublishDraftsResponse> {
        let shown = self
            .take(from_proto::publish(envelope!(self, request), request.get_ref()), request.get_ref().content_view)
            .await?;
        Ok(Response::new(v1::PublishDraftsResponse { live: shown.live, releases: shown.releases }))
    }

    async fn approve_edition(&self, request: Request<v1::ApproveEditionRequest>) -> Reply<v1::ApproveEditionResponse> {
        let shown =
            self.take(from_proto::approve_edition(envelope!(self, request), request.get_ref()), NO_TEXT).await?;
        Ok(Response::new(v1::ApproveEditionResponse { approval: shown.approval }))
    }

    async fn cancel_release(&self, request: Request<v1::CancelReleaseRequest>) -> Reply<v1::CancelReleaseResponse> {
        let shown = self
            .take(from_proto::cancel(envelope!(self, request), request.get_ref()), request.get_ref().content_view)
            .await?;
        Ok(Response::new(v1::CancelReleaseResponse { draft: shown.draft }))
    }

    async fn withdraw_statement(
        &self,
        request: Request<v1::WithdrawStatementRequest>,
    ) -> Reply<v1::WithdrawStatementResponse> {
        let shown = self
            .take(from_proto::withdraw(envelope!(self, request), request.get_ref()), request.get_ref().content_view)
            .await?;
        let (blocked_releases, cancelled_releases) = (shown.held, shown.cancelled);
        Ok(Response::new(v1::WithdrawStatementResponse { live: shown.live, blocked_releases, cancelled_releases }))
    }

    async fn reinstate_statement(
        &self,
        request: Request<v1::ReinstateStatementRequest>,
    ) -> Reply<v1::ReinstateStatementResponse> {
        let shown = self
            .take(from_proto::reinstate(envelope!(self, request), request.get_ref()), request.get_ref().content_view)
            .await?;
        Ok(Response::new(v1::ReinstateStatementResponse { live: shown.live, proposal: shown.proposal }))
    }

    async fn remove_statement(
        &self,
        request: Request<v1::RemoveStatementRequest>,
    ) -> Reply<v1::RemoveStatementResponse> {
        let shown = self
            .take(from_proto::remove(envelope!(self, request), request.get_ref()), request.get_ref().content_view)
            .await?;
        Ok(Response::new(v1::RemoveStatementResponse { live: shown.live, proposal: shown.proposal }))
    }

    async fn expunge_statement(
        &self,
        request: Request<v1::ExpungeStatementRequest>,
    ) -> Reply<v1::ExpungeStatementResponse> {
        let shown = self.take(from_proto::expunge(envelope!(self, request), request.get_ref()), NO_TEXT).await?;
        Ok(Response::new(v1::ExpungeStatementResponse { live: shown.live, proposal: shown.proposal }))
    }

    async fn cancel_proposal(&self, request: Request<v1::CancelProposalRequest>) -> Reply<v1::CancelProposalResponse> {
        self.take(from_proto::cancel_proposal(envelope!(self, request), request.get_ref()), NO_TEXT).await?;
        Ok(Response::new(v1::CancelProposalResponse {}))
    }

    async fn set_legal_hold(&self, request: Request<v1::SetLegalHoldRequest>) -> Reply<v1::SetLegalHoldResponse> {
        let shown = self.take(from_proto::legal_hold(envelope!(self, request), request.get_ref()), NO_TEXT).await?;
        Ok(Response::new(v1::SetLegalHoldResponse { statement: shown.statement }))
    }

    async fn get_statement_overview(
        &self,
        request: Request<v1::GetStatementOverviewRequest>,
    ) -> Reply<v1::GetStatementOverviewResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.overview(request.get_ref(), &mandate).await.map(Response::new)
    }

    async fn list_statement_overviews(
        &self,
        request: Request<v1::ListStatementOverviewsRequest>,
    ) -> Reply<v1::ListStatementOverviewsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.overviews(request.into_inner(), mandate).await.map(Response::new)
    }

    async fn get_draft(&self, request: Request<v1::GetDraftRequest>) -> Reply<v1::GetDraftResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.draft(request.get_ref(), &mandate).await.map(Response::new)
    }

    async fn diff_draft(&self, request: Request<v1::DiffDraftRequest>) -> Reply<v1::DiffDraftResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.diff_draft(request.get_ref(), mandate).await.map(Response::new)
    }

    async fn list_draft_revisions(
        &self,
        request: Request<v1::ListDraftRevisionsRequest>,
    ) -> Reply<v1::ListDraftRevisionsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.draft_revisions(request.into_inner(), mandate).await.map(Response::new)
    }

    async fn get_draft_revision(
        &self,
        request: Request<v1::GetDraftRevisionRequest>,
    ) -> Reply<v1::GetDraftRevisionResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.draft_revision(request.get_ref(), mandate).await.map(Response::new)
    }

    async fn list_drafts(&self, request: Request<v1::ListDraftsRequest>) -> Reply<v1::ListDraftsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.drafts(request.into_inner(), mandate).await.map(Response::new)
    }

    async fn list_pending_approvals(
        &self,
        request: Request<v1::ListPendingApprovalsRequest>,
    ) -> Reply<v1::ListPendingApprovalsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.pending_approvals(request.into_inner(), mandate).await.map(Response::new)
    }

    async fn get_release(&self, request: Request<v1::GetReleaseRequest>) -> Reply<v1::GetReleaseResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.release(request.get_ref(), &mandate).await.map(Response::new)
    }

    async fn list_releases(&self, request: Request<v1::ListReleasesRequest>) -> Reply<v1::ListReleasesResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.releases(request.into_inner(), mandate).await.map(Response::new)
    }

    async fn list_entries(&self, request: Request<v1::ListEntriesRequest>) -> Reply<v1::ListEntriesResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        self.entries(request.into_inner(), mandate).await.map(Response::new)
    }
}

//! What happens to a draft after it was written.

use anyhow::{Context as _, Result};
use owo_colors::OwoColorize as _;

use super::{StepArgs, current};
use crate::{
    api::v1::{
        ApproveDraftRequest, DiscardDraftRequest, Draft, RejectDraftRequest, SubmitDraftRequest, SubmitDraftResponse,
    },
    cli::{
        names::Slot,
        output::{plain, say},
        session::{Session, request_id},
        show,
    },
};

async fn etag(session: &Session, step: &StepArgs) -> Result<String> {
    match &step.etag {
        Some(etag) => Ok(etag.clone()),
        None => Ok(current(session, &step.slot).await?.etag),
    }
}

pub(super) async fn run_submit(session: &Session, step: StepArgs) -> Result<()> {
    let etag = etag(session, &step).await?;
    let answer = submit(session, &step.slot, etag).await?;
    session.format.answer(&answer, |answer| {
        answer.draft.as_ref().map_or(Ok(()), show::draft_line)?;
        Ok(say(format_args!("next: {} draft approve {}", session.by_somebody_else(), step.slot))?)
    })
}

/// Asks for review.
pub(in crate::cli) async fn submit(session: &Session, slot: &Slot, etag: String) -> Result<SubmitDraftResponse> {
    let request = SubmitDraftRequest { name: slot.draft(), etag, request_id: request_id(), ..Default::default() };
    let answer = session.editorial(request, async |mut api, q| api.submit_draft(q).await).await;
    answer.with_context(|| format!("cannot submit {slot}"))
}

pub(super) async fn approve(session: &Session, step: StepArgs, comment: String) -> Result<()> {
    let etag = etag(session, &step).await?;
    let name = step.slot.draft();
    let request = ApproveDraftRequest { name, etag, comment, request_id: request_id(), ..Default::default() };
    let answer = session.editorial(request, async |mut api, q| api.approve_draft(q).await).await?;
    session.format.answer(&answer, |answer| {
        let Draft { approval, content_digest, .. } = answer.draft.clone().unwrap_or_default();
        let approval = approval.unwrap_or_default();
        say(format_args!("{}: approved by {}", step.slot.bold(), plain(&approval.approver)))?;
        say(format_args!("  digest {content_digest}"))?;
        let Slot { statement, language } = &step.slot;
        Ok(say(format_args!("next: onrecord publish {statement} {language}"))?)
    })
}

pub(super) async fn reject(session: &Session, step: StepArgs, comment: String) -> Result<()> {
    let etag = etag(session, &step).await?;
    let name = step.slot.draft();
    let request = RejectDraftRequest { name, etag, comment, request_id: request_id(), ..Default::default() };
    let answer = session.editorial(request, async |mut api, q| api.reject_draft(q).await).await?;
    session.format.answer(&answer, |answer| answer.draft.as_ref().map_or(Ok(()), show::draft_line))
}

pub(super) async fn discard(session: &Session, step: StepArgs) -> Result<()> {
    let etag = etag(session, &step).await?;
    let request = DiscardDraftRequest { name: step.slot.draft(), etag, request_id: request_id(), validate_only: false };
    let answer = session.editorial(request, async |mut api, q| api.discard_draft(q).await).await?;
    session.format.answer(&answer, |_| Ok(say(format_args!("{}: discarded", step.slot.bold()))?))
}

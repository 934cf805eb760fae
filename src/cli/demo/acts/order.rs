//! Day 0: said at once, approved afterwards, then in five languages.

use anyhow::{Context as _, Result, ensure};

use super::ORDER;
use crate::{
    api::v1::{ApproveEditionRequest, Edition, ListPendingApprovalsRequest, PendingApproval, event::Type},
    cli::{
        demo::{desk::When, stage::Stage, story},
        names::short,
        output::brief_digest,
        session::request_id,
    },
};

pub(in crate::cli::demo) async fn play(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::ORDER).await?;
    stage.create("anna", ORDER).await?;
    let draft = stage.write("anna", story::ORDER_EN).await?;
    stage.publish("chris", &[draft], When::Forced).await?;
    stage.heard(&[(Type::Published, "lumeo-order/en")]).await?;
    pay_the_debt(stage).await?;
    translate(stage).await
}

async fn pay_the_debt(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::OWED).await?;
    let owed = owed(stage).await?;
    let edition = owed.first().and_then(|one| one.edition.clone()).context("not as told: no approval is owed")?;
    stage.result(format_args!("{} is owed an approval", short(&edition.name)))?;
    let own = approve(stage, "anna", &edition).await;
    stage.refused(own, "OWN_TEXT")?;
    approve(stage, "bea", &edition).await?;
    ensure!(owed_now(stage).await?.is_empty(), "not as told: the approval is still owed");
    stage.result(format_args!("approved, as the text with the digest {}…", brief_digest(&edition.content_digest)))
}

async fn owed(stage: &mut Stage) -> Result<Vec<PendingApproval>> {
    stage.call("bea", "ListPendingApprovals", "")?;
    owed_now(stage).await
}

async fn owed_now(stage: &Stage) -> Result<Vec<PendingApproval>> {
    let request = ListPendingApprovalsRequest::default();
    let answer =
        stage.quietly("bea")?.editorial(request, async |mut api, q| api.list_pending_approvals(q).await).await?;
    Ok(answer.pending_approvals)
}

async fn approve(stage: &mut Stage, who: &str, edition: &Edition) -> Result<()> {
    let session = stage.call(who, "ApproveEdition", short(&edition.name))?;
    let request = ApproveEditionRequest {
        name: edition.name.clone(),
        content_digest: edition.content_digest.clone(),
        request_id: request_id(),
        ..ApproveEditionRequest::default()
    };
    session.editorial(request, async |mut api, q| api.approve_edition(q).await).await?;
    Ok(())
}

async fn translate(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::TRANSLATIONS).await?;
    let mut drafts = Vec::new();
    for text in story::ORDER_TRANSLATED {
        drafts.push(stage.write("tom", text).await?);
    }
    let drafts = stage.approve("bea", drafts).await?;
    stage.publish("chris", &drafts, When::Now).await?;
    let all = ["ar", "de", "fr", "pt-BR"].map(|language| format!("{ORDER}/{language}"));
    stage.heard(&all.each_ref().map(|slot| (Type::Published, slot.as_str()))).await
}

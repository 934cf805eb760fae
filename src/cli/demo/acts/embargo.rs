//! Day 14: for some ahead of time, for everybody else not there.

use anyhow::{Result, ensure};

use crate::{
    api::v1::event::Type,
    cli::demo::{desk::When, stage::Stage, story},
};

const AUDIT: &str = "lumeo-audit";

pub(in crate::cli::demo) async fn play(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::EMBARGO).await?;
    stage.create("anna", AUDIT).await?;
    let draft = stage.write("anna", story::AUDIT_EN).await?;
    let drafts = stage.approve("bea", vec![draft]).await?;
    let end = stage.ahead(1)?;
    stage.publish("chris", &drafts, When::EmbargoedUntil(end)).await?;
    stage.heard_by_newswire(&[(Type::Embargoed, "lumeo-audit/en")]).await?;
    not_there(stage).await?;
    stage.scene(&story::LIFTED).await?;
    stage.wait_until(end).await?;
    stage.heard(&[(Type::Published, "lumeo-audit/en")]).await?;
    let lifted = stage.newswire().events.last().is_some_and(|event| event.embargo_lifted);
    ensure!(lifted && stage.newswire().mirror.embargoes.is_empty(), "not as told: the embargo was not lifted");
    Ok(())
}

/// What is under embargo is answered as what never was.
async fn not_there(stage: &mut Stage) -> Result<()> {
    let embargoed = stage.read("reader", AUDIT, "en", None).await;
    let embargoed = stage.refused(embargoed, "STATEMENT_NOT_FOUND")?;
    let nothing = stage.read("reader", "lumeo-never", "en", None).await;
    let nothing = stage.refused(nothing, "STATEMENT_NOT_FOUND")?;
    ensure!(embargoed.message() == nothing.message(), "not as told: the refusal gives the embargo away");
    Ok(())
}

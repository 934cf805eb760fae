//! Day 12: a correction while an update waits. The update must not undo it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use owo_colors::OwoColorize as _;

use super::ORDER;
use crate::{
    api::v1::{CancelReleaseRequest, Draft, GetReleaseRequest, Live, Release, event::Type, release::BlockedReason},
    cli::{
        demo::{desk::When, stage::Stage, story},
        names::short,
        session::request_id,
        show,
    },
};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
const POLLS_MAX: u32 = 60;

/// Plays it, and returns a time before the correction.
pub(in crate::cli::demo) async fn play(stage: &mut Stage) -> Result<jiff::Timestamp> {
    let due = schedule(stage).await?;
    let before = jiff::Timestamp::now();
    correct(stage).await?;
    german(stage).await?;
    held(stage, due).await?;
    resume(stage).await?;
    Ok(before)
}

async fn schedule(stage: &mut Stage) -> Result<jiff::Timestamp> {
    stage.scene(&story::SCHEDULE).await?;
    let draft = stage.write("anna", story::APPEAL_EN).await?;
    let drafts = stage.approve("bea", vec![draft]).await?;
    let due = stage.ahead(2)?;
    let answer = stage.publish("chris", &drafts, When::At(due)).await?;
    ensure!(answer.live.is_empty() && answer.releases.len() == 1, "not as told: it was to wait");
    stage.nothing_heard()?;
    Ok(due)
}

async fn correct(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::WRONG).await?;
    let draft = stage.write("anna", story::CORRECTION_EN).await?;
    let drafts = stage.approve("bea", vec![draft]).await?;
    stage.publish("chris", &drafts, When::Now).await?;
    let behind = ["ar", "de", "fr", "pt-BR"].map(|language| format!("{ORDER}/{language}"));
    let mut wanted = vec![(Type::Corrected, "lumeo-order/en")];
    wanted.extend(behind.iter().map(|slot| (Type::TranslationStale, slot.as_str())));
    stage.heard(&wanted).await
}

async fn german(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::GERMAN).await?;
    let draft = stage.write("tom", story::CORRECTION_DE).await?;
    let drafts = stage.approve("bea", vec![draft]).await?;
    stage.publish("chris", &drafts, When::Now).await?;
    stage.heard(&[(Type::Corrected, "lumeo-order/de")]).await
}

async fn held(stage: &mut Stage, due: jiff::Timestamp) -> Result<()> {
    stage.scene(&story::HELD).await?;
    stage.wait_until(due).await?;
    let release = held_release(stage).await?;
    ensure!(release.blocked_reason() == BlockedReason::BaseSuperseded, "not as told: it was not held for its base");
    stage.call("chris", "GetRelease", short(&release.name))?;
    stage.result(format_args!("{} {}", "HELD".bold().red(), show::held(&release)))?;
    stage.nothing_heard()?;
    let live = stage.read("reader", ORDER, "en", None).await?;
    let (edition, body) = edition_and_body(&live);
    ensure!(body.contains(story::RIGHT_FIGURE), "not as told: the correction was undone");
    stage.result(format_args!("{edition}: still “{}”. The correction stands.", story::RIGHT_FIGURE.green()))
}

async fn held_release(stage: &Stage) -> Result<Release> {
    let session = stage.quietly("chris")?;
    for _ in 0..POLLS_MAX {
        let request =
            GetReleaseRequest { name: format!("statements/{ORDER}/releases/en"), ..GetReleaseRequest::default() };
        let answer = session.editorial(request, async |mut api, q| api.get_release(q).await).await?;
        let release = answer.release.context("not as told: the release is gone")?;
        if release.blocked_reason() != BlockedReason::Unspecified {
            return Ok(release);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    anyhow::bail!("not as told: the release is not held, and its time has come")
}

/// The edition and the text that readers are shown.
pub(super) fn edition_and_body(live: &Live) -> (String, String) {
    let edition = live.edition.clone().unwrap_or_default();
    (short(&edition.name), edition.content.unwrap_or_default().body)
}

async fn resume(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::RESUMED).await?;
    let draft = call_off(stage).await?;
    let undo = stage.publish("chris", std::slice::from_ref(&draft), When::Now).await;
    stage.refused(undo, "BASE_SUPERSEDED")?;
    let text = story::APPEAL_EN.replace(story::WRONG_FIGURE, story::RIGHT_FIGURE);
    let draft = stage.rewrite("anna", &text, &draft, "statements/lumeo-order/editions/en.2").await?;
    let drafts = stage.approve("bea", vec![draft]).await?;
    stage.publish("chris", &drafts, When::Now).await?;
    stage.heard(&[(Type::Updated, "lumeo-order/en"), (Type::TranslationStale, "lumeo-order/de")]).await
}

async fn call_off(stage: &mut Stage) -> Result<Draft> {
    let release = held_release(stage).await?;
    let session = stage.call("chris", "CancelRelease", short(&release.name))?;
    let request = CancelReleaseRequest {
        name: release.name,
        etag: release.etag,
        reason: story::CANCEL_REASON.to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let answer = session.editorial(request, async |mut api, q| api.cancel_release(q).await).await?;
    answer.draft.context("not as told: the text did not become a draft again")
}

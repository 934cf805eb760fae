//! Day 25: withdrawn, and still readable.

use anyhow::{Context as _, Result, ensure};
use owo_colors::OwoColorize as _;

use super::{ORDER, correction::edition_and_body};
use crate::{
    api::v1::{WithdrawStatementRequest, event::Type, live::State},
    cli::{
        args::notice,
        demo::{stage::Stage, story},
        output::line,
        session::request_id,
    },
};

pub(in crate::cli::demo) async fn play(stage: &mut Stage) -> Result<()> {
    stage.scene(&story::WITHDRAWAL).await?;
    let session = stage.call("chris", "WithdrawStatement", format_args!("{}  in all languages", ORDER.bold()))?;
    let request = WithdrawStatementRequest {
        name: format!("statements/{ORDER}"),
        notice: Some(notice(story::NOTICE, "text/plain")),
        request_id: request_id(),
        ..WithdrawStatementRequest::default()
    };
    session.editorial(request, async |mut api, q| api.withdraw_statement(q).await).await?;
    let all = ["ar", "de", "en", "fr", "pt-BR"].map(|language| format!("{ORDER}/{language}"));
    stage.heard(&all.each_ref().map(|slot| (Type::Withdrawn, slot.as_str()))).await?;
    still_readable(stage).await
}

/// A reader from Canada gets the French text, and is told that it is withdrawn.
async fn still_readable(stage: &mut Stage) -> Result<()> {
    let live = stage.read("reader", ORDER, "fr-CA", None).await?;
    let (edition, body) = edition_and_body(&live);
    let notice = live.notice.clone().context("not as told: withdrawn without a notice")?;
    ensure!(live.state() == State::Withdrawn && live.language_code == "fr", "not as told: not withdrawn in French");
    ensure!(!body.is_empty(), "not as told: a withdrawn text is not readable");
    let begin = line(&body, 48);
    stage.result(format_args!("{edition} {}: “{begin}”, below “{}”", "WITHDRAWN".red(), line(&notice.text, 32)))
}

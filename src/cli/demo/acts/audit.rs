//! Day 30: what was said when, what is shown now, and the proof.

use anyhow::{Context as _, Result, ensure};
use owo_colors::OwoColorize as _;
use sha2::{Digest as _, Sha256};

use super::{ORDER, correction::edition_and_body};
use crate::{
    api::v1::{ContentView, Event, GetEditionRequest, ListEntriesRequest, ListStatementsRequest, Live},
    cli::{
        demo::{audience::Audience, stage::Stage, story},
        names::short,
        output::{plain, say, say_rows, table},
        watch::{Shown, slot},
    },
};

const PROVED: &str = "statements/lumeo-order/editions/en.2";

pub(in crate::cli::demo) async fn play(stage: &mut Stage, day_12: jiff::Timestamp) -> Result<()> {
    stage.scene(&story::AUDIT).await?;
    let live = stage.read("audit", ORDER, "en", Some(day_12)).await?;
    let (edition, body) = edition_and_body(&live);
    ensure!(edition == "lumeo-order/en.1" && body.contains(story::WRONG_FIGURE), "not as told: the past has changed");
    stage.result(format_args!("{edition}: “{}”, as it was then", story::WRONG_FIGURE))?;
    entries(stage).await?;
    stage.scene(&story::SITE).await?;
    agreement(stage).await?;
    stage.scene(&story::PROOF).await?;
    chains(stage)?;
    proof(stage).await
}

async fn entries(stage: &mut Stage) -> Result<()> {
    let session = stage.call("audit", "ListEntries", "")?;
    let request = ListEntriesRequest { page_size: 1000, ..ListEntriesRequest::default() };
    let answer = session.editorial(request, async |mut api, q| api.list_entries(q).await).await?;
    let forced = answer.entries.iter().find(|entry| entry.reason == story::FORCE_REASON);
    let forced = forced.context("not as told: the audit trail does not say why it was forced")?;
    let count = answer.entries.len();
    stage.result(format_args!("{count} steps; {} by {}: “{}”", forced.name, forced.caller, forced.reason))
}

/// Folding what was sent gives what is there.
async fn agreement(stage: &mut Stage) -> Result<()> {
    let session = stage.call("audit", "ListStatements", "")?;
    let request = ListStatementsRequest { page_size: 1000, ..ListStatementsRequest::default() };
    let answer = session.statements(request, async |mut api, q| api.list_statements(q).await).await?;
    let shown_now = &stage.site().mirror.state;
    let named = |live: &Live| (slot(&live.statement, &live.language_code), Shown::of(live));
    ensure!(*shown_now == answer.live.iter().map(named).collect(), "not as told: the site shows something else");
    let mut table = table(["", "SHOWN", "STATE", "EDITION", "TITLE"]);
    for (slot, shown) in shown_now {
        let behind = if shown.stale { "behind the source" } else { "" };
        table.add_row(["", slot, &shown.state, &short(&shown.edition), &format!("{}  {behind}", plain(&shown.title))]);
    }
    say_rows(&table)?;
    stage.result(format_args!("the site and the service agree on all {}", shown_now.len()))
}

fn chains(stage: &Stage) -> Result<()> {
    for audience in [stage.newswire(), stage.site()] {
        let links = chain(audience)?;
        let events = audience.events.len();
        let gaps = if links == events { "" } else { ", with gaps where there was nothing for it" };
        stage.result(format_args!("{:<9}{events} events, {links} links: each hash is right{gaps}", audience.name))?;
    }
    Ok(())
}

/// Checks each event's hash, and each link between neighbours. Who is not sent everything has gaps in the chain.
fn chain(audience: &Audience) -> Result<usize> {
    let mut links = 0;
    let mut before: Option<&Event> = None;
    for event in &audience.events {
        let previous = hex::decode(&event.previous_hash)?;
        let hash = Sha256::new().chain_update(previous).chain_update(&event.seal).finalize();
        ensure!(hex::encode(hash) == event.hash, "not as told: the hash of event {} is wrong", event.sequence);
        let expected = match before {
            Some(before) if before.sequence + 1 == event.sequence => Some(before.hash.clone()),
            None if event.sequence == 1 => Some("0".repeat(64)),
            Some(_) | None => None,
        };
        if let Some(expected) = expected {
            ensure!(expected == event.previous_hash, "not as told: event {} is not chained", event.sequence);
            links += 1;
        }
        before = Some(event);
    }
    Ok(links)
}

async fn proof(stage: &mut Stage) -> Result<()> {
    let session = stage.call("anybody", "GetEdition", format_args!("{}  | sha256sum", short(PROVED).bold()))?;
    let request = GetEditionRequest { name: PROVED.to_owned(), content_view: ContentView::Canonical.into() };
    let answer = session.statements(request, async |mut api, q| api.get_edition(q).await).await?;
    let edition = answer.edition.context("not as told: no edition")?;
    let digest = hex::encode(Sha256::digest(&edition.canonical_content));
    ensure!(digest == edition.content_digest, "not as told: the digest is not that of the text");
    let told = stage.site().events.iter().any(|event| event.edition == PROVED && event.content_digest == digest);
    ensure!(told, "not as told: subscribers were told another digest");
    say(format_args!("{:15}{digest}  {}", "", short(PROVED)).green())?;
    Ok(())
}

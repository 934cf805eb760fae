//! `onrecord statement show`: the editor's view.

use anyhow::Result;
use comfy_table::Cell;
use owo_colors::OwoColorize as _;

use crate::{
    api::v1::{GetStatementOverviewRequest, LanguageOverview, Live, Proposal, Release, Statement, StatementOverview},
    cli::{
        names::{StatementId, short},
        output::{plain, say, say_table, table, word},
        session::Session,
        show, times,
    },
};

pub(super) async fn run(session: &Session, id: &StatementId) -> Result<()> {
    let request = GetStatementOverviewRequest { name: id.name() };
    let answer = session.editorial(request, async |mut api, q| api.get_statement_overview(q).await).await?;
    session.format.answer(&answer, |answer| answer.overview.as_ref().map_or(Ok(()), people))
}

fn people(overview: &StatementOverview) -> Result<()> {
    overview.statement.as_ref().map_or(Ok(()), head)?;
    let mut table = table(["LANGUAGE", "LIVE", "DRAFT", "RELEASE", "EDITIONS"]);
    for slots in &overview.languages {
        table.add_row(row(slots));
    }
    say_table(&table, "Nothing has been written yet.")?;
    overview.proposal.as_ref().map_or(Ok(()), proposal)
}

fn head(statement: &Statement) -> Result<()> {
    let (name, kind) = (short(&statement.name), plain(&statement.kind));
    let hold = if statement.legal_hold { "  LEGAL HOLD" } else { "" };
    say(format_args!("{}  {kind}, source language {}{}", name.bold(), statement.source_language_code, hold.red()))?;
    let created = times::brief(statement.create_time.as_ref());
    say(format_args!("created {created} by {}", plain(&statement.creator)).dimmed())?;
    if !statement.owner.is_empty() {
        say(format_args!("owner {}", plain(&statement.owner)).dimmed())?;
    }
    let mut annotations: Vec<_> = statement.annotations.iter().collect();
    annotations.sort();
    for (key, value) in annotations {
        say(format_args!("{}={}", plain(key), plain(value)).dimmed())?;
    }
    Ok(())
}

fn row(slots: &LanguageOverview) -> [Cell; 5] {
    let mut live = slots.live.as_ref().map(live).unwrap_or_default();
    if slots.hidden {
        live.push_str(", hidden");
    }
    let draft = slots.draft.as_ref().map(|draft| {
        let problems = draft.submit_problems.len();
        let lacks = if problems == 0 { String::new() } else { format!(", {problems} to mend") };
        format!("{}{lacks}", show::draft_state(draft))
    });
    [
        Cell::new(&slots.language_code),
        Cell::new(live),
        Cell::new(draft.unwrap_or_default()),
        Cell::new(slots.release.as_ref().map(release).unwrap_or_default()),
        Cell::new(slots.edition_count),
    ]
}

fn live(live: &Live) -> String {
    let edition = live.edition.as_ref().map(|edition| short(&edition.name)).unwrap_or_default();
    let stands = word(live.state().as_str_name(), "STATE_");
    let stale = if live.stale_since_edition.is_empty() { "" } else { ", stale" };
    format!("{edition} {stands}{stale}")
}

fn release(release: &Release) -> String {
    let state = word(release.state().as_str_name(), "STATE_");
    let time = times::brief(release.release_time.as_ref());
    match show::held(release) {
        "" => format!("{state} {time}"),
        held => format!("HELD ({held}), was for {time}"),
    }
}

fn proposal(proposal: &Proposal) -> Result<()> {
    let action = word(proposal.action().as_str_name(), "ACTION_");
    let (who, why) = (plain(&proposal.proposer), plain(&proposal.reason));
    let until = times::brief(proposal.expire_time.as_ref());
    let languages = proposal.language_codes.join(" ");
    say(format_args!("{} {who} asks for {action} of {languages}: {why}", "A second person is awaited:".yellow()))?;
    Ok(say(format_args!("  proposal {}, lapses {until}", proposal.proposal_id))?)
}

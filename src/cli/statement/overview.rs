//! `onrecord statement show`, `overviews` and `cancel-proposal`: statements for editors.

use anyhow::{Context as _, Result};
use comfy_table::Cell;
use owo_colors::OwoColorize as _;

use crate::{
    api::v1::{
        CancelProposalRequest, GetStatementOverviewRequest, GetStatementOverviewResponse, LanguageOverview,
        ListStatementOverviewsRequest, ListStatementOverviewsResponse, Live, Proposal, Release, Statement,
        StatementOverview,
    },
    cli::{
        args::Limit,
        failure::Refusal,
        names::{StatementId, short},
        output::{plain, say, say_table, table, word},
        pages,
        session::{Session, request_id},
        show, times,
    },
};

pub(super) async fn run(session: &Session, id: &StatementId) -> Result<()> {
    let answer = fetch(session, id).await?;
    session.format.answer(&answer, |answer| answer.overview.as_ref().map_or(Ok(()), people))
}

async fn fetch(session: &Session, id: &StatementId) -> Result<GetStatementOverviewResponse> {
    let request = GetStatementOverviewRequest { name: id.name() };
    session.editorial(request, async |mut api, q| api.get_statement_overview(q).await).await
}

pub(super) async fn list(session: &Session, with_proposal_only: bool, limit: Limit) -> Result<()> {
    let list: ListStatementOverviewsResponse = pages::all(limit, async |page_size, page_token| {
        let request = ListStatementOverviewsRequest { with_proposal_only, page_size, page_token };
        session.editorial(request, async |mut api, q| api.list_statement_overviews(q).await).await
    })
    .await?;
    session.format.answer(&list, |list| {
        let mut table = table(["STATEMENT", "LANGUAGE", "LIVE", "DRAFT", "RELEASE", "EDITIONS", "PROPOSAL"]);
        for overview in &list.overviews {
            let name = overview.statement.as_ref().map(|statement| short(&statement.name)).unwrap_or_default();
            let proposal = overview.proposal.as_ref();
            let proposal = proposal.map(|it| word(it.action().as_str_name(), "ACTION_")).unwrap_or_default();
            let empty = [(); 5].map(|()| Cell::new(""));
            let rows: Vec<_> = overview.languages.iter().map(row).collect();
            for cells in if rows.is_empty() { vec![empty] } else { rows } {
                table.add_row([Cell::new(&name)].into_iter().chain(cells).chain([Cell::new(proposal)]));
            }
        }
        say_table(&table, "There is no statement.")
    })
}

pub(super) async fn cancel_proposal(
    session: &Session,
    id: &StatementId,
    proposal: Option<String>,
    reason: String,
) -> Result<()> {
    let proposal_id = if let Some(proposal) = proposal {
        proposal
    } else {
        let proposal = fetch(session, id).await?.overview.and_then(|overview| overview.proposal);
        let missing = || Refusal::NotFound(format!("no step of {id} awaits a second person"));
        proposal.with_context(missing)?.proposal_id
    };
    let request =
        CancelProposalRequest { name: id.name(), proposal_id, reason, request_id: request_id(), validate_only: false };
    let answer = session.editorial(request, async |mut api, q| api.cancel_proposal(q).await).await?;
    session.format.answer(&answer, |_| Ok(say(format_args!("{}: the proposal is cancelled", id.to_string().bold()))?))
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

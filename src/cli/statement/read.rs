//! What readers are shown: `get`, `list`, `history`.

use anyhow::Result;
use owo_colors::OwoColorize as _;

use crate::{
    api::v1::{
        Content, GetStatementRequest, ListEditionsRequest, ListEditionsResponse, ListStatementsRequest,
        ListStatementsResponse, Live, PublicStatement, live,
    },
    cli::{
        args::{FilterArgs, Limit},
        names::{StatementId, short},
        output::{plain, say, say_table, word},
        pages,
        session::Session,
        show,
        times::{self, Moment},
    },
};

pub(super) async fn get(session: &Session, id: &StatementId, language: String, as_of: Option<Moment>) -> Result<()> {
    let as_of_time = as_of.map(Moment::timestamp);
    let request =
        GetStatementRequest { name: id.name(), language_code: language, as_of_time, ..GetStatementRequest::default() };
    let answer = session.statements(request, async |mut api, q| api.get_statement(q).await).await?;
    session.format.answer(&answer, |answer| answer.statement.as_ref().map_or(Ok(()), people))
}

fn people(statement: &PublicStatement) -> Result<()> {
    let Some(live) = &statement.live else { return Ok(()) };
    let edition = live.edition.clone().unwrap_or_default();
    say(format_args!("{}  {}", short(&edition.name).bold(), state(live)))?;
    let asked = &statement.requested_language_code;
    if !asked.is_empty() && *asked != live.language_code {
        say(format_args!("{} is not there: this is {}", asked.yellow(), live.language_code))?;
    }
    say(format_args!("languages {}", statement.available_language_codes.join(" ")).dimmed())?;
    let published = times::brief(edition.publish_time.as_ref());
    say(format_args!("published {published}, digest {}", edition.content_digest).dimmed())?;
    if let Some(correction) = &edition.correction {
        say(format_args!("{} {}", "Correction:".yellow(), plain(&correction.text)))?;
    }
    edition.content.as_ref().map_or(Ok(()), content)
}

/// How it stands, then what readers have to know about that, one a line.
fn state(live: &Live) -> String {
    let stands = word(live.state().as_str_name(), "STATE_");
    let stands = match live.state() {
        live::State::Published => stands.green().to_string(),
        live::State::Withdrawn
        | live::State::Expired
        | live::State::Gone
        | live::State::Redirected
        | live::State::Expunged
        | live::State::Unspecified => stands.red().to_string(),
    };
    let notice = live.notice.as_ref().map(|notice| format!("{} {}", "Notice:".red(), plain(&notice.text)));
    let named = |name: &str, label: String| (!name.is_empty()).then(|| format!("{label} {}", short(name)));
    let redirect = named(&live.redirect_statement, "see".to_owned());
    let stale = named(&live.stale_since_edition, "does not reflect".yellow().to_string());
    let lines: Vec<_> = std::iter::once(stands).chain(notice).chain(redirect).chain(stale).collect();
    lines.join("\n")
}

fn content(content: &Content) -> Result<()> {
    say(format_args!("\n{}", plain(&content.title).bold()))?;
    for text in [&content.summary, &content.body].into_iter().filter(|text| !text.is_empty()) {
        say(format_args!("\n{}", plain(text.trim_end())))?;
    }
    for attachment in &content.attachments {
        say(format_args!("\n{} {}", plain(&attachment.title), plain(&attachment.uri).underline()))?;
    }
    Ok(())
}

pub(super) async fn list(session: &Session, filter: &FilterArgs, limit: Limit) -> Result<()> {
    let list: ListStatementsResponse = pages::all(limit, async |page_size, page_token| {
        let filter = filter.filter();
        let request = ListStatementsRequest { filter, page_size, page_token, ..ListStatementsRequest::default() };
        session.statements(request, async |mut api, q| api.list_statements(q).await).await
    })
    .await?;
    session.format.answer(&list, |list| say_table(&show::live_table(&list.live), "Nothing is live."))
}

pub(super) async fn history(session: &Session, id: &StatementId, language: &str, limit: Limit) -> Result<()> {
    let list: ListEditionsResponse = pages::all(limit, async |page_size, page_token| {
        let language_code = language.to_owned();
        let request = ListEditionsRequest { parent: id.name(), language_code, page_size, page_token };
        session.statements(request, async |mut api, q| api.list_editions(q).await).await
    })
    .await?;
    session.format.answer(&list, |list| say_table(&show::edition_table(&list.editions), "No edition yet."))
}

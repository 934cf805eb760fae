//! `onrecord release`: what waits for its time.

use anyhow::{Context as _, Result};
use clap::Subcommand;
use owo_colors::OwoColorize as _;

use super::{
    args::Limit,
    draft_file,
    failure::Refusal,
    names::{self, Slot, StatementId, short},
    output::{say, say_table, write_text},
    pages,
    session::{Session, request_id},
    show,
};
use crate::api::v1::{
    CancelReleaseRequest, CancelReleaseResponse, GetReleaseRequest, GetReleaseResponse, ListReleasesRequest,
    ListReleasesResponse,
};

const LIST_EXAMPLES: &str = "\
Examples:
  onrecord release list                 everything that waits
  onrecord release list --held          only what will not go out by itself
  onrecord release list recall-7";

const GET_EXAMPLES: &str = "\
Examples:
  onrecord release get recall-7/de
  onrecord release get recall-7/de > recall-7.de.md     before it is called off";

const CANCEL_EXAMPLES: &str = "\
Examples:
  onrecord release cancel recall-7/de --reason 'figure to be checked'";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What is scheduled or under embargo.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Only this statement
        #[arg(value_name = "ID")]
        statement: Option<StatementId>,
        /// Only what is held
        #[arg(long)]
        held: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Print what waits, as a file for `draft save`.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// Which, e.g. recall-7/de
        #[arg(value_name = "ID/LANG")]
        slot: Slot,
    },
    /// Call a release off. A scheduled text becomes a draft again; an embargoed one is recalled from those who hold it.
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel {
        /// Which, e.g. recall-7/de
        #[arg(value_name = "ID/LANG")]
        slot: Slot,
        /// The release's etag [default: that of the release as it is now]
        #[arg(long, value_parser = names::etag)]
        etag: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::List { statement, held, limit } => list(session, statement, held, limit).await,
            Self::Get { slot } => get(session, &slot).await,
            Self::Cancel { slot, etag, reason } => cancel(session, &slot, etag, reason).await,
        }
    }
}

async fn list(session: &Session, statement: Option<StatementId>, blocked_only: bool, limit: Limit) -> Result<()> {
    let parent = statement.map_or_else(|| "statements/-".to_owned(), |id| id.name());
    let list: ListReleasesResponse = pages::all(limit, async |page_size, page_token| {
        let request = ListReleasesRequest { parent: parent.clone(), blocked_only, page_size, page_token };
        session.editorial(request, async |mut api, q| api.list_releases(q).await).await
    })
    .await?;
    session.format.answer(&list, |list| say_table(&show::release_table(&list.releases), "Nothing waits."))
}

async fn cancel(session: &Session, slot: &Slot, etag: Option<String>, reason: String) -> Result<()> {
    let etag = match etag {
        Some(etag) => etag,
        None => current_etag(session, slot).await?,
    };
    let request =
        CancelReleaseRequest { name: slot.release(), etag, reason, request_id: request_id(), ..Default::default() };
    let answer = session.editorial(request, async |mut api, q| api.cancel_release(q).await).await?;
    session.format.answer(&answer, |answer| people(slot, answer))
}

async fn get(session: &Session, slot: &Slot) -> Result<()> {
    let answer = fetch(session, slot).await?;
    session.format.answer(&answer, |answer| {
        let release = answer.release.clone().unwrap_or_default();
        Ok(write_text(&draft_file::text_of_release(slot, release)?)?)
    })
}

async fn fetch(session: &Session, slot: &Slot) -> Result<GetReleaseResponse> {
    let request = GetReleaseRequest { name: slot.release(), ..GetReleaseRequest::default() };
    session.editorial(request, async |mut api, q| api.get_release(q).await).await
}

async fn current_etag(session: &Session, slot: &Slot) -> Result<String> {
    let release = fetch(session, slot).await?.release;
    Ok(release.with_context(|| Refusal::NotFound(format!("no release of {slot}")))?.etag)
}

fn people(slot: &Slot, answer: &CancelReleaseResponse) -> Result<()> {
    say(format_args!("{}: called off", slot.bold()))?;
    match &answer.draft {
        Some(draft) => Ok(say(format_args!("  the text is the draft {} again", short(&draft.name)))?),
        None => Ok(say("  the text is in no slot any more: save it anew if it is still wanted")?),
    }
}

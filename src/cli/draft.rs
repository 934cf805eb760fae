//! `onrecord draft`: write, review, approve.

mod revisions;
mod save;
mod steps;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};

use super::{
    args::Limit,
    draft_file,
    failure::Refusal,
    names::{self, EditionName, Slot, StatementId},
    output::{say_table, write_text},
    pages,
    session::Session,
    show,
};
use crate::api::v1::{Draft, GetDraftRequest, GetDraftResponse, ListDraftsRequest, ListDraftsResponse, draft};

pub(super) use self::{
    save::{Current, save},
    steps::submit,
};

const SAVE_EXAMPLES: &str = "\
Examples:
  onrecord draft save recall-7.en.md                  begins a draft, or explains why it cannot
  onrecord draft save recall-7.en.md --overwrite      replaces the draft, whoever wrote it
  onrecord draft save recall-7.en.md --etag ETAG      replaces it if nobody has changed it since

The file:
  ---
  statement: recall-7
  language: en
  title: Recall of the Lumeo Lamp 7
  summary: The Lamp 7 can overheat.
  kind_of_change: initial         # or major (with change_note), minor, correction (with correction)
  topics: [recall]
  regions: [DE, AT]
  renditions:
    social.short: We recall the Lamp 7. Unplug it.
  ---
  The text, as Markdown.

Other keys: media_type, change_note, correction, corrected_edition, correction_renditions, excluded_regions, audiences,
channels, urgency, attachments, claim_reviews, contacts, expire_time, review_due_time, as_of_time,
original_time, source_edition, base_edition.
`onrecord draft get` writes such a file.";

const GET_EXAMPLES: &str = "\
Examples:
  onrecord draft get recall-7/en > recall-7.en.md     a file to edit and to save again
  onrecord draft get recall-7/en --revision 2         an earlier revision";

const REVISIONS_EXAMPLES: &str = "\
Examples:
  onrecord draft revisions recall-7/en                every save of the draft, newest first";

const DIFF_EXAMPLES: &str = "\
Examples:
  onrecord draft diff recall-7/en                     from the edition that the draft is based on
  onrecord draft diff recall-7/en --from recall-7/en.live
  onrecord draft diff recall-7/en --revision 2        from an earlier revision";

const LIST_EXAMPLES: &str = "\
Examples:
  onrecord draft list                   every draft there is
  onrecord draft list --state in-review    those that await a reviewer
  onrecord draft list recall-7";

const SUBMIT_EXAMPLES: &str = "\
Examples:
  onrecord draft submit recall-7/en";

const APPROVE_EXAMPLES: &str = "\
Examples:
  onrecord --caller bea draft approve recall-7/en --comment 'figures checked'
  onrecord --caller bea draft approve recall-7/en --etag ETAG    only the text that you read";

const REJECT_EXAMPLES: &str = "\
Examples:
  onrecord --caller bea draft reject recall-7/en --comment 'where is the number of lamps from?'";

const DISCARD_EXAMPLES: &str = "\
Examples:
  onrecord draft discard recall-7/en";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a draft from a file, or replace one.
    #[command(after_help = SAVE_EXAMPLES)]
    Save {
        /// A Markdown file with a head of YAML
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace the draft that has this etag, and no other
        #[arg(long, conflicts_with = "overwrite", value_parser = names::etag)]
        etag: Option<String>,
        /// Replace whatever draft is there
        #[arg(long)]
        overwrite: bool,
    },
    /// One draft, as a file to edit.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// Which, e.g. recall-7/en
        #[arg(value_name = "ID/LANG")]
        slot: Slot,
        /// An earlier revision
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
    },
    /// List the revisions of a draft, newest first.
    #[command(after_help = REVISIONS_EXAMPLES)]
    Revisions {
        /// The draft, e.g. recall-7/en
        #[arg(value_name = "ID/LANG")]
        slot: Slot,
        #[command(flatten)]
        limit: Limit,
    },
    /// Compare a draft with an edition or an earlier revision.
    #[command(after_help = DIFF_EXAMPLES)]
    Diff {
        /// The draft, e.g. recall-7/en
        #[arg(value_name = "ID/LANG")]
        slot: Slot,
        /// The edition to compare with [default: the one that the draft is based on]
        #[arg(long, value_name = "EDITION", conflicts_with = "revision")]
        from: Option<EditionName>,
        /// The revision to compare with
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
    },
    /// Drafts and how they stand.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Only this statement
        #[arg(value_name = "ID")]
        statement: Option<StatementId>,
        /// Only drafts in this state
        #[arg(long, value_enum)]
        state: Option<State>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Ask for review.
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(StepArgs),
    /// Approve exactly the text that is there now. Never your own.
    #[command(after_help = APPROVE_EXAMPLES)]
    Approve {
        #[command(flatten)]
        step: StepArgs,
        /// What you have to say
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        comment: String,
    },
    /// Send a draft back.
    #[command(after_help = REJECT_EXAMPLES)]
    Reject {
        #[command(flatten)]
        step: StepArgs,
        /// What should change
        #[arg(long, value_name = "TEXT")]
        comment: String,
    },
    /// Throw a draft away.
    #[command(after_help = DISCARD_EXAMPLES)]
    Discard(StepArgs),
}

/// Which draft, as it was read when.
/// State of a draft.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum State {
    Draft,
    InReview,
    Approved,
}

impl State {
    fn on_the_wire(self) -> draft::State {
        match self {
            Self::Draft => draft::State::Draft,
            Self::InReview => draft::State::InReview,
            Self::Approved => draft::State::Approved,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct StepArgs {
    /// Which, e.g. recall-7/en
    #[arg(value_name = "ID/LANG")]
    slot: Slot,
    /// The etag of the draft that you read [default: that of the draft as it is now]
    #[arg(long, value_parser = names::etag)]
    etag: Option<String>,
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Save { file, etag, overwrite } => {
                let file = draft_file::read(&file)?;
                let current = Current::chosen(etag, overwrite);
                let answer = save(session, file, current).await?;
                session.format.answer(&answer, |answer| answer.draft.as_ref().map_or(Ok(()), show::draft_line))
            }
            Self::Get { slot, revision: None } => print(session, &slot).await,
            Self::Get { slot, revision: Some(revision) } => revisions::print(session, &slot, revision).await,
            Self::Revisions { slot, limit } => revisions::list(session, &slot, limit).await,
            Self::Diff { slot, from, revision } => revisions::diff(session, &slot, from, revision).await,
            Self::List { statement, state, limit } => list(session, statement, state, limit).await,
            Self::Submit(step) => steps::run_submit(session, step).await,
            Self::Approve { step, comment } => steps::approve(session, step, comment).await,
            Self::Reject { step, comment } => steps::reject(session, step, comment).await,
            Self::Discard(step) => steps::discard(session, step).await,
        }
    }
}

async fn print(session: &Session, slot: &Slot) -> Result<()> {
    let answer = fetch(session, slot).await?;
    session.format.answer(&answer, |answer| {
        let text = answer.draft.as_ref().map(draft_file::text).transpose()?.unwrap_or_default();
        Ok(write_text(&text)?)
    })
}

async fn list(session: &Session, statement: Option<StatementId>, state: Option<State>, limit: Limit) -> Result<()> {
    let parent = statement.map_or_else(|| "statements/-".to_owned(), |id| id.name());
    let state = i32::from(state.map_or(draft::State::Unspecified, State::on_the_wire));
    let list: ListDraftsResponse = pages::all(limit, async |page_size, page_token| {
        let request = ListDraftsRequest { parent: parent.clone(), state, page_size, page_token };
        session.editorial(request, async |mut api, q| api.list_drafts(q).await).await
    })
    .await?;
    session.format.answer(&list, |list| say_table(&show::draft_table(&list.drafts), "There is no draft."))
}

async fn fetch(session: &Session, slot: &Slot) -> Result<GetDraftResponse> {
    let request = GetDraftRequest { name: slot.draft(), ..GetDraftRequest::default() };
    session.editorial(request, async |mut api, q| api.get_draft(q).await).await
}

/// The draft as it is now.
pub(super) async fn current(session: &Session, slot: &Slot) -> Result<Draft> {
    let draft = fetch(session, slot).await?.draft;
    draft.with_context(|| Refusal::NotFound(format!("no draft {slot}")))
}

//! `onrecord statement`: create, read and compare statements.

mod canonical;
pub(super) mod diff;
mod overview;
mod read;

use anyhow::Result;
use clap::Subcommand;
use owo_colors::OwoColorize as _;

use super::{
    args::{self, FilterArgs, Limit},
    names::{EditionName, StatementId, short},
    output::{plain, say},
    session::{Session, request_id},
    times::Moment,
};
use crate::api::v1::{CreateStatementRequest, Statement};

const CREATE_EXAMPLES: &str = "\
Examples:
  onrecord statement create recall-7 --kind notice --source-language en
  onrecord statement create recall-7 --kind notice --source-language en --annotation ticket=CD-118";

const GET_EXAMPLES: &str = "\
Examples:
  onrecord statement get recall-7                         in its source language
  onrecord statement get recall-7 --language de-AT        in German, if there is no Austrian
  onrecord statement get recall-7 --as-of 2026-11-12T14:05:00Z";

const LIST_EXAMPLES: &str = "\
Examples:
  onrecord statement list
  onrecord statement list --kind press-release,notice --language de --region AT";

const HISTORY_EXAMPLES: &str = "\
Examples:
  onrecord statement history recall-7                     every edition, newest first
  onrecord statement history recall-7 --language de";

const DIFF_EXAMPLES: &str = "\
Examples:
  onrecord statement diff recall-7/de.1 recall-7/de.live
  onrecord statement diff recall-7/en.1 recall-7/en.2 --color never > recall-7.diff";

const CANONICAL_EXAMPLES: &str = "\
Examples:
  onrecord statement canonical recall-7/en.1 | sha256sum     gives the digest that approvals and events name";

const OVERVIEWS_EXAMPLES: &str = "\
Examples:
  onrecord statement overviews                      all statements, also those that are hidden or have no text yet
  onrecord statement overviews --with-proposal      those with a step that awaits a second person";

const CANCEL_PROPOSAL_EXAMPLES: &str = "\
Examples:
  onrecord statement cancel-proposal recall-7 --reason 'the text was right'";

const SHOW_EXAMPLES: &str = "\
Examples:
  onrecord statement show recall-7      drafts, releases and what is live, in every language";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a statement, with nothing in it yet.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// What readers are shown.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// The statement
        #[arg(value_name = "ID")]
        statement: StatementId,
        /// The language wanted [default: the source language]
        #[arg(long, value_name = "LANG", default_value = "", hide_default_value = true)]
        language: String,
        /// What was shown then
        #[arg(long, value_name = "TIME")]
        as_of: Option<Moment>,
    },
    /// Everything that is live.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        limit: Limit,
    },
    /// The editions and why each was made, newest first.
    #[command(after_help = HISTORY_EXAMPLES)]
    History {
        /// The statement
        #[arg(value_name = "ID")]
        statement: StatementId,
        /// Only this language
        #[arg(long, value_name = "LANG", default_value = "", hide_default_value = true)]
        language: String,
        #[command(flatten)]
        limit: Limit,
    },
    /// What differs between two editions.
    #[command(after_help = DIFF_EXAMPLES)]
    Diff {
        /// The older edition, e.g. recall-7/de.1
        #[arg(value_name = "FROM")]
        from: EditionName,
        /// The newer edition, e.g. recall-7/de.live
        #[arg(value_name = "TO")]
        to: EditionName,
    },
    /// The bytes that an edition's digest is the SHA-256 of.
    #[command(after_help = CANONICAL_EXAMPLES)]
    Canonical {
        /// The edition, e.g. recall-7/en.1
        #[arg(value_name = "EDITION")]
        edition: EditionName,
    },
    /// The editor's view: every slot of every language.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The statement
        #[arg(value_name = "ID")]
        statement: StatementId,
    },
    /// List statements for editors, also those that are hidden or have no text yet.
    #[command(after_help = OVERVIEWS_EXAMPLES)]
    Overviews {
        /// Only statements with a step that awaits a second person
        #[arg(long)]
        with_proposal: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Cancel the step that awaits a second person.
    #[command(after_help = CANCEL_PROPOSAL_EXAMPLES)]
    CancelProposal {
        /// The statement
        #[arg(value_name = "ID")]
        statement: StatementId,
        /// The proposal that you read [default: that of the statement now]
        #[arg(long, value_name = "PROPOSAL")]
        proposal: Option<String>,
        /// Reason, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Its id for ever: 1 to 63 of a-z, 0-9 and inner hyphens
    #[arg(value_name = "ID")]
    statement: StatementId,
    /// What sort of statement, e.g. press-release, rebuttal, notice
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// The language that the others are translated from
    #[arg(long, value_name = "LANG")]
    source_language: String,
    /// The team that owns it
    #[arg(long, value_name = "TEAM", default_value = "", hide_default_value = true)]
    owner: String,
    /// A note for tools, never public; repeat for more
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = args::annotation)]
    annotations: Vec<(String, String)>,
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create(args) => create(session, args).await,
            Self::Get { statement, language, as_of } => read::get(session, &statement, language, as_of).await,
            Self::List { filter, limit } => read::list(session, &filter, limit).await,
            Self::History { statement, language, limit } => read::history(session, &statement, &language, limit).await,
            Self::Diff { from, to } => diff::run(session, &from, &to).await,
            Self::Canonical { edition } => canonical::run(session, &edition).await,
            Self::Show { statement } => overview::run(session, &statement).await,
            Self::Overviews { with_proposal, limit } => overview::list(session, with_proposal, limit).await,
            Self::CancelProposal { statement, proposal, reason } => {
                overview::cancel_proposal(session, &statement, proposal, reason).await
            }
        }
    }
}

async fn create(session: &Session, args: CreateArgs) -> Result<()> {
    let request = CreateStatementRequest {
        statement_id: args.statement.to_string(),
        statement: Some(Statement {
            kind: args.kind,
            source_language_code: args.source_language,
            owner: args.owner,
            annotations: args.annotations.into_iter().collect(),
            ..Statement::default()
        }),
        request_id: request_id(),
        validate_only: false,
    };
    let answer = session.editorial(request, async |mut api, q| api.create_statement(q).await).await?;
    session.format.answer(&answer, |answer| {
        let statement = answer.statement.clone().unwrap_or_default();
        let (name, kind) = (short(&statement.name), plain(&statement.kind));
        Ok(say(format_args!("{}: created, {kind} in {}", name.bold(), statement.source_language_code))?)
    })
}

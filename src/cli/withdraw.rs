//! `onrecord withdraw`.

use anyhow::Result;
use owo_colors::OwoColorize as _;

use super::{
    args,
    names::{StatementId, short},
    output::{say, say_rows},
    session::{Session, request_id},
    show,
};
use crate::api::v1::{Notice, Rendition, WithdrawStatementRequest, WithdrawStatementResponse};

const EXAMPLES: &str = "\
Examples:
  onrecord withdraw recall-7 --notice 'The recall has ended. See recall-9.'
  onrecord withdraw recall-7 --notice 'The recall has ended.' --rendition 'social.short=The recall of the Lamp 7 has ended.'
  onrecord withdraw recall-7 de fr --notice '<p>Überholt.</p>' --media-type text/html";

/// Stop standing by a statement: it stays readable, with a notice
///
/// On a withdrawn statement: replaces the notice.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The statement
    #[arg(value_name = "ID")]
    statement: StatementId,
    /// The languages [default: all]
    #[arg(value_name = "LANG")]
    languages: Vec<String>,
    /// What readers are told
    #[arg(long, value_name = "TEXT")]
    notice: String,
    /// How the notice is written: text/plain, text/markdown or text/html
    #[arg(long, value_name = "TYPE", default_value = "text/plain")]
    media_type: String,
    /// A shorter form of the notice for one channel; repeat for more
    #[arg(long = "rendition", value_name = "CHANNEL=TEXT", value_parser = args::rendition)]
    renditions: Vec<Rendition>,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let request = WithdrawStatementRequest {
            name: self.statement.name(),
            language_codes: self.languages,
            notice: Some(Notice { renditions: self.renditions, ..args::notice(&self.notice, &self.media_type) }),
            request_id: request_id(),
            ..Default::default()
        };
        let answer = session.editorial(request, async |mut api, q| api.withdraw_statement(q).await).await?;
        session.format.answer(&answer, people)
    }
}

fn people(answer: &WithdrawStatementResponse) -> Result<()> {
    say_rows(&show::live_table(&answer.live))?;
    for release in &answer.blocked_releases {
        say(format_args!("{} the scheduled release {}", "held".yellow(), short(release)))?;
    }
    for release in &answer.cancelled_releases {
        say(format_args!("{} the embargoed release {}", "cancelled".yellow(), short(release)))?;
    }
    Ok(())
}

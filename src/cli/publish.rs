//! `onrecord publish`: now, later, or under embargo.

use anyhow::{Context as _, Result};
use owo_colors::OwoColorize as _;

use super::{
    draft,
    names::{Slot, StatementId},
    output::{say, say_rows},
    session::{Session, request_id},
    show,
    times::{Length, Moment},
};
use crate::api::v1::{DraftToPublish, PublishDraftsRequest, PublishDraftsResponse};

const EXAMPLES: &str = "\
Examples:
  onrecord publish recall-7 en de fr                          approved drafts, in one step, now
  onrecord publish recall-7 en de --at 2026-12-01T09:00:00Z   at a time
  onrecord publish recall-7 en --at +90s --max-lateness 10m   soon; held rather than later
  onrecord publish recall-7 en --embargo-until +2h            cleared subscribers have it now
  onrecord publish recall-7 en --force --reason 'danger'      break glass: an approval is owed";

/// Publish approved drafts of one statement: all of them or none.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("time").args(["at", "embargo_until"]))]
pub(super) struct Args {
    /// The statement
    #[arg(value_name = "ID")]
    statement: StatementId,
    /// The languages
    #[arg(value_name = "LANG", required = true)]
    languages: Vec<String>,
    /// Publish then: RFC 3339, or from now as +90s
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// Publish then, and send it to cleared subscribers now
    #[arg(long, value_name = "TIME")]
    embargo_until: Option<Moment>,
    /// Later than this after the time, hold it instead [default: 1h]. Takes --at or --embargo-until
    #[arg(long, value_name = "LENGTH", requires = "time")]
    max_lateness: Option<Length>,
    #[command(flatten)]
    force: Force,
}

/// Break glass.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Force {
    /// Publish without an approval, and owe it
    #[arg(long, requires = "reason")]
    pub(super) force: bool,
    /// Why it is forced
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "force")]
    pub(super) reason: String,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let mut drafts = Vec::new();
        for language in &self.languages {
            let slot = self.statement.slot(language);
            drafts.push(draft_to_publish(session, &slot).await?);
        }
        let request = PublishDraftsRequest {
            parent: self.statement.name(),
            drafts,
            release_time: self.at.map(Moment::timestamp),
            embargo_end_time: self.embargo_until.map(Moment::timestamp),
            max_lateness: self.max_lateness.map(Length::duration),
            force: self.force.force,
            reason: self.force.reason,
            request_id: request_id(),
            ..Default::default()
        };
        let answer = publish(session, request).await?;
        session.format.answer(&answer, people)
    }
}

async fn draft_to_publish(session: &Session, slot: &Slot) -> Result<DraftToPublish> {
    let draft = draft::current(session, slot).await.with_context(|| format!("cannot publish {slot}"))?;
    Ok(DraftToPublish { language_code: slot.language.clone(), etag: draft.etag })
}

/// Publishes.
pub(super) async fn publish(session: &Session, request: PublishDraftsRequest) -> Result<PublishDraftsResponse> {
    session.editorial(request, async |mut api, q| api.publish_drafts(q).await).await
}

/// Says what is live and what waits.
pub(super) fn people(answer: &PublishDraftsResponse) -> Result<()> {
    if !answer.live.is_empty() {
        say("live".bold().green())?;
        say_rows(&show::live_table(&answer.live))?;
    }
    if !answer.releases.is_empty() {
        say("waiting".bold().yellow())?;
        say_rows(&show::release_table(&answer.releases))?;
    }
    Ok(())
}

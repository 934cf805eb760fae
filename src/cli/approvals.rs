//! `onrecord approvals`, `onrecord approve-edition`: what was published by force, and the approval it owes.

use anyhow::{Context as _, Result};
use owo_colors::OwoColorize as _;

use super::{
    args::Limit,
    failure::Refusal,
    names::{EditionName, short},
    output::{plain, say, say_table, table},
    pages,
    session::{Session, request_id},
    times,
};
use crate::api::v1::{
    ApproveEditionRequest, GetEditionRequest, ListPendingApprovalsRequest, ListPendingApprovalsResponse,
    PendingApproval,
};

const LIST_EXAMPLES: &str = "\
Examples:
  onrecord approvals                    oldest first
  onrecord approve-edition recall-7/en.1 --comment 'checked with legal'";

/// Editions published by force that still owe an approval
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArgs {
    #[command(flatten)]
    limit: Limit,
}

impl ListArgs {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let list: ListPendingApprovalsResponse = pages::all(self.limit, async |page_size, page_token| {
            let request = ListPendingApprovalsRequest { page_size, page_token };
            session.editorial(request, async |mut api, q| api.list_pending_approvals(q).await).await
        })
        .await?;
        session.format.answer(&list, |list| people(&list.pending_approvals))
    }
}

fn people(owed: &[PendingApproval]) -> Result<()> {
    let mut table = table(["EDITION", "PUBLISHED", "FORCED BY", "AUTHORS", "REASON"]);
    for one in owed {
        table.add_row([
            one.edition.as_ref().map(|edition| short(&edition.name)).unwrap_or_default(),
            times::brief(one.publish_time.as_ref()),
            plain(&one.publisher),
            plain(&one.authors.join(", ")),
            plain(&one.reason),
        ]);
    }
    say_table(&table, "No approval is owed.")
}

const APPROVE_EXAMPLES: &str = "\
Examples:
  onrecord --caller bea approve-edition recall-7/en.1 --comment 'checked with legal'
  onrecord --caller bea approve-edition recall-7/en.1 --digest 9f86d081884c7d65…";

/// Give the approval that a forced edition owes
///
/// Neither its authors nor who forced it can.
#[derive(Debug, clap::Args)]
#[command(after_help = APPROVE_EXAMPLES)]
pub(super) struct ApproveArgs {
    /// The edition, e.g. recall-7/en.1
    #[arg(value_name = "EDITION")]
    edition: EditionName,
    /// The digest of the text you read [default: that of the edition]
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    /// What you have to say
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
}

impl ApproveArgs {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let name = self.edition.name().to_owned();
        let content_digest = match self.digest {
            Some(digest) => digest,
            None => digest_of(session, &name).await?,
        };
        let request = ApproveEditionRequest {
            name,
            content_digest,
            comment: self.comment,
            request_id: request_id(),
            validate_only: false,
        };
        let answer = session.editorial(request, async |mut api, q| api.approve_edition(q).await).await?;
        session.format.answer(&answer, |answer| {
            let approval = answer.approval.clone().unwrap_or_default();
            let edition = short(self.edition.name());
            say(format_args!("{}: approved by {}", edition.bold(), plain(&approval.approver)))?;
            Ok(say(format_args!("  digest {}", approval.content_digest))?)
        })
    }
}

async fn digest_of(session: &Session, name: &str) -> Result<String> {
    let request = GetEditionRequest { name: name.to_owned(), ..GetEditionRequest::default() };
    let answer = session.statements(request, async |mut api, q| api.get_edition(q).await).await?;
    let edition = answer.edition.with_context(|| Refusal::NotFound(format!("no edition {}", short(name))))?;
    Ok(edition.content_digest)
}

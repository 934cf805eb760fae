//! `onrecord entries`: the audit trail.

use anyhow::Result;

use super::{
    args::Limit,
    names::{StatementId, short},
    output::{plain, say_table, table},
    pages,
    session::Session,
    times::{self, Moment},
};
use crate::api::v1::{Entry, ListEntriesRequest, ListEntriesResponse};

const EXAMPLES: &str = "\
Examples:
  onrecord entries                      who did what, everywhere, oldest first
  onrecord entries recall-7             for one statement
  onrecord entries --by anna --from 2026-11-12T00:00:00Z
  onrecord entries --after 1041         what was done after entry 1041
  onrecord entries --output json | jq -r '.entries[] | [.commitTime, .caller, .action] | @tsv'";

/// The audit trail: who did what, when, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only this statement
    #[arg(value_name = "ID")]
    statement: Option<StatementId>,
    /// Only entries with a higher number
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    after: u64,
    /// Only entries committed at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Only entries of this caller
    #[arg(long, value_name = "CALLER", default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    limit: Limit,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let statement = self.statement.map(|id| id.name()).unwrap_or_default();
        let list: ListEntriesResponse = pages::all(self.limit, async |page_size, page_token| {
            let request = ListEntriesRequest {
                statement: statement.clone(),
                after_entry: self.after,
                from_time: self.from.map(Moment::timestamp),
                caller: self.by.clone(),
                page_size,
                page_token,
            };
            session.editorial(request, async |mut api, q| api.list_entries(q).await).await
        })
        .await?;
        session.format.answer(&list, |list| people(&list.entries))
    }
}

fn people(entries: &[Entry]) -> Result<()> {
    let mut table = table(["ENTRY", "TIME", "CALLER", "ACTION", "STATEMENT", "EVENTS", "REASON"]);
    for entry in entries {
        let sequences: Vec<_> = entry.event_sequences.iter().map(ToString::to_string).collect();
        let statement = short(&entry.statement);
        let languages = entry.language_codes.join(" ");
        table.add_row([
            entry.name.trim_start_matches("entries/").to_owned(),
            times::text(entry.commit_time.as_ref()),
            plain(&entry.caller),
            entry.action.clone(),
            format!("{statement} {languages}"),
            sequences.join(" "),
            plain(&entry.reason),
        ]);
    }
    say_table(&table, "Nothing has been done yet.")
}

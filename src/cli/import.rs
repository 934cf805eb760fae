//! `onrecord import`: statements that were published elsewhere, from a file of JSON Lines.
//!
//! `record` is the shape of a line, `plan` says what a line becomes, `run` calls the service.
//!
//! **Invariant**: every call has a request id made from (statement, language, edition, step), so a second run is answered
//! from memory and changes nothing, wherever the first one stopped (`request_ids_depend_on_place_alone`).

mod plan;
mod record;
mod run;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Serialize, Serializer};

use self::{plan::Plan, record::Record, run::Importer};
use super::{
    failure::{Refusal, is_away, told, unreadable},
    output::{Format, note, plain, say},
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  onrecord import govuk-statements.jsonl
  onrecord import govuk-statements.jsonl --author anna --reviewer bea --limit 10
  onrecord import govuk-statements.jsonl --author-token-file anna.token --reviewer-token-file bea.token

Importing again changes nothing: what is there already is answered from memory. So after an interruption, run it again.";

/// Import statements from JSON Lines
///
/// A line is one statement in one language, with the edits it went through.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The file: one JSON object a line, with the fields that docs/import.md describes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who writes, where the service runs with --insecure
    #[arg(long, value_name = "NAME", default_value = "importer")]
    author: String,
    /// Who approves and publishes, where the service runs with --insecure
    #[arg(long, value_name = "NAME", default_value = "import-reviewer")]
    reviewer: String,
    /// File with the token of who writes, where the service runs with a policy
    #[arg(long, value_name = "FILE", requires = "reviewer_token_file", conflicts_with = "author")]
    author_token_file: Option<PathBuf>,
    /// File with the token of who approves and publishes
    #[arg(long, value_name = "FILE", requires = "author_token_file", conflicts_with = "reviewer")]
    reviewer_token_file: Option<PathBuf>,
    /// Only the first N lines
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Summary {
    lines: u64,
    failed_lines: u64,
    editions: u64,
    withdrawn: u64,
    #[serde(serialize_with = "count")]
    statements: BTreeSet<String>,
}

fn count<S: Serializer>(names: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    names.len().serialize(serializer)
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let lines = read(&self.file)?;
        let mut plan = Plan::new(lines.iter().filter_map(|(_, record)| record.as_ref().ok()));
        let importer = self.importer(session)?;
        let limit = self.limit.unwrap_or(usize::MAX).min(lines.len());
        let bar = bar(u64::try_from(limit)?, session.format);
        let (mut summary, begun) = (Summary::default(), Instant::now());
        for (number, record) in lines.into_iter().take(limit) {
            summary.lines += 1;
            if let Err(error) = line(&importer, &mut plan, record, &mut summary, &bar).await {
                summary.failed_lines += 1;
                bar.suspend(|| note(format_args!("line {number}: {}", told(&error))));
                stop_if_away(error)?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        finish(&summary, begun.elapsed(), session.format)
    }

    /// Two callers: nobody approves what they wrote.
    fn importer(&self, session: &Session) -> Result<Importer> {
        let (author, reviewer) = match (&self.author_token_file, &self.reviewer_token_file) {
            (Some(author), Some(reviewer)) => (session.with_token(author)?, session.with_token(reviewer)?),
            _ if session.has_token() => {
                let words = "an import takes two callers: give `--author-token-file` and `--reviewer-token-file` for `--token-file`";
                return Err(Refusal::Usage(words.to_owned()).into());
            }
            _ if self.author == self.reviewer => {
                let words = "--author and --reviewer must differ: nobody approves what they wrote";
                return Err(Refusal::Usage(words.to_owned()).into());
            }
            _ => (session.with_caller(&self.author)?, session.with_caller(&self.reviewer)?),
        };
        Ok(Importer { author, reviewer })
    }
}

async fn line(
    importer: &Importer,
    plan: &mut Plan,
    record: Result<Record>,
    summary: &mut Summary,
    bar: &ProgressBar,
) -> Result<()> {
    let planned = plan.statement(&record?)?;
    let slot = &planned.slot;
    bar.set_message(plain(&slot.to_string()));
    if planned.first_index > 0 {
        bar.suspend(|| note(format_args!("{slot} came before: goes on with edition {}", planned.first_index + 1)));
    }
    summary.statements.insert(slot.statement.name());
    importer.statement(&planned).await.with_context(|| slot.to_string())?;
    summary.editions += u64::try_from(planned.editions.len())?;
    summary.withdrawn += u64::from(planned.withdrawal.is_some());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<(usize, Result<Record>)>> {
    let text = std::fs::read_to_string(path).with_context(|| unreadable(path))?;
    Ok(records(&text))
}

/// The lines that are not empty, by number.
fn records(text: &str) -> Vec<(usize, Result<Record>)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| (at + 1, serde_json::from_str(line).context("not a statement"))).collect()
}

/// What a fuzzer drives: every line becomes what is to be done for it, or is refused.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(text: &str) {
    let records: Vec<_> = records(text).into_iter().filter_map(|(_, record)| record.ok()).collect();
    let mut plan = Plan::new(records.iter());
    for planned in records.iter().filter_map(|record| plan.statement(record).ok()) {
        assert!(!planned.editions.is_empty(), "{}", planned.slot);
    }
}

fn bar(length: u64, format: Format) -> ProgressBar {
    // On anything but a terminal it draws nothing.
    let bar = match format {
        Format::Table => ProgressBar::new(length),
        Format::Json => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {pos}/{len} {eta:>4}  {msg:40!}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Where the service is away, the lines that follow would fail too.
fn stop_if_away(error: anyhow::Error) -> Result<()> {
    if is_away(&error) { Err(error.context("stopped; run it again to go on")) } else { Ok(()) }
}

fn finish(summary: &Summary, took: Duration, format: Format) -> Result<()> {
    let Summary { lines, failed_lines, editions, withdrawn, statements } = summary;
    match format {
        Format::Json => say(serde_json::to_string(summary)?)?,
        Format::Table => say(format_args!(
            "{lines} lines: {editions} editions of {} statements, {withdrawn} withdrawn, {failed_lines} lines failed, {:.1} s",
            statements.len(),
            took.as_secs_f64(),
        ))?,
    }
    if *failed_lines > 0 {
        return Err(Refusal::Refused(format!("{failed_lines} of {lines} lines failed")).into());
    }
    Ok(())
}

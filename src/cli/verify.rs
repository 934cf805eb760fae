//! `onrecord verify`: reads a whole store, and says what is not what was written.

use std::path::PathBuf;

use anyhow::Result;
use owo_colors::OwoColorize as _;

use super::{
    failure::Refusal,
    output::{Format, plain, say},
};
use crate::journal::{self, Options, Report};

const EXAMPLES: &str = "\
Examples:
  onrecord verify --data-dir ./data
  onrecord verify --data-dir ./data --output json | jq .state_digest
  onrecord verify --data-dir ./data --repair

It reads every row: checksums, the chains of entries and events, digests of texts, and each row against the entry that wrote it.
The service that uses the store has to be stopped. Equal stores have equal state digests.

Without --repair nothing is changed: a private copy is read, which takes as much room as the store in $TMPDIR, or else in /var/tmp. So
it works on a read-only mount, and on a full disk. An erasure or a compaction that was interrupted is no damage: it is named, and the
next start, --repair or `onrecord compact` finishes it.";

/// Check that a store is what was written to it
///
/// Exits with 4 if anything is broken, and with 0 if not, also where something was interrupted that the next start finishes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The store of a service that is stopped
    #[arg(long, value_name = "DIR", env = "ONRECORD_DATA_DIR")]
    data_dir: PathBuf,
    /// Put right what the journal can rebuild: indexes, and rows that entries wrote
    #[arg(long)]
    repair: bool,
}

impl Args {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let options = Options::new(self.data_dir);
        let verify = move || journal::verify(&options.directory, options.cache_bytes, self.repair);
        let report = tokio::task::spawn_blocking(verify).await??;
        match format {
            Format::Json => say(serde_json::to_string_pretty(&report)?)?,
            Format::Table => people(&report, self.repair)?,
        }
        if report.is_clean() { Ok(()) } else { Err(Refusal::Refused(broken(&report)).into()) }
    }
}

fn broken(report: &Report) -> String {
    let count = u64::try_from(report.findings.len()).unwrap_or(u64::MAX).saturating_add(report.more_findings);
    let repairable = report.findings.iter().filter(|finding| finding.repairable).count();
    let advice = if repairable > 0 { "; --repair puts those right that the journal can rebuild" } else { "" };
    format!("the store is damaged in {count} places{advice}. What is lost for good has to come from a backup")
}

fn people(report: &Report, repaired: bool) -> Result<()> {
    let finishes = if repaired { "it is finished now" } else { "the next start, or --repair, finishes it" };
    for interrupted in &report.under_way {
        say(format_args!("{}  {}: {finishes}", "under way".yellow(), plain(interrupted)))?;
    }
    for finding in &report.findings {
        let mark = if finding.repairable { "repairable".yellow().to_string() } else { "broken".red().to_string() };
        say(format_args!("{mark}  {}: {}", plain(&finding.place), plain(&finding.fault)))?;
    }
    if report.more_findings > 0 {
        say(format_args!("and {} more", report.more_findings))?;
    }
    if report.repaired_rows > 0 {
        say(format_args!("{} rows put right", report.repaired_rows))?;
    }
    let Report { storage_format, entries, events, rows, state_digest, .. } = report;
    say(format_args!("{entries} entries, {events} events, {rows} rows, storage format {storage_format}"))?;
    Ok(say(format_args!("state digest {state_digest}"))?)
}

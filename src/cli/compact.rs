//! `onrecord compact`: writes a store anew.

use std::path::PathBuf;

use anyhow::Result;

use super::output::{Format, say};
use crate::journal::{self, Compaction, Options};

const EXAMPLES: &str = "\
Examples:
  onrecord compact --data-dir ./data

The new store is read back and has to be equal before it takes the place of the old one. After it, no file of the store has the words
of an erased statement; what the file system keeps of files that were removed is its own affair.";

/// Write a store anew, without what was erased
///
/// The service that uses it has to be stopped. Needs room for both.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The store of a service that is stopped
    #[arg(long, value_name = "DIR", env = "ONRECORD_DATA_DIR")]
    data_dir: PathBuf,
}

impl Args {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let options = Options::new(self.data_dir);
        let compact = move || journal::compact(&options.directory, options.cache_bytes);
        let done = tokio::task::spawn_blocking(compact).await??;
        let Compaction { bytes_before, bytes_after, report } = &done;
        match format {
            Format::Json => Ok(say(serde_json::to_string_pretty(&done)?)?),
            Format::Table => Ok(say(format_args!(
                "{bytes_before} bytes before, {bytes_after} after; {} entries, state digest {}",
                report.entries, report.state_digest,
            ))?),
        }
    }
}

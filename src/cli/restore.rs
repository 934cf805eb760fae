//! `onrecord restore`: a store from a copy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use super::{
    backup::Reader,
    failure::Refusal,
    output::{Format, say},
};
use crate::{
    api::{self, v1::backup_response::Message},
    journal::{Options, Report, Restore},
};

const EXAMPLES: &str = "\
Examples:
  onrecord restore record.backup --data-dir ./restored
  onrecord serve --data-dir ./restored --insecure

Everything is checked as it is put, and the whole store is read again at the end. Cursors of the life before go on where the histories
are the same; whoever saw more than the copy has is answered CURSOR_DIVERGED.";

/// Build a store from a copy
///
/// Into an empty directory, and never over anything.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The copy that `onrecord backup` made
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the store is to be
    #[arg(long, value_name = "DIR", env = "ONRECORD_DATA_DIR")]
    data_dir: PathBuf,
}

impl Args {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let report = tokio::task::spawn_blocking(move || restore(&self.file, self.data_dir)).await??;
        match format {
            Format::Json => Ok(say(serde_json::to_string_pretty(&report)?)?),
            Format::Table => {
                let Report { entries, events, state_digest, .. } = report;
                Ok(say(format_args!("{entries} entries, {events} events\nstate digest {state_digest}"))?)
            }
        }
    }
}

fn restore(file: &Path, directory: PathBuf) -> Result<Report> {
    let options = Options::new(directory);
    let mut reader = Reader::open(file)?;
    let Some(Message::Header(header)) = reader.next()? else {
        return Err(Refusal::Usage(format!("{} has no header", file.display())).into());
    };
    let identity = api::backup_identity(&header).map_err(|fault| anyhow!("{}: {fault}", file.display()))?;
    let begun = Restore::begin(&options.directory, options.cache_bytes, identity, header.storage_format)?;
    let restored = fill(begun, &mut reader).with_context(|| format!("{} was not restored", file.display()));
    if restored.is_err() {
        // The directory was empty, and half a store must not look like a whole one.
        let _ = std::fs::remove_dir_all(options.directory.join("sled"));
        let _ = std::fs::remove_file(options.directory.join("lock"));
    }
    restored
}

fn fill(mut restore: Restore, reader: &mut Reader) -> Result<Report> {
    let mut whole = false;
    while let Some(message) = reader.next()? {
        whole = matches!(message, Message::End(_));
        let Message::Part(part) = message else { continue };
        for entry in part.entries {
            restore.put(&api::backup_entry(entry))?;
        }
    }
    if !whole {
        return Err(Refusal::Refused("it was cut off: let `onrecord backup` finish it first".to_owned()).into());
    }
    Ok(restore.finish()?)
}

//! `onrecord restore`: a store from a copy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use tokio::task::spawn_blocking;

use super::{
    backup::{Reader, register},
    failure::Refusal,
    output::{Format, say},
};
use crate::{
    api::{
        self,
        v1::{BackupHeader, backup_response::Message},
    },
    journal::{Erasure, Identity, Journal, Options, Report, Restore, compact},
};

const EXAMPLES: &str = "\
Examples:
  onrecord restore record.backup --data-dir ./restored
  onrecord serve --data-dir ./restored --insecure
  onrecord restore older.backup --erasures record.backup.erasures --data-dir ./older

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
    /// A register of erasures that are to be repeated; the one beside the copy is read anyway
    #[arg(long, value_name = "FILE")]
    erasures: Vec<PathBuf>,
    /// Where the store is to be
    #[arg(long, value_name = "DIR", env = "ONRECORD_DATA_DIR")]
    data_dir: PathBuf,
}

impl Args {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let copy = Copy::open(&self.file)?;
        let erasures = self.registers().map(|register| register::read(&register, &copy.header.feed_id));
        let erasures = erasures.collect::<Result<Vec<_>>>()?.concat();
        let options = Options::new(self.data_dir);
        let failed = || format!("{} was not restored", self.file.display());
        let report = restore(copy, options, erasures).await.with_context(failed)?;
        match format {
            Format::Json => Ok(say(serde_json::to_string_pretty(&report)?)?),
            Format::Table => {
                let Report { entries, events, state_digest, .. } = report;
                Ok(say(format_args!("{entries} entries, {events} events\nstate digest {state_digest}"))?)
            }
        }
    }

    fn registers(&self) -> impl Iterator<Item = PathBuf> {
        let beside = Some(register::beside(&self.file)).filter(|register| register.exists());
        self.erasures.iter().cloned().chain(beside)
    }
}

/// A copy whose header was read.
struct Copy {
    reader: Reader,
    header: BackupHeader,
    identity: Identity,
}

impl Copy {
    fn open(file: &Path) -> Result<Self> {
        let fault = |words: &str| Refusal::Usage(format!("{}: {words}", file.display()));
        let mut reader = Reader::open(file)?;
        let Some(Message::Header(header)) = reader.next()? else { return Err(fault("it has no header").into()) };
        let identity = api::backup_identity(&header).map_err(|malformed| fault(&malformed.0))?;
        Ok(Self { reader, header, identity })
    }

    /// Puts all of it, and gives the erasures that it lacks.
    fn fill(mut self, mut restore: Restore, erasures: Vec<Erasure>) -> Result<(Report, Vec<Erasure>)> {
        let mut whole = false;
        while let Some(message) = self.reader.next()? {
            whole = matches!(message, Message::End(_));
            let Message::Part(part) = message else { continue };
            for entry in part.entries {
                restore.put(&api::backup_entry(entry).map_err(|malformed| anyhow!("{malformed}"))?)?;
            }
        }
        if !whole {
            return Err(Refusal::Refused("it was cut off: let `onrecord backup` finish it first".to_owned()).into());
        }
        let missing = restore.missing(erasures)?;
        Ok((restore.finish()?, missing))
    }
}

async fn restore(copy: Copy, options: Options, erasures: Vec<Erasure>) -> Result<Report> {
    let Options { directory, cache_bytes, .. } = options.clone();
    let begun = Restore::begin(&directory, cache_bytes, copy.identity, copy.header.storage_format)?;
    let restored = build(copy, begun, options, erasures).await;
    if restored.is_err() {
        // The directory was empty, and half a store must not look like a whole one.
        let _ = std::fs::remove_dir_all(&directory).and_then(|()| std::fs::create_dir(&directory));
    }
    restored
}

async fn build(copy: Copy, begun: Restore, options: Options, erasures: Vec<Erasure>) -> Result<Report> {
    let (report, missing) = spawn_blocking(move || copy.fill(begun, erasures)).await??;
    if missing.is_empty() {
        return Ok(report);
    }
    let Options { directory, cache_bytes, .. } = options.clone();
    let journal = spawn_blocking(move || Journal::open(options)).await??;
    let repeated = journal.repeat_erasures(missing).await;
    journal.close().await;
    drop(journal);
    repeated?;
    // What was erased was written a moment ago.
    Ok(spawn_blocking(move || compact(&directory, cache_bytes)).await??.report)
}

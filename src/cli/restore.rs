//! `onrecord restore`: a store from a copy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use tokio::task::spawn_blocking;

use super::{
    backup::{Fault, Known, Reader, register},
    failure::Refusal,
    output::{Format, note, say},
};
use crate::{
    api::{
        self,
        v1::{BackupEnd, backup_response::Message},
    },
    journal::{Erasure, Identity, Options, Report, Restore},
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
    /// Restore what is whole of a copy that is damaged further on
    #[arg(long)]
    partial: bool,
    /// Where the store is to be
    #[arg(long, value_name = "DIR", env = "ONRECORD_DATA_DIR")]
    data_dir: PathBuf,
}

impl Args {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let copy = Copy::open(&self.file, self.partial)?;
        let erasures = self.registers().map(|register| register::read(&register, &hex::encode(copy.identity.feed_id)));
        let erasures = erasures.collect::<Result<Vec<_>>>()?.concat();
        let failed = || format!("{} was not restored", self.file.display());
        let report = restore(copy, self.data_dir, erasures).await.with_context(failed)?;
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
    /// The newest that is in it.
    storage_format: u32,
    identity: Identity,
    /// Where it ends.
    end: BackupEnd,
}

impl Copy {
    /// Opens what is whole of a copy. Of what comes after that, a file that was cut off lacks what never was whole; of a damaged one
    /// nobody knows.
    fn open(file: &Path, partial: bool) -> Result<Self> {
        let fault = |words: &str| Refusal::Usage(format!("{}: {words}", file.display()));
        let known = Known::read(file)?;
        let end = known.end.clone();
        let Some(whole) = Some(end.entry).filter(|_| !end.hash.is_empty()) else {
            let why = known.after.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default();
            let words = format!("nothing of the copy is whole{why}: let `onrecord backup` finish it first");
            return Err(Refusal::Refused(words).into());
        };
        match &known.after {
            None => {}
            Some(after @ Fault::CutOff { .. }) => {
                note(format_args!("{after}: the copy is restored as it was whole before that, up to entry {whole}"));
            }
            Some(after) if partial => note(format_args!("{after}: restored is what comes before, up to entry {whole}")),
            Some(after) => {
                let words = format!(
                    "{after}: `onrecord backup` fetches it again; `--partial` restores what is whole before, up to entry {whole}"
                );
                return Err(Refusal::Refused(words).into());
            }
        }
        let mut reader = Reader::open(file)?.up_to(&known);
        let Some(Message::Header(first)) = reader.next()? else { return Err(fault("it has no header").into()) };
        let identity = api::backup_identity(&first).map_err(|malformed| fault(&malformed.0))?;
        let storage_format = known.header.unwrap_or(first).storage_format;
        Ok(Self { reader, storage_format, identity, end })
    }

    fn fill(mut self, mut restore: Restore) -> Result<Restore> {
        while let Some(message) = self.reader.next()? {
            let Message::Part(part) = message else { continue };
            for entry in part.entries {
                restore.put(&api::backup_entry(entry).map_err(|malformed| anyhow!("{malformed}"))?)?;
            }
        }
        if restore.newest_entry() != self.end.entry {
            let (says, has) = (self.end.entry, restore.newest_entry());
            return Err(anyhow!("the copy says that it has {says} entries and has {has}"));
        }
        Ok(restore)
    }
}

async fn restore(copy: Copy, directory: PathBuf, erasures: Vec<Erasure>) -> Result<Report> {
    let cache_bytes = Options::new(directory.clone()).cache_bytes;
    let begun = Restore::begin(&directory, cache_bytes, copy.identity, copy.storage_format)?;
    let restored = async { Ok(spawn_blocking(|| copy.fill(begun)).await??.finish(erasures).await?) }.await;
    if restored.is_err() {
        // What cannot be deleted is refused by whatever opens it, and replaced by the next restore.
        let _ = Restore::discard(&directory);
    }
    restored
}

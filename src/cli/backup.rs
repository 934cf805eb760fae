//! `onrecord backup`: a copy of the record, while it is in use.

mod file;
pub(super) mod register;

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;

pub(super) use self::file::Reader;
use self::file::{Known, Writer};
use super::{
    failure::Refusal,
    output::{Format, say},
    session::Session,
};
use crate::{
    api::{
        self,
        v1::{BackupHeader, BackupPart, BackupRequest, BackupResponse, backup_response::Message},
    },
    journal::Erasure,
};

const EXAMPLES: &str = "\
Examples:
  onrecord backup record.backup              begins a copy, or brings it up to date
  onrecord backup record.backup --follow     and goes on with what follows, as a second site does

It may be cut off at any time: run it again, and it goes on after what is whole. `onrecord restore` builds a store from it.
Erasures are also noted in FILE.erasures: keep the newest of these where older copies are, and `restore` repeats them.";

/// Copy the record to a file
///
/// From a running service; only what the file does not have is fetched.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The copy; made if it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Go on with what follows, until this is ended
    #[arg(long)]
    follow: bool,
}

/// What was copied.
#[derive(Debug, Serialize)]
struct Summary {
    /// Entries that came.
    entries: u64,
    /// The newest that the file has.
    newest_entry: u64,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let (mut writer, known) = Writer::open(&self.file)?;
        let request =
            BackupRequest { after_entry: known.end.entry, after_hash: known.end.hash.clone(), follow: self.follow };
        let mut stream = session.backup(request).await?;
        let (mut entries, mut feed_id) = (0, Vec::new());
        while let Some(response) = stream.message().await.map_err(|status| session.explained(status))? {
            match response.message.clone().context("the service sent an empty message")? {
                Message::Header(header) => {
                    feed_id.clone_from(&header.feed_id);
                    if begin(&known, &header)? {
                        continue;
                    }
                    writer.put(&response)?;
                }
                Message::Part(part) => {
                    entries += u64::try_from(part.entries.len())?;
                    register::append(&register::beside(&self.file), &feed_id, &erasures(part)?)?;
                    writer.put(&response)?;
                }
                Message::End(end) => {
                    if entries > 0 || known.header.is_none() {
                        writer.put(&BackupResponse { message: Some(Message::End(end.clone())) })?;
                    }
                    writer.sync()?;
                    tell(session.format, &Summary { entries, newest_entry: end.entry })?;
                    entries = 0;
                }
            }
        }
        Ok(())
    }
}

/// Whether the file has a header already, which has to be of this record.
fn begin(known: &Known, header: &BackupHeader) -> Result<bool> {
    match &known.header {
        None => Ok(false),
        Some(ours) if ours.feed_id == header.feed_id && ours.storage_format <= header.storage_format => Ok(true),
        Some(_) => Err(Refusal::Refused("the file is a copy of another record: begin a new one".to_owned()).into()),
    }
}

fn erasures(part: BackupPart) -> Result<Vec<Erasure>> {
    let entries = part.entries.into_iter().map(api::backup_entry).collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(|fault| anyhow!("the service sent an entry that is none: {fault}"))?;
    Ok(entries.into_iter().filter_map(|entry| entry.erasure).collect())
}

fn tell(format: Format, summary: &Summary) -> Result<()> {
    let Summary { entries, newest_entry } = summary;
    match format {
        Format::Json => Ok(say(serde_json::to_string(summary)?)?),
        Format::Table => Ok(say(format_args!("{entries} entries came; the copy is whole up to entry {newest_entry}"))?),
    }
}

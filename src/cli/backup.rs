//! `onrecord backup`: a copy of the record, while it is in use.

mod file;
pub(super) mod register;

use std::path::PathBuf;

use anyhow::{Context as _, Error, Result, anyhow};
use serde::Serialize;
use tokio::time::sleep;
use tonic::{Code, Status};

use self::file::Writer;
#[cfg(any(test, fuzzing))]
pub(super) use self::file::copy_of;
pub(super) use self::file::{Fault, Known, Reader};
use super::{
    failure::{Refusal, is_unavailable, told},
    output::{Format, note, say},
    session::Session,
};
use crate::{
    api::{
        self,
        v1::{BackupEnd, BackupHeader, BackupPart, BackupRequest, backup_response::Message},
    },
    client::Backoff,
    journal::Erasure,
};

const EXAMPLES: &str = "\
Examples:
  onrecord backup record.backup              begins a copy, or brings it up to date
  onrecord backup record.backup --follow     and goes on with what follows, as a second site does

It may be cut off at any time: run it again, and it goes on after what is whole. With --follow it connects again by itself,
with the newest token of --token-file. `onrecord restore` builds a store from it.
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
        let mut writer = Writer::open(&self.file)?;
        let mut backoff = Backoff::default();
        loop {
            let before = writer.known().end.entry;
            let ended = self.copy(session, &mut writer).await;
            if !self.follow {
                return ended;
            }
            let away = match ended {
                Ok(()) => anyhow!("the service ended the copy"),
                Err(error) if is_unavailable(&error) => error,
                Err(error) => return Err(error),
            };
            if writer.known().end.entry > before {
                backoff.reset();
            }
            let delay = backoff.delay();
            note(format_args!("{}\nconnecting again in {:.1} s", told(&away), delay.as_secs_f32()));
            sleep(delay).await;
            writer.resume();
        }
    }

    /// One connection: until the copy is whole, or for as long as it lasts.
    async fn copy(&self, session: &Session, writer: &mut Writer) -> Result<()> {
        let BackupEnd { entry, hash } = writer.known().end.clone();
        let request = BackupRequest { after_entry: entry, after_hash: hash, follow: self.follow };
        let mut stream = session.backup(request).await?;
        let (mut entries, mut feed_id, mut whole) = (0, String::new(), false);
        while let Some(response) = stream.message().await.map_err(|status| self.broken(session, status))? {
            let message = response.message.context("the service sent an empty message")?;
            whole = matches!(message, Message::End(_));
            match message {
                Message::Header(header) => {
                    feed_id.clone_from(&header.feed_id);
                    if !is_begun(writer.known(), &header)? {
                        writer.put(Message::Header(header))?;
                    }
                }
                Message::Part(part) => {
                    entries += u64::try_from(part.entries.len())?;
                    register::append(&register::beside(&self.file), &feed_id, &erasures(&part)?)?;
                    writer.put(Message::Part(part))?;
                }
                Message::End(end) => {
                    let newest_entry = end.entry;
                    if entries > 0 || writer.known().end != end {
                        writer.put(Message::End(end))?;
                    }
                    tell(session.format, &Summary { entries, newest_entry })?;
                    entries = 0;
                }
            }
        }
        if whole {
            return Ok(());
        }
        Err(Refusal::Unavailable("the service ended the copy before it was whole: run it again".to_owned()).into())
    }

    /// Why a copy that was begun goes no further. Whose credential ended meanwhile may have a new one: what it is told when it comes again
    /// counts.
    fn broken(&self, session: &Session, status: Status) -> Error {
        if self.follow && status.code() == Code::Unauthenticated {
            return Refusal::Unavailable(status.message().to_owned()).into();
        }
        session.explained(status)
    }
}

/// Whether the file has a header that tells what comes: of this record, and of the format that the service writes by now.
fn is_begun(known: &Known, header: &BackupHeader) -> Result<bool> {
    let Some(ours) = &known.header else { return Ok(false) };
    if ours.feed_id != header.feed_id {
        return Err(Refusal::Refused("the file is a copy of another record: begin a new one".to_owned()).into());
    }
    let (has, writes) = (ours.storage_format, header.storage_format);
    if has > writes {
        let words = format!(
            "the copy has storage format {has}, and the service writes {writes}: it is older than the one that was copied; begin a new copy"
        );
        return Err(Refusal::Refused(words).into());
    }
    Ok(has == writes)
}

fn erasures(part: &BackupPart) -> Result<Vec<Erasure>> {
    let entries = part.entries.iter().cloned().map(api::backup_entry).collect::<Result<Vec<_>, _>>();
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

//! A backup as a file.
//!
//! ```text
//! "onrecord backup 2\n" | frame | frame | …        frame: length (u32 BE) | crc32c (u32 BE) | BackupResponse
//! ```
//!
//! **Invariants**
//! - It only ever grows. What a crash left half written at its end is cut off once what follows is there to be written.
//! - A copy is whole up to its last `end`, which is on the device, file and folder, before anybody is told of it.
//! - One process at a time writes to it.
//! - The first frame is a header. Another that comes later tells the format from there on: a newer onrecord has gone on with the copy.

use std::{
    fs::{File, TryLockError},
    io::{BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use prost::Message as _;

use crate::{
    api::v1::{BackupEnd, BackupHeader, BackupResponse, backup_response::Message},
    cli::failure::{Refusal, unreadable},
};

const MAGIC: &[u8; 18] = b"onrecord backup 2\n";
/// Bytes of a frame, at most: far more than any entry has.
const FRAME_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Fault {
    /// The file ends in it.
    #[error("{}: a frame is cut off after byte {after}", file.display())]
    CutOff { file: PathBuf, after: u64 },
    /// It is not what was written, or what a newer onrecord wrote.
    #[error("{}: a frame is damaged or not known after byte {after}", file.display())]
    Damaged { file: PathBuf, after: u64 },
    /// The file cannot be read.
    #[error("cannot read the copy")]
    Io(#[from] std::io::Error),
}

/// Reads a backup, frame by frame.
#[derive(Debug)]
pub(in crate::cli) struct Reader<R = BufReader<File>> {
    path: PathBuf,
    file: R,
    /// Where the last frame that could be read ends.
    good: u64,
    /// Where to end.
    end: u64,
}

impl Reader {
    pub(in crate::cli) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| unreadable(path))?;
        Self::of(BufReader::new(file), path)
    }

    /// Reads on to where a copy is whole, and no further.
    pub(in crate::cli) fn up_to(self, known: &Known) -> Self {
        Self { end: known.good, ..self }
    }
}

impl<R: Read> Reader<R> {
    /// Reads what a file has that is called so.
    pub(in crate::cli) fn of(mut file: R, path: &Path) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        let read = file.read_exact(&mut magic);
        if read.is_err() || magic != *MAGIC {
            let name = path.display();
            return Err(Refusal::Usage(format!("{name} is no backup, or one of a newer onrecord")).into());
        }
        Ok(Self { path: path.to_owned(), file, good: u64::try_from(MAGIC.len())?, end: u64::MAX })
    }

    /// The next message; none at the end.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Message>, Fault> {
        let head = if self.good < self.end { self.bytes(8)? } else { Vec::new() };
        let (length, crc) = match (head.first_chunk(), head.last_chunk()) {
            (Some(length), Some(crc)) if head.len() == 8 => (u32::from_be_bytes(*length), u32::from_be_bytes(*crc)),
            _ if head.is_empty() => return Ok(None),
            _ => return Err(self.cut_off()),
        };
        if length > FRAME_BYTES_MAX {
            return Err(self.damaged());
        }
        let bytes = self.bytes(u64::from(length))?;
        if bytes.len() < usize::try_from(length).unwrap_or(usize::MAX) {
            return Err(self.cut_off());
        }
        if crc32c::crc32c(&bytes) != crc {
            return Err(self.damaged());
        }
        // One that says nothing is of a kind that is not known.
        let response = BackupResponse::decode(bytes.as_slice()).ok().and_then(|response| response.message);
        let message = response.ok_or_else(|| self.damaged())?;
        self.good += 8 + u64::from(length);
        Ok(Some(message))
    }

    /// The next bytes, fewer if there are no more.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.file.by_ref().take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn cut_off(&self) -> Fault {
        Fault::CutOff { file: self.path.clone(), after: self.good }
    }

    fn damaged(&self) -> Fault {
        Fault::Damaged { file: self.path.clone(), after: self.good }
    }
}

/// What is whole in a backup.
#[derive(Debug, Default)]
pub(in crate::cli) struct Known {
    /// The newest: of the format of what comes last.
    pub(in crate::cli) header: Option<BackupHeader>,
    pub(in crate::cli) end: BackupEnd,
    /// Where it ends.
    good: u64,
    /// Why what comes after that is not whole; none if there is nothing.
    pub(in crate::cli) after: Option<Fault>,
}

impl Known {
    /// Reads the whole file. What comes after the last `end` is of a copy that was cut off, and is fetched again.
    pub(in crate::cli) fn read(path: &Path) -> Result<Self> {
        let mut reader = Reader::open(path)?;
        let mut known = Self { good: reader.good, ..Self::default() };
        known.after = loop {
            let begun = reader.good;
            match reader.next() {
                // A later one tells that the service was upgraded meanwhile.
                Ok(Some(Message::Header(header))) if known.good == begun => {
                    known.header = Some(header);
                    known.good = reader.good;
                }
                Ok(Some(Message::End(end))) => {
                    known.end = end;
                    known.good = reader.good;
                }
                Ok(Some(Message::Header(_) | Message::Part(_))) => {}
                Ok(None) => break (reader.good > known.good).then(|| reader.cut_off()),
                Err(fault) => break Some(fault),
            }
        };
        Ok(known)
    }
}

/// Goes on with a backup.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    known: Known,
    /// Whether what comes after what is whole is to be cut off before anything is written.
    cut: bool,
}

impl Writer {
    /// Opens a file or begins one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = || format!("cannot write {}", path.display());
        let file = File::options().create(true).truncate(false).write(true).open(path).with_context(name)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let words = format!("{} is being written by another `onrecord backup`", path.display());
                return Err(Refusal::Refused(words).into());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(name),
        }
        let known = if is_begun(path)? {
            Known::read(path)?
        } else {
            file.set_len(0)?;
            (&file).write_all(MAGIC)?;
            file.sync_all()?;
            sync_folder(path)?;
            Known { good: u64::try_from(MAGIC.len())?, ..Known::default() }
        };
        Ok(Self { file: BufWriter::new(file), known, cut: true })
    }

    /// What is whole in it.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Goes on after what is whole. Nothing is cut off before there is something to put in its place: whoever sends it may not be there.
    pub(super) fn resume(&mut self) {
        self.cut = true;
    }

    /// Appends a message. An end makes what came before it whole, and is on the device with it.
    pub(super) fn put(&mut self, message: Message) -> Result<()> {
        if self.cut {
            // The position of a writer is that of what it holds, so that is written first, and then cut off.
            self.file.seek(SeekFrom::Start(self.known.good))?;
            self.file.get_ref().set_len(self.known.good)?;
            self.cut = false;
        }
        let response = BackupResponse { message: Some(message) };
        let bytes = response.encode_to_vec();
        self.file.write_all(&u32::try_from(bytes.len())?.to_be_bytes())?;
        self.file.write_all(&crc32c::crc32c(&bytes).to_be_bytes())?;
        self.file.write_all(&bytes)?;
        match response.message {
            Some(Message::Header(header)) => self.known.header = Some(header),
            Some(Message::End(end)) => {
                self.file.flush()?;
                self.file.get_ref().sync_all()?;
                self.known.end = end;
            }
            Some(Message::Part(_)) | None => return Ok(()),
        }
        self.known.good = self.file.stream_position()?;
        Ok(())
    }
}

/// A copy with this for a message.
#[cfg(any(test, fuzzing))]
pub(in crate::cli) fn copy_of(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [MAGIC, length.as_slice(), &crc32c::crc32c(message).to_be_bytes(), message].concat()
}

/// Whether there is more than a crash leaves that came while the file was begun.
fn is_begun(path: &Path) -> Result<bool> {
    let mut first = Vec::new();
    let length = u64::try_from(MAGIC.len())?;
    let read = File::open(path).and_then(|file| file.take(length).read_to_end(&mut first));
    read.with_context(|| unreadable(path))?;
    Ok(first.len() == MAGIC.len() || !MAGIC.starts_with(&first))
}

/// Makes the name of a new file as durable as what is in it.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

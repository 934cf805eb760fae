//! A backup as a file.
//!
//! ```text
//! "onrecord backup 1\n" | frame | frame | …        frame: length (u32 BE) | crc32c (u32 BE) | BackupResponse
//! ```
//!
//! **Invariants**
//! - It only ever grows. What a crash left half written at its end is cut off once what follows is there to be written.
//! - A copy is whole up to its last `end`.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use prost::Message as _;

use crate::{
    api::v1::{BackupEnd, BackupHeader, BackupResponse, backup_response::Message},
    cli::failure::Refusal,
};

const MAGIC: &[u8; 18] = b"onrecord backup 1\n";
/// Bytes of a frame, at most: far more than any entry has.
const FRAME_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// Reads a backup, frame by frame.
#[derive(Debug)]
pub(in crate::cli) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the last frame that could be read ends.
    good: u64,
}

impl Reader {
    pub(in crate::cli) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| Refusal::Usage(format!("cannot read {name}")))?;
        let mut file = BufReader::new(file);
        let mut magic = [0; MAGIC.len()];
        let read = file.read_exact(&mut magic);
        if read.is_err() || magic != *MAGIC {
            return Err(Refusal::Usage(format!("{name} is no backup, or one of a newer onrecord")).into());
        }
        Ok(Self { path: path.to_owned(), file, good: u64::try_from(MAGIC.len())? })
    }

    /// The next message; none at the end of the file.
    ///
    /// # Errors
    /// If what follows is damaged or was only half written.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Message>> {
        let damaged = |what: &str| format!("{}: {what} after byte {}", self.path.display(), self.good);
        let mut head = [0; 8];
        let first = self.file.read(&mut head)?;
        if first == 0 {
            return Ok(None);
        }
        let rest = head.get_mut(first..).unwrap_or_default();
        self.file.read_exact(rest).with_context(|| damaged("a frame is cut off"))?;
        let head = u64::from_be_bytes(head);
        let (length, crc) = (u32::try_from(head >> 32)?, u32::try_from(head & u64::from(u32::MAX))?);
        if length > FRAME_BYTES_MAX {
            bail!("{}", damaged("a frame is damaged"));
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        self.file.read_exact(&mut bytes).with_context(|| damaged("a frame is cut off"))?;
        if crc32c::crc32c(&bytes) != crc {
            bail!("{}", damaged("a frame is damaged"));
        }
        let message = BackupResponse::decode(bytes.as_slice()).with_context(|| damaged("a frame cannot be read"))?;
        self.good += 8 + u64::from(length);
        Ok(message.message)
    }
}

/// What a backup has.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) header: Option<BackupHeader>,
    pub(super) end: BackupEnd,
}

/// Goes on with a backup.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    known: Known,
    /// Where what is whole ends.
    good: u64,
    /// Whether what comes after that is to be cut off before anything is written.
    cut: bool,
}

impl Writer {
    /// Opens a file or begins one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = || format!("cannot write {}", path.display());
        if is_begun(path)? {
            let (known, good) = whole(path)?;
            let file = File::options().write(true).open(path).with_context(name)?;
            return Ok(Self { file: BufWriter::new(file), known, good, cut: true });
        }
        let mut file = File::create(path).with_context(name)?;
        file.write_all(MAGIC)?;
        let good = u64::try_from(MAGIC.len())?;
        Ok(Self { file: BufWriter::new(file), known: Known::default(), good, cut: false })
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
            self.file.seek(SeekFrom::Start(self.good))?;
            self.file.get_ref().set_len(self.good)?;
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
        self.good = self.file.stream_position()?;
        Ok(())
    }
}

/// Whether there is more than a crash leaves that came while the file was begun.
fn is_begun(path: &Path) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let mut first = Vec::new();
    let length = u64::try_from(MAGIC.len())?;
    File::open(path)?.take(length).read_to_end(&mut first)?;
    Ok(first.len() == MAGIC.len() || !MAGIC.starts_with(&first))
}

/// What a file has up to its last `end`, and where that is. What comes after is of a copy that was cut off, and is fetched again.
fn whole(path: &Path) -> Result<(Known, u64)> {
    let mut reader = Reader::open(path)?;
    let (mut known, mut good) = (Known::default(), reader.good);
    while let Ok(Some(message)) = reader.next() {
        match message {
            Message::Header(header) if known.header.is_none() => {
                known.header = Some(header);
                good = reader.good;
            }
            Message::End(end) => {
                known.end = end;
                good = reader.good;
            }
            Message::Header(_) | Message::Part(_) => {}
        }
    }
    Ok((known, good))
}

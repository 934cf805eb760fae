//! The register of erasures: a small file that a copy keeps beside itself, one erasure a line (JSON).
//!
//! A copy that is older than an erasure has the words. Restored with the register of a newer one, it does not.
//!
//! **Invariants**
//! - An erasure is in the register, on the device, before its entry is in the copy.
//! - A last line that is cut off is none: whoever wrote it was cut off before its entry was put into the copy, and fetches it again.
//! - A line may come twice; of another record it is left aside.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::file::sync_folder;
use crate::{
    cli::{
        failure::{Refusal, unreadable},
        output::note,
    },
    journal::Erasure,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// Of the record, 32 hexadecimal digits.
    feed_id: String,
    #[serde(flatten)]
    erasure: Erasure,
}

/// The register beside a copy.
pub(in crate::cli) fn beside(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push(".erasures");
    name.into()
}

/// Adds erasures, durably.
pub(super) fn append(path: &Path, feed_id: &str, erasures: &[Erasure]) -> Result<()> {
    if erasures.is_empty() {
        return Ok(());
    }
    let line = |erasure: &Erasure| {
        let line = serde_json::to_string(&Line { feed_id: feed_id.to_owned(), erasure: erasure.clone() })?;
        anyhow::Ok(line + "\n")
    };
    let lines: String = erasures.iter().map(line).collect::<Result<_>>()?;
    write(path, &lines).with_context(|| format!("cannot write {}", path.display()))
}

fn write(path: &Path, lines: &str) -> Result<()> {
    let is_new = !path.exists();
    let mut file = File::options().create(true).read(true).append(true).open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if serde_json::from_slice::<Line>(last).is_ok() {
        file.write_all(b"\n")?;
    } else {
        file.set_len(u64::try_from(text.len() - last.len())?)?;
    }
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    if is_new { sync_folder(path) } else { Ok(()) }
}

/// The erasures of a record that a register has.
pub(in crate::cli) fn read(path: &Path, feed_id: &str) -> Result<Vec<Erasure>> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| unreadable(path))?;
    let mut erasures = Vec::new();
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let line: Line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(_) if !line.ends_with('\n') => {
                note(format_args!("{name}, line {number} is cut off and erases nothing: {line}"));
                continue;
            }
            Err(fault) => {
                let words = format!("{name}, line {number}: no erasure as `onrecord backup` writes it");
                return Err(anyhow!(fault).context(Refusal::Usage(words)));
            }
        };
        if line.feed_id == feed_id {
            erasures.push(line.erasure);
        }
    }
    Ok(erasures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{id::StatementId, time::Timestamp};

    const FEED: &str = "01010101010101010101010101010101";
    const ANOTHER: &str = "02020202020202020202020202020202";

    fn erasure(id: &str) -> Erasure {
        let time = Timestamp::from_micros;
        Erasure { statement: StatementId::parse(id).unwrap(), create_time: time(1), expunge_time: time(2_000_000) }
    }

    #[test]
    fn what_was_noted_is_read_again_by_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("record.backup"));
        append(&path, FEED, &[]).unwrap();
        assert!(!path.exists());
        append(&path, FEED, &[erasure("fire"), erasure("flood")]).unwrap();
        append(&path, ANOTHER, &[erasure("fire")]).unwrap();
        assert_eq!(read(&path, FEED).unwrap(), [erasure("fire"), erasure("flood")]);
        let line = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        let right = r#"{"feedId":"01010101010101010101010101010101","statement":"statements/fire","createTime":"1970-01-01T00:00:00.000001Z","expungeTime":"1970-01-01T00:00:02Z"}"#;
        assert_eq!(line, right);
    }

    #[test]
    fn a_line_that_was_cut_off_is_none_and_does_no_harm_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("register");
        append(&path, FEED, &[erasure("fire")]).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, [&whole, &whole[..length]].concat()).unwrap();
            let twice = if length == whole.len() - 1 { 2 } else { 1 };
            assert_eq!(read(&path, FEED).unwrap(), vec![erasure("fire"); twice], "{length}");
            append(&path, FEED, &[erasure("flood")]).unwrap();
            let all = [vec![erasure("fire"); twice], vec![erasure("flood")]].concat();
            assert_eq!(read(&path, FEED).unwrap(), all, "{length}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("register");
        fs::write(&path, "{}\n").unwrap();
        assert!(format!("{:#}", read(&path, FEED).unwrap_err()).contains("line 1: no erasure"));
    }
}

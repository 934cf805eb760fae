//! A file that is replaced whole: what it holds is there or not, whatever ends the process.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::site::Position;

/// Replaces a file by another content: written beside it, synced, renamed, and its folder synced. Blocks.
///
/// # Errors
/// If that cannot be done; the file is then what it was.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = folder.join(name);
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(failure) = written.and_then(|()| fs::rename(&fresh, path)) {
        let _ = fs::remove_file(&fresh);
        return Err(failure);
    }
    File::open(folder)?.sync_all()
}

/// A position in a file of its own, for a site whose effects may be repeated: a crash between the effect and the position applies the
/// last commits again. A site whose effects must not be repeated keeps the position with them instead.
#[derive(Clone, Debug)]
pub struct PositionFile {
    path: PathBuf,
}

impl PositionFile {
    /// That file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What was kept last; none if there is no file.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn load(&self) -> io::Result<Option<Position>> {
        match fs::read(&self.path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a position, durably. Blocks.
    ///
    /// # Errors
    /// As [`replace_file`].
    pub fn keep(&self, position: &Position) -> io::Result<()> {
        replace_file(&self.path, &serde_json::to_vec(position)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Link;

    #[test]
    fn a_position_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = PositionFile::new(folder.path().join("position.json"));
        assert_eq!(file.load().unwrap(), None);
        for sequence in [1, 2] {
            let last = Some(Link { sequence, hash: [7; 32] });
            let position = Position { cursor: format!("c{sequence}"), last };
            file.keep(&position).unwrap();
            assert_eq!(file.load().unwrap(), Some(position));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(folder.path().join("position.json"), "half").unwrap();
        assert!(file.load().is_err());
    }
}

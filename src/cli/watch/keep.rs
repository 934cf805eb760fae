//! Where the cursor is kept, and with `--mirror` the state beside it.
//!
//! **Invariant**: the file holds an effect and the cursor after it, or neither: it is only ever replaced whole
//! (`a_file_is_replaced_whole`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::fold::Mirror;
use crate::{
    api::v1::{Delivery, Opened, Snapshot},
    cli::failure::{Refusal, unreadable},
    client::replace_file,
};

/// What survives this process.
#[derive(Debug)]
pub(super) struct Keep {
    place: Place,
    /// Also without a file, the cursor and the newest sequence are kept here.
    mirror: Mirror,
}

#[derive(Clone, Debug)]
enum Place {
    Nowhere,
    Cursor(PathBuf),
    Mirror(PathBuf),
}

impl Keep {
    /// Nothing survives; begins at this cursor, if it is not empty.
    pub(super) fn nothing(cursor: String) -> Self {
        Self { place: Place::Nowhere, mirror: Mirror { cursor, ..Mirror::default() } }
    }

    /// The cursor survives in a file.
    pub(super) fn cursor(path: &Path) -> Result<Self> {
        let cursor = read(path)?.unwrap_or_default().trim().to_owned();
        Ok(Self { place: Place::Cursor(path.to_owned()), ..Self::nothing(cursor) })
    }

    /// State and cursor survive in a file.
    pub(super) fn mirror(path: &Path) -> Result<Self> {
        let mirror = read(path)?.map(|text| serde_json::from_str(&text)).transpose();
        let mirror = mirror.with_context(|| Refusal::Usage(format!("{} is no mirror", path.display())))?;
        Ok(Self { place: Place::Mirror(path.to_owned()), mirror: mirror.unwrap_or_default() })
    }

    /// The newest cursor; empty if there is none.
    pub(super) fn newest_cursor(&self) -> &str {
        &self.mirror.cursor
    }

    /// Notes which feed this is.
    pub(super) fn opened(&mut self, opened: &Opened) {
        opened.feed_id.clone_into(&mut self.mirror.feed_id);
        self.mirror.epoch = opened.epoch;
    }

    /// Replaces the state.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot, cursor: &str) {
        self.mirror.replace(snapshot);
        self.advance(cursor);
    }

    /// Applies the whole of a commit.
    pub(super) fn commit(&mut self, deliveries: &[Delivery], cursor: &str) -> Result<()> {
        for delivery in deliveries {
            self.mirror.apply(delivery)?;
        }
        self.advance(cursor);
        Ok(())
    }

    /// Notes a newer cursor.
    pub(super) fn advance(&mut self, cursor: &str) {
        if !cursor.is_empty() && self.mirror.cursor != cursor {
            cursor.clone_into(&mut self.mirror.cursor);
        }
    }

    /// Brings the file up to date, durably.
    pub(super) async fn write(&mut self) -> Result<()> {
        let (path, text) = match &self.place {
            Place::Nowhere => return Ok(()),
            Place::Cursor(path) => (path.clone(), format!("{}\n", self.mirror.cursor)),
            Place::Mirror(path) => (path.clone(), format!("{}\n", serde_json::to_string_pretty(&self.mirror)?)),
        };
        let name = path.display().to_string();
        tokio::task::spawn_blocking(move || replace_file(&path, text.as_bytes()))
            .await?
            .with_context(|| format!("cannot write {name}"))
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| unreadable(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Keep};
    use crate::api::v1::{Event, delivery::FilterChange};

    fn delivery(sequence: u64) -> Delivery {
        Delivery::new(FilterChange::Unspecified, Event { sequence, ..Event::default() })
    }

    #[tokio::test]
    async fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.json");
        let mut keep = Keep::mirror(&path).unwrap();
        assert_eq!(keep.newest_cursor(), "");
        keep.commit(&[delivery(1), delivery(2)], "after-2").unwrap();
        assert!(!path.exists());
        keep.write().await.unwrap();
        let mut again = Keep::mirror(&path).unwrap();
        assert_eq!(again.mirror, keep.mirror);
        assert_eq!(again.newest_cursor(), "after-2");
        assert!(again.commit(&[delivery(2)], "after-2").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_cursor_file_holds_the_cursor_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let mut keep = Keep::cursor(&path).unwrap();
        keep.advance("here");
        keep.write().await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "here\n");
        assert_eq!(Keep::cursor(&path).unwrap().newest_cursor(), "here");
    }

    #[test]
    fn a_file_that_is_no_mirror_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.json");
        std::fs::write(&path, "{\"mine\": true}").unwrap();
        assert!(Keep::mirror(&path).is_err());
    }
}

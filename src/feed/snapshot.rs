//! The state at one moment, in parts, for a subscriber that begins with it.

use super::{
    Filter,
    message::{Message, SnapshotEmbargo, SnapshotLive},
};
use crate::{
    domain::id::StatementId,
    journal::{JournalError, Public, View},
};

/// Statements that one read looks at.
const STATEMENTS: usize = 64;
/// Bytes of text after which a part ends.
const PART_BYTES: usize = 256 * 1024;

/// A part of the state, and the statement it ends with; none after the last.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) live: Vec<SnapshotLive>,
    pub(super) embargoes: Vec<SnapshotEmbargo>,
    pub(super) last: Option<StatementId>,
}

impl Part {
    pub(super) fn items(&self) -> u64 {
        u64::try_from(self.live.len() + self.embargoes.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn into_message(self) -> Message {
        Message::Snapshot { live: self.live, embargoes: self.embargoes }
    }
}

/// Reads the part after the statement `after`, as things stood once all events below `tail` had happened.
pub(super) fn read(
    view: &View<'_>,
    after: Option<&StatementId>,
    filter: &Filter,
    include_embargoed: bool,
    tail: u64,
) -> Result<Part, JournalError> {
    let (mut part, mut bytes) = (Part::default(), 0);
    for public in view.publics(after, STATEMENTS, tail)? {
        part.last = Some(public.statement.id.clone());
        bytes += add_live(view, &mut part, &public, filter)?;
        if include_embargoed {
            bytes += add_embargoes(view, &mut part, &public, filter, tail)?;
        }
        if bytes >= PART_BYTES {
            break;
        }
    }
    Ok(part)
}

fn add_live(view: &View<'_>, part: &mut Part, public: &Public, filter: &Filter) -> Result<usize, JournalError> {
    let statement = &public.statement;
    let mut bytes = 0;
    for (language, live) in &public.lives {
        let Some(facts) = live.facts() else { continue };
        if !filter.admits(&statement.id, &statement.kind, language, facts) {
            continue;
        }
        let digest = live.edition.outline.digest;
        let content = if live.state.has_text() { view.content(&digest)? } else { None };
        bytes += content.as_ref().map_or(0, |content| content.body.len());
        part.live.push(SnapshotLive {
            statement: statement.id.clone(),
            kind: statement.kind.clone(),
            language: language.clone(),
            live: live.clone(),
            content,
        });
    }
    Ok(bytes)
}

fn add_embargoes(
    view: &View<'_>,
    part: &mut Part,
    public: &Public,
    filter: &Filter,
    tail: u64,
) -> Result<usize, JournalError> {
    let statement = &public.statement;
    let mut bytes = 0;
    for (language, release) in view.embargoes(&statement.id, tail)? {
        if !filter.admits(&statement.id, &statement.kind, &language, &release.outline.facts) {
            continue;
        }
        let content = view.content(&release.outline.digest)?;
        bytes += content.as_ref().map_or(0, |content| content.body.len());
        part.embargoes.push(SnapshotEmbargo {
            statement: statement.id.clone(),
            kind: statement.kind.clone(),
            language,
            release,
            content,
        });
    }
    Ok(bytes)
}

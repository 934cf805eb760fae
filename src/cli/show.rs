//! What people are shown of the things that several commands answer with.

use anyhow::Result;
use comfy_table::{Cell, Color, Table};
use owo_colors::OwoColorize as _;

use super::{
    names::short,
    output::{brief_digest, line, plain, say, table, word},
    times,
};
use crate::api::v1::{ChangeKind, Draft, Edition, Live, Release, draft, live, release};

/// Titles are cut to this in tables, in characters.
const TITLE_WIDTH: usize = 60;

/// A title for a table.
pub(super) fn title(text: &str) -> String {
    line(text, TITLE_WIDTH)
}

/// How a live text stands, in its colour.
pub(super) fn live_state(state: live::State) -> Cell {
    let color = match state {
        live::State::Published => Color::Green,
        live::State::Withdrawn | live::State::Expired => Color::Yellow,
        live::State::Gone | live::State::Redirected | live::State::Expunged | live::State::Unspecified => Color::Red,
    };
    Cell::new(word(state.as_str_name(), "STATE_")).fg(color)
}

/// Live texts, one a line.
pub(super) fn live_table<'a>(rows: impl IntoIterator<Item = &'a Live>) -> Table {
    let mut table = table(["STATEMENT", "STATE", "EDITION", "UPDATED", "TITLE", "SEQUENCE"]);
    for live in rows {
        let edition = live.edition.clone().unwrap_or_default();
        let stale = if live.stale_since_edition.is_empty() { "" } else { " stale" };
        table.add_row([
            Cell::new(format!("{}/{}", short(&live.statement), live.language_code)),
            live_state(live.state()),
            Cell::new(format!("{}{stale}", short(&edition.name))),
            Cell::new(times::brief(live.update_time.as_ref())),
            Cell::new(title(&edition.content.unwrap_or_default().title)),
            Cell::new(live.sequence),
        ]);
    }
    table
}

/// What an edition did to the one before.
pub(super) fn change_kind(kind: ChangeKind) -> &'static str {
    word(kind.as_str_name(), "CHANGE_KIND_")
}

/// Editions, one a line.
pub(super) fn edition_table<'a>(rows: impl IntoIterator<Item = &'a Edition>) -> Table {
    let mut table = table(["EDITION", "PUBLISHED", "CHANGE", "DIGEST", "NOTE"]);
    for edition in rows {
        let note = edition.correction.as_ref().map_or(&edition.change_note, |correction| &correction.text);
        table.add_row([
            short(&edition.name),
            times::brief(edition.publish_time.as_ref()),
            change_kind(edition.change_kind()).to_owned(),
            brief_digest(&edition.content_digest).to_owned(),
            if edition.expunged { "erased by law".to_owned() } else { plain(note) },
        ]);
    }
    table
}

/// How a draft stands, in a few words.
pub(super) fn draft_state(draft: &Draft) -> String {
    let state = word(draft.state().as_str_name(), "STATE_");
    format!("{state}, revision {} by {}", draft.revision, plain(&draft.editor))
}

/// Drafts, one a line.
pub(super) fn draft_table<'a>(rows: impl IntoIterator<Item = &'a Draft>) -> Table {
    let mut table = table(["DRAFT", "STATE", "REVISION", "EDITOR", "UPDATED", "BASE", "DIGEST"]);
    for draft in rows {
        let color = match draft.state() {
            draft::State::Approved => Color::Green,
            draft::State::InReview => Color::Yellow,
            draft::State::Draft | draft::State::Unspecified => Color::Reset,
        };
        table.add_row([
            Cell::new(short(&draft.name)),
            Cell::new(word(draft.state().as_str_name(), "STATE_")).fg(color),
            Cell::new(draft.revision),
            Cell::new(plain(&draft.editor)),
            Cell::new(times::brief(draft.update_time.as_ref())),
            Cell::new(short(&draft.base_edition)),
            Cell::new(brief_digest(&draft.content_digest)),
        ]);
    }
    table
}

/// One line that says how a draft stands, and what it still lacks.
pub(super) fn draft_line(draft: &Draft) -> Result<()> {
    say(format_args!("{}: {}", short(&draft.name).bold(), draft_state(draft)))?;
    say(format_args!("  digest {}", draft.content_digest))?;
    say(format_args!("  etag   {}", plain(&draft.etag)))?;
    for problem in &draft.submit_problems {
        say(format_args!("  {} {}: {}", "lacks".yellow(), plain(&problem.field), plain(&problem.description)))?;
    }
    Ok(())
}

/// Why a release is held; empty if it is not.
pub(super) fn held(release: &Release) -> &'static str {
    let reason = word(release.blocked_reason().as_str_name(), "BLOCKED_REASON_");
    if release.blocked_reason() == release::BlockedReason::Unspecified { "" } else { reason }
}

/// Releases, one a line.
pub(super) fn release_table<'a>(rows: impl IntoIterator<Item = &'a Release>) -> Table {
    let mut table = table(["RELEASE", "STATE", "TIME", "HELD", "BASE", "PUBLISHER", "DIGEST"]);
    for release in rows {
        table.add_row([
            Cell::new(short(&release.name)),
            Cell::new(word(release.state().as_str_name(), "STATE_")),
            Cell::new(times::brief(release.release_time.as_ref())),
            Cell::new(held(release)).fg(Color::Red),
            Cell::new(short(&release.base_edition)),
            Cell::new(plain(&release.publisher)),
            Cell::new(brief_digest(&release.content_digest)),
        ]);
    }
    table
}

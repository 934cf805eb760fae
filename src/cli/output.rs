//! The only place that writes to the terminal. Text from outside passes [`plain`] or [`line`], which isolate it; whatever is printed passes
//! `terminal::guarded`.

mod terminal;

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{Attribute, Cell, ContentArrangement, ContentLineStyle, Table, presets::NOTHING};
use unicode_segmentation::UnicodeSegmentation as _;

pub(super) use self::terminal::plain;
use super::json::{self, Answer};

/// Back to the upper left, and nothing below (ECMA-48: CUP, ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[J";
/// Stands between the cells of a table until they are isolated (UNIT SEPARATOR).
const SEPARATOR: char = '\u{1f}';

/// For whom to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables and sentences, for people.
    Table,
    /// Canonical JSON of the responses, for programs.
    Json,
}

impl Format {
    /// Writes one response: as JSON, or as `people` does.
    pub(super) fn answer<A: Answer>(self, answer: &A, people: impl FnOnce(&A) -> Result<()>) -> Result<()> {
        match self {
            Self::Table => people(answer),
            Self::Json => Ok(say(json::text(answer, false)?)?),
        }
    }

    /// Writes one message of a stream.
    pub(super) fn message<A: Answer>(self, message: &A, people: impl FnOnce(&A) -> Result<()>) -> Result<()> {
        match self {
            Self::Table => people(message),
            Self::Json => Ok(say(json::text(message, true)?)?),
        }
    }
}

/// Writes a line to standard output. Colours are dropped where they do not show.
pub(super) fn say(line: impl Display) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", terminal::guarded(&line.to_string()))?;
    out.flush()
}

/// Clears the screen.
pub(super) fn clear() -> io::Result<()> {
    write!(io::stdout(), "{CLEAR}")
}

/// Writes JSON to standard output as it is, not even a line break is added; on a terminal, with its hidden characters escaped.
pub(super) fn write_json(json: &[u8]) -> io::Result<()> {
    if io::stdout().is_terminal() { say(json::visible(&String::from_utf8_lossy(json))) } else { write_bytes(json) }
}

fn write_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a text to standard output: as it is into a file or a pipe, safe to look at on a terminal.
pub(super) fn write_text(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { say(plain(text.trim_end())) } else { write_bytes(text.as_bytes()) }
}

/// Writes a line to standard error: what is not part of the answer. If that is closed, nobody wanted to know.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{}", terminal::guarded(&line.to_string()));
}

/// A table of words, without borders.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    let separated = ContentLineStyle::none().junction(SEPARATOR);
    table.load_style(NOTHING.header_lines(separated).content_lines(separated));
    table.set_content_arrangement(ContentArrangement::Dynamic).enforce_styling();
    table.style_text_only();
    table.set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    table
}

/// Writes a table, or the sentence that says that it is empty.
pub(super) fn say_table(table: &Table, empty: &str) -> Result<()> {
    if table.is_empty() { Ok(say(empty)?) } else { say_rows(table) }
}

/// Writes a table that may be empty.
pub(super) fn say_rows(table: &Table) -> Result<()> {
    let rows: Vec<_> = table.lines().map(|line| terminal::row(&line, SEPARATOR)).collect();
    Ok(say(rows.join("\n"))?)
}

/// As [`plain`], on one line of at most `width` grapheme clusters.
pub(super) fn line(text: &str, width: usize) -> String {
    let joined = terminal::escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let cut = match joined.grapheme_indices(true).nth(width.saturating_sub(1)) {
        Some((end, last)) if end + last.len() < joined.len() => format!("{}…", joined.get(..end).unwrap_or_default()),
        Some(_) | None => joined,
    };
    terminal::isolated(&cut)
}

/// Text that [`plain`] or [`line`] made safe, in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("“{text}”")
}

/// The first 12 digits of a digest: enough to tell two apart.
pub(super) fn brief_digest(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// The name of a value of an enum without the prefix that all its values share: `STATE_IN_REVIEW` -> `IN_REVIEW`.
pub(super) fn word<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{SEPARATOR, line, quoted, table};

    #[test]
    fn arabic_is_isolated() {
        assert_eq!(quoted(&line("لوميو", 9)), "“\u{2068}لوميو\u{2069}”");
        assert_eq!(quoted(&line("Lumeo", 9)), "“Lumeo”");
        assert_eq!(line("لوميو 123", 4), "\u{2068}لوم…\u{2069}");
    }

    #[test]
    fn cells_are_separated_until_they_are_isolated() {
        let mut table = table(["A", "B"]);
        table.add_row(["a", "b"]);
        assert!(table.lines().all(|line| line.matches(SEPARATOR).count() == 1), "{table}");
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(line("größer\nals  alles", 9), "größer a…");
        assert_eq!(line("größer", 6), "größer");
        assert_eq!(line("größer", 5), "größ…");
        assert_eq!(line("👨‍👩‍👧‍👦👨‍👩‍👧‍👦👨‍👩‍👧‍👦", 2), "👨‍👩‍👧‍👦…");
        assert_eq!(line("a\u{2028}b\u{202e}c", 20), "a b<U+202E>c");
    }
}

//! The only place that writes to the terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets::NOTHING};

use super::json::{self, Answer};

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
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes bytes to standard output as they are: not even a line break is added.
pub(super) fn write_bytes(bytes: &[u8]) -> io::Result<()> {
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
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// A table of words, without borders.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).enforce_styling();
    table.style_text_only();
    table.set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    table
}

/// Writes a table, or the sentence that says that it is empty.
pub(super) fn say_table(table: &Table, empty: &str) -> Result<()> {
    Ok(if table.is_empty() { say(empty) } else { say(table.trim_fmt()) }?)
}

/// Text from outside, made safe to print: control characters, which could drive a terminal, are replaced. Line breaks stay.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// As [`plain`], on one line of at most `width` characters.
pub(super) fn line(text: &str, width: usize) -> String {
    let joined = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(width.saturating_sub(1)) {
        Some((end, _)) if joined.chars().nth(width).is_some() => format!("{}…", joined.get(..end).unwrap_or_default()),
        Some(_) | None => joined,
    }
}

/// Text in quotes. Arabic or Hebrew is isolated (UAX #9), so that it does not turn round what stands beside it.
pub(super) fn quoted(text: &str) -> String {
    let right_to_left = |c| matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}');
    if text.contains(right_to_left) { format!("“\u{2068}{text}\u{2069}”") } else { format!("“{text}”") }
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
    use super::{line, plain, quoted};

    #[test]
    fn arabic_is_isolated() {
        assert_eq!(quoted("لوميو"), "“\u{2068}لوميو\u{2069}”");
        assert_eq!(quoted("Lumeo"), "“Lumeo”");
    }

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}c\r\nd\te"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\nd\te");
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(line("größer\nals  alles", 9), "größer a…");
        assert_eq!(line("größer", 6), "größer");
        assert_eq!(line("größer", 5), "größ…");
    }
}

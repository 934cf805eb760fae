//! Text from outside on a terminal.
//!
//! **Invariants**
//! - Nothing that is printed drives the terminal: control and format characters are shown by their code points
//!   (`what_is_hidden_is_shown_by_its_code_point`), but for joiners inside words and emoji (`joiners_stay_where_text_needs_them`).
//! - Text that runs from right to left is isolated (UAX #9) on each line, so that it cannot reorder what stands beside it
//!   (`text_from_right_to_left_is_isolated_line_by_line`, `a_cell_that_is_wrapped_is_isolated_on_each_of_its_lines`).
//! - [`guarded`] holds both for every line that is printed, whoever composed it (`a_line_keeps_colours_and_closed_isolates`).

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{BidiClass, EmojiModifier, ExtendedPictographic, GeneralCategoryGroup},
};

use crate::domain::text::{category, is_hidden, push_escaped};

/// FIRST STRONG ISOLATE
const FSI: char = '\u{2068}';
/// POP DIRECTIONAL ISOLATE
const PDI: char = '\u{2069}';
const BLACK_FLAG: char = '\u{1f3f4}';
const CANCEL_TAG: char = '\u{e007f}';
/// Tags of the flag of a subdivision: the code of a country and of what is in it (UTS #51).
const FLAG_TAGS_MAX: usize = 6;

/// Text made safe to print. Line breaks and tabs stay.
pub(in crate::cli) fn plain(text: &str) -> String {
    let lines = text.split('\n').map(|line| isolated(&escaped(line.strip_suffix('\r').unwrap_or(line))));
    lines.collect::<Vec<_>>().join("\n")
}

/// One line without its hidden characters: each is shown by its code point.
pub(super) fn escaped(line: &str) -> String {
    escaped_but(line, |_, _| 0)
}

/// Isolates a line if some of it runs from right to left.
pub(super) fn isolated(line: &str) -> String {
    let classes = CodePointMapData::<BidiClass>::new();
    let turns =
        |c| matches!(classes.get(c), BidiClass::RightToLeft | BidiClass::ArabicLetter | BidiClass::ArabicNumber);
    if line.chars().any(turns) { format!("{FSI}{line}{PDI}") } else { line.to_owned() }
}

/// Lines as they are printed. Colours and isolates that are closed in their line stay; whatever else is hidden is shown by its code point.
pub(super) fn guarded(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let mut open = false;
        escaped_but(line, |c, rest| match c {
            FSI if !open && rest.contains(PDI) => {
                open = true;
                FSI.len_utf8()
            }
            PDI if open => {
                open = false;
                PDI.len_utf8()
            }
            '\u{1b}' => colour(rest),
            _ => 0,
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A row of a table whose cells are separated by `separator`: isolates what runs from right to left in each cell by itself, since a cell
/// that was wrapped has its isolate's ends on two lines.
pub(super) fn row(line: &str, separator: char) -> String {
    let cells = line.split(separator).map(|cell| {
        let cell = cell.replace([FSI, PDI], "");
        let (text, begin) = (cell.trim(), cell.len() - cell.trim_start().len());
        let end = begin + text.len();
        format!("{}{}{}", cell.get(..begin).unwrap_or_default(), isolated(text), cell.get(end..).unwrap_or_default())
    });
    cells.collect::<String>().trim_end().to_owned()
}

/// `keep` says how many bytes of a hidden character, and of what follows it, stay.
fn escaped_but(line: &str, mut keep: impl FnMut(char, &str) -> usize) -> String {
    let mut escaped = String::with_capacity(line.len());
    let (mut rest, mut before) = (line, None);
    while let Some(c) = rest.chars().next() {
        let hidden = c != '\t' && !(' '..='~').contains(&c) && is_hidden(c);
        let kept = if hidden { keep(c, rest).max(needed(before, rest)) } else { c.len_utf8() };
        if kept == 0 {
            push_escaped(&mut escaped, c, true);
        } else {
            escaped.push_str(rest.get(..kept).unwrap_or_default());
        }
        rest = rest.get(kept.max(c.len_utf8())..).unwrap_or_default();
        before = Some(c);
    }
    escaped
}

/// Bytes of the format characters at the beginning of `rest` that a text needs: a joiner between letters or emoji, the tags of a flag.
fn needed(before: Option<char>, rest: &str) -> usize {
    let mut chars = rest.chars();
    match (before, chars.next(), chars.next()) {
        (Some(before), Some(c @ ('\u{200c}' | '\u{200d}')), Some(after)) if joins(before) && joins(after) => {
            c.len_utf8()
        }
        (Some(BLACK_FLAG), ..) => {
            let tags: usize =
                rest.chars().take_while(|c| ('\u{e0020}'..CANCEL_TAG).contains(c)).map(char::len_utf8).sum();
            let closed = rest.get(tags..).is_some_and(|rest| rest.starts_with(CANCEL_TAG));
            let short = (1..=FLAG_TAGS_MAX * CANCEL_TAG.len_utf8()).contains(&tags);
            if closed && short { tags + CANCEL_TAG.len_utf8() } else { 0 }
        }
        _ => 0,
    }
}

/// Letters of scripts that join, marks, and emoji.
fn joins(c: char) -> bool {
    let letter = GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Mark).contains(category(c));
    let emoji = || {
        CodePointSetData::new::<ExtendedPictographic>().contains(c)
            || CodePointSetData::new::<EmojiModifier>().contains(c)
    };
    !c.is_ascii() && (letter || emoji())
}

/// Bytes of the sequence at the beginning of `rest` that sets a colour (ECMA-48: SGR); 0 if it is another.
fn colour(rest: &str) -> usize {
    let Some(parameters) = rest.strip_prefix("\u{1b}[") else { return 0 };
    let digits = parameters.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    if parameters.as_bytes().get(digits) == Some(&b'm') { "\u{1b}[".len() + digits + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{escaped, guarded, plain, row};
    use crate::domain::text::is_hidden;

    #[test]
    fn what_is_hidden_is_shown_by_its_code_point() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}c\r\nd\te\r"), "a<U+001B>[31mb<U+009B>c\nd\te");
        assert_eq!(plain("a\u{202e}b\u{200b}c\u{feff}\u{ad}\u{2028}"), "a<U+202E>b<U+200B>c<U+FEFF><U+00AD><U+2028>");
        for c in ('\0'..=char::MAX).filter(|c| is_hidden(*c) && !matches!(c, '\t' | '\n')) {
            for text in [format!("{c}"), format!("a{c}b"), format!("é{c}b"), format!("a{c}é"), format!("{c}é")] {
                assert!(!escaped(&text).contains(c), "{text:?}");
                assert!(!guarded(&text).contains(c), "{text:?}");
            }
        }
    }

    #[test]
    fn joiners_stay_where_text_needs_them() {
        for text in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "ශ්\u{200d}රී",
            "👨‍👩‍👧‍👦",
            "👩🏽‍🚒",
            "❤️‍🔥",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(escaped("a\u{200d}b"), "a<U+200D>b");
        assert_eq!(escaped("é\u{200d}\u{200d}é"), "é<U+200D><U+200D>é");
        // Words hidden in tags, behind a flag or not.
        assert_eq!(escaped("x\u{e0068}\u{e0069}"), "x<U+E0068><U+E0069>");
        let hidden = format!("🏴{}\u{e007f}", "\u{e0068}".repeat(7));
        assert_eq!(escaped(&hidden), format!("🏴{}<U+E007F>", "<U+E0068>".repeat(7)));
    }

    #[test]
    fn text_from_right_to_left_is_isolated_line_by_line() {
        assert_eq!(plain("لوميو 7\nLumeo\nשלום"), "\u{2068}لوميو 7\u{2069}\nLumeo\n\u{2068}שלום\u{2069}");
        assert_eq!(plain("\u{2067}לו\u{2069}"), "\u{2068}<U+2067>לו<U+2069>\u{2069}");
    }

    #[test]
    fn a_line_keeps_colours_and_closed_isolates() {
        let right = "\u{1b}[1;31mred\u{1b}[0m \u{2068}לו\u{2069} \u{2068}b\u{2069}\nplain";
        assert_eq!(guarded(right), right);
        assert_eq!(guarded("\u{1b}[2J \u{1b}]0;t\u{7} \u{1b}[1"), "<U+001B>[2J <U+001B>]0;t<U+0007> <U+001B>[1");
        assert_eq!(guarded("\u{2068}a\nb\u{2069}"), "<U+2068>a\nb<U+2069>");
        assert_eq!(guarded("\u{2068}a\u{2068}b\u{2069}\u{2069}"), "\u{2068}a<U+2068>b\u{2069}<U+2069>");
    }

    #[test]
    fn a_cell_that_is_wrapped_is_isolated_on_each_of_its_lines() {
        assert_eq!(row("\u{2068}אב   |x  ", '|'), "\u{2068}אב\u{2069}   x");
        assert_eq!(row(" \u{1b}[1mגד\u{1b}[0m\u{2069} | y ", '|'), " \u{2068}\u{1b}[1mגד\u{1b}[0m\u{2069}  y");
        assert_eq!(row("a|b", '|'), "ab");
    }
}

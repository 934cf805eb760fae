//! Rules for the characters of a text, by the Unicode properties that ICU4X compiles in.
//!
//! **Invariants**
//! - A text holds only characters that XML 1.0 (fifth edition, production 2) has, and no noncharacter.
//! - Every bidi control is closed in the paragraph that opens it (UAX #9), so that no text reorders what is shown after it.
//! - What is required has at least one visible character.
//!
//! `tests/it/texts.rs` holds every text field of the API to them.

use std::fmt::Write as _;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup},
};

use super::id::Malformed;

/// Whether a text may have more than one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// One line: no control character, no line separator, no paragraph separator.
    One,
    /// Any number of lines.
    Many,
}

/// General categories of characters that show something by themselves. A mark needs another character, and the appearance of
/// private-use and unassigned code points is not known.
const SHOWN: GeneralCategoryGroup = GeneralCategoryGroup::Letter
    .union(GeneralCategoryGroup::Number)
    .union(GeneralCategoryGroup::Punctuation)
    .union(GeneralCategoryGroup::Symbol);
/// General categories of characters that show nothing and change how the rest is shown.
const HIDDEN: GeneralCategoryGroup = GeneralCategoryGroup::Control
    .union(GeneralCategoryGroup::Format)
    .union(GeneralCategoryGroup::LineSeparator)
    .union(GeneralCategoryGroup::ParagraphSeparator);
/// Characters that their code charts draw blank although no property says so: BRAILLE PATTERN BLANK, EGYPTIAN HIEROGLYPH FULL BLANK
/// and HALF BLANK, MUSICAL SYMBOL NULL NOTEHEAD.
const BLANKS: [char; 4] = ['\u{2800}', '\u{13441}', '\u{13442}', '\u{1d159}'];

/// True if at least one character of the text is visible: a letter, number, punctuation mark or symbol that is neither
/// `Default_Ignorable_Code_Point` nor blank. White space and format characters are not visible.
#[must_use]
pub fn is_visible(text: &str) -> bool {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    text.chars().any(|c| SHOWN.contains(category(c)) && !ignorable.contains(c) && !BLANKS.contains(&c))
}

/// The `General_Category` of a character.
#[must_use]
pub fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// True for control and format characters and for line and paragraph separators.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    HIDDEN.contains(category(c))
}

/// A character as the Unicode standard names it: `U+202E`.
#[must_use]
pub fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// The text with each hidden character as `<U+202E>`: for messages that quote what a caller sent.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut escaped, c, is_hidden(c));
    }
    escaped
}

/// Adds a character, or its code point in angle brackets.
pub fn push_escaped(text: &mut String, c: char, hidden: bool) {
    if hidden {
        // Writing to a string does not fail.
        let _ = write!(text, "<{}>", code_point(c));
    } else {
        text.push(c);
    }
}

/// Finds the first character that a text must not have, or the first bidi control that is not closed.
///
/// # Errors
/// Names the character and its place: counted in code points from 1, in its line.
pub fn check(text: &str, lines: Lines) -> Result<(), Malformed> {
    let mut place = Place { line: 1, character: 0 };
    let mut open: Vec<Opened> = Vec::new();
    for c in text.chars() {
        place.character += 1;
        if !is_xml(c) {
            return Err(Malformed::new(format!(
                "must not contain {} ({place}): XML 1.0 has no place for it",
                code_point(c)
            )));
        }
        if lines == Lines::One && is_break(c) {
            let words = format!("must be one line without control characters; it has {} ({place})", code_point(c));
            return Err(Malformed::new(words));
        }
        if is_paragraph_end(c) {
            closed(&open)?;
            open.clear();
        } else if let Some(closer) = closer_of(c) {
            open.push(Opened { c, closer, place });
        } else if matches!(c, PDF | PDI) {
            match open.pop() {
                Some(opened) if opened.closer == c => {}
                Some(opened) => return Err(unclosed(&opened)),
                None => {
                    let words = format!(
                        "must open every bidi control that it closes; {} ({place}) closes nothing",
                        code_point(c)
                    );
                    return Err(Malformed::new(words));
                }
            }
        }
        if c == '\n' {
            place = Place { line: place.line + 1, character: 0 };
        }
    }
    closed(&open)
}

const PDF: char = '\u{202c}';
const PDI: char = '\u{2069}';

/// A bidi control that was opened.
struct Opened {
    c: char,
    closer: char,
    place: Place,
}

#[derive(Clone, Copy)]
struct Place {
    line: usize,
    character: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, character } = self;
        if *line == 1 {
            write!(f, "at character {character}")
        } else {
            write!(f, "at line {line}, character {character}")
        }
    }
}

/// `Char` of XML 1.0 (fifth edition), without the noncharacters that it allows and advises against.
fn is_xml(c: char) -> bool {
    let noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    !noncharacter && (c >= ' ' || matches!(c, '\t' | '\n' | '\r'))
}

fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// `Bidi_Class=Paragraph_Separator`, of the characters that a text may have.
fn is_paragraph_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2029}')
}

/// The control that ends an embedding, an override or an isolate (UAX #9, section 2).
fn closer_of(c: char) -> Option<char> {
    match c {
        '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' => Some(PDF),
        '\u{2066}' | '\u{2067}' | '\u{2068}' => Some(PDI),
        _ => None,
    }
}

fn closed(open: &[Opened]) -> Result<(), Malformed> {
    open.first().map_or(Ok(()), |opened| Err(unclosed(opened)))
}

fn unclosed(opened: &Opened) -> Malformed {
    let (control, closer, place) = (code_point(opened.c), code_point(opened.closer), opened.place);
    Malformed::new(format!(
        "must close every bidi control in its paragraph (UAX #9); {control} ({place}) is not closed by {closer}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_visible_by_the_properties_of_its_characters() {
        for visible in ["a", "٣", "।", "🎉", " \u{200b}x", "⠓", "\u{fffd}", "한", "\u{e9}"] {
            assert!(is_visible(visible), "{visible:?}");
        }
        for invisible in [
            "",
            " \t\r\n",
            "\u{a0}\u{2003}\u{3000}\u{1680}",
            "\u{200b}\u{200d}\u{feff}\u{2060}",
            "\u{3164}",
            "\u{115f}\u{1160}\u{ffa0}",
            "\u{202e}\u{202c}",
            "\u{ad}",
            "\u{34f}",
            "\u{fe0f}",
            "\u{301}",
            "\u{2800}",
            "\u{1d159}",
            "\u{e0061}",
            "\u{180e}",
            "\u{e000}",
            "\u{378}",
            "\u{2028}\u{2029}",
            "\u{fff9}\u{fffb}",
            "\u{17b4}",
        ] {
            assert!(!is_visible(invisible), "{invisible:?}");
        }
    }

    fn check_fault(text: &str, lines: Lines, wanted: Option<&str>) {
        let fault = check(text, lines).err().map(|fault| fault.0);
        match (&fault, wanted) {
            (None, None) => {}
            (Some(fault), Some(wanted)) if fault.contains(wanted) => {}
            _ => panic!("{text:?} {lines:?}: {fault:?}, not {wanted:?}"),
        }
    }

    #[test]
    fn a_character_without_a_place_in_xml_is_named_with_its_place() {
        for (text, wanted) in [
            ("a\u{0}", "U+0000 (at character 2)"),
            ("größe\u{fffe}", "U+FFFE (at character 6)"),
            ("a\nb\u{b}", "U+000B (at line 2, character 2)"),
            ("\u{1f}", "U+001F"),
            ("\u{ffff}", "U+FFFF"),
            ("\u{fdd0}", "U+FDD0"),
            ("\u{10ffff}", "U+10FFFF"),
        ] {
            check_fault(text, Lines::Many, Some(wanted));
            check_fault(text, Lines::One, Some("U+"));
        }
        check_fault("a\tb\r\nc\u{2028}d\u{2029}e\u{85}f\u{e000}\u{fffd}\u{10fffd}", Lines::Many, None);
    }

    #[test]
    fn one_line_has_no_separator() {
        for separator in ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\t", "\u{7f}", "\u{9b}"] {
            check_fault(&format!("ab{separator}c"), Lines::One, Some("(at character 3)"));
        }
        check_fault("شرکت می\u{200c}خواهد 👩\u{200d}🚒 \u{200f}", Lines::One, None);
    }

    #[test]
    fn bidi_controls_are_closed_in_their_paragraph() {
        for balanced in [
            "\u{202e}a\u{202c}",
            "\u{2067}א\u{2068}b\u{2069}\u{2069}",
            "\u{2066}\u{202b}a\u{202c}\u{2069} \u{2066}b\u{2069}",
            "\u{202a}a\u{202c}\nb",
            "\u{200e}\u{200f}\u{61c}",
            "\u{2066}a\u{2028}b\u{2069}",
        ] {
            check_fault(balanced, Lines::Many, None);
        }
        for (text, wanted) in [
            ("ab\u{202e}c", "U+202E (at character 3) is not closed by U+202C"),
            ("\u{2066}a\u{202e}b\u{202c}", "U+2066 (at character 1) is not closed by U+2069"),
            ("\u{2067}\u{202b}a\u{2069}", "U+202B (at character 2) is not closed by U+202C"),
            ("a\u{2069}", "U+2069 (at character 2) closes nothing"),
            ("a\u{202c}", "U+202C (at character 2) closes nothing"),
            ("a\n\u{202d}b\nc\u{202c}", "U+202D (at line 2, character 1) is not closed"),
            ("\u{2068}a\u{2029}b\u{2069}", "U+2068 (at character 1) is not closed"),
            ("\u{2068}a\rb\u{2069}", "U+2068 (at character 1) is not closed"),
        ] {
            check_fault(text, Lines::Many, Some(wanted));
        }
    }

    #[test]
    fn what_is_hidden_is_escaped() {
        assert_eq!(escaped("a\u{202e}b\u{1b}\u{2028}é"), "a<U+202E>b<U+001B><U+2028>é");
    }
}

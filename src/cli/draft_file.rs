//! A draft as a file: Markdown (or HTML, or plain text) after a head of YAML between two lines of `---`.
//!
//! ```text
//! ---
//! statement: recall-7
//! language: en
//! title: Recall of the Lumeo Lamp 7
//! renditions:
//!   social.short: We recall the Lamp 7. Unplug it.
//! ---
//! The **whole** text.
//! ```

mod convert;
mod head;

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    failure::{Refusal, unreadable},
    names::Slot,
};
use crate::api::v1::{Content, Draft, Release};

pub(super) use self::head::Head;

const FENCE: &str = "---";

/// A draft file, read.
#[derive(Debug)]
pub(super) struct DraftFile {
    pub(super) slot: Slot,
    pub(super) content: Content,
    /// The edition the author worked on, where the file names it.
    pub(super) base_edition: String,
}

/// Reads a draft file.
pub(super) fn read(path: &Path) -> Result<DraftFile> {
    let text = std::fs::read_to_string(path).with_context(|| unreadable(path))?;
    parse(&text).map_err(|error| Refusal::Usage(format!("{}: {error:#}", path.display())).into())
}

/// Reads the text of a draft file.
pub(super) fn parse(text: &str) -> Result<DraftFile> {
    let (yaml, body) = split(text)?;
    // The head begins on the second line of the file: with one line before it, positions are those of the file.
    let head: Head =
        serde_saphyr::from_str(&format!("\n{yaml}")).map_err(|error| anyhow!("{}", error.without_snippet()))?;
    convert::draft(head, body)
}

/// Writes a draft as a file that [`read`] takes; what cannot be changed there is said in comments.
pub(super) fn text(draft: &Draft) -> Result<String> {
    let state = super::show::draft_state(draft).replace('\n', " ");
    written(draft, &format!("# {state}\n# etag {}\n# digest {}\n", draft.etag, draft.content_digest))
}

/// Writes what waits as a file that [`read`] takes.
pub(super) fn text_of_release(slot: &Slot, release: Release) -> Result<String> {
    let about = format!("# waits for its time\n# etag {}\n# digest {}\n", release.etag, release.content_digest);
    let Release { content, base_edition, .. } = release;
    written(&Draft { name: slot.draft(), content, base_edition, ..Draft::default() }, &about)
}

fn written(draft: &Draft, about: &str) -> Result<String> {
    let content = draft.content.clone().unwrap_or_default();
    let head = serde_saphyr::to_string(&convert::head(draft, &content))?;
    // Line breaks at the end of a text belong to it.
    let head = head.strip_suffix('\n').unwrap_or(&head);
    Ok(format!("{FENCE}\n{about}{head}\n{FENCE}\n{}", content.body))
}

/// Splits off the head. The body begins right after the closing fence's line break.
fn split(text: &str) -> Result<(&str, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut offset = 0;
    let mut start = None;
    for line in text.split_inclusive('\n') {
        let end = offset + line.len();
        match start {
            None if line.trim_end() == FENCE => start = Some(end),
            None => bail!("line 1 has to be `{FENCE}`: the head comes first"),
            Some(start) if line.trim_end() == FENCE => {
                return Ok((text.get(start..offset).unwrap_or_default(), text.get(end..).unwrap_or_default()));
            }
            Some(_) => {}
        }
        offset = end;
    }
    bail!("the head has no closing line `{FENCE}`")
}

#[cfg(test)]
mod tests {
    use super::{Draft, parse, text};
    use crate::api::v1::ChangeKind;

    const FULL: &str = include_str!("draft_file/example.md");

    #[test]
    fn a_file_with_everything_is_read() {
        let file = parse(FULL).unwrap();
        assert_eq!(file.slot.to_string(), "recall-7/en");
        assert_eq!(file.base_edition, "statements/recall-7/editions/en.1");
        let content = &file.content;
        assert_eq!(content.body, "\nUnplug it. **Now.**\n\n---\n\nA line of its own is not a fence down here.\n");
        assert_eq!(content.change_kind(), ChangeKind::Correction);
        let correction = content.correction.clone().unwrap();
        assert_eq!(correction.corrected_edition, "statements/recall-7/editions/en.1");
        assert_eq!(content.renditions.len(), 2);
        assert_eq!(content.claim_reviews[0].evidence[0].uri, "https://lumeo.example/tests");
        assert_eq!(content.expire_time.unwrap().seconds, 1_798_761_600);
    }

    #[test]
    fn a_file_that_was_written_reads_back_the_same() {
        let file = parse(FULL).unwrap();
        let draft = Draft {
            name: file.slot.draft(),
            base_edition: file.base_edition.clone(),
            content: Some(file.content.clone()),
            editor: "anna".to_owned(),
            ..Draft::default()
        };
        let again = parse(&text(&draft).unwrap()).unwrap();
        assert_eq!(again.content, file.content);
        assert_eq!((again.slot, again.base_edition), (file.slot, file.base_edition));
    }

    fn check(text: &str, wanted: &str) {
        let error = format!("{:#}", parse(text).unwrap_err());
        assert!(error.contains(wanted), "{error:?} has no {wanted:?}");
    }

    /// The lines of a file without those that are below a line, as a list or a map of its own is.
    fn without_block(lines: &[&str], at: usize) -> Vec<String> {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let below = lines[at + 1..].iter().take_while(|line| indent(line) > indent(lines[at])).count();
        let ends = |(place, _): &(usize, &&str)| *place <= at || *place > at + below;
        lines.iter().enumerate().filter(ends).map(|(_, line)| (*line).to_owned()).collect()
    }

    #[test]
    fn a_key_without_a_value_is_one_that_is_not_given() {
        let lines: Vec<_> = FULL.lines().collect();
        let head = lines.iter().skip(1).position(|line| *line == "---").unwrap() + 1;
        let required = ["statement", "language", "title", "- title", "uri", "- claim", "verdict", "- name"];
        let mut checked = 0;
        for at in (1..head).filter(|at| lines[*at].contains(':')) {
            let key = lines[at].split(':').next().unwrap();
            // The title of a piece of evidence is optional, and the first of its keys.
            let (indent, name) = (key.len() - key.trim_start().len(), key.trim_start());
            if required.contains(&name) && (name != "- title" || indent < 6) {
                continue;
            }
            let mut rest = without_block(&lines, at);
            let given = std::mem::take(&mut rest[at]);
            rest[at] = if name.starts_with("- ") {
                given.replace("- title: Test report", "- title: \"\"")
            } else {
                String::new()
            };
            let removed = parse(&rest.join("\n")).map(|file| file.content).map_err(|error| error.to_string());
            for value in ["", " ", " ~", " null"] {
                rest[at] = format!("{key}:{value}");
                let read = parse(&rest.join("\n")).map(|file| file.content).map_err(|error| error.to_string());
                assert_eq!(read, removed, "{}", rest[at]);
            }
            checked += 1;
        }
        assert_eq!(checked, 33);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        check("title: x\n", "line 1 has to be `---`");
        check("---\ntitle: x\n", "no closing line");
        check("---\nstatement: a\nlanguage: en\ntitle: t\ntitel: t\n---\n", "line 5");
        check("---\nstatement: a\nlanguage: en\ntitle: t\ntitel: t\n---\n", "titel");
        check("---\nlanguage: en\ntitle: t\n---\n", "statement");
        check("---\nstatement: a\nlanguage: en\ntitle:\n---\n", "line 4");
        check("---\nstatement: a\nlanguage: en\ntitle: t\nkind_of_change: huge\n---\n", "line 5");
        check("---\nstatement: a\nlanguage: en\ntitle: t\nexpire_time: soon\n---\n", "line 5");
        let time = "2026-07-01T12:00:00+02:00[America/New_York]";
        check(&format!("---\nstatement: a\nlanguage: en\ntitle: t\nexpire_time: {time}\n---\n"), "contradicts itself");
    }

    #[test]
    fn a_body_without_anything_visible_is_none() {
        assert_eq!(parse("---\nstatement: a\nlanguage: en\ntitle: t\n---\n\n \n").unwrap().content.body, "");
    }
}

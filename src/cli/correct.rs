//! `onrecord correct`: says that the live edition is wrong, and what is right.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use owo_colors::OwoColorize as _;

use super::{
    draft::{self, Current},
    draft_file::{self, DraftFile},
    failure::Refusal,
    names::{self, Slot, short},
    output::{Format, say},
    publish::{self, Force},
    session::{Session, request_id},
    show,
};
use crate::{
    api::v1::{ChangeKind, Correction, Draft, DraftToPublish, GetStatementRequest, Live, PublishDraftsRequest, live},
    domain::id::LanguageTag,
};

const EXAMPLES: &str = "\
Examples:
  onrecord correct recall-7.en.md --correction 'We named 1,400 lamps. It is 4,100.'
  onrecord correct recall-7.en.md --correction '…' --force --reason 'it is being quoted now'";

/// Correct the live edition
///
/// Saves a correction from a file and submits it; with --force, publishes it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The right text: a file as for `onrecord draft save`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What was wrong, for readers
    #[arg(long, value_name = "TEXT")]
    correction: String,
    /// Publish it too; nobody has approved it, so this needs --force
    #[arg(long, requires = "force")]
    publish: bool,
    #[command(flatten)]
    force: Force,
    /// Replace the draft that has this etag, and no other
    #[arg(long, conflicts_with = "overwrite", value_parser = names::etag)]
    etag: Option<String>,
    /// Replace whatever draft is there
    #[arg(long)]
    overwrite: bool,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let mut file = draft_file::read(&self.file)?;
        let slot = file.slot.clone();
        let (wrong, withdrawn) = live_edition(session, &slot).await?;
        make_correction(&mut file, self.correction, &wrong);
        let saved = draft::save(session, file, Current::chosen(self.etag, self.overwrite)).await?;
        let etag = saved.draft.as_ref().map(|draft| draft.etag.clone()).unwrap_or_default();
        session.format.answer(&saved, |_| Ok(()))?;
        let submitted = draft::submit(session, &slot, etag).await?;
        session.format.answer(&submitted, |answer| answer.draft.as_ref().map_or(Ok(()), show::draft_line))?;
        let submitted = submitted.draft.unwrap_or_default();
        if self.force.force {
            force(session, &slot, submitted, self.force).await
        } else {
            next(session, &slot, &wrong, withdrawn)
        }
    }
}

/// The name of the edition that is live, with its number; and whether it is withdrawn.
async fn live_edition(session: &Session, slot: &Slot) -> Result<(String, bool)> {
    let nothing = || format!("{slot} has nothing live to correct");
    let (name, language_code) = (slot.statement.name(), slot.language.clone());
    let request = GetStatementRequest { name, language_code, ..GetStatementRequest::default() };
    let answer = session.statements(request, async |mut api, q| api.get_statement(q).await).await;
    let live = answer.with_context(nothing)?.statement.and_then(|statement| statement.live);
    // Another language may be served in its place.
    let asked =
        LanguageTag::parse(&slot.language).map_err(|fault| anyhow!("{}: the language {fault}", slot.language))?;
    let is_asked = |live: &Live| LanguageTag::stored(&live.language_code).is_ok_and(|served| served.matches(&asked));
    let live = live.filter(is_asked);
    let live = live.with_context(|| Refusal::NotFound(nothing()))?;
    let withdrawn = live.state() == live::State::Withdrawn;
    Ok((live.edition.unwrap_or_default().name, withdrawn))
}

/// The file says what is right; what it says of an earlier change is of no account.
fn make_correction(file: &mut DraftFile, text: String, wrong: &str) {
    wrong.clone_into(&mut file.base_edition);
    file.content.change_kind = ChangeKind::Correction.into();
    file.content.correction = Some(Correction { text, corrected_edition: wrong.to_owned(), renditions: Vec::new() });
}

async fn force(session: &Session, slot: &Slot, draft: Draft, force: Force) -> Result<()> {
    let request = PublishDraftsRequest {
        parent: slot.statement.name(),
        drafts: vec![DraftToPublish { language_code: slot.language.clone(), etag: draft.etag }],
        force: force.force,
        reason: force.reason,
        request_id: request_id(),
        ..PublishDraftsRequest::default()
    };
    let answer = publish::publish(session, request).await?;
    session.format.answer(&answer, |answer| {
        publish::people(answer)?;
        let editions = answer.live.iter().filter_map(|live| live.edition.as_ref());
        for edition in editions {
            say(format_args!("{} an approval, by somebody else:", "owed".yellow()))?;
            say(format_args!("  {} approve-edition {}", session.by_somebody_else(), short(&edition.name)))?;
        }
        Ok(())
    })
}

fn next(session: &Session, slot: &Slot, wrong: &str, withdrawn: bool) -> Result<()> {
    if session.format == Format::Json {
        return Ok(());
    }
    let Slot { statement, language } = slot;
    let stands =
        if withdrawn { "is withdrawn, and publishing this makes the statement stand again" } else { "still stands" };
    say(format_args!("\n{} {} {stands}. Next:", "Not public yet:".yellow(), short(wrong)))?;
    say(format_args!("  1. somebody else approves      {} draft approve {slot}", session.by_somebody_else()))?;
    Ok(say(format_args!("  2. then it can be published    onrecord publish {statement} {language}"))?)
}

#[cfg(test)]
mod tests {
    use super::{ChangeKind, DraftFile, make_correction};
    use crate::api::v1::Content;

    #[test]
    fn a_correction_names_the_edition_that_was_wrong_whatever_the_file_said() {
        let content = Content { change_kind: ChangeKind::Initial.into(), ..Content::default() };
        let mut file = DraftFile { slot: "a/de".parse().unwrap(), content, base_edition: String::new() };
        make_correction(&mut file, "4,100, not 1,400".to_owned(), "statements/a/editions/de.3");
        assert_eq!(file.base_edition, "statements/a/editions/de.3");
        assert_eq!(file.content.change_kind(), ChangeKind::Correction);
        assert_eq!(file.content.correction.unwrap().corrected_edition, "statements/a/editions/de.3");
    }
}

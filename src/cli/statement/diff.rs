//! `onrecord statement diff`.

use anyhow::Result;
use owo_colors::OwoColorize as _;

use crate::{
    api::v1::{DiffEditionsRequest, FieldDiff},
    cli::{
        names::{EditionName, short},
        output::{plain, say},
        session::Session,
    },
};

pub(super) async fn run(session: &Session, from: &EditionName, to: &EditionName) -> Result<()> {
    let request = DiffEditionsRequest { from_edition: from.name().to_owned(), to_edition: to.name().to_owned() };
    let answer = session.statements(request, async |mut api, q| api.diff_editions(q).await).await?;
    session.format.answer(&answer, |answer| {
        if answer.differences.is_empty() {
            return Ok(say("The two editions do not differ.")?);
        }
        answer.differences.iter().try_for_each(|field| people(field, from, to))
    })
}

fn people(field: &FieldDiff, from: &EditionName, to: &EditionName) -> Result<()> {
    say(format_args!("--- {} {}", short(from.name()), field.field).bold())?;
    say(format_args!("+++ {} {}", short(to.name()), field.field).bold())?;
    for line in plain(&field.unified_diff).lines() {
        match line.chars().next() {
            Some('+') => say(line.green())?,
            Some('-') => say(line.red())?,
            Some('@') => say(line.cyan())?,
            Some(_) | None => say(line)?,
        }
    }
    Ok(())
}

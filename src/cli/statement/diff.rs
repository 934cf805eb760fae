//! `onrecord statement diff` and `onrecord draft diff`.

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
    session.format.answer(&answer, |answer| people(&answer.differences, &short(from.name()), &short(to.name())))
}

/// Writes the differences between two texts, which are named so.
pub(in crate::cli) fn people(differences: &[FieldDiff], from: &str, to: &str) -> Result<()> {
    if differences.is_empty() {
        return Ok(say("The two texts do not differ.")?);
    }
    differences.iter().try_for_each(|field| one(field, from, to))
}

fn one(field: &FieldDiff, from: &str, to: &str) -> Result<()> {
    say(format_args!("--- {from} {}", field.field).bold())?;
    say(format_args!("+++ {to} {}", field.field).bold())?;
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

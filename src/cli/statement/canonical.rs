//! `onrecord statement canonical`: for checking a digest with other tools.

use anyhow::{Context as _, Result};

use crate::{
    api::v1::{ContentView, GetEditionRequest},
    cli::{failure::Refusal, names::EditionName, output::write_json, session::Session},
    client::verify,
};

pub(super) async fn run(session: &Session, edition: &EditionName) -> Result<()> {
    let request = GetEditionRequest { name: edition.name().to_owned(), content_view: ContentView::Canonical.into() };
    let answer = session.statements(request, async |mut api, q| api.get_edition(q).await).await?;
    let edition = answer.edition.clone();
    edition
        .map_or(Ok(()), |mut edition| verify::edition(&mut edition))
        .map_err(|it| Refusal::Refused(it.to_string()))?;
    session.format.answer(&answer, |answer| {
        let content = answer.edition.as_ref().map(|edition| edition.canonical_content.as_ref()).unwrap_or_default();
        let text = Some(content).filter(|content| !content.is_empty());
        let text =
            text.with_context(|| Refusal::NotFound("the text of this edition is no longer public".to_owned()))?;
        Ok(write_json(text)?)
    })
}

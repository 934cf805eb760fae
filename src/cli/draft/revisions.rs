//! `onrecord draft revisions`, `draft diff` and `draft get --revision`.

use anyhow::Result;

use crate::{
    api::v1::{
        DiffDraftRequest, Draft, GetDraftRevisionRequest, ListDraftRevisionsRequest, ListDraftRevisionsResponse,
    },
    cli::{
        args::Limit,
        draft_file,
        names::{EditionName, Slot, short},
        output::{brief_digest, plain, say_table, table, write_text},
        pages,
        session::Session,
        statement, times,
    },
};

pub(super) async fn list(session: &Session, slot: &Slot, limit: Limit) -> Result<()> {
    let list: ListDraftRevisionsResponse = pages::all(limit, async |page_size, page_token| {
        let request = ListDraftRevisionsRequest { parent: slot.draft(), page_size, page_token };
        session.editorial(request, async |mut api, q| api.list_draft_revisions(q).await).await
    })
    .await?;
    session.format.answer(&list, |list| {
        let mut table = table(["REVISION", "EDITOR", "SAVED", "DIGEST", "TEXT"]);
        for revision in &list.revisions {
            table.add_row([
                revision.revision.to_string(),
                plain(&revision.editor),
                times::brief(revision.save_time.as_ref()),
                brief_digest(&revision.content_digest).to_owned(),
                if revision.pruned { "no longer stored".to_owned() } else { "stored".to_owned() },
            ]);
        }
        say_table(&table, "There is no revision that you may see.")
    })
}

pub(super) async fn print(session: &Session, slot: &Slot, revision: u32) -> Result<()> {
    let request = GetDraftRevisionRequest { name: slot.draft(), revision, ..GetDraftRevisionRequest::default() };
    let answer = session.editorial(request, async |mut api, q| api.get_draft_revision(q).await).await?;
    session.format.answer(&answer, |answer| {
        let content = answer.revision.as_ref().and_then(|revision| revision.content.clone());
        let draft = Draft { name: slot.draft(), content, ..Draft::default() };
        Ok(write_text(&draft_file::text(&draft)?)?)
    })
}

pub(super) async fn diff(
    session: &Session,
    slot: &Slot,
    from: Option<EditionName>,
    revision: Option<u32>,
) -> Result<()> {
    let from_edition = from.map(|edition| edition.name().to_owned()).unwrap_or_default();
    let from_revision = revision.unwrap_or_default();
    let request = DiffDraftRequest { name: slot.draft(), from_edition, from_revision };
    let answer = session.editorial(request, async |mut api, q| api.diff_draft(q).await).await?;
    session.format.answer(&answer, |answer| {
        let from = match revision {
            Some(revision) => format!("{slot} revision {revision}"),
            None if answer.from_edition.is_empty() => "nothing".to_owned(),
            None => short(&answer.from_edition),
        };
        statement::diff::people(&answer.differences, &from, &slot.to_string())
    })
}

//! Drafts for editors: the text, its revisions, and what it changes.

use std::sync::Arc;

use tonic::Status;

use super::{
    editorial_reads::slot,
    editorial_service::Editorial,
    from_proto::{self, both},
    page_token::{Page, Place},
    statement_service::Found,
    to_proto, v1,
};
use crate::{
    domain::{
        content::Content,
        diff::diff,
        draft::Draft,
        id::{EditionRef, LanguageTag, StatementId},
        mandate::Mandate,
        rejection::{Rejection, etag},
        state::{Slots, State},
    },
    journal::{JournalError, Revision, View},
};

impl Editorial {
    pub(super) async fn draft(
        &self,
        request: &v1::GetDraftRequest,
        mandate: &Mandate,
    ) -> Result<v1::GetDraftResponse, Status> {
        let ((id, language), form) = both(slot(&request.name, "drafts"), from_proto::view(request.content_view))?;
        let (_, language, draft) = self.draft_of(&id, language, mandate).await?;
        let digest = draft.outline.digest;
        let text = self.journal.read(move |view| view.text(&digest, form)).await?;
        let mut shown = to_proto::draft(&id, &language, &draft, None);
        (shown.content, shown.canonical_content) = to_proto::text(text.as_ref());
        Ok(v1::GetDraftResponse { draft: Some(shown) })
    }

    pub(super) async fn drafts(
        &self,
        mut request: v1::ListDraftsRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::ListDraftsResponse, Status> {
        let state = from_proto::draft_state("state", request.state);
        let (page, (parent, wanted)) = both(Page::of(&mut request), both(from_proto::parent(&request.parent), state))?;
        let show = move |state: &State, language: &LanguageTag, slots: &Slots| {
            let draft = slots.draft.as_ref().filter(|draft| wanted.is_none_or(|wanted| draft.state == wanted))?;
            Some(to_proto::draft(&state.statement.id, language, draft, None))
        };
        let (drafts, next_page_token) = self.list(parent, page, mandate, show).await?;
        Ok(v1::ListDraftsResponse { drafts, next_page_token })
    }

    pub(super) async fn diff_draft(
        &self,
        request: &v1::DiffDraftRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::DiffDraftResponse, Status> {
        let ((id, language), from) = both(slot(&request.name, "drafts"), from_proto::compared(request))?;
        let (state, language, draft) = self.draft_of(&id, language, &mandate).await?;
        let digest = draft.outline.digest;
        let etag = etag(draft.version);
        let base = (draft.base > 0).then(|| EditionRef {
            statement: id.clone(),
            language: language.clone(),
            number: Some(draft.base),
        });
        let found = self.journal.read(move |view| {
            let from = match from {
                Compared::Revision(number) => revision(view, &state, &language, &draft, &mandate, number)?
                    .map(|(_, content)| Some((String::new(), content)))
                    .ok_or(Rejection::RevisionNotFound),
                Compared::Edition(ref name) => edition(view, &mandate, name)?.map(Some),
                Compared::Base => match &base {
                    Some(name) => edition(view, &mandate, name)?.map(Some),
                    None => Ok(None),
                },
            };
            let to = view.content(&digest)?;
            Ok(from.and_then(|from| {
                let differences =
                    diff(from.as_ref().map(|(_, content)| content), &to.ok_or(Rejection::RevisionNotFound)?);
                Ok((from.map(|(name, _)| name).unwrap_or_default(), differences))
            }))
        });
        let (from_edition, differences) = found.await??;
        Ok(v1::DiffDraftResponse { from_edition, etag, differences: to_proto::differences(differences) })
    }

    pub(super) async fn draft_revisions(
        &self,
        mut request: v1::ListDraftRevisionsRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::ListDraftRevisionsResponse, Status> {
        let (page, (id, language)) = both(Page::of(&mut request), from_proto::draft_name("parent", &request.parent))?;
        let (size, place) = (page.size, page.place()?);
        let below = if place.tail == 0 { u32::MAX } else { u32::try_from(place.tail).unwrap_or(u32::MAX) };
        let (state, language, draft) = self.draft_of(&id, language, &mandate).await?;
        let read = self.journal.read(move |view| {
            let mut shown = Vec::new();
            for revision in view.revisions(&id, &language, &draft, below)? {
                let content = view.content(&revision.digest)?;
                if !admits(&state, &language, &mandate, &revision, content.as_ref()) {
                    continue;
                }
                shown.push(to_proto::draft_revision(&revision, content.is_none()));
                if shown.len() == size {
                    return Ok((shown, Some(Place { after: Vec::new(), tail: revision.number.into() })));
                }
            }
            Ok((shown, None))
        });
        let (revisions, last) = read.await?;
        let next_page_token = page.token_after(last.as_ref());
        Ok(v1::ListDraftRevisionsResponse { revisions, next_page_token })
    }

    pub(super) async fn draft_revision(
        &self,
        request: &v1::GetDraftRevisionRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::GetDraftRevisionResponse, Status> {
        let ((id, language), (number, form)) = both(
            slot(&request.name, "drafts"),
            both(from_proto::revision("revision", request.revision), from_proto::view(request.content_view)),
        )?;
        let (state, language, draft) = self.draft_of(&id, language, &mandate).await?;
        let read = self.journal.read(move |view| {
            let found = revision(view, &state, &language, &draft, &mandate, number)?;
            let Some((revision, _)) = found else { return Ok(None) };
            let text = view.text(&revision.digest, form)?;
            Ok(Some((revision, text)))
        });
        let (revision, text) = read.await?.ok_or(Rejection::RevisionNotFound)?;
        let mut shown = to_proto::draft_revision(&revision, false);
        (shown.content, shown.canonical_content) = to_proto::text(text.as_ref());
        Ok(v1::GetDraftRevisionResponse { revision: Some(shown) })
    }

    /// Finds a draft that an editor may see, with its statement and the tag of its language.
    async fn draft_of(
        &self,
        id: &StatementId,
        language: LanguageTag,
        mandate: &Mandate,
    ) -> Result<(State, LanguageTag, Draft), Status> {
        let state = self.state(id.clone(), mandate).await?;
        let language = state.tag(&language).cloned().unwrap_or(language);
        let draft = state.languages.get(&language).and_then(|slots| slots.draft.clone());
        let draft = draft.ok_or_else(|| Rejection::DraftNotFound(language.clone()))?;
        Ok((state, language, draft))
    }
}

/// The text that a draft is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The edition that the draft is based on.
    Base,
    /// This edition.
    Edition(EditionRef),
    /// An earlier revision of the draft.
    Revision(u32),
}

/// Reads the name and text of an edition that readers in the scope of the caller may read.
fn edition(
    view: &View<'_>,
    mandate: &Mandate,
    name: &EditionRef,
) -> Result<Result<(String, Content), Rejection>, JournalError> {
    let Some(found) = Found::at(view, mandate, name)? else { return Ok(Err(Rejection::EditionNotFound)) };
    let content = if found.public { view.content(&found.edition.outline.digest)? } else { None };
    Ok(content.map(|content| (found.name.to_string(), content)).ok_or(Rejection::TextNotPublic))
}

/// Finds a revision whose text is stored and within the scope of the caller.
fn revision(
    view: &View<'_>,
    state: &State,
    language: &LanguageTag,
    draft: &Draft,
    mandate: &Mandate,
    number: u32,
) -> Result<Option<(Revision, Content)>, JournalError> {
    let revisions = view.revisions(&state.statement.id, language, draft, number.saturating_add(1))?;
    let Some(revision) = revisions.into_iter().next().filter(|revision| revision.number == number) else {
        return Ok(None);
    };
    let content = view.content(&revision.digest)?;
    let content = content.filter(|content| admits(state, language, mandate, &revision, Some(content)));
    Ok(content.map(|content| (revision, content)))
}

/// Returns whether a revision is within the scope of the caller. The facts of a text that is no longer stored are not known, so it takes a scope
/// without limits.
fn admits(
    state: &State,
    language: &LanguageTag,
    mandate: &Mandate,
    revision: &Revision,
    content: Option<&Content>,
) -> bool {
    let (id, kind) = (&state.statement.id, &state.statement.kind);
    content.map_or_else(
        || mandate.is_unlimited(),
        |content| mandate.admits(id, kind, language, &content.outline(revision.digest).facts),
    )
}

//! What editors look up.

use std::sync::Arc;

use tonic::Status;

use super::{
    audit,
    editorial_service::Editorial,
    from_proto::{self, Faults, both, slot_name},
    page_token::{Page, Place},
    to_proto, v1,
};
use crate::{
    domain::{
        id::{EditionName, LanguageTag, StatementId},
        live::Edition,
        mandate::Mandate,
        rejection::Rejection,
        state::{Slots, State},
    },
    journal::{EntryRecord, JournalError, OwedRecord, View},
};

impl Editorial {
    pub(super) async fn overview(
        &self,
        request: &v1::GetStatementOverviewRequest,
        mandate: &Mandate,
    ) -> Result<v1::GetStatementOverviewResponse, Status> {
        let state = self.state(from_proto::statement_name("name", &request.name)?, mandate).await?;
        Ok(v1::GetStatementOverviewResponse { overview: Some(to_proto::overview(&state)) })
    }

    pub(super) async fn overviews(
        &self,
        mut request: v1::ListStatementOverviewsRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::ListStatementOverviewsResponse, Status> {
        let page = Page::of(&mut request)?;
        let (place, size, with_proposal_only) = (page.place()?, page.size, request.with_proposal_only);
        let after = place.after.first().and_then(|id| StatementId::parse(id).ok());
        let read = self.journal.read(move |view| {
            let (mut shown, mut after, mut seen) = (Vec::new(), after.clone(), 0);
            loop {
                let states = view.states(after.as_ref(), STATEMENTS)?;
                if states.is_empty() {
                    return Ok((shown, None));
                }
                for state in states {
                    seen += 1;
                    after = Some(state.statement.id.clone());
                    let state = mandate.narrow(state);
                    let state = state.filter(|state| !with_proposal_only || state.statement.proposal.is_some());
                    shown.extend(state.as_ref().map(to_proto::overview));
                    if shown.len() == size || seen == STATEMENTS_MAX {
                        return Ok((shown, after));
                    }
                }
            }
        });
        let (overviews, last) = read.await?;
        let last = last.map(|id| Place { after: vec![id.to_string()], tail: 0 });
        Ok(v1::ListStatementOverviewsResponse { overviews, next_page_token: page.token_after(last.as_ref()) })
    }

    pub(super) async fn release(
        &self,
        request: &v1::GetReleaseRequest,
        mandate: &Mandate,
    ) -> Result<v1::GetReleaseResponse, Status> {
        let ((id, language), form) = both(slot(&request.name, "releases"), from_proto::view(request.content_view))?;
        let state = self.state(id.clone(), mandate).await?;
        let language = state.tag(&language).cloned().unwrap_or(language);
        let release = state.languages.get(&language).and_then(|slots| slots.release.clone());
        let release = release.ok_or_else(|| Rejection::ReleaseNotFound(language.clone()))?;
        let digest = release.outline.digest;
        let text = self.journal.read(move |view| view.text(&digest, form)).await?;
        let mut shown = to_proto::release(&id, &language, &release, None);
        (shown.content, shown.canonical_content) = to_proto::text(text.as_ref());
        Ok(v1::GetReleaseResponse { release: Some(shown) })
    }

    pub(super) async fn releases(
        &self,
        mut request: v1::ListReleasesRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::ListReleasesResponse, Status> {
        let (page, parent) = both(Page::of(&mut request), from_proto::parent(&request.parent))?;
        let blocked_only = request.blocked_only;
        let show = move |state: &State, language: &LanguageTag, slots: &Slots| {
            let release = slots.release.as_ref().filter(|release| !blocked_only || release.blocked.is_some())?;
            Some(to_proto::release(&state.statement.id, language, release, None))
        };
        let (releases, next_page_token) = self.list(parent, page, mandate, show).await?;
        Ok(v1::ListReleasesResponse { releases, next_page_token })
    }

    /// Goes through the languages of one statement or of all, from where the token says.
    pub(super) async fn list<T: Send + 'static>(
        &self,
        parent: Option<StatementId>,
        page: Page,
        mandate: Arc<Mandate>,
        show: impl Fn(&State, &LanguageTag, &Slots) -> Option<T> + Send + Sync + 'static,
    ) -> Result<(Vec<T>, String), Status> {
        let (place, size) = (page.place()?, page.size);
        if let Some(id) = &parent {
            self.state(id.clone(), &mandate).await?;
        }
        let read = self
            .journal
            .read(move |view| Walk { parent: parent.as_ref(), size, mandate: &mandate, show: &show }.page(view, &place))
            .await?;
        let (items, last) = read;
        Ok((items, page.token_after(last.as_ref())))
    }

    pub(super) async fn pending_approvals(
        &self,
        mut request: v1::ListPendingApprovalsRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::ListPendingApprovalsResponse, Status> {
        let page = Page::of(&mut request)?;
        let (size, place) = (page.size, page.place()?);
        let after = place.after.first().and_then(|key| hex::decode(key).ok()).unwrap_or_default();
        let read = self.journal.read(move |view| {
            let (mut shown, mut after) = (Vec::new(), after.clone());
            loop {
                let owed = view.owed(&after, size)?;
                let Some(last) = owed.last() else { return Ok((shown, None)) };
                after.clone_from(&last.key);
                for record in owed {
                    let key = record.key.clone();
                    shown.extend(owed_to(view, &mandate, record)?);
                    if shown.len() == size {
                        return Ok((shown, Some(Place { after: vec![hex::encode(key)], tail: 0 })));
                    }
                }
            }
        });
        let (pending_approvals, last) = read.await?;
        Ok(v1::ListPendingApprovalsResponse { pending_approvals, next_page_token: page.token_after(last.as_ref()) })
    }

    pub(super) async fn entries(
        &self,
        mut request: v1::ListEntriesRequest,
        mandate: Arc<Mandate>,
    ) -> Result<v1::ListEntriesResponse, Status> {
        let statement = match request.statement.as_str() {
            "" => Ok(None),
            name => from_proto::statement_name("statement", name).map(Some),
        };
        let (page, (statement, wanted)) = both(Page::of(&mut request), both(statement, from_proto::entries(&request)))?;
        let (size, after) = (page.size, page.place()?.tail.max(request.after_entry));
        let kind = match &statement {
            Some(id) => Some(self.state(id.clone(), &mandate).await?.statement.kind),
            // The trail of all statements is for those whose mandate is all of them.
            None if !mandate.is_unlimited() => return Err(audit::refused(Rejection::OutOfMandate)),
            None => None,
        };
        let records = self.journal.read(move |view| {
            let admits =
                |record: &EntryRecord| mandate.admits_entry(&record.head, kind.as_ref(), record.concerned.as_deref());
            view.entries(statement.as_ref(), after, size, |record| wanted.admits(&record.head) && admits(record))
        });
        let (records, last, is_newest) = records.await?;
        let entries = records.iter().map(to_proto::entry).collect();
        let token = page.token_after(Some(&Place { after: Vec::new(), tail: last }));
        let (next_page_token, follow_page_token) =
            if is_newest { (String::new(), token) } else { (token, String::new()) };
        Ok(v1::ListEntriesResponse { entries, next_page_token, follow_page_token })
    }

    /// What an editor may see of a statement.
    pub(super) async fn state(&self, id: StatementId, mandate: &Mandate) -> Result<State, Status> {
        let state = self.journal.read(move |view| view.state(&id)).await?;
        Ok(state.and_then(|state| mandate.narrow(state)).ok_or(Rejection::StatementNotFound)?)
    }
}

/// An approval that is owed, unless it is about what is not within the mandate.
fn owed_to(
    view: &View<'_>,
    mandate: &Mandate,
    record: OwedRecord,
) -> Result<Option<v1::PendingApproval>, JournalError> {
    let OwedRecord { state, language, owed, .. } = record;
    if !mandate.sees(&state) {
        return Ok(None);
    }
    let (id, kind) = (&state.statement.id, &state.statement.kind);
    let may_see = |edition: &Edition| mandate.admits(id, kind, &language, &edition.outline.facts);
    let edition = view.edition(&EditionName::new(id, &language, owed.number))?.filter(may_see);
    Ok(edition.map(|edition| to_proto::owed(id, &language, &owed, &edition)))
}

pub(super) fn slot(name: &str, collection: &str) -> Result<(StatementId, LanguageTag), Rejection> {
    let mut faults = Faults::default();
    let parsed = slot_name(&mut faults, "name", name, collection);
    faults.finish_some(parsed)
}

/// Statements that one read looks at.
const STATEMENTS: usize = 64;
/// Statements that one page of overviews looks at.
const STATEMENTS_MAX: usize = 4_096;

/// A walk over languages, by statement and language.
struct Walk<'w, F> {
    parent: Option<&'w StatementId>,
    size: usize,
    mandate: &'w Mandate,
    show: &'w F,
}

impl<F> Walk<'_, F> {
    /// One page, and the place to go on from if it is full.
    fn page<T>(&self, view: &View<'_>, place: &Place) -> Result<(Vec<T>, Option<Place>), JournalError>
    where
        F: Fn(&State, &LanguageTag, &Slots) -> Option<T>,
    {
        let (mut items, mut place) = (Vec::new(), place.clone());
        loop {
            let states = self.states(view, &place)?;
            let Some(last) = states.last().map(|state| state.statement.id.clone()) else { return Ok((items, None)) };
            let states: Vec<_> = states.into_iter().filter_map(|state| self.mandate.narrow(state)).collect();
            for (state, language, slots) in
                states.iter().flat_map(|state| state.languages.iter().map(move |(l, s)| (state, l, s)))
            {
                let here = vec![state.statement.id.to_string(), language.to_string()];
                if here <= place.after {
                    continue;
                }
                let Some(item) = (self.show)(state, language, slots) else { continue };
                items.push(item);
                if items.len() == self.size {
                    return Ok((items, Some(Place { after: here, tail: 0 })));
                }
            }
            if self.parent.is_some() {
                return Ok((items, None));
            }
            // After every language of the last statement: no tag sorts behind this.
            place.after = vec![last.to_string(), "~".to_owned()];
        }
    }

    /// The statement that the page before ended in, if it has more languages, and those behind it.
    fn states(&self, view: &View<'_>, place: &Place) -> Result<Vec<State>, JournalError> {
        if let Some(id) = self.parent {
            return Ok(view.state(id)?.into_iter().collect());
        }
        let after = place.after.first().and_then(|id| StatementId::parse(id).ok());
        let mut states = Vec::new();
        if let Some(id) = after.as_ref().filter(|_| place.after.get(1).is_some_and(|tag| tag != "~")) {
            states.extend(view.state(id)?);
        }
        states.extend(view.states(after.as_ref(), STATEMENTS)?);
        Ok(states)
    }
}

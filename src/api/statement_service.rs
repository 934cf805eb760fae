//! `StatementService`: the public record. One visibility rule serves every call: [`Live::is_visible`], and [`Mandate::admits`] by the facts of
//! the text that is shown.

use std::{collections::BTreeMap, sync::Arc};

use tonic::{Request, Response, Status};

use super::{
    caller::admitted,
    from_proto::{self, Faults, both},
    page_token::{Page, Place},
    to_proto, v1,
};
use crate::{
    domain::{
        diff::diff,
        filter::Filter,
        id::{EditionName, EditionRef, LanguageTag, StatementId},
        language::lookup,
        live::{Edition, Live},
        mandate::Mandate,
        rejection::Rejection,
        time::Timestamp,
    },
    journal::{Form, Journal, JournalError, Public, View},
};

/// Statements in one batch.
const BATCH_MAX: usize = 100;
/// Bytes of text after which a page ends, so that it fits a client's usual receive limit of 4 MiB.
const PAGE_BYTES: usize = 1024 * 1024;
/// Bytes of text that one batch may answer.
const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The readers' service.
#[derive(Clone, Debug)]
pub struct Statements {
    pub(super) journal: Journal,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::statement_service_server::StatementService for Statements {
    async fn get_statement(&self, request: Request<v1::GetStatementRequest>) -> Reply<v1::GetStatementResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let given = request.get_ref();
        let id = from_proto::statement_name("name", &given.name);
        let language = from_proto::optional_language("language_code", &given.language_code);
        let times_and_form = both(self.past(given.as_of_time), from_proto::view(given.content_view));
        let (id, (language, (at, form))) = both(id, both(language, times_and_form))?;
        let found = self.journal.read(move |view| public(view, &mandate, &id, language.as_ref(), at, form)).await?;
        Ok(Response::new(v1::GetStatementResponse { statement: Some(found.ok_or(Rejection::StatementNotFound)?) }))
    }

    async fn batch_get_statements(
        &self,
        request: Request<v1::BatchGetStatementsRequest>,
    ) -> Reply<v1::BatchGetStatementsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let given = request.get_ref();
        let language = from_proto::optional_language("language_code", &given.language_code);
        let form = from_proto::view(given.content_view);
        let (ids, (language, form)) = both(batch(&given.names), both(language, form))?;
        let read = self.journal.read(move |view| {
            let (mut statements, mut bytes) = (Vec::new(), 0);
            for (place, id) in ids.iter().enumerate() {
                let found = public(view, &mandate, id, language.as_ref(), None, form)?;
                bytes += found.as_ref().map_or(0, prost::Message::encoded_len);
                if bytes > BATCH_BYTES_MAX {
                    return Ok(Err(place));
                }
                statements.extend(found);
            }
            Ok(Ok(statements))
        });
        let statements = read.await?.or_else(too_many_bytes)?;
        Ok(Response::new(v1::BatchGetStatementsResponse { statements }))
    }

    async fn list_statements(&self, request: Request<v1::ListStatementsRequest>) -> Reply<v1::ListStatementsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let mut given = request.into_inner();
        let form = from_proto::view(given.content_view);
        let (page, (filter, form)) = both(Page::of(&mut given), both(from_proto::filter(given.filter.as_ref()), form))?;
        let (size, place) = (page.size, page.place()?);
        let (live, last) = self.journal.read(move |view| listed(view, &mandate, &place, &filter, size, form)).await?;
        Ok(Response::new(v1::ListStatementsResponse { live, next_page_token: page.token_after(last.as_ref()) }))
    }

    async fn get_edition(&self, request: Request<v1::GetEditionRequest>) -> Reply<v1::GetEditionResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let given = request.get_ref();
        let (name, form) = both(edition_ref("name", &given.name), from_proto::view(given.content_view))?;
        let edition = self.journal.read(move |view| {
            let Some(found) = Found::at(view, &mandate, &name)? else { return Ok(None) };
            found.show(view, form).map(Some)
        });
        Ok(Response::new(v1::GetEditionResponse { edition: Some(edition.await?.ok_or(Rejection::EditionNotFound)?) }))
    }

    async fn list_editions(&self, request: Request<v1::ListEditionsRequest>) -> Reply<v1::ListEditionsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let mut given = request.into_inner();
        let id = from_proto::statement_name("parent", &given.parent);
        let language = from_proto::optional_language("language_code", &given.language_code);
        let (page, (id, language)) = both(Page::of(&mut given), both(id, language))?;
        let (size, place) = (page.size, page.place()?);
        let read = self.journal.read(move |view| history(view, &mandate, &id, language.as_ref(), &place, size));
        let (editions, last) = read.await?.ok_or(Rejection::StatementNotFound)?;
        Ok(Response::new(v1::ListEditionsResponse { editions, next_page_token: page.token_after(last.as_ref()) }))
    }

    async fn diff_editions(&self, request: Request<v1::DiffEditionsRequest>) -> Reply<v1::DiffEditionsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let (from, to) = diff_refs(request.get_ref())?;
        let found = self.journal.read(move |view| {
            let (Some(from), Some(to)) = (Found::at(view, &mandate, &from)?, Found::at(view, &mandate, &to)?) else {
                return Ok(None);
            };
            if !from.public || !to.public {
                return Ok(Some(None));
            }
            let words = (view.content(&from.edition.outline.digest)?, view.content(&to.edition.outline.digest)?);
            Ok(Some(words.0.zip(words.1).map(|(from, to)| diff(Some(&from), &to))))
        });
        let differences = found.await?.ok_or(Rejection::EditionNotFound)?.ok_or(Rejection::TextNotPublic)?;
        Ok(Response::new(v1::DiffEditionsResponse { differences: to_proto::differences(differences) }))
    }
}

impl Statements {
    /// The moment that a reader asks about: not one to come.
    fn past(&self, given: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Rejection> {
        let mut faults = Faults::default();
        let time = faults.time("as_of_time", given);
        if time.is_some_and(|time| time > self.journal.now()) {
            faults.add("as_of_time", "must not lie in the future");
        }
        faults.finish(time)
    }
}

pub(super) fn batch(names: &[String]) -> Result<Vec<StatementId>, Rejection> {
    let mut faults = Faults::default();
    if names.is_empty() || names.len() > BATCH_MAX {
        faults.add("names", format!("must have 1 to {BATCH_MAX} names; it has {}", names.len()));
    }
    let parsed = names.iter().take(BATCH_MAX).enumerate();
    let ids: Vec<_> = parsed
        .filter_map(|(place, name)| faults.take(format!("names[{place}]"), StatementId::parse_name(name)))
        .collect();
    faults.finish(ids)
}

/// Says how many of the names fit.
fn too_many_bytes<T>(fits: usize) -> Result<T, Rejection> {
    let mut faults = Faults::default();
    faults.add("names", format!("what they show has more than {BATCH_BYTES_MAX} bytes: ask for {fits} at a time"));
    faults.finish_some(None)
}

fn edition_ref(field: &str, name: &str) -> Result<EditionRef, Rejection> {
    let mut faults = Faults::default();
    let parsed = faults.take(field, EditionRef::parse(name));
    faults.finish_some(parsed)
}

fn diff_refs(given: &v1::DiffEditionsRequest) -> Result<(EditionRef, EditionRef), Rejection> {
    let mut faults = Faults::default();
    let from = faults.take("from_edition", EditionRef::parse(&given.from_edition));
    let to = faults.take("to_edition", EditionRef::parse(&given.to_edition));
    if from.as_ref().zip(to.as_ref()).is_some_and(|(from, to)| from.statement != to.statement) {
        faults.add("to_edition", "must be an edition of the same statement");
    }
    faults.finish_some(from.zip(to))
}

/// What is shown to readers with this mandate: now, or at an earlier time.
fn visible(
    view: &View<'_>,
    mandate: &Mandate,
    id: &StatementId,
    at: Option<Timestamp>,
) -> Result<Option<Public>, JournalError> {
    let public = visible_to_all(view, id, at)?.map(|public| within(mandate, public));
    Ok(public.filter(|public| !public.lives.is_empty()))
}

/// What is shown to readers whose mandate is everything.
fn visible_to_all(view: &View<'_>, id: &StatementId, at: Option<Timestamp>) -> Result<Option<Public>, JournalError> {
    let tail = at.map_or_else(|| Ok(view.tail()), |time| view.tail_at(time))?;
    let Some(mut public) = view.public(id, tail)?.map(|then| in_hindsight(view, then, tail)).transpose()? else {
        return Ok(None);
    };
    public.lives.retain(|_, live| live.is_visible());
    Ok(Some(public))
}

/// What a reader with this mandate may know of: the rest is answered as what never was.
fn within(mandate: &Mandate, public: Public) -> Public {
    let Public { statement, mut lives } = public;
    let (id, kind) = (&statement.id, &statement.kind);
    lives.retain(|language, live| mandate.admits(id, kind, language, &live.edition.outline.facts));
    Public { statement, lives }
}

/// A statement as it stood at `tail`, without what is no longer public.
fn in_hindsight(view: &View<'_>, then: Public, tail: u64) -> Result<Public, JournalError> {
    if tail == view.tail() {
        return Ok(then);
    }
    let now = view.public(&then.statement.id, view.tail())?.map(|public| public.lives).unwrap_or_default();
    Ok(Public { lives: back_then(now, then.lives), ..then })
}

/// The past does not bring back what is no longer public.
fn back_then(now: BTreeMap<LanguageTag, Live>, then: BTreeMap<LanguageTag, Live>) -> BTreeMap<LanguageTag, Live> {
    let mut then = then;
    now.into_iter()
        .filter_map(|(language, now)| {
            let then = then.remove(&language)?;
            Some((language, if now.state.has_text() { then } else { now }))
        })
        .collect()
}

fn public(
    view: &View<'_>,
    mandate: &Mandate,
    id: &StatementId,
    asked: Option<&LanguageTag>,
    at: Option<Timestamp>,
    form: Option<Form>,
) -> Result<Option<v1::PublicStatement>, JournalError> {
    let Some(public) = visible(view, mandate, id, at)? else { return Ok(None) };
    let source = &public.statement.source_language;
    let Some(language) = lookup(asked, source, &public.lives.keys()) else { return Ok(None) };
    let Some(live) = public.lives.get(language) else { return Ok(None) };
    Ok(Some(v1::PublicStatement {
        name: id.name(),
        requested_language_code: asked.map(ToString::to_string).unwrap_or_default(),
        live: Some(show(view, &public, language, live, form)?),
        available_language_codes: public.lives.keys().map(ToString::to_string).collect(),
        source_language_code: source.to_string(),
    }))
}

fn show(
    view: &View<'_>,
    public: &Public,
    language: &LanguageTag,
    live: &Live,
    form: Option<Form>,
) -> Result<v1::Live, JournalError> {
    let statement = &public.statement;
    let mut shown = to_proto::live(&statement.id, statement.kind.as_str(), language, live, None);
    if let Some(edition) = &mut shown.edition {
        let text = live.words().map(|digest| view.text(&digest, form)).transpose()?.flatten();
        (edition.content, edition.canonical_content) = to_proto::text(text.as_ref());
    }
    if form == Some(Form::Canonical) {
        shown.event_seal = view.event(live.sequence)?.as_ref().map(to_proto::event_seal);
    }
    Ok(shown)
}

/// Statements that one read looks at.
const STATEMENTS: usize = 64;

/// A page of everything live, all pages as of one moment, but for what is no longer public.
fn listed(
    view: &View<'_>,
    mandate: &Mandate,
    place: &Place,
    filter: &Filter,
    size: usize,
    form: Option<Form>,
) -> Result<(Vec<v1::Live>, Option<Place>), JournalError> {
    let tail = if place.tail == 0 { view.tail() } else { place.tail };
    let (mut shown, mut bytes, mut after) = (Vec::new(), 0, place.after.clone());
    loop {
        let publics = publics(view, mandate, &after, tail)?;
        let Some(last) = publics.last().map(|public| public.statement.id.to_string()) else { return Ok((shown, None)) };
        for public in &publics {
            for (language, live) in &public.lives {
                let here = vec![public.statement.id.to_string(), language.to_string()];
                let admits = |facts| filter.admits(&public.statement.id, &public.statement.kind, language, facts);
                if here <= after || !live.facts().is_some_and(admits) {
                    continue;
                }
                let item = show(view, public, language, live, form)?;
                bytes += prost::Message::encoded_len(&item);
                shown.push(item);
                if shown.len() == size || bytes >= PAGE_BYTES {
                    return Ok((shown, Some(Place { after: here, tail })));
                }
            }
        }
        // After every language of the last statement: no tag sorts behind this.
        after = vec![last, "~".to_owned()];
    }
}

fn publics(view: &View<'_>, mandate: &Mandate, after: &[String], tail: u64) -> Result<Vec<Public>, JournalError> {
    let id = after.first().and_then(|id| StatementId::parse(id).ok());
    let mut publics = Vec::new();
    if let Some(id) = id.as_ref().filter(|_| after.get(1).is_some_and(|tag| tag != "~")) {
        publics.extend(view.public(id, tail)?);
    }
    publics.extend(view.publics(id.as_ref(), STATEMENTS, tail)?);
    publics.into_iter().map(|then| Ok(within(mandate, in_hindsight(view, then, tail)?))).collect()
}

/// An edition that readers may know of.
pub(super) struct Found {
    pub(super) name: EditionName,
    pub(super) edition: Edition,
    /// Whether its words may be read.
    pub(super) public: bool,
    /// The event that made its language what it is.
    sequence: u64,
}

impl Found {
    pub(super) fn at(view: &View<'_>, mandate: &Mandate, name: &EditionRef) -> Result<Option<Self>, JournalError> {
        let Some(public) = visible_to_all(view, &name.statement, None)? else { return Ok(None) };
        let Some(language) = name.language.find(public.lives.keys()) else { return Ok(None) };
        let Some(live) = public.lives.get(language) else { return Ok(None) };
        let number = name.number.unwrap_or(live.edition.number);
        if number > live.edition.number {
            return Ok(None);
        }
        let name = EditionName::new(&name.statement, language, number);
        let kind = &public.statement.kind;
        let may_read = |it: &Edition| mandate.admits(&name.statement, kind, language, &it.outline.facts);
        let edition = view.edition(&name)?.filter(may_read);
        Ok(edition.map(|edition| Self { name, edition, public: live.state.has_text(), sequence: live.sequence }))
    }

    fn show(&self, view: &View<'_>, form: Option<Form>) -> Result<v1::Edition, JournalError> {
        let EditionName { statement, language, .. } = &self.name;
        let mut shown = to_proto::edition(statement, language, &self.edition, None, self.public);
        let text = if self.public { view.text(&self.edition.outline.digest, form)? } else { None };
        (shown.content, shown.canonical_content) = to_proto::text(text.as_ref());
        if form == Some(Form::Canonical) {
            let event = view.event_of_edition(&self.name, view.tail())?;
            shown.event_seal = event.as_ref().map(to_proto::event_seal);
            if let Some(seal) = shown.event_seal.as_mut().filter(|_| !self.public) {
                seal.salt.clear();
            }
            let withheld = if self.public { None } else { view.event(self.sequence)? };
            shown.withheld_seal = withheld.as_ref().map(to_proto::event_seal);
        }
        Ok(shown)
    }
}

/// Editions that one read looks at.
const EDITIONS: usize = 64;

/// Whether a reader with this mandate may know of an edition.
fn has_edition(view: &View<'_>, mandate: &Mandate, public: &Public) -> Result<bool, JournalError> {
    let (id, kind) = (&public.statement.id, &public.statement.kind);
    for (language, live) in &public.lives {
        let admits = |edition: &Edition| mandate.admits(id, kind, language, &edition.outline.facts);
        let mut below = live.edition.number + 1;
        loop {
            let editions = view.editions(id, language, below, EDITIONS)?;
            if editions.iter().any(admits) {
                return Ok(true);
            }
            let Some(oldest) = editions.last() else { break };
            below = oldest.number;
        }
    }
    Ok(false)
}

/// The change history: by language, newest first, without the words.
#[expect(
    clippy::type_complexity,
    reason = "a page, and where the next one begins; nothing if there is no such statement"
)]
fn history(
    view: &View<'_>,
    mandate: &Mandate,
    id: &StatementId,
    wanted: Option<&LanguageTag>,
    place: &Place,
    size: usize,
) -> Result<Option<(Vec<v1::Edition>, Option<Place>)>, JournalError> {
    let Some(public) = visible_to_all(view, id, None)? else { return Ok(None) };
    if place.after.is_empty() && !has_edition(view, mandate, &public)? {
        return Ok(None);
    }
    let mut shown = Vec::new();
    for (language, live) in public.lives.iter().filter(|(language, _)| wanted.is_none_or(|tag| tag.matches(language))) {
        let mut below = match place.after.first() {
            Some(last) if language.as_str() < last.as_str() => continue,
            Some(last) if language.as_str() == last => u32::try_from(place.tail).unwrap_or(u32::MAX),
            Some(_) | None => live.edition.number + 1,
        };
        loop {
            let editions = view.editions(id, language, below, size)?;
            let Some(oldest) = editions.last() else { break };
            below = oldest.number;
            let facts =
                |edition: &Edition| mandate.admits(id, &public.statement.kind, language, &edition.outline.facts);
            for edition in editions.into_iter().filter(facts) {
                shown.push(to_proto::edition(id, language, &edition, None, live.state.has_text()));
                if shown.len() == size {
                    let last = Place { after: vec![language.to_string()], tail: edition.number.into() };
                    return Ok(Some((shown, Some(last))));
                }
            }
        }
    }
    Ok(Some((shown, None)))
}

//! The state at one moment, in parts, for a subscriber that begins with it.
//!
//! **Invariants**
//! - What is sent is the state once all events below `tail` had happened, however long it takes: the stream goes on from there,
//!   without a gap.
//! - A hidden or erased text is not in it, also if it was public at that moment: [`View::publics`] shows no more than now. Parts that were
//!   read before something of the past is seen otherwise are forgotten, before the tail moves past what changed it.
//! - A part ends at an item, by its name: if one before it goes, none after it is left out.
//! - A crowd that comes at the same moment takes the same parts, read and encoded once. Nothing is held while a subscriber takes its time
//!   but the part that it takes.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Shared,
    item::{Encoder, within},
    message::{SnapshotEmbargo, SnapshotLive},
    once::Once,
    permit,
    selection::Selection,
    taken,
};
use crate::{
    domain::id::{LanguageTag, StatementId},
    journal::{EventRecord, Form, JournalError, Public, View},
};

/// Statements that are looked at in one go.
const STATEMENTS_MAX: usize = 16;
/// Statements that one read looks at, whatever the filter leaves of them.
const STATEMENTS_READ_MAX: usize = 512;
/// Bytes after which a part ends: 256 KiB.
const PART_BYTES: usize = 256 * 1024;
/// Items of a part, at most.
const PART_ITEMS_MAX: u64 = 256;
/// Parts that are kept for those who come next: some 8 MiB, and 32 MiB where each text is as long as one may be.
const PARTS_MAX: usize = 32;

/// Parts that were read, by the tail of the snapshot, what is wanted, and where they begin.
pub(super) type Parts = Once<(u64, Selection, Place), Arc<Part>, PARTS_MAX>;

/// Where a part begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// After this statement.
    after: Option<StatementId>,
    /// And after this item of those that follow.
    item: Option<ItemName>,
}

/// An item, in the order in which they are sent: those of a statement together, what is live before what is under embargo.
type ItemName = (StatementId, bool, LanguageTag);

/// A part, encoded once for all who take it.
#[derive(Debug)]
pub struct Part {
    bytes: Bytes,
    items: u64,
    next: Option<Place>,
}

impl Part {
    fn new(bytes: Vec<u8>, items: u64, next: Option<Place>) -> Self {
        // In room of its size: it is kept.
        Self { bytes: bytes.into_boxed_slice().into(), items, next }
    }

    /// The last part, with these bytes.
    #[cfg(test)]
    pub(crate) fn last(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self::new(bytes, 1, None))
    }

    /// What is sent of it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A snapshot under way.
#[derive(Debug)]
pub(super) struct Snapshot {
    shared: Arc<Shared>,
    selection: Selection,
    tail: u64,
    /// Where the next part begins; none after the last.
    place: Option<Place>,
    item_count: u64,
}

impl Snapshot {
    /// The state once all events below `tail` had happened.
    pub(super) fn new(shared: Arc<Shared>, selection: Selection, tail: u64) -> Self {
        Self { shared, selection, tail, place: Some(Place::default()), item_count: 0 }
    }

    /// How many items were given so far.
    pub(super) fn item_count(&self) -> u64 {
        self.item_count
    }

    /// The next part; none after the last. It may be empty: so much was looked at, and nothing was wanted.
    pub(super) async fn next(&mut self) -> Result<Option<Arc<Part>>, JournalError> {
        let Some(place) = self.place.take() else { return Ok(None) };
        let (shared, selection, tail) = (Arc::clone(&self.shared), self.selection.clone(), self.tail);
        let key = (tail, selection.clone(), place.clone());
        let read = async move {
            let room = shared.room().await?;
            let _permit = permit(&shared.snapshot_reads).await?;
            let encoder = shared.encoder;
            let part = shared.journal.read(move |view| read(view, &selection, tail, &place, encoder)).await?;
            let room = taken(room, part.bytes.len());
            Ok(Arc::new(Part { bytes: within(part.bytes, &room), ..part }))
        };
        let part = self.shared.snapshot_parts.get(key, read).await?;
        self.place.clone_from(&part.next);
        self.item_count = self.item_count.saturating_add(part.items);
        Ok(Some(part))
    }
}

/// The part that begins there. Blocks.
fn read(
    view: &View<'_>,
    selection: &Selection,
    tail: u64,
    place: &Place,
    encoder: Encoder,
) -> Result<Part, JournalError> {
    let (mut bytes, mut items, mut place) = (Vec::new(), 0, place.clone());
    let mut looked_at = 0;
    while looked_at < STATEMENTS_READ_MAX {
        let publics = view.publics(place.after.as_ref(), STATEMENTS_MAX, tail)?;
        let Some(last) = publics.last() else { return Ok(Part::new(bytes, items, None)) };
        for found in find(view, &publics, selection, tail)? {
            let name = found.name();
            if place.item.as_ref().is_some_and(|item| name <= *item) {
                continue;
            }
            items += u64::from(found.add(view, selection.form(), encoder, &mut bytes)?);
            if bytes.len() >= PART_BYTES || items >= PART_ITEMS_MAX {
                return Ok(Part::new(bytes, items, Some(Place { item: Some(name), ..place })));
            }
        }
        // A statement that came meanwhile may stand between: what was sent is passed only once all before it were looked at.
        let after = last.statement.id.clone();
        place = Place { item: place.item.filter(|(id, ..)| *id > after), after: Some(after) };
        looked_at += publics.len();
    }
    Ok(Part::new(bytes, items, Some(place)))
}

/// Something that belongs into the snapshot, without its words.
enum Found {
    Live(Box<SnapshotLive>),
    Embargo(Box<SnapshotEmbargo>),
}

impl Found {
    fn name(&self) -> ItemName {
        match self {
            Self::Live(item) => (item.statement.clone(), false, item.language.clone()),
            Self::Embargo(item) => (item.statement.clone(), true, item.language.clone()),
        }
    }

    /// Adds it to a part, with its words; not if they were erased since it was found, which is told after the snapshot. Blocks.
    fn add(self, view: &View<'_>, form: Form, encoder: Encoder, part: &mut Vec<u8>) -> Result<bool, JournalError> {
        match self {
            Self::Live(mut item) => {
                item.text = item.live.words().map(|digest| view.text(&digest, form)).transpose()?.flatten();
                if item.text.is_none() && item.live.words().is_some() {
                    return Ok(false);
                }
                item.event = sealed(view, form, item.live.sequence)?;
                (encoder.live)(&item, part);
            }
            Self::Embargo(mut item) => {
                item.text = view.text(&item.release.outline.digest, form)?;
                if item.text.is_none() {
                    return Ok(false);
                }
                item.event = sealed(view, form, item.release.sequence)?;
                (encoder.embargo)(&item, part);
            }
        }
        Ok(true)
    }
}

/// The event that made an item what it is, for those who verify it. Blocks.
fn sealed(view: &View<'_>, form: Form, sequence: u64) -> Result<Option<EventRecord>, JournalError> {
    if form == Form::Canonical { view.event(sequence) } else { Ok(None) }
}

/// What these statements have for the snapshot, in order. Blocks.
fn find(view: &View<'_>, publics: &[Public], selection: &Selection, tail: u64) -> Result<Vec<Found>, JournalError> {
    let mut found = Vec::new();
    for Public { statement, lives } in publics {
        let (id, kind) = (&statement.id, &statement.kind);
        for (language, live) in lives {
            if live.facts().is_some_and(|facts| selection.admits(id, kind, language, facts)) {
                found.push(Found::Live(Box::new(SnapshotLive {
                    statement: id.clone(),
                    kind: kind.clone(),
                    language: language.clone(),
                    live: live.clone(),
                    text: None,
                    event: None,
                })));
            }
        }
        if !selection.includes_embargoed() {
            continue;
        }
        for (language, release) in view.embargoes(id, tail)? {
            if selection.admits_embargoed(id, kind, &language, &release.outline.facts) {
                found.push(Found::Embargo(Box::new(SnapshotEmbargo {
                    statement: id.clone(),
                    kind: kind.clone(),
                    language,
                    release,
                    text: None,
                    event: None,
                })));
            }
        }
    }
    Ok(found)
}

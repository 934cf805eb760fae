//! The state at one moment, in parts, for a subscriber that begins with it.
//!
//! **Invariants**
//! - What is sent is the state once all events below `tail` had happened, however long it takes: the stream goes on from there,
//!   without a gap.
//! - A hidden or erased text is not in it: [`Live::facts`] has nothing of it.
//! - What waits here is one page of states without their words, and the words of one part.
//! - Nothing is held while a subscriber takes its time; a place among the readers only lasts for one read.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Shared,
    item::live_bytes,
    message::{Message, SnapshotEmbargo, SnapshotLive},
    permit,
    selection::Selection,
};
use crate::{
    domain::{
        content::Content,
        digest::Digest,
        draft::Release,
        id::{Code, LanguageTag, StatementId},
        live::Live,
    },
    journal::{JournalError, Public, View, Words},
};

/// Statements that one read looks at.
const STATEMENTS_MAX: usize = 64;
/// Bytes after which a part ends: 256 KiB.
const PART_BYTES: usize = 256 * 1024;
/// Items of a part, at most.
const PART_ITEMS_MAX: usize = 256;
/// Bytes of an item beside its words.
const ITEM_BYTES: usize = 1_024;

/// A snapshot under way.
#[derive(Debug)]
pub(super) struct Snapshot {
    shared: Arc<Shared>,
    selection: Selection,
    tail: u64,
    /// The last statement that was looked at.
    after: Option<StatementId>,
    /// What was found and not sent yet.
    found: VecDeque<Found>,
    item_count: u64,
}

/// Something that belongs into the snapshot.
#[derive(Clone, Debug)]
struct Found {
    statement: StatementId,
    kind: Code,
    language: LanguageTag,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Live(Box<Live>),
    Embargo(Box<Release>),
}

impl Found {
    fn words(&self) -> Option<Digest> {
        match &self.what {
            What::Live(live) => live.words(),
            What::Embargo(release) => Some(release.outline.digest),
        }
    }

    /// Bytes of it beside the words.
    fn bytes(&self) -> usize {
        match &self.what {
            What::Live(live) => ITEM_BYTES + live_bytes(live),
            What::Embargo(_) => ITEM_BYTES,
        }
    }
}

impl Snapshot {
    /// The state once all events below `tail` had happened.
    pub(super) fn new(shared: Arc<Shared>, selection: Selection, tail: u64) -> Self {
        Self { shared, selection, tail, after: None, found: VecDeque::new(), item_count: 0 }
    }

    /// How many items were given so far.
    pub(super) fn item_count(&self) -> u64 {
        self.item_count
    }

    /// The next part; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, JournalError> {
        while self.found.is_empty() {
            if !self.look_on().await? {
                return Ok(None);
            }
        }
        let wanted: Vec<_> =
            self.found.iter().take(PART_ITEMS_MAX).map(|found| (found.words(), found.bytes())).collect();
        let _permit = permit(&self.shared.snapshot_reads).await?;
        let words = self.shared.journal.read(move |view| read_part(view, &wanted)).await?;
        self.item_count = self.item_count.saturating_add(u64::try_from(words.len()).unwrap_or(u64::MAX));
        let items = self.found.drain(..words.len().min(self.found.len()));
        Ok(Some(part(items.zip(words))))
    }

    /// Looks at the next statements; false after the last.
    async fn look_on(&mut self) -> Result<bool, JournalError> {
        let (after, selection, tail) = (self.after.clone(), self.selection.clone(), self.tail);
        let _permit = permit(&self.shared.snapshot_reads).await?;
        let read = self.shared.journal.read(move |view| look(view, after.as_ref(), &selection, tail));
        let Some((last, found)) = read.await? else { return Ok(false) };
        self.after = Some(last);
        self.found.extend(found);
        Ok(true)
    }
}

/// What the statements after `after` have for the snapshot, and the last of them. Blocks.
fn look(
    view: &View<'_>,
    after: Option<&StatementId>,
    selection: &Selection,
    tail: u64,
) -> Result<Option<(StatementId, Vec<Found>)>, JournalError> {
    let publics = view.publics(after, STATEMENTS_MAX, tail)?;
    let Some(last) = publics.last().map(|public| public.statement.id.clone()) else { return Ok(None) };
    let mut found = Vec::new();
    for public in &publics {
        found.extend(lives(public, selection));
        if selection.includes_embargoed() {
            found.extend(embargoes(view.embargoes(&public.statement.id, tail)?, public, selection));
        }
    }
    Ok(Some((last, found)))
}

fn lives<'p>(public: &'p Public, selection: &'p Selection) -> impl Iterator<Item = Found> + 'p {
    let statement = &public.statement;
    let admits = |(language, live): &(&LanguageTag, &Live)| {
        let facts = live.facts();
        facts.is_some_and(|facts| selection.filter().admits(&statement.id, &statement.kind, language, facts))
    };
    public.lives.iter().filter(admits).map(|(language, live)| Found {
        statement: statement.id.clone(),
        kind: statement.kind.clone(),
        language: language.clone(),
        what: What::Live(Box::new(live.clone())),
    })
}

fn embargoes<'p>(
    embargoes: Vec<(LanguageTag, Release)>,
    public: &'p Public,
    selection: &'p Selection,
) -> impl Iterator<Item = Found> + 'p {
    let statement = &public.statement;
    let admits = |(language, release): &(LanguageTag, Release)| {
        selection.filter().admits(&statement.id, &statement.kind, language, &release.outline.facts)
    };
    embargoes.into_iter().filter(admits).map(|(language, release)| Found {
        statement: statement.id.clone(),
        kind: statement.kind.clone(),
        language,
        what: What::Embargo(Box::new(release)),
    })
}

/// The words of the first of these items, at least one, until they make a part. Blocks.
fn read_part(view: &View<'_>, wanted: &[(Option<Digest>, usize)]) -> Result<Vec<Option<Content>>, JournalError> {
    let (mut part, mut bytes) = (Vec::new(), 0_usize);
    for (digest, beside) in wanted {
        let words = digest.map(|digest| view.words(&digest)).transpose()?.flatten();
        bytes = bytes.saturating_add(beside + words.as_ref().map_or(0, |words: &Words| words.bytes));
        part.push(words.map(|words| words.content));
        if bytes >= PART_BYTES {
            break;
        }
    }
    Ok(part)
}

fn part(items: impl Iterator<Item = (Found, Option<Content>)>) -> Message {
    let (mut lives, mut embargoes) = (Vec::new(), Vec::new());
    for (Found { statement, kind, language, what }, content) in items {
        match what {
            What::Live(live) => {
                lives.push(SnapshotLive { statement, kind, language, live: *live, content });
            }
            What::Embargo(release) => {
                embargoes.push(SnapshotEmbargo { statement, kind, language, release: *release, content });
            }
        }
    }
    Message::Snapshot { live: lives, embargoes }
}

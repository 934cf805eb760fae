//! Where a subscriber or a page begins, and whether it may.
//!
//! **Invariants**
//! - A cursor resumes only where its history is a prefix of ours; the refusals are told apart in a fixed order, because each asks
//!   for another remedy (`a_cursor_is_judged_in_order`).
//! - Nothing begins before what its caller was told by this node: the window first takes in what the journal has.

use tokio::time::timeout;
use tracing::error;

use super::{
    Shared,
    cursor::Cursor,
    message::Start,
    refusal::FeedRefusal,
    selection::{Fingerprint, Selection},
};
use crate::{
    domain::subscription::Point,
    journal::{JournalError, View},
};

/// Events that are read at a time to find the end of a commit.
const ALIGN_EVENTS: usize = 64;

/// Where a stream or a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) point: Point,
    /// Whether it goes on from the cursor that was given.
    pub(super) resumed: bool,
    /// Whether the state at that place comes first.
    pub(super) snapshot: bool,
}

/// Where `start` begins. Waits for this node to get there, for a while.
pub(super) async fn resolve(shared: &Shared, start: &Start, selection: &Selection) -> Result<Origin, FeedRefusal> {
    tokio::select! {
        biased;
        () = shared.drain.cancelled() => Err(FeedRefusal::Draining),
        origin = find(shared, start, selection) => origin,
    }
}

async fn find(shared: &Shared, start: &Start, selection: &Selection) -> Result<Origin, FeedRefusal> {
    let written = *shared.journal.tail().borrow();
    reach(shared, written).await?;
    let tail = shared.window.tail();
    let fresh = |point, snapshot| Origin { point, resumed: false, snapshot };
    match start {
        Start::Snapshot => Ok(fresh(point_at(shared, tail).await?, true)),
        Start::Now => Ok(fresh(point_at(shared, tail).await?, false)),
        Start::Beginning => {
            let floor = shared.floor(tail);
            let next = shared.journal.read(move |view| align(view, floor, tail)).await?;
            Ok(fresh(point_at(shared, next).await?, false))
        }
        Start::Cursor(text) => {
            let point = resume(shared, text, selection).await?;
            Ok(Origin { point, resumed: true, snapshot: false })
        }
        Start::Applied => Err(FeedRefusal::CursorInvalid("nothing is acknowledged without a name")),
    }
}

/// Waits until the window has everything below `tail`.
async fn reach(shared: &Shared, tail: u64) -> Result<(), FeedRefusal> {
    match timeout(shared.options.behind_wait, shared.window.reach(tail)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(JournalError::Store("the feed cannot read the journal".to_owned()).into()),
        Err(_) => Err(FeedRefusal::ReplicaBehind),
    }
}

async fn resume(shared: &Shared, text: &str, selection: &Selection) -> Result<Point, FeedRefusal> {
    let cursor = Cursor::decode(text).map_err(FeedRefusal::CursorInvalid)?;
    let point = locate(shared, &cursor, selection.fingerprint()).await?;
    check_floor(point.next, shared.floor(shared.window.tail()))?;
    Ok(point)
}

/// The place of a cursor in this very history. Waits for this node to get there, for a while.
pub(super) async fn locate(shared: &Shared, cursor: &Cursor, sent: Fingerprint) -> Result<Point, FeedRefusal> {
    let identity = shared.journal.identity();
    cursor.check_origin(identity, sent)?;
    match cursor.check_reach(identity, shared.window.tail()) {
        Err(FeedRefusal::ReplicaBehind) => reach(shared, cursor.next()).await?,
        verdict => verdict?,
    }
    let point = point_at(shared, cursor.next()).await?;
    if !cursor.saw(point.hash) {
        error!(sequence = point.next, "a subscriber has seen a history that is not the history of this feed");
        return Err(FeedRefusal::CursorDiverged);
    }
    Ok(point)
}

pub(super) fn check_floor(next: u64, floor: u64) -> Result<(), FeedRefusal> {
    if next < floor { Err(FeedRefusal::CursorTrimmed { earliest: floor }) } else { Ok(()) }
}

async fn point_at(shared: &Shared, next: u64) -> Result<Point, FeedRefusal> {
    let hash = shared.journal.read(move |view| view.hash_before(next)).await?;
    let hash = hash.ok_or_else(|| JournalError::Damaged(format!("there is no event before {next}")))?;
    Ok(Point { next, hash })
}

/// The first place from `floor` on that lies between two commits. Blocks.
fn align(view: &View<'_>, floor: u64, tail: u64) -> Result<u64, JournalError> {
    let mut next = floor;
    while next > 1 && next < tail {
        let records = view.events(next.saturating_sub(1), ALIGN_EVENTS)?;
        if records.is_empty() {
            return Err(JournalError::Damaged(format!("there is no event before {next}")));
        }
        for record in records {
            next = record.event.head.sequence.saturating_add(1);
            if !record.event.head.more {
                return Ok(next);
            }
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{digest::Digest, filter::Filter},
        journal::Identity,
    };

    /// The verdict on a cursor of feed 7, epoch 2, that was made without a filter and comes to event 100.
    fn verdict(feed: u8, epoch: u32, embargoed: bool, tail: u64, floor: u64) -> String {
        let made = Identity { feed_id: [7; 16], epoch: 2 };
        let fingerprint = |embargoed| Selection::new(Filter::default(), embargoed).fingerprint();
        let cursor = Cursor::new(made, Point { next: 100, hash: Digest::of(&[b"99"]) }, fingerprint(false));
        let ours = Identity { feed_id: [feed; 16], epoch };
        let verdict = cursor
            .check_origin(ours, fingerprint(embargoed))
            .and_then(|()| cursor.check_reach(ours, tail))
            .and_then(|()| check_floor(cursor.next(), floor));
        verdict.map_or_else(|refusal| format!("{refusal:?}"), |()| "resumed".to_owned())
    }

    #[test]
    fn a_cursor_is_judged_in_order() {
        assert_eq!(verdict(7, 2, false, 100, 1), "resumed");
        assert_eq!(verdict(7, 2, false, 200, 100), "resumed");
        assert_eq!(verdict(7, 3, false, 200, 1), "resumed", "an older epoch whose history is ours");
        assert_eq!(verdict(8, 3, true, 50, 1), "CursorDiverged", "another feed, whatever else");
        assert_eq!(verdict(7, 3, true, 50, 1), "FilterChanged");
        assert_eq!(verdict(7, 3, false, 99, 1), "CursorDiverged", "what it saw was lost in a restore");
        assert_eq!(verdict(7, 2, false, 99, 1), "ReplicaBehind");
        assert_eq!(verdict(7, 1, false, 99, 1), "ReplicaBehind", "this replica has not seen the restore yet");
        assert_eq!(verdict(7, 2, false, 200, 101), "CursorTrimmed { earliest: 101 }");
    }

    #[test]
    fn only_the_same_history_is_resumed() {
        let identity = Identity { feed_id: [7; 16], epoch: 2 };
        let fingerprint = Selection::new(Filter::default(), false).fingerprint();
        let cursor = Cursor::new(identity, Point { next: 100, hash: Digest::of(&[b"99"]) }, fingerprint);
        assert!(cursor.saw(Digest::of(&[b"99"])));
        assert!(!cursor.saw(Digest::of(&[b"another 99"])));
    }
}

//! What a site is to a follower.

use std::{fmt, future::Future, time::Duration};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::check::Link;
use crate::api::v1::{Delivery, Opened, Snapshot, SubscribeResponse};

/// Where to go on. Kept with the effect of what was applied, in one transaction, it makes the effect exactly once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Resumes after what was applied.
    pub cursor: String,
    /// The newest event that was applied, if it was not a snapshot: what comes next has to follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Link>,
}

/// Something that happened on the way, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says it in words")]
pub enum Note {
    Opened { feed_id: String, resumed: bool, start_sequence: u64, behind: u64 },
    Closed { reason: &'static str },
    Lost { why: String, again_in: Duration },
    Trimmed,
    Diverged,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { feed_id, resumed, start_sequence, behind } => {
                let how = if *resumed { "goes on" } else { "starts" };
                write!(f, "feed {feed_id} {how} at {start_sequence}, {behind} to catch up")
            }
            Self::Closed { reason } => write!(f, "the service closed the stream: {reason}"),
            Self::Lost { why, again_in } => write!(f, "{why}\nconnecting again in {:.1} s", again_in.as_secs_f32()),
            Self::Trimmed => f.write_str("what comes next is no longer there: taking a new snapshot"),
            Self::Diverged => f.write_str(
                "the feed is not the one that was followed before: it was restored, or this is another service; taking a new snapshot",
            ),
        }
    }
}

/// A site that applies what a feed sends.
///
/// Texts come in both forms: `canonical_content`, the bytes that were hashed, and `content`, decoded from them.
///
/// What is applied may wait in memory until [`Site::keep`]; then the effects and the position after them are made durable together, or
/// neither. A site that keeps each at once need not implement `keep`.
pub trait Site: Send {
    /// What can go wrong with it. It ends the follower; what was not kept is sent again to the next.
    type Error: Send;

    /// Where to go on: the position that was kept last; none to begin.
    fn position(&self) -> Option<Position>;

    /// Replaces the whole state. What the site holds and is not in the snapshot is no longer there.
    fn replace(
        &mut self,
        snapshot: Snapshot,
        position: Position,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Applies the whole of a commit: `docs/feed.md` says what to do with each delivery.
    fn apply(
        &mut self,
        deliveries: Vec<Delivery>,
        position: Position,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Nothing happened that concerns this site; the position moved on, and is not trimmed if it is kept.
    fn advance(&mut self, position: Position) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes what was applied durable, with its position.
    fn keep(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// A stream is open.
    fn opened(&mut self, _opened: &Opened) {}

    /// A message came. It was verified, and not applied yet.
    ///
    /// # Errors
    /// As above.
    fn message(&mut self, _message: &SubscribeResponse) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Something happened on the way. Goes to the log, unless the site does something else with it.
    fn note(&mut self, note: &Note) {
        match note {
            Note::Opened { .. } | Note::Closed { .. } => info!("{note}"),
            Note::Lost { .. } | Note::Trimmed | Note::Diverged => warn!("{note}"),
        }
    }
}

//! The site that `watch` is: it shows each message, and keeps what was asked for.

use anyhow::{Error, Result};

use super::{keep::Keep, line};
use crate::{
    api::v1::{Delivery, Embargo, Live, Opened, Snapshot, SubscribeResponse, subscribe_response::Message},
    cli::{
        failure::Refusal,
        output::{Format, note, say},
        session::Session,
    },
    client::{FollowError, Lost, Note, Position, Site},
};

const DIVERGED: &str = "\
the feed is not the one that was followed before: it was restored, or this is another service.
Find out why. To go on with what it says now, remove the mirror or the cursor.
The service says";

const ANOTHER_FILTER: &str = "\
this was followed with another filter, with another choice of --embargoed, or before the policy gave the caller another choice of
texts. Use what was used before, or remove the mirror or the cursor to begin anew. The service says";

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) session: Session,
    pub(super) keep: Keep,
}

impl Site for Watcher {
    type Error = Error;

    fn position(&self) -> Option<Position> {
        let cursor = self.keep.newest_cursor();
        (!cursor.is_empty()).then(|| Position { cursor: cursor.to_owned(), last: None })
    }

    async fn replace(&mut self, snapshot: Snapshot, position: Position) -> Result<()> {
        self.keep.snapshot(&snapshot, &position.cursor);
        Ok(())
    }

    async fn apply(&mut self, deliveries: Vec<Delivery>, position: Position) -> Result<()> {
        self.keep.commit(&deliveries, &position.cursor)
    }

    async fn advance(&mut self, position: Position) -> Result<()> {
        self.keep.advance(&position.cursor);
        Ok(())
    }

    async fn keep(&mut self) -> Result<()> {
        self.keep.write().await
    }

    fn opened(&mut self, opened: &Opened) {
        self.keep.opened(opened);
    }

    fn message(&mut self, message: &SubscribeResponse) -> Result<()> {
        match self.session.format {
            Format::Table => show(message),
            Format::Json => Format::Json.message(&without_seals(message.clone()), show),
        }
    }

    fn note(&mut self, words: &Note) {
        note(words);
    }
}

/// Why it ended, as the command line says it.
pub(super) fn told(session: &Session, error: FollowError<Error>) -> Error {
    match error {
        FollowError::Site(error) => error,
        FollowError::Breach(breach) => Refusal::Refused(breach.to_string()).into(),
        FollowError::Diverged(status) => Error::from(status).context(DIVERGED),
        FollowError::FilterChanged(status) => Error::from(status).context(ANOTHER_FILTER),
        error @ FollowError::Superseded => Refusal::Refused(error.to_string()).into(),
        FollowError::Refused(status) | FollowError::GaveUp(Lost::Status(status)) => session.explained(status),
        FollowError::GaveUp(lost) => Refusal::Unavailable(lost.to_string()).into(),
    }
}

/// What was verified is shown once: as `content`, without the bytes and the seals that it was verified by.
fn without_seals(mut response: SubscribeResponse) -> SubscribeResponse {
    match &mut response.message {
        Some(Message::Snapshot(part)) => {
            part.live.iter_mut().for_each(strip_live);
            part.embargoes.iter_mut().for_each(strip_embargo);
        }
        Some(Message::EventBatch(batch)) => {
            for event in batch.deliveries.iter_mut().filter_map(|delivery| delivery.event.as_mut()) {
                event.live.iter_mut().for_each(strip_live);
                event.embargo.iter_mut().for_each(strip_embargo);
            }
        }
        Some(Message::Opened(_) | Message::SnapshotEnd(_) | Message::Heartbeat(_) | Message::Closing(_)) | None => {}
    }
    response
}

fn strip_live(live: &mut Live) {
    live.event_seal = None;
    if let Some(edition) = &mut live.edition {
        edition.canonical_content.clear();
    }
}

fn strip_embargo(embargo: &mut Embargo) {
    embargo.event_seal = None;
    embargo.canonical_content.clear();
}

fn show(response: &SubscribeResponse) -> Result<()> {
    match &response.message {
        Some(Message::Snapshot(part)) => {
            part.live.iter().try_for_each(|live| say(line::live(live)))?;
            part.embargoes.iter().try_for_each(|embargo| say(line::embargo(embargo)))?;
        }
        Some(Message::EventBatch(batch)) => {
            batch.deliveries.iter().try_for_each(|delivery| say(line::delivery(delivery)))?;
        }
        Some(Message::Opened(_) | Message::SnapshotEnd(_) | Message::Heartbeat(_) | Message::Closing(_)) | None => {}
    }
    Ok(())
}

//! Keeps the stream open: connects, takes messages, connects again.

use std::time::{Duration, Instant};

use anyhow::Result;
use prost_types::Duration as WireDuration;
use tokio::time::timeout;
use tonic::Streaming;

use super::{keep::Keep, line};
use crate::{
    api::v1::{
        AcknowledgeRequest, Delivery, EventBatch, Opened, Snapshot, SnapshotEnd, Start, SubscribeRequest,
        SubscribeResponse, subscribe_response::Message,
    },
    cli::{
        backoff::Backoff,
        failure::{Refusal, is_unavailable},
        output::{note, say},
        session::Session,
    },
};

/// More than three heartbeats (10 s each) that did not come: the connection is dead, whatever TCP says.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// While one message follows another, the file lags behind by at most this.
const WRITE_DELAY_MAX: Duration = Duration::from_millis(100);

/// How a stream ended.
pub(super) enum End {
    /// There is nothing more to do.
    Done,
    /// Connect again, after this long.
    Again(Duration),
}

/// A message, the end of the stream, or why it broke.
type Next = Result<Option<SubscribeResponse>, anyhow::Error>;

/// One subscription, over as many streams as it takes.
#[derive(Debug)]
pub(super) struct Follow {
    session: Session,
    pub(super) request: SubscribeRequest,
    pub(super) keep: Keep,
    pub(super) until_current: bool,
    pub(super) backoff: Backoff,
    /// Parts of a commit or of a snapshot that is not complete yet.
    pending: Vec<Delivery>,
    snapshot: Snapshot,
    written: Instant,
    /// Of the stream, if it follows under a name.
    generation: u64,
    /// The cursor that was acknowledged last.
    acknowledged: String,
}

impl Follow {
    pub(super) fn new(session: Session, mut request: SubscribeRequest, keep: Keep, until_current: bool) -> Self {
        if until_current {
            request.heartbeat_interval = Some(WireDuration { seconds: 1, nanos: 0 });
        }
        let (backoff, written) = (Backoff::default(), Instant::now());
        let (pending, snapshot) = (Vec::new(), Snapshot::default());
        let (generation, acknowledged) = (0, String::new());
        Self { session, request, keep, until_current, backoff, pending, snapshot, written, generation, acknowledged }
    }

    /// Follows until it is done, or cannot go on.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            match self.stream().await? {
                End::Done => return Ok(()),
                End::Again(delay) => tokio::time::sleep(delay).await,
            }
        }
    }

    async fn stream(&mut self) -> Result<End> {
        self.pending.clear();
        self.snapshot = Snapshot::default();
        let mut stream = match self.session.feed().subscribe(self.request()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.lost(self.session.explained(status)),
        };
        // What failed may be half applied: then the file keeps what it had.
        let end = self.messages(&mut stream).await?;
        self.write().await?;
        Ok(end)
    }

    /// Brings the file up to date, and says so to the service, if it knows this site by name.
    async fn write(&mut self) -> Result<()> {
        self.keep.write().await?;
        self.written = Instant::now();
        let cursor = self.keep.newest_cursor();
        if self.generation == 0 || cursor.is_empty() || cursor == self.acknowledged {
            return Ok(());
        }
        let request = AcknowledgeRequest {
            name: self.request.subscription.clone(),
            generation: self.generation,
            cursor: cursor.to_owned(),
        };
        let told = self.session.subscriptions(request, async |mut api, q| api.acknowledge(q).await).await;
        match told {
            Ok(_) => cursor.clone_into(&mut self.acknowledged),
            // It is said again with the next cursor.
            Err(error) if is_unavailable(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The next request: from the newest cursor, if there is one.
    fn request(&self) -> SubscribeRequest {
        let mut request = self.request.clone();
        if !self.keep.newest_cursor().is_empty() {
            request.start = Start::Cursor.into();
            self.keep.newest_cursor().clone_into(&mut request.cursor);
        }
        request
    }

    async fn messages(&mut self, stream: &mut Streaming<SubscribeResponse>) -> Result<End> {
        loop {
            let response = match self.next(stream).await? {
                Ok(Some(response)) => response,
                Ok(None) => return self.lost(broken("the stream ended without a word")),
                Err(error) => return self.lost(error),
            };
            self.session.format.message(&response, show)?;
            if let Some(message) = response.message
                && let Some(end) = self.take(message)?
            {
                return Ok(end);
            }
        }
    }

    /// The next message. Before waiting for it, what came so far is written.
    async fn next(&mut self, stream: &mut Streaming<SubscribeResponse>) -> Result<Next> {
        if self.keep.is_dirty() {
            let ready = timeout(Duration::ZERO, stream.message()).await;
            if ready.is_err() || self.written.elapsed() > WRITE_DELAY_MAX {
                self.write().await?;
            }
            if let Ok(message) = ready {
                return Ok(message.map_err(|status| self.session.explained(status)));
            }
        }
        match timeout(SILENCE_MAX, stream.message()).await {
            Ok(message) => Ok(message.map_err(|status| self.session.explained(status))),
            Err(_) => Ok(Err(broken("nothing was heard for 40 s"))),
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<End>> {
        match message {
            Message::Opened(opened) => self.opened(&opened),
            Message::Snapshot(part) => {
                self.snapshot.live.extend(part.live);
                self.snapshot.embargoes.extend(part.embargoes);
            }
            Message::SnapshotEnd(end) => self.snapshot_end(&end)?,
            Message::EventBatch(batch) => return self.batch(batch),
            Message::Heartbeat(heartbeat) => {
                self.backoff.reset();
                self.keep.advance(&heartbeat.cursor);
                return Ok(self.until_current.then_some(End::Done));
            }
            Message::Closing(closing) => return self.closing(&closing).map(Some),
        }
        Ok(None)
    }

    fn opened(&mut self, opened: &Opened) {
        self.keep.opened(opened);
        self.generation = opened.generation;
        let how = if opened.resumed { "goes on" } else { "starts" };
        let behind = opened.tail.saturating_sub(opened.start_sequence);
        note(format_args!("feed {} {how} at {}, {behind} to catch up", opened.feed_id, opened.start_sequence));
    }

    fn snapshot_end(&mut self, end: &SnapshotEnd) -> Result<()> {
        let items = u64::try_from(self.snapshot.live.len() + self.snapshot.embargoes.len())?;
        if items != end.item_count {
            let wanted = end.item_count;
            return Err(Refusal::Unavailable(format!("{items} of {wanted} items of the snapshot came")).into());
        }
        self.backoff.reset();
        self.keep.snapshot(&std::mem::take(&mut self.snapshot), &end.cursor);
        Ok(())
    }

    fn batch(&mut self, batch: EventBatch) -> Result<Option<End>> {
        self.pending.extend(batch.deliveries);
        if batch.more {
            return Ok(None);
        }
        self.backoff.reset();
        let deliveries = std::mem::take(&mut self.pending);
        let newest = deliveries.last().and_then(|delivery| delivery.event.as_ref()).map_or(0, |event| event.sequence);
        self.keep.commit(&deliveries, &batch.cursor)?;
        let current = newest.saturating_add(1) >= batch.tail;
        Ok((self.until_current && current).then_some(End::Done))
    }
}

fn broken(how: &str) -> anyhow::Error {
    Refusal::Unavailable(how.to_owned()).into()
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

#[cfg(test)]
mod tests;

//! Keeps a stream open: connects, takes messages, applies them, connects again.

use std::time::{Duration, Instant};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Request, Streaming, transport::Channel};

use super::{
    acknowledge::Acknowledger,
    backoff::Backoff,
    check::{Breach, Chain},
    ending::{FollowError, Lost, Remedy},
    options::{Begin, Options, Wanted},
    site::{Note, Position, Site},
    verify,
};
use crate::api::v1::{
    AcknowledgeRequest, Closing, ContentView, Delivery, EventBatch, Opened, Snapshot, SnapshotEnd, Start,
    SubscribeRequest, SubscribeResponse, closing, feed_service_client::FeedServiceClient, subscribe_response::Message,
};

/// Longer than the longest message: 1 MiB and one event.
const RECEIVE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// While one message follows another, what was applied is kept this late at most.
const KEEP_DELAY_MAX: Duration = Duration::from_millis(100);
/// Heartbeats that may fail to come before the stream counts as lost.
const HEARTBEATS_MISSED_MAX: u32 = 3;
/// What is allowed for on the way, above that.
const SLACK: Duration = Duration::from_secs(10);
/// Where somebody waits for the end.
const ATTEMPTS_UNTIL_CURRENT_MAX: u32 = 5;

/// How fresh what a site shows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is catching up: it has not shown yet what the feed had when the stream was opened.
    Resyncing,
    /// It shows what the feed has.
    Ready,
    /// Nothing was heard since then; what it shows may be out of date.
    Stale(Instant),
    /// It has ended.
    Ended,
}

/// Follows a feed for a site.
#[derive(Debug)]
pub struct Follower<S> {
    channel: Channel,
    options: Options,
    site: S,
    /// Where to go on, as the site last took it.
    position: Position,
    chain: Chain,
    /// Whether there is something that was not kept.
    unkept: bool,
    kept_at: Instant,
    backoff: Backoff,
    state: watch::Sender<State>,
    /// The sequence that the next event had when the stream was opened: from there on the site is current.
    goal: u64,
    generation: u64,
    acknowledger: Option<Acknowledger>,
    /// Parts of a commit or of a snapshot that is not complete yet.
    pending: Vec<Delivery>,
    snapshot: Snapshot,
}

/// How a stream ended.
enum End {
    Done,
    Again(Duration),
}

type Followed<T, S> = Result<T, FollowError<<S as Site>::Error>>;

impl<S: Site> Follower<S> {
    /// Follows over a channel of its own.
    pub fn new(channel: Channel, options: Options, site: S) -> Self {
        let position = site.position().unwrap_or_default();
        Self {
            chain: Chain { last: position.last },
            position,
            channel,
            options,
            site,
            unkept: false,
            kept_at: Instant::now(),
            backoff: Backoff::default(),
            state: watch::Sender::new(State::Stale(Instant::now())),
            goal: 0,
            generation: 0,
            acknowledger: None,
            pending: Vec::new(),
            snapshot: Snapshot::default(),
        }
    }

    /// How fresh what the site shows is, from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The site.
    pub fn site(&self) -> &S {
        &self.site
    }

    /// The site, back.
    pub fn into_site(self) -> S {
        self.site
    }

    /// Follows until it is current, if that was asked for, or until only a person can help. May be dropped at any time: what was not kept
    /// is sent again to the next follower.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn run(&mut self) -> Followed<(), S> {
        let ended = self.follow().await;
        self.state.send_replace(State::Ended);
        if let Some(acknowledger) = self.acknowledger.take() {
            acknowledger.finish().await;
        }
        ended
    }

    async fn follow(&mut self) -> Followed<(), S> {
        loop {
            match self.stream().await? {
                End::Done => return Ok(()),
                End::Again(delay) => {
                    self.state.send_if_modified(|state| {
                        let was_fresh = !matches!(state, State::Stale(_));
                        if was_fresh {
                            *state = State::Stale(Instant::now());
                        }
                        was_fresh
                    });
                    sleep(delay).await;
                }
            }
        }
    }

    async fn stream(&mut self) -> Followed<End, S> {
        self.pending.clear();
        self.snapshot = Snapshot::default();
        self.chain.last = self.position.last;
        let mut client = FeedServiceClient::new(self.channel.clone()).max_decoding_message_size(RECEIVE_BYTES_MAX);
        let request =
            Request::from_parts(self.options.credentials.metadata(), tonic::Extensions::default(), self.request());
        let mut stream = match client.subscribe(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.lost(Lost::Status(status)),
        };
        // What failed may be half applied: then nothing more is kept.
        let end = self.messages(&mut stream).await?;
        self.keep().await?;
        Ok(end)
    }

    fn request(&self) -> SubscribeRequest {
        let (filter, include_embargoed, subscription) = match &self.options.wanted {
            Wanted::These { filter, include_embargoed } => (Some(filter.clone()), *include_embargoed, String::new()),
            Wanted::Named(name) => (None, false, name.clone()),
        };
        let start = match self.options.begin {
            _ if !self.position.cursor.is_empty() => Start::Cursor,
            Begin::Snapshot => Start::Snapshot,
            Begin::Beginning => Start::Beginning,
            Begin::Now => Start::Now,
            Begin::Acknowledged => Start::Acknowledged,
        };
        SubscribeRequest {
            start: start.into(),
            cursor: self.position.cursor.clone(),
            filter,
            include_embargoed,
            heartbeat_interval: prost_types::Duration::try_from(self.options.heartbeat).ok(),
            subscription,
            content_view: ContentView::Canonical.into(),
        }
    }

    async fn messages(&mut self, stream: &mut Streaming<SubscribeResponse>) -> Followed<End, S> {
        loop {
            let mut response = match self.next(stream).await? {
                Ok(response) => response,
                Err(lost) => return self.lost(lost),
            };
            match &mut response.message {
                Some(Message::Snapshot(part)) => verify::snapshot(part)?,
                Some(Message::EventBatch(batch)) => batch.deliveries.iter_mut().try_for_each(verify::delivery)?,
                Some(_) | None => {}
            }
            self.site.message(&response).map_err(FollowError::Site)?;
            if let Some(message) = response.message
                && let Some(end) = self.take(message).await?
            {
                return Ok(end);
            }
        }
    }

    /// The next message. Before waiting for it, what was applied is kept.
    async fn next(
        &mut self,
        stream: &mut Streaming<SubscribeResponse>,
    ) -> Followed<Result<SubscribeResponse, Lost>, S> {
        let came = |came: Result<Option<SubscribeResponse>, tonic::Status>| match came {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(Lost::Ended),
            Err(status) => Err(Lost::Status(status)),
        };
        if self.unkept {
            let ready = timeout(Duration::ZERO, stream.message()).await;
            if ready.is_err() || self.kept_at.elapsed() > KEEP_DELAY_MAX {
                self.keep().await?;
            }
            if let Ok(message) = ready {
                return Ok(came(message));
            }
        }
        let silence = self.options.heartbeat * HEARTBEATS_MISSED_MAX + SLACK;
        match timeout(silence, stream.message()).await {
            Ok(message) => Ok(came(message)),
            Err(_) => Ok(Err(Lost::Silent(silence))),
        }
    }

    /// Makes durable what was applied, and says so.
    async fn keep(&mut self) -> Followed<(), S> {
        self.kept_at = Instant::now();
        if self.unkept {
            self.site.keep().await.map_err(FollowError::Site)?;
            self.unkept = false;
        }
        let Wanted::Named(name) = &self.options.wanted else { return Ok(()) };
        if self.generation > 0 && !self.position.cursor.is_empty() {
            let (name, generation, cursor) = (name.clone(), self.generation, self.position.cursor.clone());
            let (channel, credentials) = (self.channel.clone(), self.options.credentials.clone());
            let acknowledger = self.acknowledger.get_or_insert_with(|| Acknowledger::start(channel, credentials));
            acknowledger.tell(AcknowledgeRequest { name, generation, cursor });
        }
        Ok(())
    }

    async fn take(&mut self, message: Message) -> Followed<Option<End>, S> {
        match message {
            Message::Opened(opened) => self.opened(opened).await?,
            Message::Snapshot(part) => {
                self.snapshot.live.extend(part.live);
                self.snapshot.embargoes.extend(part.embargoes);
            }
            Message::SnapshotEnd(end) => self.snapshot_end(end).await?,
            Message::EventBatch(batch) => return self.batch(batch).await,
            Message::Heartbeat(heartbeat) => {
                self.backoff.reset();
                self.advance(heartbeat.cursor).await?;
                if heartbeat.next_sequence >= self.goal {
                    self.state.send_replace(State::Ready);
                }
                let is_current = heartbeat.next_sequence >= heartbeat.tail;
                return Ok((self.options.until_current && is_current).then_some(End::Done));
            }
            Message::Closing(closing) => return self.closing(closing).await.map(Some),
        }
        Ok(None)
    }

    async fn opened(&mut self, opened: Opened) -> Followed<(), S> {
        self.site.opened(&opened);
        let Opened { feed_id, resumed, start_sequence, tail, generation, cursor, .. } = opened;
        (self.goal, self.generation) = (tail, generation);
        self.site.note(&Note::Opened { feed_id, resumed, start_sequence, behind: tail.saturating_sub(start_sequence) });
        let state = if resumed && start_sequence >= tail { State::Ready } else { State::Resyncing };
        self.state.send_replace(state);
        // What comes next is missed by nobody who begins now and is cut off at once.
        self.advance(cursor).await?;
        // What was acknowledged last may not have arrived: it is said again, by the holder of the name that this stream is.
        self.unkept |= generation > 0 && !self.position.cursor.is_empty();
        Ok(())
    }

    async fn snapshot_end(&mut self, end: SnapshotEnd) -> Followed<(), S> {
        let snapshot = std::mem::take(&mut self.snapshot);
        let came = u64::try_from(snapshot.live.len() + snapshot.embargoes.len()).unwrap_or(u64::MAX);
        if came != end.item_count {
            return Err(Breach::Snapshot { came, wanted: end.item_count }.into());
        }
        self.backoff.reset();
        self.chain.last = None;
        let position = Position { cursor: end.cursor, last: None };
        self.site.replace(snapshot, position.clone()).await.map_err(FollowError::Site)?;
        self.reached(position);
        self.state.send_replace(State::Ready);
        Ok(())
    }

    async fn batch(&mut self, batch: EventBatch) -> Followed<Option<End>, S> {
        for event in batch.deliveries.iter().filter_map(|delivery| delivery.event.as_ref()) {
            self.chain.follow(event)?;
        }
        self.pending.extend(batch.deliveries);
        if batch.more {
            return Ok(None);
        }
        self.backoff.reset();
        let deliveries = std::mem::take(&mut self.pending);
        let next = self.chain.last.map_or(0, |last| last.sequence.saturating_add(1));
        let position = Position { cursor: batch.cursor, last: self.chain.last };
        self.site.apply(deliveries, position.clone()).await.map_err(FollowError::Site)?;
        self.reached(position);
        if next >= self.goal {
            self.state.send_if_modified(|state| std::mem::replace(state, State::Ready) != State::Ready);
        }
        Ok((self.options.until_current && next >= batch.tail).then_some(End::Done))
    }

    async fn advance(&mut self, cursor: String) -> Followed<(), S> {
        if cursor.is_empty() || cursor == self.position.cursor {
            return Ok(());
        }
        // Of a commit that came in part, nothing was applied yet.
        let position = Position { cursor, last: self.position.last };
        self.site.advance(position.clone()).await.map_err(FollowError::Site)?;
        self.reached(position);
        Ok(())
    }

    /// The site is there, once it said so: what it did not take is sent again.
    fn reached(&mut self, position: Position) {
        self.position = position;
        self.unkept = true;
    }

    /// The service closed the stream.
    async fn closing(&mut self, closing: Closing) -> Followed<End, S> {
        let (reason, asked) = (closing.reason(), closing.reconnect_after);
        self.advance(closing.cursor).await?;
        match reason {
            closing::Reason::Superseded => return Err(FollowError::Superseded),
            closing::Reason::Trimmed => self.begin_anew(&Note::Trimmed),
            closing::Reason::Lifetime
            | closing::Reason::Drain
            | closing::Reason::Stalled
            | closing::Reason::StoreFailed
            // Its credential ended, and there may be a new one; if not, that is said when it comes again.
            | closing::Reason::AccessRevoked
            | closing::Reason::Unspecified => self.site.note(&Note::Closed { reason: reason.as_str_name() }),
        }
        let asked = asked.and_then(|asked| Duration::try_from(asked).ok()).unwrap_or_default();
        Ok(End::Again(asked.max(self.backoff.delay())))
    }

    /// Takes a snapshot next. The site keeps what it has until then.
    fn begin_anew(&mut self, why: &Note) {
        self.site.note(why);
        self.position = Position::default();
        self.options.begin = Begin::Snapshot;
    }

    /// The stream could not be opened, or broke.
    fn lost(&mut self, lost: Lost) -> Followed<End, S> {
        let asked = match lost.remedy() {
            Remedy::Again(asked) => asked,
            Remedy::Trimmed => {
                self.begin_anew(&Note::Trimmed);
                Duration::ZERO
            }
            Remedy::Diverged(_) if self.options.snapshot_when_diverged => {
                self.begin_anew(&Note::Diverged);
                Duration::ZERO
            }
            Remedy::Diverged(status) => return Err(FollowError::Diverged(status)),
            Remedy::End(error) => return Err(error),
        };
        if self.options.until_current && self.backoff.attempts() >= ATTEMPTS_UNTIL_CURRENT_MAX {
            return Err(FollowError::GaveUp(lost));
        }
        let again_in = self.backoff.delay().max(asked);
        self.site.note(&Note::Lost { why: lost.to_string(), again_in });
        Ok(End::Again(again_in))
    }
}

#[cfg(test)]
mod tests;

//! A subscriber: a real stream over gRPC, in a task of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tonic::Streaming;

use crate::{
    api::v1::{Delivery, Event, Start, SubscribeRequest, SubscribeResponse, event, subscribe_response::Message},
    cli::{
        session::Session,
        watch::{Mirror, slot},
    },
};

/// Commits that may wait to be printed.
const HEARD_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

/// The events of one commit, as they arrived.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) deliveries: Vec<Delivery>,
}

/// What one event was about, for comparing: `(PUBLISHED, "lumeo-order/en")`.
pub(super) type Told<'a> = (event::Type, &'a str);

/// A subscriber, and what it shows.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) name: &'static str,
    pub(super) mirror: Mirror,
    /// Everything received so far.
    pub(super) events: Vec<Event>,
    receiver: mpsc::Receiver<Heard>,
    task: JoinHandle<Result<()>>,
}

impl Audience {
    /// Subscribes, and returns once the subscriber has the (empty) state.
    pub(super) async fn seat(name: &'static str, session: &Session, include_embargoed: bool) -> Result<Self> {
        let request =
            SubscribeRequest { start: Start::Snapshot.into(), include_embargoed, ..SubscribeRequest::default() };
        let mut stream = session.with_caller(name)?.feed().subscribe(request).await?.into_inner();
        while let Some(response) = stream.message().await? {
            if let Some(Message::SnapshotEnd(end)) = response.message {
                ensure!(end.item_count == 0, "not as told: the feed was not empty at the start");
                break;
            }
        }
        let (sender, receiver) = mpsc::channel(HEARD_MAX);
        let task = tokio::spawn(listen(stream, sender));
        Ok(Self { name, mirror: Mirror::default(), events: Vec::new(), receiver, task })
    }

    /// The events of the next commit, folded into what is shown.
    pub(super) async fn hear(&mut self) -> Result<Heard> {
        let next = timeout(PATIENCE, self.receiver.recv()).await;
        let heard = next.with_context(|| format!("not as told: {} heard nothing for {PATIENCE:?}", self.name))?;
        let heard = heard.with_context(|| format!("not as told: the stream of {} ended", self.name))?;
        for delivery in &heard.deliveries {
            self.mirror.apply(delivery)?;
            self.events.extend(delivery.event.clone());
        }
        Ok(heard)
    }

    /// True if nothing more has arrived.
    pub(super) fn is_quiet(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Leaves.
    pub(super) async fn leave(self) -> Result<()> {
        drop(self.receiver);
        self.task.abort();
        match self.task.await {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn listen(mut stream: Streaming<SubscribeResponse>, sender: mpsc::Sender<Heard>) -> Result<()> {
    let mut deliveries = Vec::new();
    while let Some(response) = stream.message().await? {
        let at = Instant::now();
        if let Some(Message::EventBatch(batch)) = response.message {
            deliveries.extend(batch.deliveries);
            if !batch.more && sender.send(Heard { at, deliveries: std::mem::take(&mut deliveries) }).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Heard {
    /// What the events were about, in a fixed order.
    fn told(&self) -> Vec<(event::Type, String)> {
        let events = self.deliveries.iter().filter_map(|delivery| delivery.event.as_ref());
        let mut told: Vec<_> =
            events.map(|event| (event.r#type(), slot(&event.statement, &event.language_code))).collect();
        told.sort_by_key(|(kind, slot)| (i32::from(*kind), slot.clone()));
        told
    }

    /// Fails unless these were the events, all in one commit.
    pub(super) fn check(&self, name: &str, wanted: &[Told<'_>]) -> Result<()> {
        let mut wanted: Vec<_> = wanted.iter().map(|(kind, slot)| (*kind, (*slot).to_owned())).collect();
        wanted.sort_by_key(|(kind, slot)| (i32::from(*kind), slot.clone()));
        let told = self.told();
        ensure!(told == wanted, "not as told: {name} was to hear {wanted:?} in one step, and heard {told:?}");
        Ok(())
    }
}

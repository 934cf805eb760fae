//! A site that follows under a name.

use super::*;

/// A stream under a name, and its generation.
pub(super) struct Holder {
    pub(super) person: Person,
    pub(super) name: String,
    pub(super) stream: Stream,
    pub(super) generation: u64,
    pub(super) opened: v1::Opened,
}

impl Holder {
    pub(super) async fn open(service: &Service, id: &str) -> Self {
        let mut person = service.person(id);
        let name = format!("subscriptions/{id}");
        let request = v1::SubscribeRequest {
            start: v1::Start::Acknowledged.into(),
            subscription: name.clone(),
            ..Default::default()
        };
        let mut stream = person.follow(request).await.unwrap();
        let Message::Opened(opened) = stream.next().await else { panic!("it opens") };
        Self { person, name, stream, generation: opened.generation, opened }
    }

    /// The cursor after the state, which came first.
    pub(super) async fn snapshot(&mut self) -> String {
        loop {
            if let Message::SnapshotEnd(end) = self.stream.next().await {
                return end.cursor;
            }
        }
    }

    /// The next events and the cursor after them.
    pub(super) async fn batch(&mut self) -> (Vec<u64>, String) {
        loop {
            if let Message::EventBatch(batch) = self.stream.next().await {
                let sequences = batch.deliveries.iter().map(|it| it.event.as_ref().unwrap().sequence);
                return (sequences.collect(), batch.cursor);
            }
        }
    }

    pub(super) async fn acknowledge(&mut self, cursor: &str) -> Result<u64, Status> {
        let request =
            v1::AcknowledgeRequest { name: self.name.clone(), generation: self.generation, cursor: cursor.to_owned() };
        Ok(self.person.feed.acknowledge(request).await?.into_inner().acknowledged_sequence)
    }

    pub(super) async fn reject(&mut self, sequence: u64) -> Result<(), Status> {
        let request = v1::RejectRequest {
            name: self.name.clone(),
            generation: self.generation,
            sequence,
            reason_code: "too-long".to_owned(),
            detail: "The page has no room for it.".to_owned(),
        };
        self.person.feed.reject(request).await.map(drop)
    }

    pub(super) async fn closing(&mut self) -> closing::Reason {
        loop {
            if let Message::Closing(closing) = self.stream.next().await {
                return closing.reason();
            }
        }
    }
}

//! onrecord: Subscribe from now on; PublishDrafts of drafts that are ready.

use std::{process::Command, sync::Arc, time::Duration};

use onrecord::api::v1::{self, editorial_service_client::EditorialServiceClient};
use prost::bytes::Bytes;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;

use super::{Counted, Keeper, Peer, Stateful, payload, until_it_works};
use crate::process::{Process, free_port};

/// Drafts that are prepared at a time.
const PREPARING: usize = 128;

/// What the client looks at of a message: how many events it has. The rest is skipped, so that the client costs little.
#[derive(Clone, PartialEq, prost::Message)]
struct Slim {
    #[prost(bytes = "bytes", optional, tag = "3")]
    snapshot_end: Option<Bytes>,
    #[prost(message, optional, tag = "4")]
    event_batch: Option<SlimBatch>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimBatch {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    deliveries: Vec<Bytes>,
}

/// A service with drafts that only have to be published.
#[derive(Clone)]
pub(crate) struct Onrecord(Arc<Service>);

struct Service {
    process: Process,
    endpoint: Endpoint,
    editor: EditorialServiceClient<Channel>,
    /// The etag of each draft.
    ready: Vec<String>,
}

pub(crate) fn request<T>(message: T, caller: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("onrecord-caller", MetadataValue::from_static(caller));
    request
}

impl Peer for Onrecord {
    type Subscription = (JoinHandle<()>, Grpc<Channel>);

    async fn start(events: usize, bytes: usize) -> Self {
        let port = free_port();
        let process = Process::start(|directory| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_onrecord"));
            command
                .args(["serve", "--insecure", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
                .arg(directory);
            command
        });
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().tcp_nodelay(true);
        let channel = until_it_works(async || endpoint.connect().await).await;
        let editor = EditorialServiceClient::new(channel);
        let gate = Arc::new(Semaphore::new(PREPARING));
        let mut preparing = JoinSet::new();
        for number in 0..events {
            let (editor, gate) = (editor.clone(), Arc::clone(&gate));
            preparing.spawn(async move {
                let _permit = gate.acquire().await.unwrap();
                (number, prepare(editor, number, bytes).await)
            });
        }
        let mut ready = preparing.join_all().await;
        ready.sort_unstable();
        let ready = ready.into_iter().map(|(_, etag)| etag).collect();
        Self(Arc::new(Service { process, endpoint, editor, ready }))
    }

    fn process(&self) -> &Process {
        &self.0.process
    }

    async fn subscribe(&self, _: usize, counted: Arc<Counted>) -> Self::Subscription {
        let (connection, stream) = self.open(v1::Start::Now).await.unwrap();
        (tokio::spawn(count(stream, counted)), connection)
    }

    async fn publish(&self, number: usize) {
        let drafts = vec![v1::DraftToPublish { language_code: "en".to_owned(), etag: self.0.ready[number].clone() }];
        let publish = v1::PublishDraftsRequest {
            parent: format!("statements/statement-{number}"),
            drafts,
            force: true,
            reason: "A benchmark.".to_owned(),
            ..Default::default()
        };
        self.0.editor.clone().publish_drafts(request(publish, "editor")).await.unwrap();
    }
}

impl Onrecord {
    /// A stream, once it is open, over a connection of its own.
    async fn open(&self, start: v1::Start) -> Result<(Grpc<Channel>, Streaming<Slim>), Status> {
        let channel = self.0.endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut connection = Grpc::new(channel);
        connection.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let subscribe = v1::SubscribeRequest { start: start.into(), ..Default::default() };
        let path = PathAndQuery::from_static("/onrecord.v1.FeedService/Subscribe");
        let codec = ProstCodec::<v1::SubscribeRequest, Slim>::default();
        let mut stream = connection.server_streaming(request(subscribe, "site"), path, codec).await?.into_inner();
        stream.message().await?;
        Ok((connection, stream))
    }

    /// A stream that is open and that nobody reads.
    pub(crate) async fn stall(&self) -> impl Send + use<> {
        self.open(v1::Start::Now).await.unwrap()
    }
}

/// The same service, asked nothing: whether it is healthy. No call that it answers can cost less, whatever it does.
#[derive(Clone)]
pub(crate) struct Empty(Onrecord, HealthClient<Channel>);

impl Peer for Empty {
    type Subscription = ();

    async fn start(_: usize, bytes: usize) -> Self {
        let service = Onrecord::start(0, bytes).await;
        let health = HealthClient::new(service.0.endpoint.connect().await.unwrap());
        Self(service, health)
    }

    fn process(&self) -> &Process {
        self.0.process()
    }

    async fn subscribe(&self, _: usize, _: Arc<Counted>) {}

    async fn publish(&self, _: usize) {
        self.1.clone().check(HealthCheckRequest::default()).await.unwrap();
    }
}

async fn count(mut stream: Streaming<Slim>, counted: Arc<Counted>) {
    while let Ok(Some(message)) = stream.message().await {
        if let Some(batch) = message.event_batch {
            counted.deliver(batch.deliveries.len() as u64);
        }
    }
}

impl Keeper for Onrecord {
    async fn replay(&self, _: usize, counted: Arc<Counted>) -> Self::Subscription {
        let (connection, stream) = self.open(v1::Start::Beginning).await.unwrap();
        (tokio::spawn(count(stream, counted)), connection)
    }
}

impl Stateful for Onrecord {
    async fn snapshot(&self) {
        loop {
            let refused = match self.open(v1::Start::Snapshot).await {
                Ok((_connection, mut stream)) => {
                    while stream.message().await.unwrap().unwrap().snapshot_end.is_none() {}
                    return;
                }
                Err(refused) => refused,
            };
            // Without one the connection was not even taken: too many came at once.
            let pushback = refused.metadata().get("grpc-retry-pushback-ms");
            let pushback = pushback.map_or(100, |pushback| pushback.to_str().unwrap().parse().unwrap());
            sleep(Duration::from_millis(pushback)).await;
        }
    }
}

/// Saves a draft; gives its etag.
async fn prepare(mut editor: EditorialServiceClient<Channel>, number: usize, bytes: usize) -> String {
    let statement =
        v1::Statement { kind: "notice".to_owned(), source_language_code: "en".to_owned(), ..Default::default() };
    let create = v1::CreateStatementRequest {
        statement_id: format!("statement-{number}"),
        statement: Some(statement),
        ..Default::default()
    };
    editor.create_statement(request(create, "editor")).await.unwrap();
    let content = v1::Content {
        title: "A statement".to_owned(),
        body: payload(bytes),
        change_kind: v1::ChangeKind::Initial.into(),
        ..Default::default()
    };
    let name = format!("statements/statement-{number}/drafts/en");
    let draft = v1::Draft { name, content: Some(content), ..Default::default() };
    let save = v1::SaveDraftRequest { draft: Some(draft), ..Default::default() };
    let saved = editor.save_draft(request(save, "editor")).await.unwrap().into_inner();
    saved.draft.unwrap().etag
}

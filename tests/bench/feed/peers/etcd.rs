//! etcd: a watch on a prefix; puts, each durable before it is answered.

use std::{env, process::Command, sync::Arc};

use prost::bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::{
    Request, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{Counted, Keeper, Peer, Stateful, payload, until_it_works};
use crate::process::{Process, free_port};

/// Of `etcdserverpb`, what is needed; field numbers are those of etcd 3.5's rpc.proto.
#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create_request: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
    #[prost(int64, tag = "3")]
    start_revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    kvs: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchResponse {
    #[prost(bytes = "bytes", repeated, tag = "11")]
    events: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// The keys of all events: from, and before.
const FROM: Bytes = Bytes::from_static(b"s/");
const END: Bytes = Bytes::from_static(b"s0");

#[derive(Clone)]
pub(crate) struct Etcd(Arc<Service>);

struct Service {
    process: Process,
    endpoint: Endpoint,
    channel: Channel,
    value: Bytes,
}

/// Where etcd is, if it is.
pub(crate) fn binary() -> Option<String> {
    env::var("ONRECORD_ETCD").ok()
}

impl Peer for Etcd {
    type Subscription = JoinHandle<()>;

    async fn start(_: usize, bytes: usize) -> Self {
        let (port, peer_port) = (free_port(), free_port());
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
        let process = Process::start(|directory| {
            let mut command = Command::new(binary().unwrap());
            command.arg("--data-dir").arg(directory).args(["--listen-client-urls", &client]);
            command.args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer]);
            command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
            command.args(["--log-level", "error"]);
            command
        });
        let endpoint = Endpoint::from_shared(client).unwrap().tcp_nodelay(true);
        let value = Bytes::from(payload(bytes));
        let channel = until_it_works(async || endpoint.connect().await).await;
        until_it_works(async || put(&channel, Bytes::from_static(b"first"), value.clone()).await).await;
        Self(Arc::new(Service { process, endpoint, channel, value }))
    }

    fn process(&self) -> &Process {
        &self.0.process
    }

    async fn subscribe(&self, _: usize, counted: Arc<Counted>) -> Self::Subscription {
        self.watch(0, counted).await
    }

    async fn publish(&self, number: usize) {
        put(&self.0.channel, Bytes::from(format!("s/{number}")), self.0.value.clone()).await.unwrap();
    }
}

impl Etcd {
    /// Follows from a revision on; 0 is from now on.
    async fn watch(&self, start_revision: i64, counted: Arc<Counted>) -> JoinHandle<()> {
        let mut connection = Grpc::new(self.0.endpoint.connect().await.unwrap()).max_decoding_message_size(usize::MAX);
        connection.ready().await.unwrap();
        let create = WatchCreateRequest { key: FROM, range_end: END, start_revision };
        let watch = WatchRequest { create_request: Some(create) };
        let requests = tokio_stream::once(watch).chain(tokio_stream::pending());
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let answer = connection.streaming(Request::new(requests), path, codec).await;
        let mut stream: Streaming<WatchResponse> = answer.unwrap().into_inner();
        // That it is created.
        stream.message().await.unwrap();
        tokio::spawn(async move {
            let _connection = connection;
            while let Ok(Some(response)) = stream.message().await {
                counted.deliver(response.events.len() as u64);
            }
        })
    }
}

impl Keeper for Etcd {
    async fn replay(&self, _: usize, counted: Arc<Counted>) -> Self::Subscription {
        self.watch(1, counted).await
    }
}

impl Stateful for Etcd {
    async fn snapshot(&self) {
        let mut connection = Grpc::new(self.0.endpoint.connect().await.unwrap()).max_decoding_message_size(usize::MAX);
        connection.ready().await.unwrap();
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
        let codec = ProstCodec::<RangeRequest, RangeResponse>::default();
        let range = RangeRequest { key: FROM, range_end: END };
        let response = connection.unary(Request::new(range), path, codec).await.unwrap().into_inner();
        assert!(!response.kvs.is_empty());
    }
}

async fn put(channel: &Channel, key: Bytes, value: Bytes) -> Result<(), tonic::Status> {
    let mut connection = Grpc::new(channel.clone());
    connection.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    let codec = ProstCodec::<PutRequest, PutResponse>::default();
    connection.unary(Request::new(PutRequest { key, value }), path, codec).await.map(drop)
}

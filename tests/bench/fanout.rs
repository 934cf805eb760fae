//! What a delivery costs: fan-out to subscribers that each have a connection of their own. `cargo bench --bench fanout` prints a table.
//!
//! Usage: `cargo bench --bench fanout -- [SUBSCRIBERS …]`; without numbers 100 and 1,000.
//! The server is a process of its own, so that its processor time and memory are its own; the operating system accounts for both.
//! What it takes to publish is in the figures.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that fails has to stop, and its figures are approximate"
)]

use std::{
    env, fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use onrecord::api::v1::{self, editorial_service_client::EditorialServiceClient};
use prost::bytes::Bytes;
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet, time::sleep};
use tonic::{
    Request, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

/// Bytes of a text.
const TEXT_BYTES: usize = 2_048;
/// Events that are published as fast as it goes.
const BURST: usize = 300;
/// Events that are published one after the other, each once all have got the one before.
const LIVE: usize = 100;
/// Events that are published at a steady pace, and how many a second.
const PACED: usize = 60;
const PACE: u64 = 20;
/// Publications under way at a time, in a burst.
const UNDER_WAY: usize = 64;
/// Subscribers that connect at a time.
const CONNECTING: usize = 64;

/// What the client looks at of a message: how many events it has. The rest is skipped, so that the client costs little.
#[derive(Clone, PartialEq, prost::Message)]
struct Slim {
    #[prost(message, optional, tag = "4")]
    event_batch: Option<SlimBatch>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimBatch {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    deliveries: Vec<Bytes>,
}

/// A server in a process of its own, with its store.
struct Server {
    process: Child,
    address: String,
    _directory: TempDir,
}

impl Server {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(env!("CARGO_BIN_EXE_onrecord"))
            .args(["serve", "--insecure", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, address: format!("http://127.0.0.1:{port}"), _directory: directory };
        while server.endpoint().connect().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        server
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(self.address.clone()).unwrap().tcp_nodelay(true)
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap()
    }

    /// Processor time so far, in user mode and in the kernel, in µs; it comes in ticks of 10 ms.
    fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 * 10_000.0
    }

    fn resident_kib(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What all subscribers count together.
#[derive(Default)]
struct Counted {
    delivered: AtomicU64,
    /// When the publication under way began, in µs since `begun`; 0 if nobody measures.
    sent_at: AtomicU64,
    took: Mutex<Vec<u64>>,
}

impl Counted {
    async fn reach(&self, delivered: u64) {
        while self.delivered.load(Ordering::Acquire) < delivered {
            sleep(Duration::from_micros(200)).await;
        }
    }
}

/// An open stream, and the connection that it has to itself.
struct Subscriber {
    stream: Streaming<Slim>,
    _connection: Grpc<Channel>,
}

impl Subscriber {
    async fn open(endpoint: Endpoint) -> Self {
        let mut connection = Grpc::new(endpoint.connect().await.unwrap());
        connection.ready().await.unwrap();
        let mut request = Request::new(v1::SubscribeRequest { start: v1::Start::Now.into(), ..Default::default() });
        request.metadata_mut().insert("onrecord-caller", MetadataValue::from_static("site"));
        let path = PathAndQuery::from_static("/onrecord.v1.FeedService/Subscribe");
        let codec = ProstCodec::<v1::SubscribeRequest, Slim>::default();
        let mut stream = connection.server_streaming(request, path, codec).await.unwrap().into_inner();
        // That it is open.
        stream.message().await.unwrap();
        Self { stream, _connection: connection }
    }

    async fn follow(mut self, counted: Arc<Counted>, begun: Instant) {
        while let Ok(Some(message)) = self.stream.message().await {
            let Some(batch) = message.event_batch else { continue };
            let sent_at = counted.sent_at.load(Ordering::Acquire);
            if sent_at > 0 {
                let took = begun.elapsed().as_micros() as u64 - sent_at;
                counted.took.lock().unwrap().push(took);
            }
            counted.delivered.fetch_add(batch.deliveries.len() as u64, Ordering::Release);
        }
    }
}

#[derive(Clone)]
struct Editor(EditorialServiceClient<Channel>);

/// A draft that only has to be published.
#[derive(Clone)]
struct Ready {
    name: String,
    etag: String,
}

impl Editor {
    fn request<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("onrecord-caller", MetadataValue::from_static("editor"));
        request
    }

    async fn prepare(mut self, number: usize) -> Ready {
        let name = format!("statements/statement-{number}");
        let statement =
            v1::Statement { kind: "notice".to_owned(), source_language_code: "en".to_owned(), ..Default::default() };
        let request = v1::CreateStatementRequest {
            statement_id: format!("statement-{number}"),
            statement: Some(statement),
            ..Default::default()
        };
        self.0.create_statement(Self::request(request)).await.unwrap();
        let content = v1::Content {
            title: "A statement".to_owned(),
            body: "statement ".repeat(TEXT_BYTES / 10),
            change_kind: v1::ChangeKind::Initial.into(),
            ..Default::default()
        };
        let draft = v1::Draft { name: format!("{name}/drafts/en"), content: Some(content), ..Default::default() };
        let request = v1::SaveDraftRequest { draft: Some(draft), ..Default::default() };
        let saved = self.0.save_draft(Self::request(request)).await.unwrap().into_inner();
        Ready { name, etag: saved.draft.unwrap().etag }
    }

    async fn publish(mut self, ready: Ready) {
        let drafts = vec![v1::DraftToPublish { language_code: "en".to_owned(), etag: ready.etag }];
        let request = v1::PublishDraftsRequest {
            name: ready.name,
            drafts,
            force: true,
            reason: "A benchmark.".to_owned(),
            ..Default::default()
        };
        self.0.publish_drafts(Self::request(request)).await.unwrap();
    }
}

fn percentile(took: &mut [u64], percent: usize) -> f64 {
    took.sort_unstable();
    took.get(took.len().saturating_sub(1) * percent / 100).map_or(0.0, |took| *took as f64 / 1_000.0)
}

async fn measure(subscribers: usize) {
    let server = Server::start().await;
    let editor = Editor(EditorialServiceClient::new(server.endpoint().connect().await.unwrap()));
    let mut tasks = JoinSet::new();
    for number in 0..BURST + LIVE + PACED {
        tasks.spawn(editor.clone().prepare(number));
    }
    let mut ready = tasks.join_all().await.into_iter();

    let (counted, begun) = (Arc::new(Counted::default()), Instant::now());
    let before = server.resident_kib();
    let gate = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    for _ in 0..subscribers {
        let (endpoint, gate) = (server.endpoint(), Arc::clone(&gate));
        connecting.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            Subscriber::open(endpoint).await
        });
    }
    let mut following = JoinSet::new();
    for subscriber in connecting.join_all().await {
        following.spawn(subscriber.follow(Arc::clone(&counted), begun));
    }
    sleep(Duration::from_secs(2)).await;
    let idle = (server.resident_kib() - before) / subscribers as f64;
    let all = subscribers as u64;
    let per_delivery = |cpu: f64, events: usize| cpu / (events * subscribers) as f64;

    let (cpu, mut delivered, since) = (server.cpu(), 0, Instant::now());
    let gate = Arc::new(Semaphore::new(UNDER_WAY));
    let mut publishing = JoinSet::new();
    for ready in ready.by_ref().take(BURST) {
        let (editor, gate) = (editor.clone(), Arc::clone(&gate));
        publishing.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            editor.publish(ready).await;
        });
    }
    publishing.join_all().await;
    delivered += BURST as u64 * all;
    counted.reach(delivered).await;
    let rate = (BURST * subscribers) as f64 / since.elapsed().as_secs_f64();
    let burst = per_delivery(server.cpu() - cpu, BURST);

    let cpu = server.cpu();
    for ready in ready.by_ref().take(LIVE) {
        editor.clone().publish(ready).await;
        delivered += all;
        counted.reach(delivered).await;
    }
    let live = per_delivery(server.cpu() - cpu, LIVE);

    let cpu = server.cpu();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / PACE));
    for ready in ready {
        ticks.tick().await;
        counted.reach(delivered).await;
        counted.sent_at.store(begun.elapsed().as_micros() as u64, Ordering::Release);
        editor.clone().publish(ready).await;
        delivered += all;
    }
    counted.reach(delivered).await;
    let paced = per_delivery(server.cpu() - cpu, PACED);
    let mut took = counted.took.lock().unwrap().clone();
    println!(
        "{subscribers:>11} {burst:>9.2} {rate:>12.0} {live:>8.2} {paced:>9.2} {:>9.1} {:>9.1} {idle:>9.1}",
        percentile(&mut took, 50),
        percentile(&mut took, 99),
    );
}

fn main() {
    let numbers: Vec<usize> = env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![100, 1_000] } else { numbers };
    let runtime = Runtime::new().unwrap();
    println!(
        "events of 2 KiB; µs of the server's processor for each delivery; ms from call to delivery; KiB a subscriber"
    );
    println!(
        "{:>11} {:>9} {:>12} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "subscribers", "burst µs", "deliveries/s", "live µs", "paced µs", "p50 ms", "p99 ms", "idle KiB"
    );
    for number in numbers {
        runtime.block_on(measure(number));
    }
}

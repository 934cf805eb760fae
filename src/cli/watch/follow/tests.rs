//! Over a real connection, against a feed that says what it is told to say.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    vec,
};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Follow, Keep, Message};
use crate::{
    api::v1::{
        self, Closing, Delivery, Event, EventBatch, Heartbeat, Live, Opened, Snapshot, SnapshotEnd, Start,
        SubscribeRequest, SubscribeResponse, closing,
        delivery::Scope,
        feed_service_server::{FeedService, FeedServiceServer},
    },
    cli::{failure::Refusal, output::Format, session::Session, watch::Mirror},
};

type Script = Vec<Result<SubscribeResponse, Status>>;

/// One script for each Subscribe; what was asked for.
#[derive(Clone, Default)]
struct Scripted {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    requests: Arc<Mutex<Vec<SubscribeRequest>>>,
}

/// A service that has a script for Subscribe, and nothing else.
macro_rules! scripted {
    ($($other:ident $request:ident $response:ident,)*) => {
        #[tonic::async_trait]
        impl FeedService for Scripted {
            type SubscribeStream = tokio_stream::Iter<vec::IntoIter<Result<SubscribeResponse, Status>>>;

            async fn subscribe(
                &self,
                request: Request<SubscribeRequest>,
            ) -> Result<Response<Self::SubscribeStream>, Status> {
                self.requests.lock().unwrap().push(request.into_inner());
                let script = self.scripts.lock().unwrap().pop_front();
                let script = script.ok_or_else(|| Status::permission_denied("no more"))?;
                Ok(Response::new(tokio_stream::iter(script)))
            }

            $(async fn $other(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                Err(Status::unimplemented(""))
            })*
        }
    };
}

scripted! {
    read_feed ReadFeedRequest ReadFeedResponse,
    create_subscription CreateSubscriptionRequest CreateSubscriptionResponse,
    get_subscription GetSubscriptionRequest GetSubscriptionResponse,
    list_subscriptions ListSubscriptionsRequest ListSubscriptionsResponse,
    update_subscription UpdateSubscriptionRequest UpdateSubscriptionResponse,
    delete_subscription DeleteSubscriptionRequest DeleteSubscriptionResponse,
    acknowledge AcknowledgeRequest AcknowledgeResponse,
    reject RejectRequest RejectResponse,
    list_deliveries ListDeliveriesRequest ListDeliveriesResponse,
}

#[expect(clippy::unnecessary_wraps, reason = "a line of a script")]
fn says(message: Message) -> Result<SubscribeResponse, Status> {
    Ok(SubscribeResponse { message: Some(message) })
}

fn opened() -> Result<SubscribeResponse, Status> {
    says(Message::Opened(Opened { feed_id: "feed".to_owned(), ..Opened::default() }))
}

fn batch(sequences: &[u64], cursor: &str, tail: u64) -> Result<SubscribeResponse, Status> {
    let delivery = |sequence: &u64| {
        let live = Live { sequence: *sequence, ..Live::default() };
        let (statement, language_code) = (format!("statements/s{sequence}"), "en".to_owned());
        let event = Event { sequence: *sequence, statement, language_code, live: Some(live), ..Event::default() };
        Delivery::new(Scope::Entered, event)
    };
    let deliveries = sequences.iter().map(delivery).collect();
    says(Message::EventBatch(EventBatch { deliveries, cursor: cursor.to_owned(), tail, more: cursor.is_empty() }))
}

fn refusal(code: Code, reason: &str) -> Result<SubscribeResponse, Status> {
    let details =
        ErrorDetails::with_error_info(reason, "onrecord", [("k", "v")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    Err(Status::with_error_details(code, "no", details))
}

/// Follows these scripts until it is current. Returns how it ended, and what was asked for.
async fn follow(path: &Path, scripts: Vec<Script>) -> (anyhow::Result<()>, Vec<SubscribeRequest>) {
    let feed = Scripted { scripts: Arc::new(Mutex::new(scripts.into())), ..Scripted::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(FeedServiceServer::new(feed.clone()));
    let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let session = Session::to(&url, "site", Format::Json).unwrap();
    let request = SubscribeRequest { start: Start::Beginning.into(), ..SubscribeRequest::default() };
    let ended = Follow::new(session, request, Keep::mirror(path).unwrap(), true).run().await;
    server.abort();
    let requests = feed.requests.lock().unwrap().clone();
    (ended, requests)
}

fn mirror(path: &Path) -> Mirror {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.json");
    (folder, path)
}

#[tokio::test]
async fn after_a_broken_stream_it_goes_on_from_the_newest_cursor() {
    let (_folder, path) = place();
    let broken = vec![opened(), batch(&[1], "after-1", 9), batch(&[2], "after-2", 9), Err(Status::unknown("reset"))];
    let closed = vec![opened(), says(Message::Closing(Closing { cursor: "later".to_owned(), ..Closing::default() }))];
    let ended = vec![opened()];
    let rest = vec![opened(), batch(&[3, 4], "after-4", 5)];
    let (ended, requests) = follow(&path, vec![broken, closed, ended, rest]).await;
    ended.unwrap();
    let cursors: Vec<_> = requests.iter().map(|request| request.cursor.as_str()).collect();
    assert_eq!(cursors, ["", "after-2", "later", "later"]);
    let mirror = mirror(&path);
    assert_eq!((mirror.applied, mirror.first_sequence, mirror.last_sequence), (4, Some(1), 4));
    assert_eq!((mirror.cursor.as_str(), mirror.state.len()), ("after-4", 4));
}

#[tokio::test]
async fn a_commit_in_parts_is_applied_whole_or_not_at_all() {
    let (_folder, path) = place();
    let broken = vec![opened(), batch(&[1], "after-1", 9), batch(&[2], "", 9), Err(Status::unavailable(""))];
    let whole = vec![opened(), batch(&[2], "", 4), batch(&[3], "after-3", 4)];
    let (ended, requests) = follow(&path, vec![broken, whole]).await;
    ended.unwrap();
    assert_eq!(requests[1].cursor, "after-1");
    assert_eq!(mirror(&path).applied, 3);
}

#[tokio::test]
async fn what_was_applied_is_refused_and_the_file_keeps_what_it_had() {
    let (_folder, path) = place();
    follow(&path, vec![vec![opened(), batch(&[1, 2], "after-2", 3)]]).await.0.unwrap();
    let before = mirror(&path);
    follow(&path, vec![vec![opened(), batch(&[3, 2], "x", 9)]]).await.0.unwrap_err();
    assert_eq!(mirror(&path), before);
}

#[tokio::test]
async fn a_feed_that_diverged_ends_it() {
    let (_folder, path) = place();
    let diverged = vec![refusal(Code::FailedPrecondition, "CURSOR_DIVERGED")];
    let (ended, requests) = follow(&path, vec![vec![opened(), batch(&[1], "c", 9)], diverged]).await;
    assert!(format!("{:#}", ended.unwrap_err()).contains("restored"));
    assert_eq!((requests.len(), mirror(&path).applied), (2, 1));
}

#[tokio::test]
async fn a_trimmed_cursor_takes_a_snapshot() {
    let (_folder, path) = place();
    let trimmed = vec![refusal(Code::OutOfRange, "CURSOR_TRIMMED")];
    let live =
        Live { statement: "statements/a".to_owned(), language_code: "en".to_owned(), sequence: 40, ..Live::default() };
    let part = Snapshot { live: vec![live], embargoes: Vec::new() };
    let end = SnapshotEnd { cursor: "at-50".to_owned(), item_count: 1 };
    let snapshot = vec![
        opened(),
        says(Message::Snapshot(part)),
        says(Message::SnapshotEnd(end)),
        says(Message::Heartbeat(Heartbeat { cursor: "at-51".to_owned(), ..Heartbeat::default() })),
    ];
    let (ended, requests) = follow(&path, vec![vec![opened(), batch(&[1], "c", 9)], trimmed, snapshot]).await;
    ended.unwrap();
    assert_eq!((requests[2].start(), requests[2].cursor.as_str()), (Start::Snapshot, ""));
    let mirror = mirror(&path);
    assert_eq!((mirror.cursor.as_str(), mirror.applied, mirror.snapshots), ("at-51", 0, 1));
    assert_eq!(mirror.state.keys().collect::<Vec<_>>(), ["a/en"]);
}

#[tokio::test]
async fn a_replica_that_is_behind_is_waited_for() {
    let (_folder, path) = place();
    let behind = vec![refusal(Code::FailedPrecondition, "REPLICA_BEHIND")];
    let scripts = vec![vec![opened(), batch(&[1], "c", 9)], behind, vec![opened(), batch(&[2], "d", 3)]];
    let (ended, requests) = follow(&path, scripts).await;
    ended.unwrap();
    assert_eq!(requests[2].cursor, "c");
}

#[tokio::test]
async fn a_caller_that_lost_the_right_stops() {
    let (_folder, path) = place();
    let revoked = Closing { reason: closing::Reason::AccessRevoked.into(), ..Closing::default() };
    let (ended, requests) = follow(&path, vec![vec![opened(), says(Message::Closing(revoked))]]).await;
    assert!(matches!(ended.unwrap_err().downcast_ref(), Some(Refusal::Permission(_))));
    assert_eq!(requests.len(), 1);
}

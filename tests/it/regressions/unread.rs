//! Peers that read nothing, or next to nothing, or send next to nothing.

use std::time::Duration;

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use onrecord::api::v1::{self, Start};
use prost::Message;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{apart, say};
use crate::{
    access::{Policy, holder},
    harness::{Service, from, refused, sequences},
};

const PATIENCE: Duration = Duration::from_secs(20);
const LIST: &str = "StatementService/ListStatements";

/// A client that decides itself what it reads, and its connection.
struct Peer {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Peer {
    /// Each of its streams has a window of so many bytes.
    async fn with_windows(service: &Service, bytes: u32) -> Self {
        let stream = TcpStream::connect(service.address).await.unwrap();
        let (sender, connection) = Builder::new().initial_window_size(bytes).handshake(stream).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    /// A call under way: its answer, and where its request goes.
    async fn begin(&self, method: &str, headers: &[(&str, &str)]) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::post(format!("http://onrecord/onrecord.v1.{method}"))
            .header("content-type", "application/grpc")
            .header("onrecord-caller", "reader");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.clone().ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// A call whose head has been answered.
    async fn call(&self, method: &str, headers: &[(&str, &str)], request: &impl Message) -> (HeaderMap, RecvStream) {
        let (answer, mut body) = self.begin(method, headers).await;
        body.send_data(framed(request), true).unwrap();
        let (head, body) = timeout(PATIENCE, answer).await.expect("an answer in time").unwrap().into_parts();
        (head.headers, body)
    }
}

/// As gRPC sends it: not compressed, its length, itself.
fn framed(message: &impl Message) -> Bytes {
    let length = u32::try_from(message.encoded_len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), &message.encode_to_vec()].concat().into()
}

/// Reads nothing until the stream is reset.
async fn reset(body: &mut RecvStream) -> Option<Reason> {
    let ended = timeout(PATIENCE, body.data()).await.expect("it ends in time").expect("it does not end well");
    ended.expect_err("nothing can come").reason()
}

fn code(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status").map(|code| code.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_answer_keeps_its_place_until_its_deadline() {
    let mut policy = Policy::new();
    policy.line("[limits]\ncalls_in_flight = 3");
    policy.grant("reader", "roles = [\"subscriber\"]").grant("editor", "roles = [\"author\", \"publisher\"]");
    let (reader, editor) = (policy.token("reader", ""), policy.token("editor", ""));
    let (service, _access) = policy.serve().await;
    let mut desk = holder(&service, &editor);
    desk.create("fire", "en").await;
    let draft = desk
        .save("fire", "en", v1::Content { title: "Fire".into(), body: "x".repeat(300_000), ..Default::default() })
        .await;
    let request = v1::PublishDraftsRequest {
        force: true,
        reason: "Now.".into(),
        ..crate::harness::Person::publication(&[&draft])
    };
    desk.publish(request).await.unwrap();
    let peer = Peer::with_windows(&service, 0).await;
    let bearer = format!("Bearer {reader}");
    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "2S")];
    let mut unread = Vec::new();
    for _ in 0..3 {
        let (head, body) = peer.call(LIST, &headers, &v1::ListStatementsRequest::default()).await;
        assert_eq!(code(&head), None, "it was answered");
        unread.push(body);
    }
    let mut reader = holder(&service, &reader);
    let refusal = refused(reader.read("fire", "en").await, Code::ResourceExhausted, "CALLER_LIMIT");
    assert_eq!(refusal.get_details_error_info().unwrap().metadata["limit"], "CALLS_IN_FLIGHT");
    for body in &mut unread {
        assert_eq!(reset(body).await, Some(Reason::CANCEL));
    }
    reader.read("fire", "en").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_are_bounded() {
    let service = Service::start().await;
    say(&service, "fire", 500_000).await;
    say(&service, "flood", 500_000).await;
    let peer = Peer::with_windows(&service, 0).await;
    let list = async || peer.call(LIST, &[], &v1::ListStatementsRequest::default()).await;
    let mut unread = Vec::new();
    let refusal = loop {
        let (head, body) = list().await;
        if code(&head).is_some() {
            break head;
        }
        unread.push(body);
        assert!(unread.len() <= 8, "8 MiB of one connection");
    };
    // A seventh would have to fit if it were as long as an answer may be, 3 MiB.
    assert_eq!((unread.len(), code(&refusal)), (6, Some("8")), "RESOURCE_EXHAUSTED");
    assert!(refusal["grpc-message"].to_str().unwrap().contains("unread"), "{refusal:?}");
    // Nor does the connection have room for any other read; another one of the same caller has, and so have others.
    let edition = async |peer: &Peer| {
        let (head, _body) = peer.call("StatementService/GetEdition", &[], &v1::GetEditionRequest::default()).await;
        code(&head).map(str::to_owned)
    };
    assert_eq!(edition(&peer).await.as_deref(), Some("8"), "RESOURCE_EXHAUSTED");
    assert_eq!(edition(&Peer::with_windows(&service, 0).await).await.as_deref(), Some("3"), "INVALID_ARGUMENT");
    let listed = apart(&service, "other").statements.list_statements(v1::ListStatementsRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().live.len(), 2);
    unread.clear();
    // Their resets may be on their way.
    let listed = async { while code(&list().await.0).is_some() {} };
    timeout(PATIENCE, listed).await.expect("what was let go has no place any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_is_reset() {
    let service = Service::start_with(|config| config.feed.stall = Duration::from_millis(500)).await;
    say(&service, "fire", 200_000).await;
    let mut quiet = apart(&service, "quiet").follow(from(Start::Now)).await.unwrap();
    let peer = Peer::with_windows(&service, 0).await;
    let (_, mut body) = peer.call("FeedService/Subscribe", &[], &from(Start::Beginning)).await;
    assert_eq!(reset(&mut body).await, Some(Reason::CANCEL));
    // A stream that has nothing to take has not stalled.
    say(&service, "flood", 10).await;
    assert_eq!(sequences(&quiet.until(2).await), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_now_and_then_is_no_progress() {
    let service = Service::start_with(|config| config.feed.stall = Duration::from_millis(500)).await;
    say(&service, "fire", 200_000).await;
    let peer = Peer::with_windows(&service, 1).await;
    for (method, request) in [
        ("FeedService/Subscribe", framed(&from(Start::Beginning))),
        (LIST, framed(&v1::ListStatementsRequest::default())),
    ] {
        let (answer, mut body) = peer.begin(method, &[]).await;
        body.send_data(request, true).unwrap();
        let mut body = timeout(PATIENCE, answer).await.unwrap().unwrap().into_body();
        let mut taken = 0;
        let reason = loop {
            match timeout(PATIENCE, body.data()).await.expect("it ends in time").expect("it does not end well") {
                Ok(bytes) => {
                    taken += bytes.len();
                    // A call in between is the pause.
                    apart(&service, "other").read("fire", "en").await.unwrap();
                    body.flow_control().release_capacity(bytes.len()).unwrap();
                }
                Err(error) => break error.reason(),
            }
        };
        assert_eq!(reason, Some(Reason::CANCEL), "{method}");
        assert!(taken > 1, "{method}: {taken} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_stay_after_their_deadline_end_the_connection() {
    let service = Service::start_with(|config| config.feed.stall = Duration::from_millis(500)).await;
    say(&service, "fire", 1_000).await;
    // HTTP/2 takes all of a short answer for a window of one byte, with its end: it cannot be reset any more.
    let peer = Peer::with_windows(&service, 1).await;
    let (head, _unread) = peer.call(LIST, &[], &v1::ListStatementsRequest::default()).await;
    assert_eq!(code(&head), None);
    let Peer { connection, .. } = peer;
    drop(timeout(PATIENCE, connection).await.expect("the connection ends"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_trickles_is_reset_whatever_its_deadline() {
    let service = Service::start_with(|config| config.feed.stall = Duration::from_millis(500)).await;
    let peer = Peer::with_windows(&service, 65_535).await;
    for method in [LIST, "EditorialService/SaveDraft", "FeedService/Subscribe"] {
        let (answer, mut body) = peer.begin(method, &[("grpc-timeout", "1H")]).await;
        body.send_data(Bytes::from_static(&[0, 0, 1, 0, 0, 7]), false).unwrap();
        let error = timeout(PATIENCE, answer).await.expect("it ends in time").unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL), "{method}");
    }
}

//! gRPC-Web: pages of listed origins may call, and no others.

use std::time::Duration;

use http::{HeaderMap, Request};
use onrecord::api::v1::{self, subscribe_response::Message};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    harness::{Service, publish, words},
    raw::{Answer, Raw, framed},
};

const PRESS: &str = "https://press.example.org";
const GET: &str = "/onrecord.v1.StatementService/GetStatement";

async fn served() -> (Service, Raw) {
    let service = Service::start_with(|config| {
        config.grpc_web_origins = vec![PRESS.parse().unwrap()];
        config.feed.lifetime = Duration::from_millis(100);
    })
    .await;
    let raw = Raw::connect(service.address).await;
    (service, raw)
}

fn call(origin: &str, path: &str) -> http::request::Builder {
    let request = Request::post(format!("http://onrecord{path}")).header("content-type", "application/grpc-web+proto");
    request.header("onrecord-caller", "reader").header("origin", origin).header("x-grpc-web", "1")
}

fn preflight(origin: &str) -> http::request::Builder {
    let request = Request::options(format!("http://onrecord{GET}")).header("origin", origin);
    let asked = "authorization,content-type,x-grpc-web";
    request.header("access-control-request-method", "POST").header("access-control-request-headers", asked)
}

/// The messages of a body, and the trailers in its last frame.
fn read(answer: &Answer) -> (Vec<Vec<u8>>, HeaderMap) {
    let (mut messages, mut rest) = (Vec::new(), answer.body.as_slice());
    while let Some((head, after)) = rest.split_first_chunk::<5>() {
        let length = usize::try_from(u32::from_be_bytes(head[1..].try_into().unwrap())).unwrap();
        let (frame, after) = after.split_at(length);
        rest = after;
        if head[0] == 0 {
            messages.push(frame.to_vec());
            continue;
        }
        assert_eq!((head[0], rest), (0x80, &[][..]), "the trailers are the last frame");
        let lines = std::str::from_utf8(frame).unwrap().split_terminator("\r\n");
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        };
        return (messages, lines.map(field).collect());
    }
    (messages, HeaderMap::new())
}

fn get(name: &str) -> Vec<u8> {
    framed(&v1::GetStatementRequest { name: name.to_owned(), ..Default::default() }.encode_to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_reads_and_follows() {
    let (service, raw) = served().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("A fire")).await;
    let asked = raw.send(preflight(PRESS), Vec::new()).await;
    assert_eq!((asked.status, asked.body.len()), (204, 0), "{asked:?}");
    assert_eq!(asked.head["access-control-allow-origin"], PRESS);
    assert_eq!(asked.head["access-control-allow-methods"], "POST");
    let allowed = asked.head["access-control-allow-headers"].to_str().unwrap();
    assert!(["authorization", "content-type", "x-grpc-web", "grpc-timeout"].iter().all(|it| allowed.contains(it)));
    assert!(!asked.head.contains_key("access-control-allow-credentials"));

    let answer = raw.send(call(PRESS, GET), get("statements/fire")).await;
    assert_eq!((answer.status, &answer.trailers), (200, &None), "{answer:?}");
    assert_eq!(answer.head["content-type"], "application/grpc-web+proto");
    assert_eq!(answer.head["access-control-allow-origin"], PRESS);
    let (messages, trailers) = read(&answer);
    assert_eq!(trailers["grpc-status"], "0");
    let response = v1::GetStatementResponse::decode(&*messages[0]).unwrap();
    assert_eq!(response.statement.unwrap().name, "statements/fire");

    let request = v1::SubscribeRequest { start: v1::Start::Snapshot.into(), ..Default::default() };
    let answer = raw.send(call(PRESS, "/onrecord.v1.FeedService/Subscribe"), framed(&request.encode_to_vec())).await;
    let (messages, trailers) = read(&answer);
    let message = |bytes: &Vec<u8>| v1::SubscribeResponse::decode(&**bytes).unwrap().message.unwrap();
    let (first, last) = (message(&messages[0]), message(messages.last().unwrap()));
    assert!(matches!((&first, &last), (Message::Opened(_), Message::Closing(_))), "{first:?} {last:?}");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(messages.len() >= 4, "the snapshot, and its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_reaches_a_page_with_its_details() {
    let (_service, raw) = served().await;
    for (path, body, code, reason) in [
        (GET, get("statements/nothing"), Code::NotFound, "STATEMENT_NOT_FOUND"),
        (GET, framed(&[0xff]), Code::InvalidArgument, "MESSAGE_UNDECODABLE"),
        ("/onrecord.v1.Nothing/There", framed(&[]), Code::Unimplemented, "METHOD_UNKNOWN"),
    ] {
        let answer = raw.send(call(PRESS, path), body).await;
        let (_, trailers) = read(&answer);
        let status = Status::from_header_map(if trailers.is_empty() { &answer.head } else { &trailers }).unwrap();
        assert_eq!((status.code(), status.get_details_error_info().unwrap().reason.as_str()), (code, reason));
        let exposed = answer.head["access-control-expose-headers"].to_str().unwrap();
        assert!(["grpc-status", "grpc-message", "grpc-status-details-bin"].iter().all(|it| exposed.contains(it)));
    }
    let unnamed = Request::post(format!("http://onrecord{GET}")).header("origin", PRESS);
    let answer = raw.send(unnamed.header("content-type", "application/grpc-web"), get("statements/fire")).await;
    assert_eq!(Status::from_header_map(&answer.head).unwrap().code(), Code::Unauthenticated, "{answer:?}");
    assert_eq!(answer.head["access-control-allow-origin"], PRESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_origins_are_served() {
    let (_service, raw) = served().await;
    let others = ["https://press.example.org:444", "http://press.example.org", "https://evil.example", "null", "*", ""];
    for other in others {
        let asked = raw.send(preflight(other), Vec::new()).await;
        assert_eq!(asked.status, 405, "{other}");
        let answer = raw.send(call(other, GET), get("statements/fire")).await;
        assert_eq!(answer.status, 415, "{other}");
        for head in [asked.head, answer.head] {
            assert!(!head.keys().any(|key| key.as_str().starts_with("access-control-")), "{other}");
        }
    }
    let twice = call(PRESS, GET).header("origin", "https://evil.example");
    assert_eq!(raw.send(twice, get("statements/fire")).await.status, 415);
    for method in ["PUT", "DELETE"] {
        let asked = Request::options(format!("http://onrecord{GET}")).header("origin", PRESS);
        let asked = raw.send(asked.header("access-control-request-method", method), Vec::new()).await;
        assert_eq!(asked.status, 405, "{method}");
    }
    let text = Request::post(format!("http://onrecord{GET}")).header("origin", PRESS);
    let text = text.header("content-type", "application/grpc-web-text");
    assert_eq!(raw.send(text, get("statements/fire")).await.status, 415);
    let plain = Request::post(format!("http://onrecord{GET}")).header("origin", PRESS);
    let plain = plain.header("content-type", "application/grpc").header("onrecord-caller", "reader");
    let plain = raw.send(plain, get("statements/fire")).await;
    assert_eq!(plain.grpc_status().unwrap().code(), Code::NotFound, "gRPC is as it is");
    assert!(!plain.head.contains_key("access-control-allow-origin"));
}

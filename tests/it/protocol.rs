//! What is no gRPC call runs nothing: methods and content types, before access control.

use http::Request;
use onrecord::api::v1;
use prost::Message as _;

use crate::{
    access::Policy,
    harness::{BEGINNING, Service},
    metrics::{get, operated},
    raw::{Answer, Raw, framed},
};

const CREATE: &str = "/onrecord.v1.EditorialService/CreateStatement";
const METHODS: [&str; 9] = ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
const CONTENT_TYPES: [Option<&str>; 16] = [
    Some("application/grpc"),
    Some("application/grpc+proto"),
    Some("Application/GRPC; charset=utf-8"),
    None,
    Some(""),
    Some("text/plain"),
    Some("text/plain;charset=UTF-8"),
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=application/grpc"),
    Some("application/grpc+json"),
    Some("application/grpc-web"),
    Some("application/grpc-web+proto"),
    Some("application/grpcx"),
    Some("application/proto"),
    Some("application/octet-stream"),
];

fn create(id: &str) -> Vec<u8> {
    let statement =
        v1::Statement { kind: "notice".to_owned(), source_language_code: "en".to_owned(), ..Default::default() };
    let request =
        v1::CreateStatementRequest { statement_id: id.to_owned(), statement: Some(statement), ..Default::default() };
    framed(&request.encode_to_vec())
}

async fn ask(raw: &Raw, method: &str, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Answer {
    let request = Request::builder().method(method).uri(format!("http://onrecord{path}"));
    let request = request.header("onrecord-caller", "anna");
    raw.send(content_type.into_iter().fold(request, |request, it| request.header("content-type", it)), body).await
}

async fn statements(service: &Service) -> Vec<String> {
    let entries = v1::ListEntriesRequest { page_size: 1_000, ..Default::default() };
    let entries = service.person("auditor").editorial.list_entries(entries).await.unwrap().into_inner().entries;
    entries.into_iter().map(|entry| entry.statement).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_post_with_a_grpc_content_type_runs_a_call() {
    let (service, address) = operated().await;
    let raw = Raw::connect(service.address).await;
    let mut created = Vec::new();
    for (row, method) in METHODS.iter().enumerate() {
        for (column, content_type) in CONTENT_TYPES.iter().enumerate() {
            let id = format!("s-{row}-{column}");
            let answer = ask(&raw, method, CREATE, *content_type, create(&id)).await;
            let cell = format!("{method} {content_type:?}: {answer:?}");
            if *method != "POST" {
                assert_eq!((answer.status, &answer.head["allow"]), (405, &"POST".parse().unwrap()), "{cell}");
            } else if column >= 3 {
                assert_eq!(answer.status, 415, "{cell}");
            } else {
                assert_eq!(
                    (answer.status, answer.grpc_status().map(|it| it.code())),
                    (200, Some(tonic::Code::Ok)),
                    "{cell}"
                );
                created.push(format!("statements/{id}"));
                continue;
            }
            assert!(answer.grpc_status().is_none() && answer.body.is_empty(), "{cell}");
            let allows = |name: &str| answer.head.keys().any(|key| key.as_str().starts_with(name));
            assert!(!allows("access-control-"), "a browser is allowed nothing: {cell}");
        }
    }
    let mut found = statements(&service).await;
    found.sort();
    assert_eq!(found, created, "nothing else was written");
    // Two content types are none.
    let twice = Request::post(format!("http://onrecord{CREATE}")).header("onrecord-caller", "anna");
    let twice = twice.header("content-type", "application/grpc").header("content-type", "text/plain");
    assert_eq!(raw.send(twice, create("twice")).await.status, 415);
    // Nothing that is served is in front of it.
    let others = [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/onrecord.v1.FeedService/Subscribe",
        "/onrecord.v1.BackupService/Backup",
        "/nothing/There",
        "/",
    ];
    for path in others {
        assert_eq!(ask(&raw, "POST", path, Some("text/plain"), framed(&[])).await.status, 415, "{path}");
        assert_eq!(ask(&raw, "GET", path, Some("application/grpc"), framed(&[])).await.status, 405, "{path}");
    }
    let text = get(address, "/metrics").await;
    let (by_method, by_type) = (METHODS.len() * CONTENT_TYPES.len() - 16 + others.len(), 13 + 1 + others.len());
    for line in [
        format!("onrecord_requests_refused_total{{reason=\"method\"}} {by_method}"),
        format!("onrecord_requests_refused_total{{reason=\"content_type\"}} {by_type}"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let begun = "grpc_server_started_total{grpc_type=\"unary\",grpc_service=\"onrecord.v1.EditorialService\",\
                 grpc_method=\"CreateStatement\"} 3";
    assert!(text.lines().any(|found| found == begun), "they are no calls: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_before_access_control() {
    let mut policy = Policy::new();
    policy.grant("anna", "roles = [\"author\"]");
    let token = policy.token("anna", "");
    let (service, _access) = policy.serve().await;
    let raw = Raw::connect(service.address).await;
    for authorization in [format!("Bearer {token}"), "Bearer nonsense".to_owned()] {
        let request =
            || Request::post(format!("http://onrecord{CREATE}")).header("authorization", authorization.clone());
        let answer = raw.send(request().header("content-type", "text/plain"), create("fire")).await;
        assert_eq!((answer.status, answer.grpc_status().is_none()), (415, true), "{answer:?}");
        let get = Request::get(format!("http://onrecord{CREATE}")).header("authorization", authorization.clone());
        assert_eq!(raw.send(get.header("content-type", "application/grpc"), create("fire")).await.status, 405);
    }
    assert_eq!(service.clock.now().micros(), BEGINNING, "the service stands as it was");
    let request = Request::post(format!("http://onrecord{CREATE}")).header("authorization", format!("Bearer {token}"));
    let answer = raw.send(request.header("content-type", "application/grpc"), create("fire")).await;
    assert_eq!(answer.grpc_status().unwrap().code(), tonic::Code::Ok, "the id was free: {answer:?}");
}

//! Requests that never reach a handler, over the raw wire: each has its code, reason and details, and none is a fault of the service.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use flate2::{Compress, Compression, FlushCompress, write::GzEncoder};
use onrecord::api::v1;
use prost::Message as _;
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

use crate::{
    harness::{Service, words},
    kills::{Server, port},
    metrics::{get, operated},
    raw::{Answer, Raw, flagged, framed, post},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// A method of each kind, and bytes that a message of it may have.
const METHODS: [(&str, usize); 8] = [
    ("/onrecord.v1.StatementService/GetStatement", 256 << 10),
    ("/onrecord.v1.EditorialService/CreateStatement", 4 << 20),
    ("/onrecord.v1.FeedService/Subscribe", 256 << 10),
    ("/onrecord.v1.BackupService/Backup", 256 << 10),
    ("/grpc.health.v1.Health/Check", 1024),
    ("/grpc.health.v1.Health/Watch", 1024),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 256 << 10),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", 256 << 10),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn check(case: &str, answer: &Answer, code: Code, reason: &str) -> Status {
    assert_eq!(answer.status, 200, "{case}: {answer:?}");
    let status = answer.grpc_status().unwrap_or_else(|| panic!("{case}: {answer:?}"));
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{case}: no ErrorInfo in {status:?}"));
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "onrecord"), "{case}");
    assert!(!status.message().is_empty() && answer.body.is_empty(), "{case}: {answer:?}");
    status
}

/// A wrong body: its name, its `grpc-encoding`, its bytes, and the code and reason that refuse it.
type WrongBody = (&'static str, Option<&'static str>, Vec<u8>, Code, &'static str);

/// Wrong bodies of a unary request. Not all of them are wrong where a stream of messages is taken.
fn bodies(most: usize) -> Vec<WrongBody> {
    let (invalid, plain) = (Code::InvalidArgument, None);
    let too_long = [&[0], u32::try_from(most + 1).unwrap().to_be_bytes().as_slice()].concat();
    let inflates = flagged(1, &gzip(&vec![0; most + 1]));
    vec![
        ("no protobuf", plain, framed(&[0xff; 3]), invalid, "MESSAGE_UNDECODABLE"),
        ("a field of another type", plain, framed(&[0x08, 1, 0x0f]), invalid, "MESSAGE_UNDECODABLE"),
        (
            "text that is no UTF-8",
            plain,
            framed(&[0x0a, 1, 0xff, 0x12, 1, 0xff, 0x1a, 1, 0xff]),
            invalid,
            "MESSAGE_UNDECODABLE",
        ),
        ("the head is cut off", plain, vec![0, 0, 0], invalid, "MESSAGE_TRUNCATED"),
        ("the message is cut off", plain, vec![0, 0, 0, 0, 9, 1], invalid, "MESSAGE_TRUNCATED"),
        ("an unknown flag", plain, flagged(7, &[]), invalid, "COMPRESSION_FLAG_INVALID"),
        ("compressed, and not said how", plain, flagged(1, &gzip(&[])), invalid, "COMPRESSION_FLAG_INVALID"),
        ("compressed, said not to be", Some("identity"), flagged(1, &gzip(&[])), invalid, "COMPRESSION_FLAG_INVALID"),
        ("no gzip", Some("gzip"), flagged(1, b"nonsense"), invalid, "MESSAGE_UNDECODABLE"),
        ("gzip that is cut off", Some("gzip"), flagged(1, &gzip(&[0; 64])[..12]), invalid, "MESSAGE_UNDECODABLE"),
        ("gzip of no protobuf", Some("gzip"), flagged(1, &gzip(&[0xff; 3])), invalid, "MESSAGE_UNDECODABLE"),
        ("another encoding", Some("br"), flagged(1, &[0]), Code::Unimplemented, "ENCODING_UNSUPPORTED"),
        ("an encoding that is none", Some("\u{fffd}"), framed(&[]), Code::Unimplemented, "ENCODING_UNSUPPORTED"),
        ("too long", plain, too_long, Code::ResourceExhausted, "MESSAGE_TOO_LONG"),
        ("too long once it is decompressed", Some("gzip"), inflates, Code::ResourceExhausted, "MESSAGE_TOO_LONG"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_message_is_refused_with_code_reason_and_details() {
    let (service, address) = operated().await;
    let raw = Raw::connect(service.address).await;
    for (path, most) in METHODS {
        let is_stream = path.contains("Reflection");
        for (name, encoding, body, code, reason) in bodies(most) {
            let case = format!("{path}: {name}");
            let request =
                encoding.into_iter().fold(post(path), |request, name| request.header("grpc-encoding", name.as_bytes()));
            let answer = raw.send(request, body).await;
            // What its handler cannot decode is answered as what it cannot decompress.
            let too_long = is_stream && name == "too long once it is decompressed";
            let (code, reason) = if too_long { (Code::InvalidArgument, "MESSAGE_UNDECODABLE") } else { (code, reason) };
            let status = check(&case, &answer, code, reason);
            let info = status.get_details_error_info().unwrap();
            if reason == "MESSAGE_TOO_LONG" {
                assert_eq!(info.metadata["most"], most.to_string(), "{case}");
            }
            if reason == "ENCODING_UNSUPPORTED" {
                assert_eq!(answer.head["grpc-accept-encoding"], "gzip,identity", "{case}");
            }
        }
        let two = [framed(&[]), framed(&[])].concat();
        for (name, body, reason) in [("none", Vec::new(), "MESSAGE_MISSING"), ("two", two, "SECOND_MESSAGE")] {
            if !is_stream {
                check(&format!("{path}: {name}"), &raw.send(post(path), body).await, Code::Unimplemented, reason);
            }
        }
        if path.starts_with("/onrecord") {
            // Of a number that no message has.
            let answer = raw.send(post(path), framed(&[0xf8, 0x07, 0].repeat(16 * 1024 + 1))).await;
            let status = check(path, &answer, Code::ResourceExhausted, "MESSAGE_TOO_LONG");
            let metadata = status.get_details_error_info().unwrap().metadata;
            assert_eq!(metadata["limit"], "MESSAGE_FIELDS", "{path}");
        }
    }
    for path in
        ["/onrecord.v1.StatementService/Nothing", "/onrecord.v9.Nothing/There", "/onrecord.v1.FeedService/", "/"]
    {
        check(path, &raw.send(post(path), framed(&[])).await, Code::Unimplemented, "METHOD_UNKNOWN");
    }
    let named = HealthCheckRequest { service: "nothing".to_owned() };
    for method in ["Check", "Watch"] {
        let path = format!("/grpc.health.v1.Health/{method}");
        check(&path, &raw.send(post(&path), framed(&named.encode_to_vec())).await, Code::NotFound, "NOT_FOUND");
    }
    let symbol = MessageRequest::FileContainingSymbol("nothing".to_owned());
    let symbol = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let path = METHODS[6].0;
    check(path, &raw.send(post(path), framed(&symbol.encode_to_vec())).await, Code::NotFound, "NOT_FOUND");
    let entries = v1::ListEntriesRequest::default();
    let entries = service.person("auditor").editorial.list_entries(entries).await.unwrap().into_inner().entries;
    assert_eq!(entries, [], "nothing was written");
    no_fault(address).await;
}

/// No call ended as those that call for a person.
async fn no_fault(address: SocketAddr) {
    let text = get(address, "/metrics").await;
    let is_fault = |line: &&str| {
        ["Internal", "Unknown", "DataLoss"].iter().any(|code| line.contains(&format!("grpc_code=\"{code}\"")))
    };
    assert_eq!(text.lines().filter(is_fault).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_resets_its_request_is_no_fault() {
    let (service, address) = operated().await;
    let raw = Raw::connect(service.address).await;
    let path = "/onrecord.v1.EditorialService/CreateStatement";
    let reasons = [h2::Reason::INTERNAL_ERROR, h2::Reason::PROTOCOL_ERROR, h2::Reason::CANCEL, h2::Reason::NO_ERROR];
    for reason in reasons {
        for body in [vec![0, 0, 0, 0, 9, 1], vec![0, 0]] {
            raw.reset(post(path), body, reason).await;
        }
    }
    let ended = async {
        loop {
            let text = get(address, "/metrics").await;
            let handled = text
                .lines()
                .filter(|line| line.starts_with("grpc_server_handled_total") && line.contains("CreateStatement"));
            let counts = handled.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
            if counts.sum::<usize>() == reasons.len() * 2 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ended).await.expect("all of them end");
    no_fault(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_be_compressed_and_its_answer_is_not() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let raw = Raw::connect(service.address).await;
    let content = v1::Content { body: "Text. ".repeat(80_000), ..words("Compressed") };
    let draft =
        v1::Draft { name: "statements/fire/drafts/en".to_owned(), content: Some(content), ..Default::default() };
    let content_view = v1::ContentView::Message.into();
    let save = v1::SaveDraftRequest { draft: Some(draft), content_view, ..Default::default() };
    let path = "/onrecord.v1.EditorialService/SaveDraft";
    let request = post(path).header("grpc-encoding", "gzip").header("grpc-accept-encoding", "gzip,identity");
    let message = flagged(1, &gzip(&save.encode_to_vec()));
    assert!(message.len() < 10_000);
    let answer = raw.send(request, message).await;
    assert_eq!(answer.grpc_status().unwrap().code(), Code::Ok, "{:?}", answer.grpc_status());
    assert!(answer.body[0] == 0 && !answer.head.contains_key("grpc-encoding"));
    let saved = v1::SaveDraftResponse::decode(&answer.body[5..]).unwrap().draft.unwrap();
    assert_eq!(saved.content.unwrap().body.len(), 480_000);
    // Where it may be compressed, it need not be.
    let get = v1::GetStatementRequest { name: "statements/never".to_owned(), ..Default::default() };
    let request = post("/onrecord.v1.StatementService/GetStatement").header("grpc-encoding", "gzip");
    let answer = raw.send(request, framed(&get.encode_to_vec())).await;
    check("not compressed", &answer, Code::NotFound, "STATEMENT_NOT_FOUND");
}

/// A gzip of so many bytes that has a thousand times as many zeros.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut block = Vec::with_capacity(64 << 10);
    let mut deflate = Compress::new(Compression::best(), false);
    deflate.compress_vec(&vec![0; 1 << 20], &mut block, FlushCompress::Sync).unwrap();
    // A block that ends on a whole byte may follow itself.
    let mut all = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    while all.len() + block.len() <= bytes {
        all.extend_from_slice(&block);
    }
    assert!(deflate.total_in() / deflate.total_out() > 500);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_inflates_beyond_the_limit_takes_no_memory() {
    // What one caller may have under way of requests.
    const BOMBS: u64 = 3;
    let directory = tempfile::tempdir().unwrap();
    let address: SocketAddr = format!("127.0.0.1:{}", port()).parse().unwrap();
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let server = Server::start(directory.path(), address.port(), &channel).await;
    // 2 GiB of zeros in 4 MiB.
    let bomb = flagged(1, &bomb((4 << 20) - 5));
    let before = server.peak_resident_kib();
    let mut thrown = JoinSet::new();
    for _ in 0..BOMBS {
        let bomb = bomb.clone();
        thrown.spawn(async move {
            let raw = Raw::connect(address).await;
            raw.send(post("/onrecord.v1.EditorialService/SaveDraft").header("grpc-encoding", "gzip"), bomb).await
        });
    }
    for answer in thrown.join_all().await {
        check("a bomb", &answer, Code::ResourceExhausted, "MESSAGE_TOO_LONG");
    }
    let taken = server.peak_resident_kib() - before;
    // Each has what came and what was decompressed until it was too much, 4 MiB of each; their buffers grow by doubling.
    assert!(taken < BOMBS * 16 * 1024, "{taken} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_health_and_error_details() {
    let (service, _) = operated().await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", service.address)).unwrap().connect_lazy();
    let mut reflection = ServerReflectionClient::new(channel);
    let symbols = ["grpc.health.v1.Health", "google.rpc.ErrorInfo", "google.rpc.RetryInfo", "onrecord.v1.ErrorReason"];
    let ask = |symbol: &str| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
    };
    let requests = tokio_stream::iter(symbols.map(ask));
    let mut responses = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    for symbol in symbols {
        let response = responses.message().await.unwrap().unwrap().message_response;
        assert!(matches!(response, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {response:?}");
    }
}

//! Connections: how many, how long, and what becomes of one too many.

use std::time::{Duration, Instant};

use onrecord::api::v1::{self, subscribe_response::Message};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, transport::Channel};

use crate::{
    harness::{Person, Service, at, from, moved, publish, refused, words},
    kills::{Server, port},
    way::Way,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(url: String) -> Channel {
    Channel::from_shared(url).unwrap().connect_lazy()
}

async fn is_answered(person: &mut Person) -> bool {
    person.statements.list_statements(v1::ListStatementsRequest::default()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_at_once_and_leaves_the_others_alone() {
    let service = Service::start_with(|config| config.connections_max = 2).await;
    let mut person = service.person("reader");
    assert!(is_answered(&mut person).await);
    let quiet = TcpStream::connect(service.address).await.unwrap();
    let mut too_many = TcpStream::connect(service.address).await.unwrap();
    let ended = timeout(PATIENCE, too_many.read(&mut [0; 64])).await.expect("it is closed, and does not wait");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(is_answered(&mut person).await);
    // A place that is free is taken by whoever comes next.
    drop(quiet);
    let mut next = Person::new(&connect(format!("http://{}", service.address)), "reader");
    timeout(PATIENCE, async { while !is_answered(&mut next).await {} }).await.expect("its place is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_no_more_connections_than_it_may() {
    let most = std::num::NonZeroUsize::new(2);
    let service = Service::start_with(|config| config.connections_per_address_max = most).await;
    let mut person = service.person("reader");
    assert!(is_answered(&mut person).await);
    let _quiet = TcpStream::connect(service.address).await.unwrap();
    let mut too_many = TcpStream::connect(service.address).await.unwrap();
    let ended = timeout(PATIENCE, too_many.read(&mut [0; 64])).await.expect("it is closed, and does not wait");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    // Another address of this machine is another.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(service.address).await.unwrap();
    other.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(timeout(PATIENCE, other.read(&mut [0; 64])).await.unwrap().unwrap() > 0, "it is greeted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_too_late_is_refused() {
    let service = Service::start().await;
    let mut person = service.person("reader");
    let long = v1::ListStatementsRequest { page_token: "x".repeat(5 << 20), ..Default::default() };
    refused(person.statements.list_statements(long).await, Code::ResourceExhausted, "MESSAGE_TOO_LONG");
    let mut stream = person.follow(from(v1::Start::Now)).await.unwrap();
    let Message::Opened(opened) = stream.next().await else { panic!("it opens") };

    // A client that says it as it is.
    let (client, connection) = h2::client::handshake(TcpStream::connect(service.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let ask = async |method: &str, header: (&str, &str), message: Vec<u8>| {
        let request = http::Request::post(format!("http://onrecord/onrecord.v1.{method}"));
        let request = request.header("content-type", "application/grpc").header("onrecord-caller", "reader");
        let request = request.header(header.0, header.1).body(()).unwrap();
        let (answer, mut body) = client.clone().ready().await.unwrap().send_request(request, false).unwrap();
        // A message of gRPC: not compressed, its length, itself.
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        body.send_data([&[0], length.as_slice(), &message].concat().into(), true).unwrap();
        let head = timeout(PATIENCE, answer).await.expect("it is answered").unwrap().into_parts().0;
        (head.status.as_u16(), head.headers.get("grpc-status").map(|code| code.to_str().unwrap().to_owned()))
    };
    let list = "StatementService/ListStatements";
    assert_eq!(ask(list, ("x-story", "short"), Vec::new()).await, (200, None));
    assert_eq!(ask(list, ("x-story", &"x".repeat(17 * 1024)), Vec::new()).await.0, 431, "RFC 6585, section 5");
    // Of a stream the beginning is bounded: what this cursor has seen this service does not have yet, and waits for.
    let ahead = at(&moved(&opened.cursor, 9)).encode_to_vec();
    let late = ask("FeedService/Subscribe", ("grpc-timeout", "50m"), ahead).await;
    assert_eq!(late, (200, Some("4".to_owned())), "DEADLINE_EXCEEDED");
    assert!(is_answered(&mut person).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_age_is_told_to_go_and_what_is_under_way_goes_on() {
    let service = Service::start_with(|config| config.connection_age = Duration::from_secs(2)).await;
    let way = Way::to(service.address).await;
    let mut site = Person::new(&connect(way.url()), "site");
    let mut stream = site.follow_all().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    assert_eq!(stream.until(1).await.len(), 1);
    // Calls go over new connections, one after the other.
    let (begun, mut answered, mut cancelled) = (Instant::now(), 0, 0);
    while way.taken() < 2 {
        assert!(begun.elapsed() < PATIENCE, "{} connections", way.taken());
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Err(status) = site.statements.list_statements(v1::ListStatementsRequest::default()).await {
            // tonic's client had taken it for a connection that was on its way out, and did not send it.
            assert_eq!(status.code(), Code::Cancelled, "{status:?}");
            cancelled += 1;
            continue;
        }
        answered += 1;
    }
    assert!(cancelled <= 1 && answered >= 10, "{answered} answered, {cancelled} not sent");
    // The stream is where it was, over the first.
    let publisher = Channel::from_shared(format!("http://{}", service.address)).unwrap().connect_lazy();
    Person::new(&publisher, "publisher").withdraw("fire", &[]).await.unwrap();
    assert_eq!(stream.until(2).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_and_says_nothing_does_not_hold_up_the_end() {
    let service = Service::start_with(|config| config.drain = Duration::from_mins(2)).await;
    let mut silent = TcpStream::connect(service.address).await.unwrap();
    assert!(is_answered(&mut service.person("reader")).await);
    // The harness waits for 20 seconds.
    service.stop().await;
    let ended = timeout(PATIENCE, silent.read(&mut [0; 64])).await.expect("it is closed");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_makes_no_call_is_told_to_go_and_one_that_did_stays() {
    let service = Service::start_with(|config| config.first_call = Duration::from_secs(1)).await;
    let mut stream = service.person("site").follow_all().await;
    // The beginning of HTTP/2, of which the rest never comes; and all of it, and then nothing.
    for said in ["PRI *", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let mut idle = TcpStream::connect(service.address).await.unwrap();
        idle.write_all(said.as_bytes()).await.unwrap();
        timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.expect("it is closed").unwrap();
    }
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("A fire")).await;
    assert_eq!(stream.deliveries().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_its_connection_is_cut_off_and_leaves_the_others_alone() {
    let service = Service::start().await;
    let mut person = service.person("reader");
    assert!(is_answered(&mut person).await);
    let mut flood = TcpStream::connect(service.address).await.unwrap();
    flood.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (mut answers, mut floods) = flood.into_split();
    let pings = b"\0\0\x08\x06\0\0\0\0\0onrecord".repeat(500);
    let flooding = tokio::spawn(async move { while floods.write_all(&pings).await.is_ok() {} });
    let mut answered = Vec::new();
    drop(timeout(PATIENCE, answers.read_to_end(&mut answered)).await.expect("it is cut off"));
    timeout(PATIENCE, flooding).await.expect("nobody takes what it sends").unwrap();
    // Some were answered, so it is not for the first that it was cut off.
    assert!(answered.len() > 500 * 17, "{} bytes of answers", answered.len());
    assert!(is_answered(&mut person).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_no_more_open_files_it_waits_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let port = port();
    let url = format!("http://127.0.0.1:{port}");
    let channel = connect(url.clone());
    let server = Server::start(directory.path(), port, &channel).await;
    let mut person = Person::new(&channel, "reader");
    assert!(is_answered(&mut person).await);
    server.allow_more_open_files(20);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let before = server.processor_millis();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = server.processor_millis() - before;
    assert!(spent < 250, "it spent {spent} of 500 ms on connections that it cannot take");
    assert!(is_answered(&mut person).await, "whoever is connected is served");
    // Whoever comes now has to wait, and is served once there is room.
    let mut waits = Person::new(&connect(url), "reader");
    let waiting = tokio::spawn(async move { while !is_answered(&mut waits).await {} });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(held);
    timeout(PATIENCE, waiting).await.expect("it is taken in time").unwrap();
}

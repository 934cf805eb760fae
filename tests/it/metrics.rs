//! What the operator's port tells: how calls ended, how the journal is, what waits for a person, which site lags.

use std::{net::SocketAddr, time::Duration};

use onrecord::{
    api::v1,
    journal::{Journal, Options},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use crate::{
    command_line::onrecord,
    harness::{Person, Service, approved, changed, from, publish, refused, words},
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service that is ready, and the address of its operator's port.
pub(crate) async fn operated() -> (Service, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let service = Service::start_with(|config| config.metrics = Some(address)).await;
    let ready = async {
        while !get(address, "/readyz").await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ready).await.expect("it gets ready");
    (service, address)
}

async fn metrics(address: SocketAddr) -> String {
    get(address, "/metrics").await
}

/// What the operator's port answers.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    get_as(address, path, "*/*").await
}

/// The same in one of several formats.
async fn get_as(address: SocketAddr, path: &str, accept: &str) -> String {
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: onrecord\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_how_the_journal_is() {
    let (service, address) = operated().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let text = metrics(address).await;
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    let open = get_as(address, "/metrics", "application/openmetrics-text; version=1.0.0").await;
    assert!(open.contains("content-type: application/openmetrics-text") && open.contains("# EOF"), "{open}");
    for line in ["onrecord_journal_writable 1", "onrecord_journal_readable 1", "onrecord_journal_tail 2"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("onrecord_journal_closed"), "{text}");
    service.journal.close().await;
    let text = metrics(address).await;
    assert!(text.contains("onrecord_journal_writable 0"), "{text}");
    assert!(text.contains(r#"onrecord_journal_closed_info{reason="the service stops"} 1"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_what_waits_for_a_person_and_which_site_lags() {
    let (service, address) = operated().await;
    service.person("author").create("fire", "en").await;
    service.person("author").create("flood", "en").await;
    let subscription = v1::Subscription::default();
    let named = v1::CreateSubscriptionRequest {
        subscription_id: "site-a".to_owned(),
        subscription: Some(subscription),
        ..Default::default()
    };
    service.person("operator").feed.create_subscription(named).await.unwrap();
    // Held, since what it builds on was corrected; owed, since it was forced; and one that waits for its time.
    publish(&service, "fire", "en", words("First")).await;
    let second = approved(&service, "fire", "en", changed("Second", v1::ChangeKind::Major)).await;
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&second]) };
    service.person("publisher").publish(later).await.unwrap();
    publish(&service, "fire", "en", changed("Corrected", v1::ChangeKind::Correction)).await;
    let mut author = service.person("author");
    let draft = author.save("flood", "en", words("Now")).await;
    let draft = author.submit(&draft).await.unwrap();
    let force = v1::PublishDraftsRequest { force: true, reason: "Now.".to_owned(), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(force).await.unwrap();
    service.advance(90).await;
    let draft = approved(&service, "fire", "de", words("Erstens")).await;
    let request = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(request).await.unwrap();

    let text = metrics(address).await;
    for line in [
        "onrecord_releases_scheduled 1",
        "onrecord_releases_held 1",
        "onrecord_release_overdue_seconds 0.0",
        "onrecord_approvals_owed 1",
        "onrecord_approval_owed_seconds 90.0",
        "onrecord_subscriptions{state=\"idle\"} 1",
        "onrecord_subscriptions{state=\"active\"} 0",
        "onrecord_subscription_lag_events{subscription=\"site-a\"} 3",
        "onrecord_subscription_lag_seconds{subscription=\"site-a\"} 90.0",
        "onrecord_backup_completed_timestamp_seconds 0.0",
        "onrecord_reload_failed{what=\"policy\"} 0",
        "onrecord_panics_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let status = || onrecord(&["status", "--metrics-listen", &address.to_string()]);
    let output = status();
    let screen = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{screen}");
    for part in ["ready", "1 scheduled, 1 held for a person, 1 approvals owed", "site-a idle: 3 events, 90 s behind"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }

    // What is found after a restart is what was noted before.
    let noted = service.journal.waiting().unwrap();
    // The same clock: by the system's the release is so late that it is held, before the search or after it.
    let clock = service.clock.clone();
    let directory = service.stop().await.into_directory();
    let journal = Journal::open(Options { clock, ..Options::new(directory.path().to_owned()) }).unwrap();
    assert_eq!(journal.waiting(), None, "nothing is said before it was looked for");
    journal.find_waiting().await.unwrap();
    assert_eq!(journal.waiting().unwrap(), noted);
}

/// Subscriptions that have a line of their own, at most.
const NAMED_MAX: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn however_many_sites_there_are_few_have_a_label_of_their_own() {
    let (service, address) = operated().await;
    let (operator, many) = (service.person("operator"), NAMED_MAX + 2);
    let creates = (0..many).map(|number| {
        let mut feed = operator.feed.clone();
        let subscription_id = format!("site-{number}");
        async move {
            feed.create_subscription(v1::CreateSubscriptionRequest { subscription_id, ..Default::default() }).await
        }
    });
    let made = creates.collect::<JoinSet<_>>().join_all().await;
    assert!(made.iter().all(Result::is_ok));
    let text = metrics(address).await;
    for name in ["onrecord_subscription_lag_events{", "onrecord_subscription_lag_seconds{"] {
        assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), NAMED_MAX, "{name}");
    }
    let counted = format!("onrecord_subscriptions{{state=\"idle\"}} {many}");
    assert!(text.lines().any(|line| line == counted), "all are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_how_calls_ended() {
    let (service, address) = operated().await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    refused(author.read("never", "").await, Code::NotFound, "STATEMENT_NOT_FOUND");
    drop(author.follow(from(v1::Start::Now)).await.unwrap());
    let of = |service: &str, method: &str, kind: &str, code: &str| {
        format!("{{grpc_type=\"{kind}\",grpc_service=\"onrecord.v1.{service}\",grpc_method=\"{method}\"{code}}} 1")
    };
    let code = |code: &str| format!(",grpc_code=\"{code}\"");
    let lines = [
        "grpc_server_handled_total".to_owned() + &of("EditorialService", "CreateStatement", "unary", &code("OK")),
        "grpc_server_handled_total".to_owned() + &of("StatementService", "GetStatement", "unary", &code("NotFound")),
        "grpc_server_started_total".to_owned() + &of("FeedService", "Subscribe", "server_stream", ""),
        "grpc_server_handling_seconds_count".to_owned() + &of("EditorialService", "CreateStatement", "unary", ""),
    ];
    let text = metrics(address).await;
    for line in &lines {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    // The service has to hear first that the stream is gone.
    let gone =
        "grpc_server_handled_total".to_owned() + &of("FeedService", "Subscribe", "server_stream", &code("Canceled"));
    let counted = async {
        while !metrics(address).await.lines().any(|found| found == gone) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.expect("it is counted");
}

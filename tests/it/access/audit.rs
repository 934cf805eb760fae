//! The log of the service, in a process of its own: who did what, who was refused what, and what is never in it.

use std::{
    fmt::Write as _,
    fs::File,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use onrecord::{
    access::Role,
    api::v1::{self, subscribe_response::Message},
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Child, sync::mpsc, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request,
    transport::{Channel, Server},
};

use super::Policy;
use crate::{
    harness::{Person, refused, words},
    metrics::get,
    traces::Collector,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The trace of somebody who calls (W3C Trace Context).
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A service that follows a policy, and what it logs.
struct Logged {
    process: Child,
    policy: Policy,
    channel: Channel,
    metrics: SocketAddr,
}

impl Logged {
    /// Starts it with `log` as `RUST_LOG`, and further arguments.
    async fn start(policy: Policy, log: &str, more: &[&str]) -> Self {
        policy.write();
        let directory = policy.directory();
        let [address, metrics] = [free(), free()];
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_onrecord"));
        command.args(["serve", "--log-format", "json", "--listen", &address.to_string()]);
        command.args(["--metrics-listen", &metrics.to_string(), "--data-dir"]).arg(directory.join("record"));
        command.arg("--policy").arg(policy.file()).args(more).env_clear().env("RUST_LOG", log);
        command.stderr(Stdio::from(File::create(directory.join("log")).unwrap())).kill_on_drop(true);
        let process = command.spawn().unwrap();
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let logged = Self { process, policy, channel, metrics };
        let ready = async { while !get(metrics, "/readyz").await.contains("it is ready") {} };
        timeout(PATIENCE, ready).await.expect("it starts in time");
        logged
    }

    fn holder(&self, token: &str) -> Person {
        Person::with_token(&self.channel, token)
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Stops it, and gives what it has logged.
    async fn stop(mut self) -> String {
        self.signal("-TERM");
        assert!(timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap().success());
        std::fs::read_to_string(self.policy.directory().join("log")).unwrap()
    }
}

/// A line of the log, as far as it is told apart by: `fields.message`, `span.caller`.
fn is_there(lines: &[Value], expected: &[(&str, &str)]) -> bool {
    let has = |line: &Value, (path, text): &(&str, &str)| {
        let found = line.pointer(&format!("/{}", path.replace('.', "/")));
        found.is_some_and(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned).contains(text))
    };
    lines.iter().any(|line| expected.iter().all(|pair| has(line, pair)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_what_was_refused_is_logged_with_who_and_by_what() {
    let mut policy = Policy::new();
    let (anna, otto) = (policy.role(Role::Author), policy.role(Role::Operator));
    let ada = policy.role(Role::Auditor);
    policy.grant("paris", "roles = [\"subscriber\"]\nsubscriptions = [\"paris\"]");
    policy.grant("dora", "roles = [\"author\"]");
    let dora = policy.token("dora", "expires = 2020-01-01T00:00:00Z");
    let without = policy.clone();
    let paris = policy.token("paris", "");
    // Nothing but what is wrong, and the audit log all the same.
    let logged = Logged::start(policy, "error", &[]).await;
    let [mut author, mut operator, mut site] = [&anna, &otto, &paris].map(|token| logged.holder(token));

    let request_id = uuid::Uuid::new_v4().to_string();
    let statement =
        v1::Statement { kind: "notice".to_owned(), source_language_code: "en".to_owned(), ..Default::default() };
    let create = |id: &str| v1::CreateStatementRequest {
        statement_id: id.to_owned(),
        statement: Some(statement.clone()),
        request_id: request_id.clone(),
        ..Default::default()
    };
    author.editorial.create_statement(create("fire")).await.unwrap();
    author.editorial.create_statement(create("No id")).await.unwrap_err();
    let mut traced = Request::new(create("flood"));
    traced.metadata_mut().insert("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap());
    refused(operator.editorial.create_statement(traced).await, Code::PermissionDenied, "ROLE_MISSING");
    let mut late = logged.holder(&dora);
    refused(late.editorial.create_statement(create("flood")).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    let mut stranger = logged.holder("nonsense");
    refused(stranger.editorial.create_statement(create("flood")).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");

    for name in ["paris", "rome"] {
        let request = v1::CreateSubscriptionRequest { subscription_id: name.to_owned(), ..Default::default() };
        operator.feed.create_subscription(request).await.unwrap();
    }
    let follow = |name: &str| v1::SubscribeRequest {
        start: v1::Start::Acknowledged.into(),
        subscription: format!("subscriptions/{name}"),
        ..Default::default()
    };
    refused(site.follow(follow("rome")).await.map(drop), Code::NotFound, "SUBSCRIPTION_NOT_FOUND");
    let mut stream = site.follow(follow("paris")).await.unwrap();
    let Message::Opened(opened) = stream.next().await else { panic!("it opens") };
    let reject = v1::RejectRequest {
        name: "subscriptions/paris".to_owned(),
        generation: opened.generation,
        sequence: 7,
        reason_code: "unfit".to_owned(),
        detail: "It does not fit.".to_owned(),
    };
    drop(site.feed.reject(reject).await);
    operator.backups.backup(v1::BackupRequest::default()).await.unwrap();
    // Its token is taken out.
    logged.policy.replace(&without);
    logged.signal("-HUP");
    let ends = async { while !matches!(stream.next().await, Message::Closing(_)) {} };
    timeout(PATIENCE, ends).await.expect("its stream ends");

    let entries = logged.holder(&ada).editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap();
    let log = logged.stop().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let mark =
        |token: &str| format!("token {}", &onrecord::domain::digest::Digest::of(&[token.as_bytes()]).to_string()[..8]);
    // What changed something is in the journal too, under its hash.
    let entries = entries.into_inner().entries;
    let made = [("CreateStatement", &anna), ("CreateSubscription", &otto), ("CreateSubscription", &otto)];
    assert_eq!(entries.len(), made.len());
    for (entry, (action, token)) in entries.iter().zip(made) {
        assert_eq!((entry.action.as_str(), &entry.credential), (action, &mark(token)));
        assert!(entry.caller_address.starts_with("127.0.0.1:"), "{entry:?}");
        let seal: Value = serde_json::from_slice(&entry.seal).unwrap();
        let origin = json!({"address": entry.caller_address, "credential": entry.credential});
        assert_eq!(seal["origin"], origin);
    }
    let mark = mark(&anna);
    let expected: &[&[(&str, &str)]] = &[
        &[
            ("fields.action", "CreateStatement"),
            ("fields.on", "fire"),
            ("fields.result", "Ok"),
            ("span.caller", "author"),
            ("span.by", &mark),
        ],
        &[
            ("fields.action", "CreateStatement"),
            ("span.request_id", &request_id),
            ("span.peer", "127.0.0.1"),
            ("span.trace_id", ""),
        ],
        &[
            ("fields.message", "refused"),
            ("fields.reason", "INVALID_ARGUMENT"),
            ("span.method", "CreateStatement"),
            ("span.caller", "author"),
        ],
        &[
            ("fields.message", "refused"),
            ("fields.caller", "operator"),
            ("fields.by", "token"),
            ("fields.trace_id", TRACE),
        ],
        &[
            ("fields.message", "refused"),
            ("fields.caller", "dora"),
            ("fields.refusal", "ended"),
            ("fields.peer", "127.0.0.1"),
        ],
        &[("fields.message", "refused"), ("fields.refusal", "not known"), ("fields.method", "CreateStatement")],
        &[("fields.action", "CreateSubscription"), ("fields.on", "rome"), ("span.caller", "operator")],
        &[("fields.message", "refused"), ("fields.reason", "SUBSCRIPTION_NOT_FOUND"), ("span.caller", "paris")],
        &[("fields.message", "follows"), ("fields.on", "paris"), ("span.caller", "paris")],
        &[("fields.action", "Reject"), ("fields.on", "paris"), ("span.caller", "paris")],
        &[("fields.action", "Backup"), ("span.caller", "operator")],
        &[("fields.message", "lost its right"), ("fields.caller", "paris"), ("fields.method", "Subscribe")],
    ];
    for expected in expected {
        assert!(is_there(&lines, expected), "{expected:?} in\n{log}");
    }
    for secret in [&anna, &otto, &paris, &dora] {
        assert!(!log.contains(secret.as_str()), "a token is in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_is_in_no_log_metric_trace_or_error() {
    const CANARY: &str = "kanarienvogel";
    let mut policy = Policy::new();
    let tokens =
        [Role::Author, Role::Reviewer, Role::Publisher, Role::Subscriber, Role::Legal].map(|role| policy.role(role));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (told, mut spans) = mpsc::unbounded_channel();
    let collector = Server::builder().add_service(TraceServiceServer::new(Collector(told)));
    tokio::spawn(collector.serve_with_incoming(TcpListenerStream::new(listener)));
    let logged = Logged::start(policy, "trace", &["--otlp-endpoint", &endpoint, "--trace-percent", "100"]).await;
    let [mut author, mut reviewer, mut publisher, mut site, mut legal] =
        tokens.each_ref().map(|token| logged.holder(token));

    // A text under embargo, from its first draft to its erasure.
    author.create("fire", "en").await;
    let content = |title: &str| v1::Content { summary: CANARY.to_owned(), ..words(&format!("{title} {CANARY}")) };
    let draft = author.save("fire", "en", content("First")).await;
    let mut faults = vec![
        author
            .try_save(v1::Draft { etag: "\"9\"".to_owned(), content: Some(content("Second")), ..draft.clone() })
            .await
            .unwrap_err(),
    ];
    faults.push(
        author
            .try_save(v1::Draft {
                content: Some(v1::Content { topics: vec![format!("No topic {CANARY}")], ..content("Third") }),
                ..draft.clone()
            })
            .await
            .unwrap_err(),
    );
    let draft = author.submit(&draft).await.unwrap();
    faults.push(author.approve(&draft).await.unwrap_err());
    let draft = reviewer.approve(&draft).await.unwrap();
    let mut publication = Person::publication(&[&draft]);
    let later = std::time::SystemTime::now() + Duration::from_hours(1);
    publication.embargo_end_time = Some(later.into());
    publisher.editorial.publish_drafts(publication).await.unwrap();
    faults.push(site.read("fire", "en").await.unwrap_err());
    faults.push(
        site.statements
            .get_edition(v1::GetEditionRequest {
                name: "statements/fire/languages/en/editions/1".to_owned(),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    let expunge = v1::ExpungeStatementRequest {
        name: "statements/fire".to_owned(),
        reason_code: "court-order".to_owned(),
        ..Default::default()
    };
    drop(legal.editorial.expunge_statement(expunge).await);

    let mut told = String::new();
    for status in faults {
        writeln!(told, "{status:?} {}", String::from_utf8_lossy(status.details())).unwrap();
    }
    let (metrics, status) = (get(logged.metrics, "/metrics").await, get(logged.metrics, "/status").await);
    let log = logged.stop().await;
    let mut traces = String::new();
    while let Ok(span) = spans.try_recv() {
        writeln!(traces, "{span:?}").unwrap();
    }
    assert!(log.contains("ExpungeStatement"), "it has been at work: {log}");
    assert!(traces.contains("SaveDraft") && metrics.contains("SaveDraft") && status.contains("\"begun\""));
    for (place, text) in
        [("the log", &log), ("metrics", &metrics), ("the status", &status), ("traces", &traces), ("errors", &told)]
    {
        for secret in tokens.iter().map(String::as_str).chain([CANARY]) {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in {place}");
        }
    }
}

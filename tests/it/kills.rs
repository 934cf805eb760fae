//! The binary is killed at random moments while several people write and a site follows. What was answered is there, nothing is there
//! twice, no commit is there by half, and the site has seen each event once.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use onrecord::{
    api::v1::{self, ChangeKind, subscribe_response::Message},
    journal::verify,
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use crate::harness::{Person, changed, words};

const WRITERS: usize = 4;
/// Languages of each publication: all of them or none.
const LANGUAGES: [&str; 2] = ["en", "de"];
const PATIENCE: Duration = Duration::from_secs(30);

/// The server, in a process of its own.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) async fn start(directory: &Path, port: u16, channel: &Channel) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_onrecord"))
            .args(["serve", "--insecure", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(directory)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        timeout(PATIENCE, answers(channel)).await.expect("it starts in time");
        server
    }

    /// As an orchestrator does: it is told to stop, and ends by itself.
    pub(crate) fn stop(&mut self) {
        let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert!(self.0.wait().unwrap().success());
    }

    /// From now on it may have so many more open files than it has.
    pub(crate) fn allow_more_open_files(&self, files: usize) {
        let pid = self.0.id().to_string();
        let most = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() + files;
        let told = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={most}:{most}")]).status().unwrap();
        assert!(told.success());
    }

    /// Milliseconds that it has spent on processors, to the hundredth of a second.
    pub(crate) fn processor_millis(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // utime and stime: fields 14 and 15 of proc(5), in hundredths of a second.
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
    }

    /// KiB in memory.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most KiB that were in memory.
    pub(crate) fn peak_resident_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    /// A line of proc(5), `status`.
    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that stays free between two starts: below those that systems take for outgoing connections.
pub(crate) fn port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(is_free).expect("a free port")
}

async fn answers(channel: &Channel) {
    let mut reader = Person::new(channel, "reader");
    while reader.statements.list_statements(v1::ListStatementsRequest::default()).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Somebody who publishes one edition after another of their own statement, and repeats what was not answered.
#[derive(Clone)]
struct Writer {
    person: Person,
    id: String,
    /// Editions that were answered.
    answered: u32,
    /// The step that is not answered yet, and its request id.
    step: usize,
    request_id: Uuid,
    etags: Vec<String>,
}

impl Writer {
    fn new(channel: &Channel, number: usize) -> Self {
        let person = Person::new(channel, &format!("writer-{number}"));
        let id = format!("statement-{number}");
        Self { person, id, answered: 0, step: 0, request_id: Uuid::new_v4(), etags: Vec::new() }
    }

    /// Writes until the service is gone.
    async fn write(mut self) -> Self {
        while self.take().await.is_ok() {
            self.request_id = Uuid::new_v4();
        }
        self
    }

    async fn take(&mut self) -> Result<(), Status> {
        let request_id = self.request_id.to_string();
        match self.step {
            0 => {
                let kind = "notice".to_owned();
                let statement = v1::Statement { kind, source_language_code: "en".to_owned(), ..Default::default() };
                let (statement_id, statement) = (self.id.clone(), Some(statement));
                let request = v1::CreateStatementRequest { statement_id, statement, request_id, validate_only: false };
                self.person.editorial.create_statement(request).await?;
            }
            step if step <= LANGUAGES.len() => {
                let name = format!("statements/{}/drafts/{}", self.id, LANGUAGES[step - 1]);
                let title = format!("Edition {}", self.answered + 1);
                let content = if self.answered == 0 { words(&title) } else { changed(&title, ChangeKind::Major) };
                let draft = Some(v1::Draft { name, content: Some(content), ..Default::default() });
                let request = v1::SaveDraftRequest { draft, request_id, ..Default::default() };
                let saved = self.person.editorial.save_draft(request).await?.into_inner();
                self.etags.push(saved.draft.unwrap().etag);
            }
            _ => {
                let drafts = LANGUAGES.iter().zip(&self.etags);
                let drafts = drafts
                    .map(|(language, etag)| v1::DraftToPublish {
                        language_code: (*language).to_owned(),
                        etag: etag.clone(),
                    })
                    .collect();
                let name = format!("statements/{}", self.id);
                let (force, reason) = (true, "A test.".to_owned());
                let request =
                    v1::PublishDraftsRequest { parent: name, drafts, force, reason, request_id, ..Default::default() };
                self.person.editorial.publish_drafts(request).await?;
                self.answered += 1;
                self.etags.clear();
                self.step = 0;
            }
        }
        self.step += 1;
        Ok(())
    }
}

/// A site that keeps its state and its cursor together.
#[derive(Clone)]
struct Site {
    person: Person,
    cursor: String,
    last: u64,
    state: BTreeMap<String, String>,
}

impl Site {
    /// Follows until the stream breaks, or nothing new comes.
    async fn follow(mut self, until_quiet: bool) -> Self {
        let start = if self.cursor.is_empty() { v1::Start::Beginning } else { v1::Start::Cursor };
        let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let request = v1::SubscribeRequest {
            start: start.into(),
            cursor: self.cursor.clone(),
            heartbeat_interval,
            ..Default::default()
        };
        let Ok(mut stream) = self.person.follow(request).await else { return self };
        while let Ok(Some(message)) = stream.0.message().await {
            match message.message.unwrap() {
                Message::EventBatch(batch) => {
                    let seal = &batch.deliveries.last().unwrap().event.as_ref().unwrap().seal;
                    assert!(String::from_utf8_lossy(seal).contains(r#""more":false"#), "whole commits");
                    batch.deliveries.into_iter().for_each(|delivery| self.apply(delivery));
                    self.cursor = batch.cursor;
                }
                Message::Heartbeat(_) if until_quiet => return self,
                _ => {}
            }
        }
        self
    }

    fn apply(&mut self, delivery: v1::Delivery) {
        let event = delivery.event.unwrap();
        assert_eq!(event.sequence, self.last + 1, "each event once, in order");
        self.last = event.sequence;
        let edition = event.live.unwrap().edition.unwrap();
        self.state.insert(format!("{}/{}", event.statement, event.language_code), edition.content.unwrap().title);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_every_kill_and_comes_once() {
    let kills = std::env::var("ONRECORD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8_usize);
    let directory = tempfile::tempdir().unwrap();
    let port = port();
    let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy();
    let mut writers: Vec<_> = (0..WRITERS).map(|number| Writer::new(&channel, number)).collect();
    let mut site =
        Site { person: Person::new(&channel, "site"), cursor: String::new(), last: 0, state: BTreeMap::new() };
    let moments = proptest::collection::vec(1..400_u64, kills).new_tree(&mut TestRunner::default()).unwrap().current();
    for moment in moments {
        let mut server = Server::start(directory.path(), port, &channel).await;
        let mut writing = JoinSet::new();
        writers.drain(..).for_each(|writer| drop(writing.spawn(writer.write())));
        let following = tokio::spawn(site.follow(false));
        sleep(Duration::from_millis(moment)).await;
        server.kill();
        writers = timeout(PATIENCE, writing.join_all()).await.unwrap();
        site = timeout(PATIENCE, following).await.unwrap().unwrap();
    }
    let mut server = Server::start(directory.path(), port, &channel).await;
    for writer in &mut writers {
        while writer.step != 1 || writer.answered == 0 {
            writer.take().await.unwrap();
            writer.request_id = Uuid::new_v4();
        }
    }
    site = timeout(PATIENCE, site.follow(true)).await.unwrap();
    let mut expected = BTreeMap::new();
    for writer in &mut writers {
        for language in LANGUAGES {
            let live = writer.person.read(&writer.id, language).await.unwrap().live.unwrap();
            let (edition, name) = (live.edition.unwrap(), format!("{}/{language}", live.statement));
            assert_eq!(edition.number, writer.answered, "{name}: none lost, none twice");
            expected.insert(name, format!("Edition {}", writer.answered));
        }
    }
    assert_eq!(site.state, expected);
    eprintln!("{kills} kills, {} events", site.last);
    server.kill();
    let report = verify(directory.path(), 1 << 20, false).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.events, site.last);
}

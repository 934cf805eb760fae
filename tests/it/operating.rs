//! What an operator counts on: a store that stays in its bounds, reads that go on, settings, signals.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use onrecord::{api::v1, journal::JournalError};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    time::timeout,
};
use tonic::{Code, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::{
    awkward_cases::expunge,
    command_line::onrecord,
    harness::{Person, Service, approved, publish, refused, words},
    metrics::{get, operated},
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Words that hardly shrink when they are compressed.
fn incompressible() -> v1::Content {
    let mut bytes = vec![0; 200_000];
    getrandom::fill(&mut bytes).unwrap();
    v1::Content { body: hex::encode(bytes), ..words("Long") }
}

/// Saves one text over the other until that is refused.
async fn fill(author: &mut Person) -> Status {
    let mut draft = author.save("fire", "fr", incompressible()).await;
    loop {
        match author.try_save(v1::Draft { content: Some(incompressible()), ..draft }).await {
            Ok(saved) => draft = saved,
            Err(full) => return full,
        }
    }
}

async fn create(author: &mut Person, id: &str) -> Result<(), Status> {
    let (kind, source_language_code) = ("notice".to_owned(), "en".to_owned());
    let statement = Some(v1::Statement { kind, source_language_code, ..Default::default() });
    let request = v1::CreateStatementRequest { statement_id: id.to_owned(), statement, ..Default::default() };
    author.editorial.create_statement(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_takes_no_new_words_but_lets_those_stand_fall_and_go_that_it_has() {
    let service = Service::start_with(|config| config.journal.store_bytes_max = 40 << 20).await;
    let (mut author, mut publisher) = (service.person("author"), service.person("publisher"));
    author.create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let waits = approved(&service, "fire", "de", words("Erste")).await;
    let full = refused::<()>(Err(fill(&mut author).await), Code::ResourceExhausted, "STORE_FULL");
    assert!(full.message().contains("of 40 MiB"), "{full:?}");
    refused(create(&mut author, "flood").await, Code::ResourceExhausted, "STORE_FULL");

    publisher.publish(Person::publication(&[&waits])).await.unwrap();
    publisher.withdraw("fire", &["en"]).await.unwrap();
    assert_eq!(publisher.read("fire", "de").await.unwrap().live.unwrap().language_code, "de");
    expunge(&service, "fire").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_from_a_store_opened_anew_once_the_journal_is_closed() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    service.journal.close().await;
    let (fails, readable) = (AtomicBool::new(true), service.journal.readable());
    let read = service.journal.read(move |view| {
        if fails.swap(false, Ordering::Relaxed) {
            return Err(JournalError::Store("as sled says after a failed write".into()));
        }
        Ok(view.tail())
    });
    assert_eq!(read.await, Ok(2));
    assert_eq!(service.person("reader").read("fire", "en").await.unwrap().live.unwrap().language_code, "en");
    assert!(*readable.borrow());

    let failure = JournalError::Store("for good".into());
    let fails = failure.clone();
    // It was opened anew a moment ago.
    assert!(service.journal.read::<()>(move |_| Err(fails.clone())).await.is_err());
    assert!(!*readable.borrow(), "somebody is told");
    assert_eq!(service.person("reader").read("fire", "en").await.unwrap().live.unwrap().language_code, "en");
    assert!(*readable.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_and_stops_services_is_told_whether_it_is_ready() {
    let (service, address) = operated().await;
    let server = format!("http://{}", service.address);
    let operator = address.to_string();
    let checks: [&[&str]; 2] = [&["healthcheck", "--metrics-listen", &operator], &["--server", &server, "healthcheck"]];
    let codes = || checks.map(|check| onrecord(check).status.code().unwrap());
    let (live, ready) = (get(address, "/livez").await, get(address, "/readyz").await);
    assert!(live.starts_with("HTTP/1.1 200") && ready.starts_with("HTTP/1.1 200"), "{live} {ready}");
    assert_eq!(codes(), [0, 0]);

    service.journal.close().await;
    let (live, ready) = (get(address, "/livez").await, get(address, "/readyz").await);
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the journal takes no writes"), "{ready}");
    assert_eq!(codes(), [5, 5]);
    let readers = ["--server", &server, "healthcheck", "--service", "onrecord.v1.StatementService"];
    assert_eq!(onrecord(&readers).status.code(), Some(0), "reads go on");
}

#[test]
fn settings_come_from_a_file_and_what_is_wrong_with_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let right = file("right.toml", "data_dir = \"/nowhere\"\ninsecure = true\ncache_mib = 32\n");
    let output = onrecord(&["print-config", "--config", &right, "--cache-mib", "16"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in ["data_dir = \"/nowhere\"  # file", "cache_mib = 16  # flag", "scrub_hours = 24  # default"] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
    let output = onrecord(&["check-config", "--config", &file("again.toml", &printed)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let nearer = Command::new(env!("CARGO_BIN_EXE_onrecord"))
        .args(["print-config", "--config", &right])
        .env_clear()
        .env("ONRECORD_CACHE_MIB", "48")
        .env("ONRECORD_STREAMS_MAX", "7")
        .output()
        .unwrap();
    let printed = String::from_utf8(nearer.stdout).unwrap();
    for line in ["cache_mib = 48  # environment", "streams_max = 7  # environment", "insecure = true  # file"] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
    let bare = onrecord(&["print-config"]);
    assert_eq!(bare.status.code(), Some(0), "{bare:?}");
    assert!(String::from_utf8(bare.stderr).unwrap().contains("say who may do what"), "and what is missing is said");

    let wrong = file("wrong.toml", "insecure = true\n\ncache_mb = 7\nlisten = \"nowhere\"\n");
    for command in ["serve", "check-config", "print-config"] {
        let output = onrecord(&[command, "--config", &wrong]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {told}");
        assert!(told.contains("wrong.toml, line 3: `cache_mb` is no setting: did you mean `cache_mib`?"), "{told}");
        assert!(told.contains("wrong.toml, line 4: `listen`: invalid value 'nowhere'"), "{told}");
    }
    let both = file("both.toml", "insecure = true\npolicy = \"policy.toml\"\n");
    let told = String::from_utf8(onrecord(&["check-config", "--config", &both]).stderr).unwrap();
    assert!(told.contains("`--insecure` goes with no policy"), "{told}");
    let told = String::from_utf8(onrecord(&["serve", "--insecure"]).stderr).unwrap();
    assert!(told.contains("say where the record is kept"), "{told}");
}

/// A service in a process of its own, which ends with it.
struct Serving(tokio::process::Child);

impl Serving {
    fn signal(&self, name: &str) {
        let pid = self.0.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_ends_no_start_and_a_policy_that_cannot_be_used_is_told_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    let right = "[[grants]]\nto = [\"bea\"]\nroles = [\"author\"]\n";
    std::fs::write(&policy, right).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_onrecord"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", &address.to_string(), "--data-dir"]);
    command.arg(directory.path().join("record")).arg("--policy").arg(&policy);
    let mut serving = Serving(command.env_clear().stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap());

    let mut log = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let begins = async {
        // The operator's port is there before the store is opened.
        while !log.next_line().await.unwrap().expect("it goes on").contains("serving metrics") {}
    };
    timeout(PATIENCE, begins).await.unwrap();
    serving.signal("-HUP");
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let until = async |path: &str, words: &str| {
        let said = async {
            while !get(address, path).await.contains(words) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("{path} says {words}"));
    };
    until("/readyz", "it is ready").await;

    std::fs::write(&policy, "nonsense\n").unwrap();
    serving.signal("-HUP");
    until("/metrics", "onrecord_reload_failed{what=\"policy\"} 1").await;
    assert!(get(address, "/readyz").await.contains("it is ready"), "by the policy before");
    std::fs::write(&policy, right).unwrap();
    serving.signal("-HUP");
    until("/metrics", "onrecord_reload_failed{what=\"policy\"} 0").await;
    serving.signal("-TERM");
    assert!(timeout(PATIENCE, serving.0.wait()).await.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_do_by_a_policy_is_told_when_it_is_checked_and_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    let checked = || {
        let output = onrecord(&["check-config", "--policy", policy.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    std::fs::write(&policy, "").unwrap();
    let nobody = "no caller has a role: every call is refused";
    assert!(checked().contains(&format!("policy.toml: {nobody}")), "{}", checked());
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_onrecord"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(directory.path().join("record"));
    command.arg("--policy").arg(&policy);
    let mut serving = Serving(command.env_clear().stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap());
    let mut log = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let mut until = async |words: &str| {
        let said = async { while !log.next_line().await.unwrap().expect("it goes on").contains(words) {} };
        timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("it says {words}"));
    };
    until(nobody).await;
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[[grants]]\nto = [\"anna\"]\nroles = [\"author\"]\n").unwrap();
    std::fs::rename(other, &policy).unwrap();
    let nothing = "no caller has the role 'reviewer': nothing can be approved";
    assert!(checked().contains(nothing), "{}", checked());
    serving.signal("-HUP");
    until(nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_onrecord"));
    command.args(["serve", "--insecure", "--listen", "127.0.0.1:0", "--drain-seconds", "600", "--data-dir"]);
    command.arg(directory.path()).env_clear().env("ONRECORD_CACHE_MB", "7");
    let mut serving = Serving(command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap());
    let mut log = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let mut until = async |words: &str| {
        let said = async {
            loop {
                let line = log.next_line().await.unwrap().expect("it goes on");
                if line.contains(words) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("it says {words}"))
    };
    until("the variable ONRECORD_CACHE_MB is no setting: did you mean ONRECORD_CACHE_MIB?").await;
    until("onrecord starts").await;
    until("the store is open").await;
    let line = until("serving").await;
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    // A call that its caller never ends holds up the drain.
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut reflection = ServerReflectionClient::new(channel);
    let _open = reflection.server_reflection_info(tokio_stream::pending()).await.unwrap();
    serving.signal("-TERM");
    until("draining").await;
    assert_eq!(serving.0.try_wait().unwrap(), None);
    serving.signal("-TERM");
    assert_eq!(timeout(PATIENCE, serving.0.wait()).await.unwrap().unwrap().code(), Some(130));
}

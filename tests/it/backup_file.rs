//! A backup as a file, by the binary: it goes on where it was cut off, by itself if it is to, and one process at a time writes to it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use onrecord::{
    api::v1::{BackupResponse, ChangeKind, ListEntriesRequest, backup_response::Message, live},
    journal::{STORAGE_FORMAT, verify},
};
use prost::Message as _;
use tonic::transport::Channel;

use crate::{
    awkward_cases::{expunge, hold},
    harness::{Person, Service, changed, publish, words},
    kills::{Server, port},
    survival::{holds, verified},
};

mod restoring;

const CACHE_BYTES: u64 = 1 << 20;
/// The record of README's tour, as `onrecord backup` of storage format 1 wrote it.
const FIXTURE_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-2/record.backup");

const FIXTURE_1_STATE: &str = "056ed308c1bc3abd961796fccc45d79e2fb19fe2a6e00eacba826c55616057a7";
/// That record restored and started, with a statement more: a backup of a store of format 2, with an epoch that an entry began.
const FIXTURE_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-2/restored.backup");
const FIXTURE_2_STATE: &str = "7924ef6f478ca75bdbe0a2a83ab6f3e5e12d3701262130469038d6cee195d24b";

/// A record with named subscriptions: a backup of a store of format 3.
const FIXTURE_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-2/subscriptions.backup");
const FIXTURE_3_STATE: &str = "c98fe4a29c072052543cabecd2555121d901a7f819771b4579ce22164f6b9835";

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onrecord")).args(arguments).output().unwrap()
}

/// Brings a backup up to date; needs a runtime that goes on meanwhile.
async fn backup(service: &Service, file: &Path) -> Output {
    let (server, file) = (format!("http://{}", service.address), file.to_str().unwrap().to_owned());
    let call = move || run(&["backup", &file, "--server", &server, "--caller", "operator", "--output", "json"]);
    tokio::task::spawn_blocking(call).await.unwrap()
}

fn restore(file: &Path, directory: &Path) -> Output {
    run(&["restore", file.to_str().unwrap(), "--data-dir", directory.to_str().unwrap(), "--output", "json"])
}

/// The digest of the whole state of what a backup has.
fn restored(file: &Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = restore(file, directory.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    verify(directory.path(), CACHE_BYTES, false).unwrap().state_digest.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_cut_off_anywhere_goes_on_and_is_equal_to_its_origin() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    for id in ["fire", "erased"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words("First")).await;
    }
    assert!(backup(&service, &file).await.status.success());
    expunge(&service, "erased").await.unwrap();
    publish(&service, "fire", "en", changed("Second", ChangeKind::Major)).await;
    let first = fs::read(&file).unwrap();
    let mut digests = Vec::new();
    for length in [first.len(), first.len() - 1, first.len() - 60, first.len() / 2, 200, 18] {
        fs::write(&file, &first[..length]).unwrap();
        let output = backup(&service, &file).await;
        assert!(output.status.success(), "{length}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains(r#""newest_entry":16"#), "{output:?}");
        digests.push(restored(&file));
        assert!(backup(&service, &file).await.status.success(), "nothing new is no failure");
    }
    let origin = service.stop().await.into_directory();
    let digest = loop {
        // The tasks of a service that was stopped let go of it a moment later.
        if let Ok(report) = verify(origin.path(), CACHE_BYTES, false) {
            break report.state_digest.to_string();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(digests, vec![digest; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_another_record_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    let (one, other) = (Service::start().await, Service::start().await);
    for service in [&one, &other] {
        service.person("author").create("fire", "en").await;
    }
    assert!(backup(&one, &file).await.status.success());
    let before = fs::read(&file).unwrap();
    let output = backup(&other, &file).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("BACKUP_DIVERGED"), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_damaged_copy_is_cut_off_before_there_is_something_to_put_in_its_place() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    for id in ["fire", "flood"] {
        service.person("author").create(id, "en").await;
        assert!(backup(&service, &file).await.status.success());
    }
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 3] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let nobody = run(&["backup", file.to_str().unwrap(), "--server", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(5), "{nobody:?}");
    assert_eq!(fs::read(&file).unwrap(), damaged);
    assert!(backup(&service, &file).await.status.success());
    assert_eq!(restored(&file), {
        fs::write(&file, &whole).unwrap();
        restored(&file)
    });
}

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_site_goes_on_by_itself_when_the_service_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (file, port) = (folder.path().join("record.backup"), port());
    let server = format!("http://127.0.0.1:{port}");
    let channel = Channel::from_shared(server.clone()).unwrap().connect_lazy();
    let record = folder.path().join("record");
    let mut service = Server::start(&record, port, &channel).await;
    let mut author = Person::new(&channel, "author");
    author.create("fire", "en").await;
    let mut site = Command::new(env!("CARGO_BIN_EXE_onrecord"))
        .args(["backup", file.to_str().unwrap(), "--server", &server, "--follow", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(site.stdout.take().unwrap()).lines();
    let mut site = Ended(site);
    let mut has = |entry: u64| {
        let line =
            lines.by_ref().map(Result::unwrap).find(|line| line.contains(&format!(r#""newest_entry":{entry}}}"#)));
        line.expect("it goes on")
    };
    has(1);
    for (entry, id) in [(2, "flood"), (3, "storm")] {
        service.kill();
        service = Server::start(&record, port, &channel).await;
        author.create(id, "en").await;
        has(entry);
    }
    assert!(site.0.try_wait().unwrap().is_none(), "it goes on still");
    service.kill();
    drop(site);
    assert_eq!(restored(&file), verified(&record).state_digest.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_writes_to_a_copy() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    assert!(backup(&service, &file).await.status.success());
    let before = fs::read(&file).unwrap();
    let other = fs::File::open(&file).unwrap();
    other.lock().unwrap();
    let output = backup(&service, &file).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is being written by another `onrecord backup`"));
    assert_eq!(fs::read(&file).unwrap(), before);
    drop(other);
    assert!(backup(&service, &file).await.status.success());
}

//! A backup as a file, by the binary: it goes on where it was cut off, and what was damaged is not restored.

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

const CACHE_BYTES: u64 = 1 << 20;
/// The record of README's tour, as `onrecord backup` of format 1 wrote it.
const FIXTURE_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-1/record.backup");

const FIXTURE_1_STATE: &str = "056ed308c1bc3abd961796fccc45d79e2fb19fe2a6e00eacba826c55616057a7";
/// That record restored and started, with a statement more: a backup of a store of format 2, with an epoch that an entry began.
const FIXTURE_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-1/restored.backup");
const FIXTURE_2_STATE: &str = "7924ef6f478ca75bdbe0a2a83ab6f3e5e12d3701262130469038d6cee195d24b";

/// A record with named subscriptions: a backup of a store of format 3.
const FIXTURE_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-1/subscriptions.backup");
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
async fn an_older_copy_is_restored_without_what_was_erased_since() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (older, newer) = (folder.path().join("older.backup"), folder.path().join("newer.backup"));
    for id in ["kept", "erased", "held"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words(&format!("Abracadabra {id}"))).await;
    }
    hold(&service, "held", true).await;
    assert!(backup(&service, &older).await.status.success());
    hold(&service, "held", false).await;
    expunge(&service, "held").await.unwrap();
    expunge(&service, "erased").await.unwrap();
    service.person("author").create("later", "en").await;
    expunge(&service, "later").await.unwrap();
    assert!(backup(&service, &newer).await.status.success());
    assert!(!folder.path().join("older.backup.erasures").exists());
    let register = folder.path().join("newer.backup.erasures");
    assert_eq!(fs::read_to_string(&register).unwrap().lines().count(), 3);

    let directory = tempfile::tempdir().unwrap();
    let (copy, store) = (older.to_str().unwrap(), directory.path().to_str().unwrap());
    let output = run(&["restore", copy, "--data-dir", store, "--erasures", register.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for erased in ["erased", "held"] {
        assert!(!holds(directory.path(), format!("Abracadabra {erased}").as_bytes()));
    }
    assert!(holds(directory.path(), b"Abracadabra kept"));
    assert_eq!(verify(directory.path(), CACHE_BYTES, false).unwrap().findings, []);
    let elsewhere = Service::start_on(Arc::new(directory)).await;
    let mut reader = elsewhere.person("reader");
    assert_eq!(reader.read("kept", "en").await.unwrap().live.unwrap().state(), live::State::Published);
    assert_eq!(reader.read("erased", "en").await.unwrap().live.unwrap().state(), live::State::Expunged);
    let entries = reader.editorial.list_entries(ListEntriesRequest::default()).await.unwrap().into_inner().entries;
    let newest: Vec<_> = entries.iter().rev().take(3).map(|entry| (&*entry.action, &*entry.statement)).collect();
    let erased = |id| ("RepeatErasure", id);
    assert_eq!(newest, [erased("statements/erased"), erased("statements/held"), ("BeginEpoch", "")]);
    assert!(entries.last().unwrap().reason.contains("restored from an older copy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_register_of_another_record_erases_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let register = folder.path().join("register");
    let line = r#"{"feedId":"00000000000000000000000000000000","statement":"statements/data-centre-fire","createTime":"2026-11-24T00:00:00Z","expungeTime":"2026-11-25T00:00:00Z"}"#;
    fs::write(&register, format!("{line}\n")).unwrap();
    let store = folder.path().join("store");
    let arguments =
        ["restore", FIXTURE_1, "--data-dir", store.to_str().unwrap(), "--erasures", register.to_str().unwrap()];
    assert!(run(&arguments).status.success());
    assert_eq!(verify(&store, CACHE_BYTES, false).unwrap().state_digest.to_string(), FIXTURE_1_STATE);
    fs::write(&register, "nonsense\n").unwrap();
    let other = folder.path().join("other");
    let arguments =
        ["restore", FIXTURE_1, "--data-dir", other.to_str().unwrap(), "--erasures", register.to_str().unwrap()];
    let output = run(&arguments);
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 1: no erasure"), "{output:?}");
    assert!(!other.exists());
}

#[test]
fn a_backup_of_format_1_is_restored() {
    assert_eq!(restored(Path::new(FIXTURE_1)), FIXTURE_1_STATE);
}

#[test]
fn a_backup_of_storage_format_2_is_restored() {
    assert_eq!(restored(Path::new(FIXTURE_2)), FIXTURE_2_STATE);
}

#[test]
fn a_backup_of_storage_format_3_is_restored() {
    assert_eq!(restored(Path::new(FIXTURE_3)), FIXTURE_3_STATE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_says_the_newest_format_that_is_in_it() {
    let (folder, data) = (tempfile::tempdir().unwrap(), Arc::new(tempfile::tempdir().unwrap()));
    let file = folder.path().join("record.backup");
    fs::copy(FIXTURE_2, &file).unwrap();
    assert!(restore(&file, data.path()).status.success());
    let service = Service::start_on(Arc::clone(&data)).await;
    let output = backup(&service, &file).await;
    assert!(output.status.success(), "{output:?}");
    let formats = |file: &Path| -> Vec<u32> {
        let bytes = fs::read(file).unwrap();
        let mut frames = &bytes[b"onrecord backup 1\n".len()..];
        let mut formats = Vec::new();
        while let Some((length, rest)) = frames.split_first_chunk::<4>() {
            let (frame, rest) = rest[4..].split_at(u32::from_be_bytes(*length) as usize);
            if let Some(Message::Header(header)) = BackupResponse::decode(frame).unwrap().message {
                formats.push(header.storage_format);
            }
            frames = rest;
        }
        formats
    };
    assert_eq!((formats(Path::new(FIXTURE_2)), formats(&file)), (vec![2], vec![2, STORAGE_FORMAT]));
    assert!(backup(&service, &file).await.status.success());
    assert_eq!(formats(&file), [2, STORAGE_FORMAT], "it is said once");
    restored(&file);
}

#[test]
fn a_damaged_backup_is_not_restored_and_leaves_nothing() {
    let whole = fs::read(FIXTURE_1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    let flipped = (0..whole.len()).step_by(whole.len() / 20).map(|place| {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        damaged
    });
    let cut = [whole[..whole.len() - 1].to_vec(), whole[..whole.len() / 2].to_vec(), Vec::new()];
    for damaged in flipped.chain(cut) {
        fs::write(&file, damaged).unwrap();
        let directory = folder.path().join("restored");
        let output = restore(&file, &directory);
        assert!(!output.status.success(), "{output:?}");
        assert!(!directory.exists() || fs::read_dir(&directory).unwrap().next().is_none(), "{output:?}");
    }
}

/// A copy that is whole twice, and where it is whole first.
async fn whole_twice(file: &Path) -> (usize, Vec<u8>) {
    let service = Service::start().await;
    let mut lengths = Vec::new();
    for id in ["fire", "flood"] {
        service.person("author").create(id, "en").await;
        assert!(backup(&service, file).await.status.success());
        lengths.push(fs::read(file).unwrap().len());
    }
    (lengths[0], fs::read(file).unwrap())
}

fn restored_entries(output: &Output) -> u64 {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["entries"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_whole_is_restored_though_the_newest_part_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    let (first, whole) = whole_twice(&file).await;
    for length in first..=whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let output = restore(&file, directory.path());
        assert_eq!(restored_entries(&output), if length == whole.len() { 2 } else { 1 }, "{length}");
        let told = String::from_utf8_lossy(&output.stderr).contains("as it was whole before that, up to entry 1");
        assert_eq!(told, (first + 1..whole.len()).contains(&length), "{length}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_copy_that_is_damaged_a_part_is_restored_only_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.backup");
    let (first, whole) = whole_twice(&file).await;
    let mut flipped = whole.clone();
    flipped[first + 20] ^= 1;
    // A frame that says nothing: zeros, or a kind of message that is not known.
    let zeros = [&whole[..first], &[0; 8], &whole[first..]].concat();
    for damaged in [flipped, zeros] {
        fs::write(&file, damaged).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let refused = restore(&file, directory.path());
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
        let words = String::from_utf8_lossy(&refused.stderr);
        assert!(words.contains("`--partial` restores what is whole before, up to entry 1"), "{words}");
        let (copy, store) = (file.to_str().unwrap(), directory.path().to_str().unwrap());
        let output = run(&["restore", copy, "--data-dir", store, "--output", "json", "--partial"]);
        assert_eq!(restored_entries(&output), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_never_leaves_erased_words_to_be_served() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (older, newer) = (folder.path().join("older.backup"), folder.path().join("newer.backup"));
    for id in ["kept", "erased"] {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", words(&format!("Abracadabra {id}"))).await;
    }
    assert!(backup(&service, &older).await.status.success());
    expunge(&service, "erased").await.unwrap();
    assert!(backup(&service, &newer).await.status.success());
    let register = folder.path().join("newer.backup.erasures");
    let (mut killed, mut pause) = (0, Duration::ZERO);
    loop {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["restore", older.to_str().unwrap(), "--data-dir", directory.path().to_str().unwrap()];
        let mut restore = Command::new(env!("CARGO_BIN_EXE_onrecord"));
        restore.args(arguments).args(["--erasures", register.to_str().unwrap()]).stdout(Stdio::null());
        let mut restore = Ended(restore.spawn().unwrap());
        tokio::time::sleep(pause).await;
        let ended = restore.0.try_wait().unwrap();
        drop(restore);
        let begun = directory.path().join("sled").exists();
        match verify(directory.path(), CACHE_BYTES, false) {
            Ok(_) => assert!(!holds(directory.path(), b"Abracadabra erased"), "killed after {pause:?}"),
            Err(refused) if begun => assert!(refused.to_string().contains("holds a part of a copy"), "{refused}"),
            Err(_) => {}
        }
        if ended.is_some() {
            break;
        }
        killed += 1;
        pause += Duration::from_millis(15);
    }
    assert!(killed > 3, "{killed}");
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

#[test]
fn a_restore_overwrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("mine"), "precious").unwrap();
    let output = restore(Path::new(FIXTURE_1), directory.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"), "{output:?}");
    assert_eq!(fs::read(directory.path().join("mine")).unwrap(), b"precious");
}

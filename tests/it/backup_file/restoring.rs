//! What a copy becomes: all of it that is whole, without what was erased since, and nothing of what is damaged.

use super::*;

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
        let mut frames = &bytes[b"onrecord backup 2\n".len()..];
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

#[test]
fn a_restore_overwrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("mine"), "precious").unwrap();
    let output = restore(Path::new(FIXTURE_1), directory.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"), "{output:?}");
    assert_eq!(fs::read(directory.path().join("mine")).unwrap(), b"precious");
}

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use tempfile::TempDir;

use super::{fixture::store, *};
use crate::{
    domain::{
        answer::Answer,
        command::{Call, Command, PublishDrafts, SaveDraft, Step, When},
        content::Content,
        id::{Caller, Code, LanguageTag, StatementId},
        rejection::etag,
        time::Timestamp,
    },
    journal::{
        Journal, Options, compact, key,
        row::{EntryBody, EntryRow, decode, encode},
        store::{Change, Row},
    },
};

const CACHE_BYTES: u64 = 1 << 20;

/// Makes a change that no entry made.
fn tamper(directory: &TempDir, change: Change, version: u64) {
    let changes = [(change, version)];
    tamper_all(directory, changes.iter().map(|(change, version)| (change, *version)));
}

fn tamper_all<'c>(directory: &TempDir, changes: impl IntoIterator<Item = (&'c Change, u64)>) {
    let store = Store::open_existing(directory.path(), CACHE_BYTES).unwrap();
    store.commit_many(changes).unwrap();
}

fn rows(directory: &TempDir) -> Vec<(Vec<u8>, u64)> {
    let store = Store::open_existing(directory.path(), CACHE_BYTES).unwrap();
    store.rows().map(|(key, row)| (key, row.unwrap().version)).collect()
}

#[test]
fn whatever_row_is_taken_away_is_missed_and_put_back_if_the_journal_has_it() {
    let whole = store();
    let expected = verify(whole.path(), CACHE_BYTES, false).unwrap();
    assert!(expected.is_clean(), "{:?}", expected.findings);
    for (key, version) in rows(&whole) {
        let damaged = store();
        tamper(&damaged, Change::remove(key.clone()), version);
        let report = verify(damaged.path(), CACHE_BYTES, false).unwrap();
        assert!(!report.is_clean(), "{}", hex::encode(&key));
        let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
        if matches!(key.first(), Some(b'm' | b'j' | b't')) {
            assert!(!repaired.is_clean(), "{}: only a backup has it", hex::encode(&key));
        } else {
            assert!(repaired.is_clean() && repaired.repaired_rows > 0, "{}", hex::encode(&key));
            assert_eq!(repaired.state_digest, expected.state_digest);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_over_times_that_is_not_what_the_entries_say_is_found_and_put_right() {
    let whole = opened().await;
    let expected = verify(whole.path(), CACHE_BYTES, false).unwrap();
    assert!(expected.is_clean(), "{:?}", expected.findings);
    let dates: Vec<_> = rows(&whole).into_iter().filter(|(key, _)| key.first() == Some(&b'i')).collect();
    assert_eq!(dates.len(), 3);
    let mut changes = vec![Change::put(key::date(Timestamp::from_micros(7)), encode(&2_u64))];
    for (key, _) in &dates {
        changes.extend([Change::remove(key.clone()), Change::put(key.clone(), encode(&77_u64))]);
    }
    for change in changes {
        let damaged = opened().await;
        let place = format!("the index over times, row {}", hex::encode(&change.key));
        tamper(&damaged, change, 1);
        let report = verify(damaged.path(), CACHE_BYTES, false).unwrap();
        let found: Vec<_> = report.findings.iter().map(|found| (&found.place, found.repairable)).collect();
        assert_eq!(found, [(&place, true)]);
        let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
        assert!(repaired.is_clean() && repaired.repaired_rows == 1, "{:?}", repaired.findings);
        assert_eq!((repaired.rows, repaired.state_digest), (expected.rows, expected.state_digest));
    }
}

#[test]
fn a_row_that_no_entry_wrote_so_is_found_and_put_right() {
    let expected = verify(store().path(), CACHE_BYTES, false).unwrap();
    let whole = store();
    for (key, version) in rows(&whole).into_iter().filter(|(key, _)| matches!(key.first(), Some(b's' | b'l' | b'n'))) {
        let damaged = store();
        tamper(&damaged, Change::put(key, encode(&"another")), version);
        assert!(!verify(damaged.path(), CACHE_BYTES, false).unwrap().is_clean());
        let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
        assert_eq!((repaired.is_clean(), repaired.state_digest), (true, expected.state_digest));
    }
    let damaged = store();
    let id = StatementId::parse("nobody").unwrap();
    tamper(&damaged, Change::put([b"d", id.as_str().as_bytes()].concat(), Vec::new()), 3);
    let report = verify(damaged.path(), CACHE_BYTES, false).unwrap();
    assert_eq!(report.findings[0].fault, "is indexed as due or owed and is not");
    assert!(verify(damaged.path(), CACHE_BYTES, true).unwrap().is_clean());
}

#[test]
fn a_row_that_claims_an_entry_which_did_not_write_it_is_found() {
    let expected = verify(store().path(), CACHE_BYTES, false).unwrap();
    let newest = expected.entries;
    let whole = store();
    let written = |key: &[u8]| matches!(key.first(), Some(b's' | b'l' | b'n' | b'e' | b't'));
    for (key, _) in rows(&whole).into_iter().filter(|(key, version)| written(key) && *version < newest - 1) {
        let damaged = store();
        tamper(&damaged, Change::put(key.clone(), b"another".to_vec()), newest - 1);
        assert!(!verify(damaged.path(), CACHE_BYTES, false).unwrap().is_clean(), "{}", hex::encode(&key));
    }
    for key in [key::statement(&StatementId::parse("made-up").unwrap()), key::text(&Digest::ZERO)] {
        let damaged = store();
        tamper(&damaged, Change::put(key.clone(), Vec::new()), newest);
        let found = verify(damaged.path(), CACHE_BYTES, false).unwrap().findings;
        assert_eq!(found.is_empty(), key.starts_with(b"t"), "an empty text is one that was taken away: {found:?}");
    }
    let damaged = store();
    let owned = |(key, _): &(Vec<u8>, u64)| key.starts_with(b"s");
    let (key, _) = rows(&whole).into_iter().find(owned).unwrap();
    let value = Store::open_existing(whole.path(), CACHE_BYTES).unwrap().get(&key).unwrap().unwrap().value;
    tamper(&damaged, Change::put(key, value), newest - 1);
    let found = verify(damaged.path(), CACHE_BYTES, false).unwrap().findings;
    assert_eq!(found[0].fault, format!("was not written by entry {}, as it says", newest - 1));
    let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
    assert_eq!((repaired.is_clean(), repaired.state_digest), (true, expected.state_digest));
}

#[test]
fn a_row_of_a_commit_that_failed_is_found_and_put_right() {
    let expected = verify(store().path(), CACHE_BYTES, false).unwrap();
    let (key, _) = rows(&store()).into_iter().find(|(key, _)| key.starts_with(b"l")).unwrap();
    let damaged = store();
    let value = Store::open_existing(damaged.path(), CACHE_BYTES).unwrap().get(&key).unwrap().unwrap().value;
    tamper(&damaged, Change::put(key, value), expected.entries + 1);
    assert!(!verify(damaged.path(), CACHE_BYTES, false).unwrap().is_clean());
    let repaired = verify(damaged.path(), CACHE_BYTES, true).unwrap();
    assert_eq!((repaired.is_clean(), repaired.state_digest), (true, expected.state_digest));
}

#[test]
fn indexes_have_no_rows_of_what_is_not_there() {
    let damaged = store();
    let id = StatementId::parse("made-up").unwrap();
    tamper(&damaged, Change::put(key::entry_of(&id, 3), Vec::new()), 3);
    let found = verify(damaged.path(), CACHE_BYTES, false).unwrap().findings;
    assert_eq!(found[0].fault, "have 1 rows of nothing that is there");
}

#[test]
fn a_text_that_is_needed_may_not_be_empty() {
    let whole = store();
    for (key, version) in rows(&whole).into_iter().filter(|(key, _)| key.starts_with(b"t")) {
        let damaged = store();
        tamper(&damaged, Change::put(key, Vec::new()), version);
        let found = verify(damaged.path(), CACHE_BYTES, false).unwrap().findings;
        assert!(
            found.iter().all(|it| it.fault.ends_with("is missing or cannot be read")) && !found.is_empty(),
            "{found:?}"
        );
    }
}

#[test]
fn there_has_to_be_a_store() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(verify(directory.path(), CACHE_BYTES, false), Err(JournalError::Store(_))));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "and none is made");
}

/// Takes a step on a statement.
async fn take(journal: &Journal, step: Step) -> Answer {
    let command = Command { statement: StatementId::parse("fire").unwrap(), step };
    let caller = Caller::parse("anna").unwrap();
    journal.submit(Call { caller, ..Call::of_service(command) }).await.unwrap().answer
}

/// A store with a text that waits for its time.
async fn scheduled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(Options::new(directory.path().to_owned())).unwrap();
    let english = || LanguageTag::parse("en").unwrap();
    let take = async |step| take(&journal, step).await;
    let (kind, owner, annotations) = (Code::parse("notice").unwrap(), String::new(), BTreeMap::new());
    take(Step::CreateStatement { kind, source_language: english(), owner, annotations }).await;
    let content = Content::from_canonical(
        br#"{"bodyMediaType":"text/plain","languageCode":"en","salt":"AAAAAAAAAAAAAAAAAAAAAA==","statement":"statements/fire","title":"Later"}"#,
    );
    let save = SaveDraft { content: content.unwrap(), etag: String::new(), base: None, faults: Vec::new() };
    let Answer::Draft(_, draft) = take(Step::SaveDraft(Box::new(save))).await else { panic!("a draft was saved") };
    take(Step::PublishDrafts(PublishDrafts {
        drafts: vec![(english(), etag(draft.version))],
        when: When::Later(journal.now().plus_seconds(3_600)),
        lateness_seconds_max: 60,
        force: Some("A test.".to_owned()),
    }))
    .await;
    journal.close().await;
    drop(journal);
    free(&directory).await;
    directory
}

/// The store of README's tour, in the newest format.
async fn opened() -> TempDir {
    let store = store();
    let journal = Journal::open(Options::new(store.path().to_owned())).unwrap();
    journal.close().await;
    drop(journal);
    free(&store).await;
    store
}

/// Waits until the threads of a journal that was closed have let go of its store.
async fn free(directory: &TempDir) {
    while Store::open_existing(directory.path(), CACHE_BYTES).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_repair_forgets_a_release_because_an_entry_or_its_statement_is_lost() {
    for lost in [key::entry(1), key::entry(2), key::entry(3), key::statement(&StatementId::parse("fire").unwrap())] {
        let store = scheduled().await;
        let due = |directory: &TempDir| rows(directory).into_iter().filter(|(key, _)| key.starts_with(b"d")).count();
        assert_eq!(due(&store), 1);
        tamper(&store, Change::remove(lost.clone()), 3);
        verify(store.path(), CACHE_BYTES, true).unwrap();
        assert_eq!(due(&store), 1, "{}", hex::encode(lost));
    }
}

#[test]
fn a_chain_is_taken_up_again_after_what_is_lost() {
    let store = store();
    let (key, row) = {
        let open = Store::open_existing(store.path(), CACHE_BYTES).unwrap();
        let key = key::entry(5);
        let row: EntryRow = decode(&open.get(&key).unwrap().unwrap().value).unwrap();
        (key, row)
    };
    let previous_hash = Digest::of(&[b"another"]);
    let forged = EntryRow { hash: Digest::chain(previous_hash, &row.seal), previous_hash, ..row };
    tamper(&store, Change::put(key, encode(&forged)), 5);
    tamper(&store, Change::remove(key::entry(2)), 5);
    let report = verify(store.path(), CACHE_BYTES, false).unwrap();
    let found = |place: &str, fault: &str| report.findings.iter().any(|it| it.place == place && it.fault == fault);
    assert!(found("entry 2", "is missing"), "{:?}", report.findings);
    assert!(found("entry 5", "does not follow the entry before"), "{:?}", report.findings);
    assert!(!found("entry 3", "does not follow the entry before"), "it follows what is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_watermark_is_found_and_written_anew() {
    let store = opened().await;
    let mark = store.path().join("watermark");
    let mut bytes = fs::read(&mark).unwrap();
    bytes[9] ^= 1;
    fs::write(&mark, bytes).unwrap();
    let report = verify(store.path(), CACHE_BYTES, false).unwrap();
    assert_eq!((report.findings[0].place.as_str(), report.findings[0].repairable), ("the watermark", true));
    assert!(verify(store.path(), CACHE_BYTES, true).unwrap().is_clean());
}

/// Every row of a store.
fn content(directory: &TempDir) -> BTreeMap<Vec<u8>, Row> {
    let store = Store::open_existing(directory.path(), CACHE_BYTES).unwrap();
    store.rows().map(|(key, row)| (key, row.unwrap())).collect()
}

fn copied(directory: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("sled")).unwrap();
    for file in ["sled/conf", "sled/db", "watermark"] {
        fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_erasure_is_under_way_and_no_damage() {
    let store = scheduled().await;
    let before = content(&store);
    let journal = Journal::open(Options::new(store.path().to_owned())).unwrap();
    take(&journal, Step::RepeatErasure { expunge_time: journal.now() }).await;
    journal.close().await;
    drop(journal);
    free(&store).await;
    let finished = verify(store.path(), CACHE_BYTES, false).unwrap();
    assert!(finished.is_clean() && finished.under_way.is_empty(), "{finished:?}");
    let after = content(&store);
    // What the erasure does after its entry is durable: texts, entries, events, editions, answers.
    let undone = before.iter().filter(|(key, row)| b"tjenr".contains(&key[0]) && after.get(*key) != Some(row));
    let undone: Vec<_> = undone.map(|(key, row)| (Change::put(key.clone(), row.value.clone()), row.version)).collect();
    assert!(undone.len() > 3, "{}", undone.len());
    let erasing = key::erasing(&StatementId::parse("fire").unwrap());
    let interrupted = ["the erasure of statements/fire was interrupted".to_owned()];
    // As if it had been killed with so many rows to go, from either end.
    for (rest, reverse) in (0..=undone.len()).flat_map(|rest| [(rest, false), (rest, true)]) {
        let damaged = copied(&store);
        let rows: Vec<_> =
            if reverse { undone.iter().rev().take(rest).collect() } else { undone.iter().take(rest).collect() };
        tamper_all(&damaged, rows.into_iter().map(|(change, version)| (change, *version)));
        tamper(&damaged, Change::put(erasing.clone(), encode(&finished.entries)), finished.entries);
        let expected = Report { under_way: interrupted.to_vec(), ..finished.clone() };
        for _ in 0..2 {
            // It stays under way, as nothing was changed.
            assert_eq!(verify(damaged.path(), CACHE_BYTES, false).unwrap(), expected);
        }
        if reverse {
            assert_eq!(verify(damaged.path(), CACHE_BYTES, true).unwrap(), expected);
        } else {
            assert_eq!(compact(damaged.path(), CACHE_BYTES).unwrap().report, expected);
        }
        assert_eq!(verify(damaged.path(), CACHE_BYTES, false).unwrap(), finished);
    }
}

/// A damaged copy of a store: each row that a repair can rebuild is missing or altered, and two indexes have a row too many.
fn ruined(whole: &TempDir) -> TempDir {
    let damaged = copied(whole);
    let mut damage = vec![
        (Change::put(key::date(Timestamp::from_micros(7)), encode(&2_u64)), 1),
        (Change::put(b"dnobody".to_vec(), Vec::new()), 1),
    ];
    let derived = rows(whole).into_iter().filter(|(key, _)| !b"mjt".contains(&key[0]));
    for (place, (key, version)) in derived.enumerate() {
        // Rows of indexes have no value to alter.
        let is_altered = place % 2 == 1 && !b"avdo".contains(&key[0]);
        let change = if is_altered { Change::put(key, encode(&"another")) } else { Change::remove(key) };
        damage.push((change, version));
    }
    tamper_all(&damaged, damage.iter().map(|(change, version)| (change, *version)));
    damaged
}

/// The writes of a repair that turns one content into another, each with its entry, in the order of `Check::run`: the rows of each entry and its
/// own in the index, the index over events, what is due and owed, the index over times.
fn repair_writes(before: &BTreeMap<Vec<u8>, Row>, after: &BTreeMap<Vec<u8>, Row>) -> Vec<(u64, Vec<Change>)> {
    let mut writes: BTreeMap<(usize, bool, u64), Vec<Change>> = BTreeMap::new();
    let entries = after.iter().filter(|(key, _)| key[0] == b'j');
    for (key, row) in entries {
        let number = key::number_at_end(key).unwrap();
        let entry: EntryRow = decode(&row.value).unwrap();
        let body: EntryBody = decode(&entry.body.unwrap()).unwrap();
        // A missing row is put by each entry that once wrote it: until the last of them it is older than the journal.
        let is_put = |key: &[u8]| !b"do".contains(&key[0]) && before.get(key).is_none_or(|row| row.version <= number);
        let puts = body.rows.iter().filter_map(|row| match row.parts() {
            (key, Some(value)) if is_put(key) => Some(Change::put(key.to_vec(), value.to_vec())),
            _ => None,
        });
        writes.entry((0, false, number)).or_default().extend(puts);
    }
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let put: BTreeSet<_> = writes.values().flatten().map(|change| change.key.clone()).collect();
    for key in keys.into_iter().filter(|key| before.get(*key) != after.get(*key) && !put.contains(*key)) {
        let turn = [b"v".as_slice(), b"do", b"i"].iter().position(|spaces| spaces.contains(&key[0]));
        let (version, value) = after.get(key).map_or((0, None), |row| (row.version, Some(row.value.clone())));
        let write = writes.entry((turn.map_or(0, |turn| turn + 1), value.is_none(), version)).or_default();
        write.push(Change { key: key.clone(), value });
    }
    writes.retain(|_, changes| !changes.is_empty());
    writes.into_iter().map(|((_, _, version), changes)| (version, changes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_repair_leaves_nothing_that_the_next_one_cannot_repair() {
    for whole in [opened().await, scheduled().await] {
        let expected = verify(whole.path(), CACHE_BYTES, false).unwrap();
        let damaged = ruined(&whole);
        let named = verify(damaged.path(), CACHE_BYTES, false).unwrap().findings;
        let repaired = copied(&damaged);
        let report = verify(repaired.path(), CACHE_BYTES, true).unwrap();
        assert_eq!((report.findings, report.state_digest), (Vec::new(), expected.state_digest));
        let (before, after) = (content(&damaged), content(&repaired));
        let writes = repair_writes(&before, &after);
        assert!(writes.len() > 5, "{}", writes.len());
        let all = copied(&damaged);
        tamper_all(&all, writes.iter().flat_map(|(version, all)| all.iter().map(move |change| (change, *version))));
        assert!(content(&all) == after, "the writes are those of the repair");
        for place in 0..=writes.len() {
            let (done, rest) = writes.split_at(place);
            // Damaged rows are removed, one by one, before those that take their place are put.
            let removed = rest.first().map(|(version, changes)| {
                (*version, changes.iter().map(|change| Change::remove(change.key.clone())).collect::<Vec<_>>())
            });
            let next_removed = [done, removed.as_slice()].concat();
            for (writes, in_order) in [(done, true), (next_removed.as_slice(), true), (rest, false)] {
                let store = copied(&damaged);
                let changes = writes.iter().flat_map(|(version, all)| all.iter().map(move |change| (change, *version)));
                tamper_all(&store, changes);
                let found = verify(store.path(), CACHE_BYTES, false).unwrap().findings;
                // Nothing is called lost that was not before the repair.
                let is_known =
                    |it: &Finding| it.repairable || named.iter().any(|was| !was.repairable && was.place == it.place);
                assert!(!in_order || found.iter().all(is_known), "{place}: {found:?}");
                let report = verify(store.path(), CACHE_BYTES, true).unwrap();
                assert_eq!((report.findings, content(&store) == after), (Vec::new(), true), "{place}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_cannot_be_finished_is_damage() {
    let store = scheduled().await;
    tamper(&store, Change::put(key::erasing(&StatementId::parse("fire").unwrap()), encode(&3_u64)), 3);
    tamper(&store, Change::put(key::entry(2), vec![0]), 3);
    for repair in [false, true] {
        let report = verify(store.path(), CACHE_BYTES, repair).unwrap();
        let named =
            |it: &Finding| it.fault == "the erasure of statements/fire cannot be finished, as rows of it are damaged";
        assert!(report.findings.iter().any(named), "{report:?}");
    }
}

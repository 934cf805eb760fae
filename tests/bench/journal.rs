//! What the journal costs: durable writes, bytes, opening, memory, reads. `cargo bench --bench journal` prints a table.
//!
//! Usage: `cargo bench --bench journal -- [EVENTS …]`; without numbers 10,000 and 100,000 events. A million takes half an hour.
//! An event is a text of 2 KiB (`ONRECORD_TEXT_BYTES`) that is saved, submitted, approved and published, on one of 1,000 statements.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that fails has to stop, and its figures are approximate"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};

use onrecord::{
    config::Config,
    domain::{
        answer::Answer,
        command::{self, Call, PublishDrafts, SaveDraft, Step, When},
        content::{ChangeKind, Content, TextMediaType},
        digest::Salt,
        id::{Caller, Code, LanguageTag, StatementId},
        rejection::etag,
    },
    journal::{CACHE_BYTES_DEFAULT, Journal, Options, verify},
    server,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

const STATEMENTS: usize = 1_000;
/// Bytes of a text.
static TEXT_BYTES: LazyLock<usize> =
    LazyLock::new(|| env::var("ONRECORD_TEXT_BYTES").map_or(2_048, |bytes| bytes.parse().unwrap()));
const WRITERS: [usize; 4] = [1, 16, 64, 256];
/// How long each number of writers writes.
const WRITING: Duration = Duration::from_secs(5);
const READS: u64 = 10_000;
/// Durable writes on the way of a text: saved, submitted, approved, published.
const STEPS: usize = 4;

fn english() -> LanguageTag {
    LanguageTag::parse("en").unwrap()
}

fn id(number: usize) -> StatementId {
    StatementId::parse(&format!("statement-{}", number % STATEMENTS)).unwrap()
}

fn call(caller: &str, number: usize, step: Step) -> Call {
    let command = command::Command { statement: id(number), step };
    Call { caller: Caller::parse(caller).unwrap(), ..Call::of_service(command) }
}

/// As long as it has to be, of words that do not repeat themselves: it shrinks to a half, which is more than texts of people do.
fn body(number: usize) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "der", "flo", "gri", "hun", "ka", "lo", "mar", "ni", "o", "per", "quo", "ras", "so", "tem", "vi"];
    let (mut body, mut random) = (String::with_capacity(*TEXT_BYTES + 16), number as u64);
    while body.len() < *TEXT_BYTES {
        // Knuth's generator (MMIX); its high bits are good.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        body.extend((0..=(random >> 62)).map(|place| SYLLABLES[(random >> (40 + 4 * place)) as usize % 16]));
        body.push(' ');
    }
    body.truncate(*TEXT_BYTES);
    body
}

fn words(number: usize) -> Content {
    Content {
        statement: id(number),
        language_code: english(),
        salt: Salt::default(),
        title: "A statement".to_owned(),
        summary: String::new(),
        body: body(number),
        body_media_type: TextMediaType::Plain,
        renditions: Vec::new(),
        attachments: Vec::new(),
        topics: Vec::new(),
        region_codes: Vec::new(),
        excluded_region_codes: Vec::new(),
        audiences: Vec::new(),
        channels: Vec::new(),
        urgency: 0,
        claim_reviews: Vec::new(),
        contacts: Vec::new(),
        change_kind: None,
        change_note: String::new(),
        correction: None,
        expire_time: None,
        review_due_time: None,
        source_edition: None,
        as_of_time: None,
        original_time: None,
    }
}

/// Statements with nothing in them yet.
async fn create_all(journal: &Journal, statements: usize) {
    let mut tasks = JoinSet::new();
    for number in 0..statements {
        let journal = journal.clone();
        tasks.spawn(async move {
            let (kind, source_language) = (Code::parse("notice").unwrap(), english());
            let (owner, annotations) = (String::new(), BTreeMap::new());
            let create = Step::CreateStatement { kind, source_language, owner, annotations };
            journal.submit(call("author", number, create)).await.unwrap();
        });
    }
    tasks.join_all().await;
}

/// Saves a text of 2 KiB over the draft with this etag, and gives the new one: one durable write.
async fn save(journal: &Journal, number: usize, etag: String, first: bool) -> String {
    let change_kind = Some(if first { ChangeKind::Initial } else { ChangeKind::Minor });
    let content = Content { change_kind, ..words(number) };
    let save = Step::SaveDraft(Box::new(SaveDraft { content, etag, base: None, faults: Vec::new() }));
    next_etag(journal.submit(call("author", number, save)).await.unwrap().answer)
}

/// A text of 2 KiB on its whole way: four durable writes, one event.
async fn publish(journal: &Journal, number: usize, first: bool) {
    let (language, comment) = (english(), String::new());
    let etag = save(journal, number, String::new(), first).await;
    let submit = Step::SubmitDraft { language: language.clone(), etag };
    let etag = next_etag(journal.submit(call("author", number, submit)).await.unwrap().answer);
    let approve = Step::ApproveDraft { language: language.clone(), etag, comment };
    let etag = next_etag(journal.submit(call("reviewer", number, approve)).await.unwrap().answer);
    let (drafts, when) = (vec![(language, etag)], When::Now);
    let publish = Step::PublishDrafts(PublishDrafts { drafts, when, lateness_seconds_max: 1, force: None });
    journal.submit(call("publisher", number, publish)).await.unwrap();
}

fn next_etag(answer: Answer) -> String {
    let Answer::Draft(_, draft) = answer else { unreachable!("a draft was saved, submitted or approved") };
    etag(draft.version)
}

fn open(directory: &Path) -> Journal {
    loop {
        match Journal::open(Options::new(directory.to_owned())) {
            Err(error) if error.to_string().contains("in use") => std::thread::sleep(Duration::from_millis(5)),
            journal => return journal.unwrap(),
        }
    }
}

/// Saves drafts with so many writers at once, each its own; how long each write took.
async fn write(journal: &Journal, writers: usize) -> Vec<Duration> {
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for number in 0..writers {
        let journal = journal.clone();
        tasks.spawn(async move {
            let (mut took, mut etag) = (Vec::new(), String::new());
            while begun.elapsed() < WRITING {
                let one = Instant::now();
                etag = save(&journal, number, etag, true).await;
                took.push(one.elapsed());
            }
            took
        });
    }
    tasks.join_all().await.concat()
}

/// Publishes so many texts.
async fn fill(journal: &Journal, events: usize) {
    let mut tasks = JoinSet::new();
    for number in 0..STATEMENTS {
        let journal = journal.clone();
        tasks.spawn(async move {
            for round in 0..events / STATEMENTS {
                publish(&journal, number, round == 0).await;
            }
        });
    }
    tasks.join_all().await;
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1_000.0
}

/// Bytes that this process had written to the device.
fn written() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

/// Memory of this process in MiB: resident now (`VmRSS:`), or at most (`VmHWM:`).
fn memory(name: &str) -> u64 {
    field("/proc/self/status", name) / 1024
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn size(directory: &Path) -> u64 {
    let items = fs::read_dir(directory).unwrap().map(Result::unwrap);
    items.map(|item| if item.path().is_dir() { size(&item.path()) } else { item.metadata().unwrap().len() }).sum()
}

fn writers(runtime: &Runtime) {
    println!("durable writes: texts of 2 KiB saved as drafts, {} s each", WRITING.as_secs());
    println!("{:>8} {:>10} {:>9} {:>9} {:>22}", "writers", "writes/s", "p50 ms", "p99 ms", "written per payload");
    for writers in WRITERS {
        let directory = TempDir::new().unwrap();
        runtime.block_on(async {
            let journal = open(directory.path());
            create_all(&journal, writers).await;
            let (before, begun) = (written(), Instant::now());
            let mut took = write(&journal, writers).await;
            let seconds = begun.elapsed().as_secs_f64();
            let ratio = (written() - before) as f64 / (took.len() * *TEXT_BYTES) as f64;
            took.sort_unstable();
            println!(
                "{writers:>8} {:>10.0} {:>9.2} {:>9.2} {ratio:>22.1}",
                took.len() as f64 / seconds,
                percentile(&took, 50),
                percentile(&took, 99),
            );
            journal.close().await;
        });
    }
}

/// What a process of its own does with a store, so that its memory is its own: filled and killed, or opened and read.
fn alone(part: &str, directory: &Path, events: usize) -> String {
    let mut process = Command::new(env::current_exe().unwrap());
    let done = process.arg(part).arg(directory).arg(events.to_string()).stderr(Stdio::inherit()).output().unwrap();
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

/// Publishes so many texts, says how much memory that took at most, and dies without closing the store.
fn fill_and_die(runtime: &Runtime, directory: &Path, events: usize) {
    runtime.block_on(async {
        let journal = open(directory);
        create_all(&journal, STATEMENTS).await;
        let begun = Instant::now();
        fill(&journal, events).await;
        let rate = (events * STEPS) as f64 / begun.elapsed().as_secs_f64();
        println!("{rate:>9.0} {:>9}", memory("VmHWM:"));
        std::process::abort();
    });
}

/// Opens a store, reads it, and says how long that took.
fn open_and_read(runtime: &Runtime, directory: &Path) {
    runtime.block_on(async {
        let begun = Instant::now();
        let journal = open(directory);
        let (opened, resident) = (begun.elapsed(), memory("VmRSS:"));
        let tail = *journal.tail().borrow();
        let begun = Instant::now();
        let scanned = journal.read(move |view| {
            let mut next = 1;
            while next < tail {
                next += view.events(next, 256)?.len() as u64;
            }
            Ok(next - 1)
        });
        let scan = scanned.await.unwrap() as f64 / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let read = journal.read(move |view| {
            for number in 0..READS {
                view.state(&id(usize::try_from(number * 7_919 % STATEMENTS as u64).unwrap_or_default()))?;
            }
            Ok(())
        });
        read.await.unwrap();
        let point = begun.elapsed().as_secs_f64() * 1e6 / READS as f64;
        let most = memory("VmHWM:");
        println!("{:>8.2} {resident:>9} {scan:>13.0} {point:>13.0} {most:>9}", opened.as_secs_f64());
        journal.close().await;
    });
}

/// How far a second site is behind while so many writers write: from the moment an entry is durable here to the moment that
/// `onrecord backup --follow` says it is durable there.
fn follower(runtime: &Runtime, writers: usize) {
    let (directory, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    runtime.block_on(async {
        let journal = open(directory.path());
        create_all(&journal, writers).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let config = Config::insecure(directory.path().to_owned());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::run_on(listener, journal.clone(), config, stop.clone()));
        let mut second_site = Command::new(env!("CARGO_BIN_EXE_onrecord"))
            .args(["backup", "--follow", "--output", "json", "--caller", "operator", "--server", &server])
            .arg(copies.path().join("record.backup"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(second_site.stdout.take().unwrap()).lines();
        let arrived: Arc<Mutex<Vec<(u64, Instant)>>> = Arc::default();
        let noted = Arc::clone(&arrived);
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let now = Instant::now();
                let entry = line.split("\"newest_entry\":").nth(1).unwrap().trim_end_matches('}').parse().unwrap();
                noted.lock().unwrap().push((entry, now));
            }
        });
        while arrived.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut newest = journal.newest_entry();
        let (before, begun) = (*newest.borrow_and_update(), Instant::now());
        let following = tokio::spawn(async move {
            let mut durable = Vec::new();
            while newest.changed().await.is_ok() {
                durable.push((*newest.borrow_and_update(), Instant::now()));
            }
            durable
        });
        write(&journal, writers).await;
        let entries = *journal.newest_entry().borrow();
        let rate = (entries - before) as f64 / begun.elapsed().as_secs_f64();
        while arrived.lock().unwrap().last().unwrap().0 < entries {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        second_site.kill().unwrap();
        second_site.wait().unwrap();
        reading.join().unwrap();
        stop.cancel();
        serving.await.unwrap().unwrap();
        journal.close().await;
        drop(journal);
        let durable = following.await.unwrap();
        let arrived = arrived.lock().unwrap();
        let mut lags: Vec<_> = arrived
            .iter()
            .filter_map(|(entry, there)| {
                let (_, here) = durable.iter().find(|(newest, _)| newest >= entry)?;
                Some(there.saturating_duration_since(*here))
            })
            .collect();
        lags.sort_unstable();
        println!(
            "{writers:>8} {rate:>10.0} {:>9.2} {:>9.2} {:>9.2}",
            percentile(&lags, 50),
            percentile(&lags, 99),
            percentile(&lags, 100)
        );
    });
}

/// Verifies a store, and says how long that took and how much memory.
fn verify_all(directory: &Path) {
    let begun = Instant::now();
    assert!(verify(directory, CACHE_BYTES_DEFAULT, false).unwrap().is_clean());
    println!("{:>9.1} {:>9}", begun.elapsed().as_secs_f64(), memory("VmHWM:"));
}

fn growth(events: usize) {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let filled = alone("fill", path, events);
    let after_kill = alone("read", path, events);
    let opened_after_kill = after_kill.split_whitespace().next().unwrap();
    let read = alone("read", path, events);
    let verified = alone("verify", path, events);
    let disk = size(path) as f64;
    println!(
        "{events:>9} {filled} {:>8.0} {:>13.1} {opened_after_kill:>8} {read} {verified}",
        disk / 1e6,
        disk / (events * *TEXT_BYTES) as f64,
    );
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let given: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [part, directory, events] = given.as_slice() {
        let directory = Path::new(directory);
        match part.as_str() {
            "fill" => return fill_and_die(&runtime, directory, events.parse().unwrap()),
            "read" => return open_and_read(&runtime, directory),
            "verify" => return verify_all(directory),
            _ => {}
        }
    }
    let given: Vec<usize> = given.iter().map(|number| number.parse().unwrap()).collect();
    let sizes = if given.is_empty() { vec![10_000, 100_000] } else { given };
    writers(&runtime);
    println!("\na second site follows (onrecord backup --follow) while drafts are saved: how far it is behind");
    println!("{:>8} {:>10} {:>9} {:>9} {:>9}", "writers", "writes/s", "p50 ms", "p99 ms", "most ms");
    for writers in [1, 64] {
        follower(&runtime, writers);
    }
    println!("\nevents of 2 KiB, each {STEPS} durable writes; the process that wrote them is killed; memory in MiB");
    println!(
        "{:>9} {:>9} {:>9} {:>8} {:>13} {:>8} {:>8} {:>9} {:>13} {:>13} {:>9} {:>9} {:>9}",
        "events",
        "writes/s",
        "most",
        "disk MB",
        "disk/payload",
        "open s",
        "again s",
        "memory",
        "scan events/s",
        "statement us",
        "most",
        "verify s",
        "most"
    );
    for events in sizes {
        growth(events);
    }
}

//! Whether the time of an answer tells that something is there which the caller may not see.
//!
//! Usage: `cargo bench --bench answers -- [ROUNDS]`, 10 unless told otherwise, two minutes. A reader asks for statements that are published for others, for
//! drafts, and for what never was, in random order, and each answer is timed. With `ONRECORD_BENCH_DIR` the table is written there.
//!
//! "Guessed" is the chance that of two answers, one about something hidden and one about nothing, the slower is the hidden one: 50 % tells
//! nothing, 100 % everything from one call. The last column is the same between two groups of names that never were: the noise.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::format_push_string,
    missing_docs,
    reason = "a benchmark that fails has to stop, and its figures are approximate"
)]

#[path = "feed/process.rs"]
#[expect(dead_code, reason = "the other benchmark also asks what a process costs")]
mod process;

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use onrecord::{
    access::Token,
    api::v1::{
        self, editorial_service_client::EditorialServiceClient, feed_service_client::FeedServiceClient,
        statement_service_client::StatementServiceClient,
    },
};
use process::{Process, free_port};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Names of each group.
const NAMES: usize = 100;
const ROUNDS_DEFAULT: usize = 10;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Group {
    /// Published, for others.
    Hidden,
    /// Written, and not published.
    Draft,
    /// Nothing.
    Missing,
    /// Nothing either.
    MissingToo,
}

const GROUPS: [(Group, &str); 4] =
    [(Group::Hidden, "hidden"), (Group::Draft, "draft"), (Group::Missing, "missing"), (Group::MissingToo, "nothing")];

/// A call about a statement, which is refused.
type Ask = for<'r> fn(&'r mut Reader, &str) -> Asking<'r>;
type Asking<'r> = std::pin::Pin<Box<dyn Future<Output = Result<(), Status>> + 'r>>;

#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Client = InterceptedService<Channel, Bearer>;

struct Reader {
    statements: StatementServiceClient<Client>,
    feed: FeedServiceClient<Client>,
}

fn main() {
    let rounds = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS_DEFAULT);
    tokio::runtime::Runtime::new().unwrap().block_on(measure(rounds));
}

const CALLS: [(&str, Ask); 5] = [
    ("GetStatement", |reader, id| {
        let request = v1::GetStatementRequest { name: format!("statements/{id}"), ..Default::default() };
        Box::pin(async { reader.statements.get_statement(request).await.map(drop) })
    }),
    ("GetEdition", |reader, id| {
        let request = v1::GetEditionRequest { name: format!("statements/{id}/editions/en.1"), ..Default::default() };
        Box::pin(async { reader.statements.get_edition(request).await.map(drop) })
    }),
    ("ListEditions", |reader, id| {
        let request = v1::ListEditionsRequest { parent: format!("statements/{id}"), ..Default::default() };
        Box::pin(async { reader.statements.list_editions(request).await.map(drop) })
    }),
    ("DiffEditions", |reader, id| {
        let edition = format!("statements/{id}/editions/en.1");
        let request = v1::DiffEditionsRequest { from_edition: edition.clone(), to_edition: edition };
        Box::pin(async { reader.statements.diff_editions(request).await.map(drop) })
    }),
    ("GetSubscription", |reader, id| {
        let request = v1::GetSubscriptionRequest { name: format!("subscriptions/{id}") };
        Box::pin(async { reader.feed.get_subscription(request).await.map(drop) })
    }),
];

async fn measure(rounds: usize) {
    let (desk, site) = (Token::random().unwrap(), Token::random().unwrap());
    let port = free_port();
    let _service = Process::start(|directory| serve(directory, port, &desk, &site));
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().tcp_nodelay(true);
    let mut tries = 0;
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(error) => assert!(tries < 500, "the service does not start: {error}"),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    prepare(&channel, &desk).await;
    let mut reader = Reader {
        statements: StatementServiceClient::with_interceptor(channel.clone(), bearer(&site)),
        feed: FeedServiceClient::with_interceptor(channel, bearer(&site)),
    };
    let mut table = "| | hidden µs | draft µs | never was µs | guessed, hidden | guessed, draft | noise |\n|---|---:|---:|---:|---:|---:|---:|\n".to_owned();
    for (name, ask) in CALLS {
        let mut times: HashMap<Group, Vec<f64>> = HashMap::new();
        for round in 0..=rounds {
            for (group, id) in shuffled() {
                let begun = Instant::now();
                let refusal = ask(&mut reader, &id).await.unwrap_err();
                let took = begun.elapsed().as_secs_f64() * 1e6;
                assert_eq!(refusal.code(), Code::NotFound, "{name} {id}: {refusal}");
                // The first warms.
                if round > 0 {
                    times.entry(group).or_default().push(took);
                }
            }
        }
        for times in times.values_mut() {
            times.sort_unstable_by(f64::total_cmp);
        }
        let of = |group| &times[&group];
        let middle = |group| of(group)[of(group).len() / 2];
        let guessed = |group| 100.0 * slower(of(group), of(Group::Missing));
        table += &format!(
            "| {name} | {:.1} | {:.1} | {:.1} | {:.1} % | {:.1} % | {:.1} % |\n",
            middle(Group::Hidden),
            middle(Group::Draft),
            middle(Group::Missing),
            guessed(Group::Hidden),
            guessed(Group::Draft),
            guessed(Group::MissingToo),
        );
    }
    println!("Times of answers, medians of {} calls each\n\n{table}", rounds * NAMES);
    if let Ok(directory) = env::var("ONRECORD_BENCH_DIR") {
        fs::write(Path::new(&directory).join("answers-table.md"), table).unwrap();
    }
}

fn serve(directory: &Path, port: u16, desk: &Token, site: &Token) -> Command {
    let policy = directory.join("policy.toml");
    let text = format!(
        "[limits]\ncalls_per_second = 1000000\n[limits.total]\ncalls_per_second = 1000000\n\
         [[grants]]\nto = [\"desk\"]\nroles = [\"author\", \"publisher\", \"operator\"]\n\
         [[grants]]\nto = [\"site\"]\nroles = [\"subscriber\"]\naudiences = [\"press\"]\nsubscriptions = [\"site\"]\n\
         [[tokens]]\ncaller = \"desk\"\nsha256 = \"{}\"\n[[tokens]]\ncaller = \"site\"\nsha256 = \"{}\"\n",
        desk.digest(),
        site.digest()
    );
    fs::write(&policy, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onrecord"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--policy"]).arg(policy);
    command.arg("--data-dir").arg(directory.join("data"));
    command
}

fn bearer(token: &Token) -> Bearer {
    Bearer(format!("Bearer {}", token.secret()).parse().unwrap())
}

/// Statements for others, drafts, and a subscription of each name.
async fn prepare(channel: &Channel, desk: &Token) {
    let mut editor = EditorialServiceClient::with_interceptor(channel.clone(), bearer(desk));
    let mut feed = FeedServiceClient::with_interceptor(channel.clone(), bearer(desk));
    for (group, word) in &GROUPS[..2] {
        for number in 0..NAMES {
            let id = format!("{word}-{number}");
            let statement = v1::Statement {
                kind: "notice".to_owned(),
                source_language_code: "en".to_owned(),
                ..Default::default()
            };
            let create = v1::CreateStatementRequest {
                statement_id: id.clone(),
                statement: Some(statement),
                ..Default::default()
            };
            editor.create_statement(create).await.unwrap();
            let content = v1::Content {
                title: "Words for others".to_owned(),
                body: "word ".repeat(400),
                audiences: vec!["staff".to_owned()],
                ..Default::default()
            };
            let draft =
                v1::Draft { name: format!("statements/{id}/drafts/en"), content: Some(content), ..Default::default() };
            let save = v1::SaveDraftRequest { draft: Some(draft), ..Default::default() };
            let etag = editor.save_draft(save).await.unwrap().into_inner().draft.unwrap().etag;
            let subscription = v1::CreateSubscriptionRequest { subscription_id: id.clone(), ..Default::default() };
            feed.create_subscription(subscription).await.unwrap();
            if *group == Group::Hidden {
                let publish = v1::PublishDraftsRequest {
                    parent: format!("statements/{id}"),
                    drafts: vec![v1::DraftToPublish { language_code: "en".to_owned(), etag }],
                    force: true,
                    reason: "A benchmark.".to_owned(),
                    ..Default::default()
                };
                editor.publish_drafts(publish).await.unwrap();
            }
        }
    }
}

/// Every name of every group, in random order.
fn shuffled() -> Vec<(Group, String)> {
    let names =
        GROUPS.iter().flat_map(|(group, word)| (0..NAMES).map(move |number| (*group, format!("{word}-{number}"))));
    let mut names: Vec<_> = names.map(|name| (getrandom::u64().unwrap(), name)).collect();
    names.sort_unstable_by_key(|(place, _)| *place);
    names.into_iter().map(|(_, name)| name).collect()
}

/// The chance that one of the first is slower than one of the others; both are sorted.
fn slower(these: &[f64], others: &[f64]) -> f64 {
    let below = |time: &f64| others.partition_point(|other| other < time) as f64;
    let same = |time: &f64| others.partition_point(|other| other <= time) as f64 - below(time);
    let wins: f64 = these.iter().map(|time| below(time) + same(time) / 2.0).sum();
    wins / (these.len() * others.len()) as f64
}

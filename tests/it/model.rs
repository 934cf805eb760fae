//! Random steps over real gRPC against a plain model of what has to come of them.
//!
//! The model is written from the design alone and shares no code with the crate. After a run the readers' lists, and the folded
//! streams of subscribers with filters who came, went and resumed while it ran, have to equal the model.

mod check;
mod rules;
mod run;
mod site;
mod state;
mod steps;

use proptest::{
    collection::vec,
    test_runner::{Config, TestRunner},
};

use run::Run;
use steps::{PLANS, command, plan};

const STATEMENTS: [&str; 3] = ["flood", "merger", "recall"];
const SOURCES: [&str; 3] = ["en", "fr", "en"];
const LANGUAGES: [&str; 3] = ["en", "fr", "fr-CA"];
const TOPICS: [&str; 2] = ["law", "tax"];
const REGIONS: [&str; 3] = ["BR", "DE", "150"];
/// A statement that every filter admits: a new edition of it shows a subscriber that it has caught up.
const MARK: &str = "mark";
const HOUR: i64 = 3_600;

type Language = &'static str;
type Key = (usize, Language);

fn name(s: usize) -> String {
    format!("statements/{}", STATEMENTS[s])
}

fn own(languages: &[Language]) -> Vec<String> {
    languages.iter().map(ToString::to_string).collect()
}

fn key(statement: &str, language: &str) -> Option<Key> {
    let id = statement.strip_prefix("statements/").unwrap();
    let s = STATEMENTS.iter().position(|known| *known == id)?;
    Some((s, LANGUAGES.into_iter().find(|known| *known == language).unwrap()))
}

#[test]
fn whatever_happens_lists_and_streams_show_what_the_model_shows() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let strategy = (vec(plan(), PLANS - 1), vec(command(), 20..60));
    let result = TestRunner::new(config).run(&strategy, |(plans, commands)| {
        runtime().block_on(Run::run(&plans, commands));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

//! What is wanted of the feed, beside what a run showed. Ratios are onrecord's figure by the peer's, in one run.

use std::{env, fs};

use crate::report::Column;

/// What is wanted.
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}
use Wanted::{AtLeast, AtMost};

/// One target: a row of a part, by a peer if it is a ratio.
struct Target {
    part: &'static str,
    row: usize,
    by: Option<&'static str>,
    wanted: Wanted,
    words: &'static str,
}

const fn target(
    part: &'static str,
    row: usize,
    by: Option<&'static str>,
    wanted: Wanted,
    words: &'static str,
) -> Target {
    Target { part, row, by, wanted, words }
}

const FANOUT: &str = "fanout-1000-2048";
const LARGE: &str = "fanout-5000-2048";
const CATCH_UP: &str = "catch-up-2048";
const PUBLISH: &str = "publish-2048";
const STALLED: &str = "stalled-2048";
const CROWD: &str = "crowd-2048";

const TARGETS: [Target; 24] = [
    target(FANOUT, 0, Some("etcd"), AtMost(0.35), "burst, 1,000 subscribers, server CPU a delivery"),
    target(FANOUT, 0, Some("JetStream"), AtMost(0.35), "the same"),
    target(FANOUT, 0, Some("NATS core"), AtMost(1.0), "the same"),
    target(FANOUT, 0, Some("raw TCP"), AtMost(2.0), "the same"),
    target(FANOUT, 2, Some("etcd"), AtMost(0.55), "live, one event at a time"),
    target(FANOUT, 2, Some("JetStream"), AtMost(0.45), "the same"),
    target(FANOUT, 2, Some("NATS core"), AtMost(0.85), "the same"),
    target(FANOUT, 5, Some("etcd"), AtMost(0.5), "publish to deliver, p99, 20 events/s"),
    target(FANOUT, 5, Some("JetStream"), AtMost(0.5), "the same"),
    target(CATCH_UP, 1, Some("JetStream, pull"), AtLeast(1.2), "catch-up, 10 subscribers, MB/s"),
    target(CATCH_UP, 1, Some("etcd"), AtLeast(7.0), "the same"),
    target(CATCH_UP, 3, Some("JetStream, pull"), AtMost(0.15), "memory after it"),
    target(PUBLISH, 0, Some("etcd"), AtLeast(1.0), "durable publications/s, 1 writer"),
    target(PUBLISH, 1, Some("etcd"), AtLeast(1.2), "16 writers"),
    target(PUBLISH, 2, Some("etcd"), AtLeast(1.2), "64 writers"),
    target(PUBLISH, 3, Some("etcd"), AtLeast(1.5), "256 writers"),
    target(PUBLISH, 3, Some("JetStream, sync always"), AtLeast(3.0), "256 writers"),
    target(LARGE, 7, None, AtMost(20.0), "idle, KiB a subscriber, 5,000 of them"),
    target(LARGE, 7, Some("etcd"), AtMost(0.35), "the same"),
    target(LARGE, 7, Some("NATS core"), AtMost(0.55), "the same"),
    target(STALLED, 0, None, AtMost(128.0), "KiB a subscriber that is 10 MB behind"),
    target(STALLED, 5, None, AtMost(1.1), "p99 of the others beside 1,000 of them, by that before"),
    target(CROWD, 0, None, AtMost(0.0), "lost, 10,000 subscribers, 5 events/s"),
    target(CROWD, 1, None, AtMost(0.0), "twice"),
];

/// A line for each target of which a part was measured.
#[derive(Default)]
pub(crate) struct Verdicts(String);

impl Verdicts {
    /// Looks at a part.
    pub(crate) fn of(&mut self, part: &str, columns: &[Column]) {
        let (ours, others) = columns.split_first().unwrap();
        for Target { row, by, wanted, words, .. } in TARGETS.iter().filter(|target| target.part == part) {
            let (by, showed) = match by {
                None => ("", Some(ours.median(*row))),
                Some(peer) => {
                    let other = others.iter().find(|other| other.name == *peer);
                    (*peer, other.map(|other| ours.median(*row) / other.median(*row)))
                }
            };
            let (sign, limit) = match wanted {
                AtMost(limit) => ("<=", limit),
                AtLeast(limit) => (">=", limit),
            };
            let Some(showed) = showed else {
                self.0 += &format!("| {words} | {by} | {sign} {limit} | | NOT COMPARED |\n");
                continue;
            };
            let met = match wanted {
                AtMost(limit) => showed <= *limit,
                AtLeast(limit) => showed >= *limit,
            };
            let verdict = if met { "met" } else { "missed" };
            self.0 += &format!("| {words} | {by} | {sign} {limit} | {showed:.3} | {verdict} |\n");
        }
    }

    /// Prints them; with `ONRECORD_BENCH_DIR` also writes them there.
    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        let table = format!("| target | by | wanted | this run | |\n|---|---|---:|---:|---|\n{}", self.0);
        println!("\nTargets\n\n{table}");
        if let Ok(directory) = env::var("ONRECORD_BENCH_DIR") {
            fs::write(format!("{directory}/targets.md"), table).unwrap();
        }
    }
}

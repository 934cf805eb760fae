//! The feed beside its peers, in the same run on the same machine. `tests/bench/run` gets the peers and calls this.
//!
//! Usage: `cargo bench --bench feed -- [--rounds N] [--bytes N] [SUBSCRIBERS | publish | catch-up | snapshots | stalled …]`: fan-out to so
//! many subscribers, durable publication by 1 to 256 writers, 100,000 events for those who come late, 1,000 newcomers, 1,000 who take nothing;
//! 5 rounds, 2,048 bytes, and all of it, with 1, 100, 1,000 and 5,000 subscribers, unless told otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::doc_markdown,
    missing_docs,
    reason = "a benchmark that fails has to stop, and its figures are approximate; peers are written as they write themselves"
)]

mod catch_up;
mod fanout;
mod peers;
mod process;
mod publish;
mod report;
mod snapshots;
mod stalled;

use std::env;

use peers::{
    etcd::{self, Etcd},
    nats::{self, JetStream},
    onrecord::Onrecord,
    raw::{self, Raw},
};
use report::Column;
use tokio::runtime::Runtime;

/// What is asked for.
struct Wanted {
    rounds: usize,
    bytes: usize,
    parts: Vec<String>,
}

/// What is measured unless told otherwise.
const ALL: [&str; 8] = ["1", "100", "1000", "5000", "publish", "catch-up", "snapshots", "stalled"];

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self { rounds: 5, bytes: 2_048, parts: Vec::new() };
        let number = |text: Option<String>| text.unwrap().parse().unwrap();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => wanted.rounds = number(arguments.next()),
                "--bytes" => wanted.bytes = number(arguments.next()),
                // cargo says so.
                "--bench" => {}
                part => wanted.parts.push(part.to_owned()),
            }
        }
        if wanted.parts.is_empty() {
            wanted.parts = ALL.map(str::to_owned).to_vec();
        }
        wanted
    }
}

/// Figures of each peer in turn, round after round, so that what disturbs one disturbs all.
macro_rules! compare {
    ($wanted:expr, $($there:expr, $name:literal => $measure:expr;)*) => {{
        let runtime = Runtime::new().unwrap();
        let mut columns = Vec::new();
        $(if $there {
            columns.push(Column::new($name));
        })*
        for round in 1..=$wanted.rounds {
            let mut next = columns.iter_mut();
            $(if $there {
                let figures = runtime.block_on($measure);
                println!("round {round}, {}: {figures:.2?}", $name);
                next.next().unwrap().rounds.push(figures);
            })*
        }
        columns
    }};
}

fn main() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some("raw-server") {
        let mut number = || arguments.next().unwrap().parse().unwrap();
        let (port, bytes) = (number(), number());
        return raw::serve(port as u16, bytes);
    }
    let wanted = Wanted::read(env::args().skip(1));
    for (there, name) in [(etcd::binary().is_some(), "ONRECORD_ETCD"), (nats::binary().is_some(), "ONRECORD_NATS")] {
        if !there {
            println!("!! {name} does not say where the peer is: IT IS NOT COMPARED. `tests/bench/run` gets it.");
        }
    }
    for part in &wanted.parts {
        measure(&wanted, part);
    }
}

fn measure(wanted: &Wanted, part: &str) {
    let bytes = wanted.bytes;
    let name = |what: &str| format!("{what}-{bytes}");
    match part {
        "publish" => {
            let title = format!("durable publications a second, {bytes} bytes (more is better)");
            report::print(&title, &name("publish"), &publish::ROWS, &publish::BARS, &publications(wanted));
        }
        "catch-up" => {
            let title =
                format!("MB/s of {} events of {bytes} bytes, from the first on (more is better)", catch_up::EVENTS);
            report::print(&title, &name("catch-up"), &catch_up::ROWS, &catch_up::BARS, &late(wanted));
        }
        "snapshots" => {
            let title = format!("1,000 newcomers who take the state, 500 texts of {bytes} bytes, at once");
            report::print(&title, &name("snapshots"), &snapshots::ROWS, &snapshots::BARS, &newcomers(wanted));
        }
        "stalled" => {
            let columns = compare! { wanted, true, "onrecord" => stalled::measure(bytes); };
            let title = format!("1,000 subscribers that take nothing, 10 MB behind, {bytes} bytes");
            report::print(&title, &name("stalled"), &stalled::ROWS, &[(0, "KiB each")], &columns);
        }
        subscribers => {
            let subscribers: usize = subscribers.parse().unwrap();
            let columns = deliveries(wanted, subscribers);
            let title =
                format!("µs of the server's processor for each delivery, {subscribers} subscribers, {bytes} bytes");
            report::print(&title, &name(&format!("fanout-{subscribers}")), &fanout::ROWS, &fanout::BARS, &columns);
        }
    }
}

fn deliveries(wanted: &Wanted, subscribers: usize) -> Vec<Column> {
    let (etcd, nats, bytes) = (etcd::binary().is_some(), nats::binary().is_some(), wanted.bytes);
    compare! { wanted,
        true, "onrecord" => fanout::measure::<Onrecord>(subscribers, bytes);
        true, "raw TCP" => fanout::measure::<Raw>(subscribers, bytes);
        etcd, "etcd" => fanout::measure::<Etcd>(subscribers, bytes);
        nats, "NATS core" => fanout::measure::<nats::Core>(subscribers, bytes);
        nats, "JetStream" => fanout::measure::<JetStream<false>>(subscribers, bytes);
    }
}

fn publications(wanted: &Wanted) -> Vec<Column> {
    let (etcd, nats, bytes) = (etcd::binary().is_some(), nats::binary().is_some(), wanted.bytes);
    compare! { wanted,
        true, "onrecord" => publish::measure::<Onrecord>(bytes);
        etcd, "etcd" => publish::measure::<Etcd>(bytes);
        nats, "JetStream, sync always" => publish::measure::<JetStream<true>>(bytes);
    }
}

fn late(wanted: &Wanted) -> Vec<Column> {
    let (etcd, nats, bytes) = (etcd::binary().is_some(), nats::binary().is_some(), wanted.bytes);
    compare! { wanted,
        true, "onrecord" => catch_up::measure::<Onrecord>(bytes);
        etcd, "etcd" => catch_up::measure::<Etcd>(bytes);
        nats, "JetStream, pull" => catch_up::measure::<JetStream<false>>(bytes);
    }
}

fn newcomers(wanted: &Wanted) -> Vec<Column> {
    let (etcd, bytes) = (etcd::binary().is_some(), wanted.bytes);
    compare! { wanted,
        true, "onrecord" => snapshots::measure::<Onrecord>(bytes);
        etcd, "etcd, a range" => snapshots::measure::<Etcd>(bytes);
    }
}

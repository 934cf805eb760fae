//! The feed beside its peers, in the same run on the same machine. `tests/bench/run` gets the peers and calls this.
//!
//! Usage: `cargo bench --bench feed -- [--rounds N] [PART[/BYTES] …]`, where a part is a number of subscribers for fan-out, `crowd` (10,000
//! at five events a second), `publish` (durable, 1 to 256 writers), `catch-up` (100,000 events for those who come late), `snapshots` (1,000
//! newcomers) or `stalled` (1,000 who take nothing). 5 rounds, 2,048 bytes, and all parts unless told otherwise, fan-out to 1, 100, 1,000
//! and 5,000 also with 512 bytes.

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
mod crowd;
mod fanout;
mod peers;
mod process;
mod publish;
mod report;
mod snapshots;
mod stalled;
mod targets;

use std::env;

use peers::{
    etcd::{self, Etcd},
    nats::{self, JetStream},
    onrecord::{Empty, Onrecord},
    raw::{self, Raw},
};
use report::Column;
use targets::Verdicts;
use tokio::runtime::Runtime;

/// What is asked for.
struct Wanted {
    rounds: usize,
    /// Each with the bytes of an event.
    parts: Vec<(String, usize)>,
}

/// What is measured unless told otherwise.
const ALL: [&str; 13] = [
    "1",
    "100",
    "1000",
    "5000",
    "1/512",
    "100/512",
    "1000/512",
    "5000/512",
    "crowd",
    "publish",
    "catch-up",
    "snapshots",
    "stalled",
];
const BYTES_DEFAULT: usize = 2_048;

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self { rounds: 5, parts: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => wanted.rounds = arguments.next().unwrap().parse().unwrap(),
                // cargo says so.
                "--bench" => {}
                part => wanted.parts.push(Self::part(part)),
            }
        }
        if wanted.parts.is_empty() {
            wanted.parts = ALL.map(Self::part).to_vec();
        }
        wanted
    }

    fn part(text: &str) -> (String, usize) {
        let (part, bytes) = text.split_once('/').unwrap_or((text, ""));
        (part.to_owned(), if bytes.is_empty() { BYTES_DEFAULT } else { bytes.parse().unwrap() })
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
    let mut verdicts = Verdicts::default();
    for (part, bytes) in &wanted.parts {
        measure(&wanted, part, *bytes, &mut verdicts);
    }
    verdicts.print();
}

fn measure(wanted: &Wanted, part: &str, bytes: usize, verdicts: &mut Verdicts) {
    let (title, name, rows, bars, columns) = match part {
        "publish" => (
            "durable publications a second (more is better)".to_owned(),
            part.to_owned(),
            publish::ROWS.as_slice(),
            publish::BARS.as_slice(),
            publications(wanted, bytes),
        ),
        "catch-up" => (
            format!("MB/s of {} events, from the first on (more is better)", catch_up::EVENTS),
            part.to_owned(),
            catch_up::ROWS.as_slice(),
            catch_up::BARS.as_slice(),
            late(wanted, bytes),
        ),
        "snapshots" => (
            "1,000 newcomers who take the state, 500 texts, at once".to_owned(),
            part.to_owned(),
            snapshots::ROWS.as_slice(),
            snapshots::BARS.as_slice(),
            newcomers(wanted, bytes),
        ),
        "crowd" => (
            "10,000 subscribers, five events a second".to_owned(),
            part.to_owned(),
            crowd::ROWS.as_slice(),
            crowd::BARS.as_slice(),
            crowd(wanted, bytes),
        ),
        "stalled" => (
            "1,000 subscribers that take nothing, 10 MB behind".to_owned(),
            part.to_owned(),
            stalled::ROWS.as_slice(),
            stalled::BARS.as_slice(),
            compare! { wanted, true, "onrecord" => stalled::measure(bytes); },
        ),
        subscribers => (
            format!("µs of the server's processor for each delivery, {subscribers} subscribers"),
            format!("fanout-{subscribers}"),
            fanout::ROWS.as_slice(),
            fanout::BARS.as_slice(),
            deliveries(wanted, subscribers.parse().unwrap(), bytes),
        ),
    };
    let name = format!("{name}-{bytes}");
    report::print(&format!("{title}, {bytes} bytes"), &name, rows, bars, &columns);
    verdicts.of(&name, &columns);
}

fn deliveries(wanted: &Wanted, subscribers: usize, bytes: usize) -> Vec<Column> {
    let (etcd, nats) = (etcd::binary().is_some(), nats::binary().is_some());
    compare! { wanted,
        true, "onrecord" => fanout::measure::<Onrecord>(subscribers, bytes);
        true, "raw TCP" => fanout::measure::<Raw>(subscribers, bytes);
        etcd, "etcd" => fanout::measure::<Etcd>(subscribers, bytes);
        nats, "NATS core" => fanout::measure::<nats::Core>(subscribers, bytes);
        nats, "JetStream" => fanout::measure::<JetStream<false>>(subscribers, bytes);
    }
}

fn crowd(wanted: &Wanted, bytes: usize) -> Vec<Column> {
    let etcd = etcd::binary().is_some();
    compare! { wanted,
        true, "onrecord" => crowd::measure::<Onrecord>(bytes);
        etcd, "etcd" => crowd::measure::<Etcd>(bytes);
    }
}

fn publications(wanted: &Wanted, bytes: usize) -> Vec<Column> {
    let (etcd, nats) = (etcd::binary().is_some(), nats::binary().is_some());
    compare! { wanted,
        true, "onrecord" => publish::measure::<Onrecord>(bytes);
        true, "an empty call" => publish::measure::<Empty>(bytes);
        etcd, "etcd" => publish::measure::<Etcd>(bytes);
        nats, "JetStream, sync always" => publish::measure::<JetStream<true>>(bytes);
    }
}

fn late(wanted: &Wanted, bytes: usize) -> Vec<Column> {
    let (etcd, nats) = (etcd::binary().is_some(), nats::binary().is_some());
    compare! { wanted,
        true, "onrecord" => catch_up::measure::<Onrecord>(bytes);
        etcd, "etcd" => catch_up::measure::<Etcd>(bytes);
        nats, "JetStream, pull" => catch_up::measure::<JetStream<false>>(bytes);
    }
}

fn newcomers(wanted: &Wanted, bytes: usize) -> Vec<Column> {
    let etcd = etcd::binary().is_some();
    compare! { wanted,
        true, "onrecord" => snapshots::measure::<Onrecord>(bytes);
        etcd, "etcd, a range" => snapshots::measure::<Etcd>(bytes);
    }
}

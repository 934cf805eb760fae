//! The feed beside its peers, in the same run on the same machine. `tests/bench/run` gets the peers and calls this.
//!
//! Usage: `cargo bench --bench feed -- [--rounds N] [--bytes N] [SUBSCRIBERS …]`. Without numbers 100 and 1,000 subscribers, 5 rounds,
//! 2,048 bytes.

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

mod fanout;
mod peers;
mod process;
mod report;

use std::env;

use fanout::{Figures, measure};
use peers::{etcd, nats, onrecord::Onrecord, raw};
use report::Column;
use tokio::runtime::Runtime;

/// What is asked for.
struct Wanted {
    rounds: usize,
    bytes: usize,
    subscribers: Vec<usize>,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self { rounds: 5, bytes: 2_048, subscribers: Vec::new() };
        let number = |text: Option<String>| text.unwrap().parse().unwrap();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => wanted.rounds = number(arguments.next()),
                "--bytes" => wanted.bytes = number(arguments.next()),
                // cargo says so.
                "--bench" => {}
                other => wanted.subscribers.push(other.parse().unwrap()),
            }
        }
        if wanted.subscribers.is_empty() {
            wanted.subscribers = vec![100, 1_000];
        }
        wanted
    }
}

fn main() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some("raw-server") {
        let mut number = || arguments.next().unwrap().parse().unwrap();
        let (port, bytes) = (number(), number());
        return raw::serve(port as u16, bytes);
    }
    let wanted = Wanted::read(env::args().skip(1));
    for subscribers in wanted.subscribers.clone() {
        let columns = compare(&wanted, subscribers);
        report::print(&columns, subscribers, &wanted);
    }
}

/// Runs each peer in turn, round after round, so that what disturbs one disturbs all.
fn compare(wanted: &Wanted, subscribers: usize) -> Vec<Column> {
    let mut columns = vec![Column::new("onrecord"), Column::new("raw TCP")];
    let (etcd, nats) = (etcd::binary().is_some(), nats::binary().is_some());
    for (there, name) in [(etcd, "ONRECORD_ETCD"), (nats, "ONRECORD_NATS")] {
        if !there {
            println!("!! {name} does not say where the peer is: IT IS NOT COMPARED. `tests/bench/run` gets it.");
        }
    }
    let runtime = Runtime::new().unwrap();
    let bytes = wanted.bytes;
    for round in 1..=wanted.rounds {
        let mut put = |name: &'static str, figures: Figures| {
            println!("round {round}, {subscribers} subscribers, {name}: {figures:.2?}");
            let place = columns.iter().position(|column| column.name == name);
            let place = place.unwrap_or_else(|| {
                columns.push(Column::new(name));
                columns.len() - 1
            });
            columns[place].rounds.push(figures);
        };
        put("onrecord", runtime.block_on(measure::<Onrecord>(subscribers, bytes)));
        put("raw TCP", runtime.block_on(measure::<raw::Raw>(subscribers, bytes)));
        if etcd {
            put("etcd", runtime.block_on(measure::<etcd::Etcd>(subscribers, bytes)));
        }
        if nats {
            put("NATS core", runtime.block_on(measure::<nats::Core>(subscribers, bytes)));
            put("JetStream", runtime.block_on(measure::<nats::JetStream>(subscribers, bytes)));
        }
    }
    columns
}

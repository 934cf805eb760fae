//! The feed beside its peers, in the same run on the same machine. `tests/bench/run` gets the peers and calls this.
//!
//! Usage: `cargo bench --bench feed -- [--rounds N] [--bytes N] [SUBSCRIBERS … | publish]`: fan-out to so many subscribers (100 and 1,000), or
//! durable publication by 1 to 256 writers; 5 rounds, 2,048 bytes.

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
mod publish;
mod report;

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
    subscribers: Vec<usize>,
    /// Durable publication instead of fan-out.
    publish: bool,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self { rounds: 5, bytes: 2_048, subscribers: Vec::new(), publish: false };
        let number = |text: Option<String>| text.unwrap().parse().unwrap();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => wanted.rounds = number(arguments.next()),
                "--bytes" => wanted.bytes = number(arguments.next()),
                "publish" => wanted.publish = true,
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
    for (there, name) in [(etcd::binary().is_some(), "ONRECORD_ETCD"), (nats::binary().is_some(), "ONRECORD_NATS")] {
        if !there {
            println!("!! {name} does not say where the peer is: IT IS NOT COMPARED. `tests/bench/run` gets it.");
        }
    }
    let bytes = wanted.bytes;
    if wanted.publish {
        let columns = publications(&wanted);
        let title = format!("durable publications a second, {bytes} bytes (more is better)");
        return report::print(&title, &format!("publish-{bytes}"), &publish::ROWS, &publish::BARS, &columns);
    }
    for subscribers in wanted.subscribers.clone() {
        let columns = deliveries(&wanted, subscribers);
        let title = format!("µs of the server's processor for each delivery, {subscribers} subscribers, {bytes} bytes");
        report::print(&title, &format!("fanout-{subscribers}-{bytes}"), &fanout::ROWS, &fanout::BARS, &columns);
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

//! A crowd of sites in one process, each on a connection of its own, each checking what it gets: to load a service, and to see what a
//! restart, a proxy or a slow network does to those who follow. It uses `onrecord::client` and nothing else of the crate.
//!
//! ```sh
//! cargo run --example crowd -- http://127.0.0.1:7400 200              200 sites follow the whole feed, from its beginning
//! cargo run --example crowd -- http://127.0.0.1:7400 20 crowd         as subscriptions/crowd-0 to crowd-19, which must be there
//! ```
//!
//! Every ten seconds it says on standard error how they are. It ends at ctrl-d; or, once a number was written to its standard input, when
//! each has applied that event. Then it prints a line of JSON for each site, and exits with 1 if one of them has something to complain
//! about. They call as `crowd`; where the service has TLS and a policy, `ONRECORD_CA_FILE` names the authority (PEM) and `ONRECORD_TOKEN_FILE` the token.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::{collections::BTreeMap, convert::Infallible, env, fs, io, process::ExitCode, thread, time::Duration};

use onrecord::{
    api::v1::{Delivery, Snapshot},
    client::{Begin, Credentials, Follower, Note, Options, Position, Site, State, Wanted, channel, tls_channel},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval_at},
};
use tonic::transport::Channel;

const SAY_EVERY: Duration = Duration::from_secs(10);

/// What happened to one site.
#[derive(Clone, Debug, Default, Serialize)]
struct Tally {
    site: usize,
    applied: u64,
    /// The newest event it has, and a digest over the hashes of all it applied, in order.
    last: u64,
    #[serde(with = "hex::serde")]
    digest: [u8; 32],
    /// Events that it had already: none, ever.
    duplicates: u64,
    /// Numbers that were left out: none, where the policy shows the caller everything.
    gaps: u64,
    /// Snapshots that took the place of everything.
    resyncs: u64,
    /// Streams that were opened.
    streams: u64,
    /// How streams ended: closed by the service, and why; or lost, and how. The library went on by itself.
    closed: BTreeMap<&'static str, u64>,
    lost: BTreeMap<String, u64>,
    /// The longest time between the end of a stream and the next.
    away_seconds_max: f64,
    /// Why the library gave up: never, unless a person has to help.
    failed: Option<String>,
}

/// A site that keeps nothing but its tally.
struct Member {
    tally: watch::Sender<Tally>,
    away_since: Option<Instant>,
}

impl Site for Member {
    type Error = Infallible;

    fn position(&self) -> Option<Position> {
        None
    }

    async fn replace(&mut self, _: Snapshot, _: Position) -> Result<(), Infallible> {
        self.tally.send_modify(|tally| tally.resyncs += 1);
        Ok(())
    }

    async fn apply(&mut self, deliveries: Vec<Delivery>, _: Position) -> Result<(), Infallible> {
        self.tally.send_modify(|tally| {
            for event in deliveries.into_iter().filter_map(|delivery| delivery.event) {
                let is_new = event.sequence > tally.last;
                tally.duplicates += u64::from(!is_new);
                tally.gaps += event.sequence.saturating_sub(tally.last + 1);
                tally.applied += 1;
                tally.last = tally.last.max(event.sequence);
                tally.digest = Sha256::new().chain_update(tally.digest).chain_update(&event.hash).finalize().into();
            }
        });
        Ok(())
    }

    async fn advance(&mut self, _: Position) -> Result<(), Infallible> {
        Ok(())
    }

    fn note(&mut self, note: &Note) {
        let now = Instant::now();
        match note {
            Note::Opened { .. } => {
                let away = self.away_since.take().map_or(Duration::ZERO, |since| now - since).as_secs_f64();
                self.tally.send_modify(|tally| {
                    tally.streams += 1;
                    tally.away_seconds_max = tally.away_seconds_max.max(away);
                });
                return;
            }
            Note::Closed { reason } => self.tally.send_modify(|tally| *tally.closed.entry(reason).or_default() += 1),
            Note::Lost { why, .. } => self.tally.send_modify(|tally| *tally.lost.entry(why.clone()).or_default() += 1),
            Note::Trimmed | Note::Diverged => {}
        }
        self.away_since.get_or_insert(now);
    }
}

/// Follows until the event that `until` says is applied, or the library gives up.
async fn follow(
    mut follower: Follower<Member>,
    mut tally: watch::Receiver<Tally>,
    mut until: watch::Receiver<u64>,
) -> Tally {
    let is_over = async {
        loop {
            let last = *until.borrow_and_update();
            tokio::select! {
                _ = tally.wait_for(|tally| tally.last >= last) => return,
                _ = until.changed() => {}
            }
        }
    };
    let failed = tokio::select! {
        ended = follower.run() => ended.err().map(|error| error.to_string()),
        () = is_over => None,
    };
    let tally = follower.site().tally.borrow().clone();
    Tally { failed, ..tally }
}

fn reached(url: &str) -> Result<Channel, Box<dyn std::error::Error>> {
    Ok(match env::var("ONRECORD_CA_FILE") {
        Ok(file) => tls_channel(url, &fs::read(file)?)?,
        Err(_) => channel(url)?,
    })
}

fn options(site: usize, name: Option<&str>) -> Result<Options, Box<dyn std::error::Error>> {
    let mut options = match name {
        Some(name) => Options::wanting(Wanted::Named(format!("subscriptions/{name}-{site}"))),
        None => Options::all(),
    };
    options.begin = Begin::Beginning;
    options.credentials = match env::var("ONRECORD_TOKEN_FILE") {
        Ok(file) => Credentials::token_file(file)?,
        Err(_) => Credentials::stated("crowd")?,
    };
    Ok(options)
}

/// What standard input asks for: the event after which to end. Its own end is the end of all.
fn read_until() -> watch::Receiver<u64> {
    let (asked, until) = watch::channel(u64::MAX);
    thread::spawn(move || {
        let numbers = io::stdin().lines().map_while(Result::ok).filter_map(|line| line.trim().parse().ok());
        for number in numbers.chain([0]) {
            asked.send_replace(number);
        }
    });
    until
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, sites, name @ ..] = arguments.as_slice() else { return Err("usage: crowd URL SITES [NAME]".into()) };
    let (mut crowd, mut watched, until) = (JoinSet::new(), Vec::new(), read_until());
    for site in 0..sites.parse()? {
        let tally = watch::Sender::new(Tally { site, ..Tally::default() });
        let seen = tally.subscribe();
        let member = Member { tally, away_since: None };
        let follower = Follower::new(reached(url)?, options(site, name.first().map(String::as_str))?, member);
        watched.push((seen.clone(), follower.state()));
        crowd.spawn(follow(follower, seen, until.clone()));
    }
    let mut says = interval_at(Instant::now() + SAY_EVERY, SAY_EVERY);
    let mut tallies = Vec::new();
    loop {
        tokio::select! {
            ended = crowd.join_next() => match ended {
                Some(tally) => tallies.push(tally?),
                None => break,
            },
            _ = says.tick() => {
                let ready = watched.iter().filter(|(_, state)| *state.borrow() == State::Ready).count();
                let reached = || watched.iter().map(|(tally, _)| tally.borrow().last);
                let (least, most) = (reached().min().unwrap_or(0), reached().max().unwrap_or(0));
                eprintln!("{ready} of {sites} show what the feed has; events applied: {least} to {most}");
            }
        }
    }
    tallies.sort_by_key(|tally| tally.site);
    for tally in &tallies {
        println!("{}", serde_json::to_string(tally)?);
    }
    let complains = |tally: &Tally| tally.failed.is_some() || tally.duplicates > 0;
    Ok(if tallies.iter().any(complains) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

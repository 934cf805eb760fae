//! Assembles the service, listens, and drains.
//!
//! Draining: health turns to `NOT_SERVING`, no new connection is taken, every stream gets its cursor and ends, calls finish, the
//! journal closes. What has not ended after [`Config::drain`] is cut off: it was answered nothing, so it may be repeated.

mod accept;
mod answer;
mod arrivals;
mod budget;
mod calls;
mod connection;
mod even;
mod frames;
mod framing;
mod health;
mod keys;
mod metrics;
mod operator;
mod protocol;
mod reload;
mod tls;
mod turns;
mod under_way;
mod vitals;
mod web;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Instant};

use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Mutex, oneshot},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding::Gzip, service::Routes};
use tower_http::catch_panic::CatchPanic;
use tracing::{info, warn};

pub use accept::listen;
#[cfg(any(test, fuzzing))]
pub use framing::fuzz as fuzz_framing;
pub use tls::TlsError;
pub use vitals::{Calls, ClockState, Connections as OpenConnections, Process, Record, Site, Sites, Vitals};

use crate::{
    api::{
        self, Gate, Panicked, RequestBytes,
        names::{BACKUPS, CLOCK, EDITORIAL, FEED, INFO, STATEMENTS},
    },
    config::{Config, TlsFiles},
    feed::Feed,
    journal::{self, Journal, JournalError, prune, scrub},
    lines::Lines,
};
use accept::accept;
use arrivals::{Arrivals, Most};
use calls::CallCounts;
use connection::{Connections, Doors, Times};
use even::Even;
use framing::{HEALTH, REFLECTION, message_bytes_max};
use keys::Keys;
use operator::Operator;
use protocol::Protocol;
use reload::Faults;
use tls::Tls;
use under_way::UnderWay;
use vitals::Sources;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Callers are not identified, or what identifies them could be read on the way, so only this machine may call.
    #[error(
        "without identities and TLS the service listens on loopback only, not on {0}: use an address such as 127.0.0.1:7400"
    )]
    NotLoopback(SocketAddr),
    /// The files of TLS cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The journal does not open.
    #[error("the journal does not open")]
    Journal(#[from] JournalError),
    /// The reflection service does not start.
    #[error("reflection does not start: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Listening failed.
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
}

/// Whether TLS can be spoken with these files. Blocks.
///
/// # Errors
/// If they cannot be read, or do not go together.
pub fn check_tls(files: TlsFiles) -> Result<(), TlsError> {
    Tls::load(files, None).map(drop)
}

/// Serves on `listener` until `shutdown` is cancelled, then drains. If that is before the journal is open it does not wait for it: the
/// directory is in use until the process ends, or the journal was opened and closed.
///
/// # Errors
/// If the journal does not open, or the listener is not on loopback.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), ServeError> {
    let calls = CallCounts::new();
    let operator = operator(&config, &calls, &shutdown).await?;
    let Some(journal) = open(config.journal.clone(), &shutdown).await? else {
        info!("stopped before the store was open");
        return Ok(());
    };
    let served = serve(listener, journal.clone(), config, calls, operator, shutdown).await;
    journal.close().await;
    served
}

/// Opens the journal, which may take as long as it takes to read all of it; none if the service is to stop before. Then it goes on alone: a
/// store that is left half opened is as after a kill, and the process ends without it.
async fn open(options: journal::Options, shutdown: &CancellationToken) -> Result<Option<Journal>, ServeError> {
    let (directory, begun) = (options.directory.clone(), Instant::now());
    info!(directory = %directory.display(), "opening the store: one that was not closed is read whole");
    let (opened, journal) = oneshot::channel();
    let runtime = Handle::current();
    let open = move || {
        let _within = runtime.enter();
        drop(opened.send(Journal::open(options)));
    };
    thread::Builder::new().name("open".to_owned()).spawn(open)?;
    let opened = shutdown.run_until_cancelled(journal).await;
    let Some(opened) = opened else { return Ok(None) };
    let journal = opened.map_err(|_| JournalError::Store("opening it ended early".to_owned()))??;
    let (bytes, seconds) = (journal.store_bytes().unwrap_or(0), begun.elapsed().as_secs_f64());
    info!(directory = %directory.display(), bytes, seconds, "the store is open");
    Ok(Some(journal))
}

/// The same on a journal that is open already, which stays open.
///
/// # Errors
/// If the listener is not on loopback, or the operator's port cannot be had.
pub async fn run_on(
    listener: TcpListener,
    journal: Journal,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let calls = CallCounts::new();
    let operator = operator(&config, &calls, &shutdown).await?;
    serve(listener, journal, config, calls, operator, shutdown).await
}

/// The operator's port, if there is to be one.
async fn operator(config: &Config, calls: &CallCounts, shutdown: &CancellationToken) -> io::Result<Option<Operator>> {
    vitals::begin();
    match config.metrics {
        Some(address) => Ok(Some(Operator::start(address, calls.clone(), shutdown.clone()).await?)),
        None => Ok(None),
    }
}

async fn serve(
    listener: TcpListener,
    journal: Journal,
    config: Config,
    calls: CallCounts,
    operator: Option<Operator>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let handshakes = config.handshakes_per_second;
    let tls = config.tls.clone().map(|files| spawn_blocking(move || Tls::load(files, handshakes)));
    let tls = match tls {
        Some(loading) => Some(Arc::new(loading.await.map_err(io::Error::from)??)),
        None => None,
    };
    if !address.ip().is_loopback() && (config.access.is_insecure() || tls.is_none()) {
        return Err(ServeError::NotLoopback(address));
    }
    // By then the streams of a connection have ended by themselves, as far as they are read.
    let grace = config.feed.lifetime.saturating_mul(2);
    let under_way = UnderWay::new(config.feed.stall);
    let feed = Feed::start(journal.clone(), config.feed, api::ENCODER, shutdown.clone());
    if let Some(every) = config.scrub_every {
        tokio::spawn(scrub(journal.clone(), every, shutdown.clone()));
    }
    tokio::spawn(prune(journal.clone(), config.retention, shutdown.clone()));
    tokio::spawn(find_waiting(journal.clone(), shutdown.clone()));
    let (faults, panicked) = (Faults::default(), Panicked::default());
    if let Some(keys) = shutdown.run_until_cancelled(Keys::fetched(config.access.clone(), faults.clone())).await {
        tokio::spawn(keys.follow(shutdown.clone()));
    }
    tokio::spawn(reload::follow(config.access.clone(), tls.clone(), feed.clone(), faults.clone(), shutdown.clone()));
    let lines = Arc::new(Lines::default());
    let gate = Gate::new(config.access.clone(), journal.clone(), Arc::clone(&lines));
    let (health, reporter) = health::service(&journal, shutdown.clone()).await;
    let following = feed.clone();
    let most = Most { in_all: config.connections_max, of_one: config.connections_per_address_max };
    let arrivals = Arc::new(Arrivals::new(most));
    let protocol = Protocol::new(Arc::clone(&lines), config.grpc_web_origins);
    let sources = Sources {
        journal: journal.clone(),
        feed: feed.clone(),
        arrivals: Arc::clone(&arrivals),
        protocol: protocol.clone(),
        tls: tls.clone(),
        panicked: panicked.clone(),
        faults,
        sites: Mutex::default(),
    };
    // Requests may be compressed, answers are not: an event is encoded once for all its subscribers. What a message has when it is decompressed
    // is bounded as what it has on the wire is.
    macro_rules! serve {
        ($service:expr, $name:expr) => {
            $service.accept_compressed(Gzip).max_decoding_message_size(message_bytes_max($name))
        };
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let limits = config.limits;
    let request_bytes = RequestBytes { editorial: message_bytes_max(EDITORIAL), others: message_bytes_max(INFO) };
    let routes = Routes::new(serve!(health, HEALTH))
        .add_service(serve!(reflection().build_v1()?, REFLECTION))
        .add_service(serve!(reflection().build_v1alpha()?, REFLECTION))
        .add_service(serve!(api::editorial(journal.clone(), limits.clone()), EDITORIAL))
        .add_service(serve!(api::backups(journal.clone(), config.access.clone(), shutdown.clone()), BACKUPS))
        .add_service(serve!(api::clock(journal.clone()), CLOCK))
        .add_service(serve!(api::info(journal.clone(), config.access.clone(), limits.clone(), request_bytes), INFO))
        .add_service(serve!(api::statements(journal.clone()), STATEMENTS))
        .add_service(api::OwnBodies::new(serve!(api::feed(feed, journal, config.access.clone(), limits), FEED)));
    let insecure = config.access.is_insecure();
    if insecure {
        warn!("INSECURE: every caller is believed, and may do everything. For development on this machine only");
    }
    info!(%address, insecure, tls = tls.is_some(), "serving");
    let connections = Arc::new(Connections::new(
        CatchPanic::custom(routes.prepare(), panicked),
        gate,
        calls,
        Even::start()?,
        under_way.clone(),
        Doors { arrivals: Arc::clone(&arrivals), lines, protocol, tls },
        Times { first_call: config.first_call, age: config.connection_age, grace },
    ));
    if let Some(operator) = &operator {
        operator.attend(sources);
    }
    let (giving, watching) = (tokio::spawn(under_way.clone().give_turns()), tokio::spawn(under_way.watch()));
    accept(listener, arrivals, config.drain, connections, shutdown).await;
    watching.abort();
    giving.abort();
    following.end().await;
    reporter.abort();
    // Until now whoever asks is told that it stops.
    if let Some(operator) = operator {
        operator.end().await;
    }
    info!("stopped");
    Ok(())
}

/// Looks for what waited before the start, so that an operator can be told.
async fn find_waiting(journal: Journal, shutdown: CancellationToken) {
    if let Some(Err(failure)) = shutdown.run_until_cancelled(journal.find_waiting()).await {
        warn!(%failure, "what waits for its time or for a person cannot be counted");
    }
}

//! `onrecord serve`: the service itself.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use clap::{CommandFactory as _, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Cli, failure::Refusal, settings};
use crate::{
    access::Access,
    config::{CONNECTIONS_MAX_DEFAULT, Config, Origin, TlsFiles},
    domain::limits::Limits,
    feed::{SNAPSHOTS_MAX_DEFAULT, STREAMS_MAX_DEFAULT},
    journal::{self, CACHE_BYTES_DEFAULT, STORE_BYTES_MAX_DEFAULT},
    panics, server,
    telemetry::{self, Traces},
    version::{REVISION, VERSION},
};

const EXAMPLES: &str = "\
Examples:
  onrecord serve --data-dir ./data --insecure
  onrecord serve --data-dir ./data --policy policy.toml
  onrecord serve --config onrecord.toml                       `onrecord print-config` shows all that it may say
  onrecord serve --data-dir ./data --policy policy.toml --tls-certificate tls.crt --tls-key tls.key --listen 0.0.0.0:7400
  onrecord serve --config onrecord.toml --grpc-web-origin https://press.example.org
  onrecord serve --data-dir ./data --insecure --limit title=120 --limit rendition.push=120
  RUST_LOG=onrecord=debug onrecord serve --data-dir ./data --insecure --log-format json

It stops at SIGTERM or ctrl-c: it takes no new work, ends each stream with a cursor, and exits.
At a second one it exits at once; what was answered is durable all the same.";

/// Open files beside connections: the store, the log, the operator's port.
const FILES_BESIDE: usize = 64;

/// What a shell expects of a program that a signal ended: 128 + SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Run the service.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(skip)]
pub(super) struct Args {
    /// File (TOML) with any of these settings, by their names with underscores; a flag or a variable counts before it
    #[arg(long, value_name = "FILE", env = "ONRECORD_CONFIG")]
    config: Option<PathBuf>,
    /// Where everything is kept; made if it is not there
    #[arg(long, value_name = "DIR", env = "ONRECORD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "ONRECORD_LISTEN", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// Address and port where Prometheus reads metrics, at /metrics; nowhere if not given
    #[arg(long, value_name = "ADDRESS", env = "ONRECORD_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// File that says who may do what, and knows the tokens; read again when it changes, and at SIGHUP
    #[arg(long, value_name = "FILE", env = "ONRECORD_POLICY")]
    policy: Option<PathBuf>,
    /// PEM file with the service's certificate, and those that lead from it to an authority; read again when it changes, and at SIGHUP
    #[arg(long, value_name = "FILE", env = "ONRECORD_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate, not encrypted
    #[arg(long, value_name = "FILE", env = "ONRECORD_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// PEM file with the authorities whose client certificates are believed: their SPIFFE and DNS names are callers
    #[arg(long, value_name = "FILE", env = "ONRECORD_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// For development on this machine: believe each caller's name, and let everybody do everything
    #[arg(long, env = "ONRECORD_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    insecure: bool,
    /// Lower a limit of texts: title, summary, rendition.CHANNEL (characters), body (bytes), attachments, claim-reviews
    #[arg(long, value_name = "NAME=N", env = "ONRECORD_LIMIT", value_delimiter = ',', value_parser = limit)]
    limit: Vec<(String, usize)>,
    /// Hours between two slow reads of the whole store, which log what is damaged; 0 for none
    #[arg(long, value_name = "HOURS", env = "ONRECORD_SCRUB_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(..=876_000))]
    scrub_hours: u64,
    #[command(flatten)]
    retention: Retention,
    /// Mebibytes of the store's cache; expect two to three times as much memory in use
    #[arg(long, value_name = "MIB", env = "ONRECORD_CACHE_MIB", default_value_t = CACHE_BYTES_DEFAULT >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    cache_mib: u64,
    /// Mebibytes that the store may have on disk. From nine tenths on new statements are refused, when it is full new words; what takes
    /// words away never is. Its table in memory grows with it
    #[arg(long, value_name = "MIB", env = "ONRECORD_STORE_MIB_MAX", default_value_t = STORE_BYTES_MAX_DEFAULT >> 20, value_parser = clap::value_parser!(u64).range(16..=1 << 24))]
    store_mib_max: u64,
    /// Streams of subscribers that may be open; a quiet one takes some 25 KiB, with TLS 39 KiB
    #[arg(long, value_name = "N", env = "ONRECORD_STREAMS_MAX", default_value_t = STREAMS_MAX_DEFAULT, value_parser = at_least_one)]
    streams_max: usize,
    /// Snapshots that may be under way
    #[arg(long, value_name = "N", env = "ONRECORD_SNAPSHOTS_MAX", default_value_t = SNAPSHOTS_MAX_DEFAULT, value_parser = at_least_one)]
    snapshots_max: usize,
    /// Connections that may be open; each takes an open file
    #[arg(long, value_name = "N", env = "ONRECORD_CONNECTIONS_MAX", default_value_t = CONNECTIONS_MAX_DEFAULT, value_parser = at_least_one)]
    connections_max: usize,
    /// Connections of one address (of IPv6: the first 64 bits) that may be open; as many as in all if not given, since a proxy has one address
    #[arg(long, value_name = "N", env = "ONRECORD_CONNECTIONS_PER_ADDRESS_MAX")]
    connections_per_address_max: Option<NonZeroUsize>,
    /// Origins (scheme, host and port) whose web pages may call by gRPC-Web. Browsers need TLS, here or at a proxy that speaks HTTP/2 to the service
    #[arg(long, value_name = "ORIGIN", env = "ONRECORD_GRPC_WEB_ORIGIN", value_delimiter = ',', value_parser = origin)]
    grpc_web_origin: Vec<Origin>,
    /// Handshakes of TLS that may begin in a second, 500 for each core if not given; who comes beyond that waits, for 10 s at most
    #[arg(long, value_name = "N", env = "ONRECORD_HANDSHAKES_PER_SECOND")]
    handshakes_per_second: Option<NonZeroU32>,
    /// Seconds that calls and streams may take to end once the service was told to stop
    #[arg(long, value_name = "SECONDS", env = "ONRECORD_DRAIN_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    drain_seconds: u64,
    /// Address of a collector that takes traces by OTLP over gRPC, such as `http://127.0.0.1:4317`; no traces if not given
    #[arg(long, value_name = "URL", env = "ONRECORD_OTLP_ENDPOINT", value_parser = collector)]
    otlp_endpoint: Option<String>,
    /// Percent of the calls that are traced, beside those whose callers say that they are
    #[arg(long, value_name = "PERCENT", env = "ONRECORD_TRACE_PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=100))]
    trace_percent: u8,
    /// How to write the log (to standard error; `RUST_LOG` says how much)
    #[arg(long, value_enum, env = "ONRECORD_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Where traces go. They say nothing secret, and go to a collector beside the service or on the operator's network.
fn collector(text: &str) -> Result<String, String> {
    match text.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("must be http://HOST:PORT, of a collector on this machine or the operator's network".to_owned()),
    }
}

/// What is kept for how long. Editions, events and entries are kept for ever.
#[derive(Clone, Copy, Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "each is the name of a setting")]
struct Retention {
    /// Days for which the text of a draft is kept after others took its place, if it was never published; for ever if not given
    #[arg(long, value_name = "DAYS", env = "ONRECORD_KEEP_DRAFTS_DAYS", value_parser = clap::value_parser!(u64).range(..=36_500))]
    keep_drafts_days: Option<u64>,
    /// How many such texts are kept of each statement and language; any number if not given
    #[arg(long, value_name = "N", env = "ONRECORD_KEEP_DRAFTS_MAX")]
    keep_drafts_max: Option<usize>,
    /// Days for which a call with the same request id gets the first answer again
    #[arg(long, value_name = "DAYS", env = "ONRECORD_KEEP_REQUESTS_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    keep_requests_days: u64,
}

impl From<Retention> for journal::Retention {
    fn from(given: Retention) -> Self {
        let days = |days: u64| Duration::from_hours(days * 24);
        Self {
            drafts_for: given.keep_drafts_days.map(days),
            drafts_max: given.keep_drafts_max,
            requests_for: Some(days(given.keep_requests_days)),
        }
    }
}

/// How to write the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Args {
    pub(super) async fn run(self) -> Result<()> {
        telemetry::init(self.log_format.into());
        let limits = self.checked()?;
        let data_dir = self.data_dir.clone().ok_or_else(|| {
            let words = "say where the record is kept: `--data-dir DIR`, `ONRECORD_DATA_DIR`, or `data_dir` in the file of settings";
            Refusal::Usage(words.to_owned())
        })?;
        panics::watch();
        for strange in Self::strange_variables() {
            warn!("{strange}");
        }
        info!(version = VERSION, revision = REVISION, data_dir = %data_dir.display(), "onrecord starts");
        let mut config = Config::insecure(data_dir);
        config.limits = limits;
        if let Some(file) = &self.policy {
            config.access = Access::by_policy(file).map_err(|fault| Refusal::Usage(fault.to_string()))?;
        }
        config.tls = self.tls_files();
        config.drain = Duration::from_secs(self.drain_seconds);
        config.scrub_every = (self.scrub_hours > 0).then(|| Duration::from_hours(self.scrub_hours));
        config.retention = self.retention.into();
        config.metrics = self.metrics_listen;
        config.feed.streams_max = self.streams_max;
        config.feed.snapshots_max = self.snapshots_max;
        config.journal.cache_bytes = self.cache_mib << 20;
        config.journal.store_bytes_max = self.store_mib_max << 20;
        let traces = self.otlp_endpoint.as_deref();
        let traces = traces.map(|endpoint| Traces::start(endpoint, f64::from(self.trace_percent) / 100.0)).transpose();
        let traces = traces.map_err(|error| Refusal::Usage(format!("--otlp-endpoint: {error}")))?;
        config.connections_per_address_max = self.connections_per_address_max;
        config.handshakes_per_second = self.handshakes_per_second;
        config.grpc_web_origins = self.grpc_web_origin;
        config.connections_max = connections_max(self.connections_max);
        let listener = server::listen(self.listen).with_context(|| format!("cannot listen on {}", self.listen))?;
        let shutdown = CancellationToken::new();
        let signals = Signals::new()?;
        tokio::spawn(signals.obey(shutdown.clone()));
        let served = server::run(listener, config, shutdown).await;
        if let Some(traces) = traces {
            traces.end().await;
        }
        Ok(served?)
    }

    /// The file of settings, if one is read.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Where the record is kept, if that is said.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The file of the policy, if there is one.
    pub(super) fn policy(&self) -> Option<&Path> {
        self.policy.as_deref()
    }

    /// The files of TLS, if it is spoken.
    pub(super) fn tls_files(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key, client_ca: self.tls_client_ca.clone() })
    }

    /// What is to be said of variables of the environment that look like settings.
    pub(super) fn strange_variables() -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        settings::strange_variables(&Cli::command(), names)
    }

    /// Whether the settings go together, and the limits of texts that they say.
    pub(super) fn checked(&self) -> Result<Limits, Refusal> {
        self.check()?;
        let mut limits = Limits::default();
        for (name, to) in &self.limit {
            limits.lower(name, *to).map_err(|fault| Refusal::Usage(format!("--limit {name}: {fault}")))?;
        }
        Ok(limits)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.insecure && (self.policy.is_some() || self.tls_certificate.is_some()) {
            return Err(Refusal::Usage(
                "`--insecure` goes with no policy, and with no TLS: take one of them out".to_owned(),
            ));
        }
        if self.metrics_listen == Some(self.listen) && self.listen.port() != 0 {
            return Err(Refusal::Usage("`--metrics-listen` and `--listen` must be two ports".to_owned()));
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(Refusal::Usage("`--tls-certificate` and `--tls-key` go together".to_owned()));
        }
        if self.tls_client_ca.is_some() && self.tls_certificate.is_none() {
            return Err(Refusal::Usage("`--tls-client-ca` takes `--tls-certificate`".to_owned()));
        }
        if !self.insecure && self.policy.is_none() {
            return Err(Refusal::Usage(
                "say who may do what, with `--policy FILE`; or, for development on this machine, `--insecure`: every caller is believed and \
                 may do everything"
                    .to_owned(),
            ));
        }
        let address = self.listen;
        if self.insecure && !address.ip().is_loopback() {
            return Err(Refusal::Usage(format!(
                "`--insecure` on {address} would let the whole network write statements: listen on 127.0.0.1 or [::1]"
            )));
        }
        if self.tls_certificate.is_none() && !address.ip().is_loopback() {
            return Err(Refusal::Usage(format!(
                "tokens could be read on the way to {address}: give `--tls-certificate` and `--tls-key`, or listen on 127.0.0.1 or [::1], \
                 behind something that speaks TLS"
            )));
        }
        Ok(())
    }
}

/// Lets the process have as many open files as it may (many systems begin with 1,024), and gives the connections for which there are
/// enough: the store needs some too.
fn connections_max(wanted: usize) -> usize {
    let files = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => usize::try_from(files).unwrap_or(usize::MAX),
        Err(error) => {
            warn!(%error, "the limit of open files is not known");
            return wanted;
        }
    };
    let most = files.saturating_sub(FILES_BESIDE).max(1);
    if most < wanted {
        warn!(files, connections_max = most, wanted, "open files are limited, and with them connections");
    }
    most.min(wanted)
}

fn at_least_one(text: &str) -> Result<usize> {
    let number = text.parse().context("write a number")?;
    anyhow::ensure!((1..=1_000_000).contains(&number), "write a number from 1 to 1,000,000");
    Ok(number)
}

fn origin(text: &str) -> Result<Origin> {
    text.parse::<Origin>().map_err(|fault| anyhow!("it {}", fault.0))
}

fn limit(text: &str) -> Result<(String, usize)> {
    let (name, number) = text.split_once('=').context("write NAME=N, such as title=120")?;
    Ok((name.to_owned(), number.parse().context("write NAME=N, such as title=120")?))
}

impl From<LogFormat> for telemetry::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// The signals that stop a service.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        // From here on it ends nobody, also while the service starts and reads all there is to read.
        drop(signal(SignalKind::hangup())?);
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn obey(mut self, shutdown: CancellationToken) {
        self.next().await;
        info!("draining; a second signal exits at once");
        shutdown.cancel();
        self.next().await;
        std::process::exit(EXIT_INTERRUPTED);
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, LogFormat, Retention};

    fn check(listen: &str, insecure: bool) -> bool {
        let listen = listen.parse().unwrap();
        Args {
            config: None,
            data_dir: Some("data".into()),
            listen,
            metrics_listen: None,
            policy: None,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            insecure,
            limit: Vec::new(),
            scrub_hours: 0,
            retention: Retention { keep_drafts_days: None, keep_drafts_max: None, keep_requests_days: 30 },
            cache_mib: 64,
            store_mib_max: 64,
            streams_max: 1,
            snapshots_max: 1,
            connections_max: 1,
            connections_per_address_max: None,
            handshakes_per_second: None,
            grpc_web_origin: Vec::new(),
            drain_seconds: 10,
            otlp_endpoint: None,
            trace_percent: 0,
            log_format: LogFormat::Text,
        }
        .check()
        .is_ok()
    }

    #[test]
    fn a_number_that_is_too_large_is_refused() {
        use clap::{Args as _, Command};
        let command = || Args::augment_args(Command::new("serve").no_binary_name(true));
        for option in ["--keep-drafts-days", "--keep-requests-days", "--scrub-hours"] {
            let given = |number: &str| command().try_get_matches_from(["--data-dir", "data", option, number]).is_ok();
            assert!(given("36500") && !given("999999999999999999"), "{option}");
        }
    }

    #[test]
    fn without_identities_it_listens_on_loopback_alone() {
        assert!(check("127.0.0.1:7400", true) && check("[::1]:7400", true));
        assert!(!check("0.0.0.0:7400", true) && !check("192.0.2.1:7400", true) && !check("127.0.0.1:7400", false));
    }
}

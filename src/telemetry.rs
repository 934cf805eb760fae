//! Diagnostics: where they go and how they are written. Set up once, by the binary.

use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use opentelemetry::global;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tokio::task::spawn_blocking;
use tracing::warn;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::trace;

/// Between two times that traces are sent.
const SENT_EVERY: Duration = Duration::from_secs(1);
/// How long a collector may take for what is sent last.
const LAST_MAX: Duration = Duration::from_secs(2);

/// What is written unless `RUST_LOG` says. A certificate that is refused is told by whoever asked for the connection.
const FILTER: &str = "info,rustls_platform_verifier=off";

/// The target of the audit log.
const AUDIT: &str = "audit";

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is written: what was asked for, and the audit log unless that was said something of.
fn filter(asked: Option<&str>) -> EnvFilter {
    let asked = asked.filter(|asked| !asked.trim().is_empty()).and_then(|asked| {
        let speaks_of_it =
            |directive: &str| directive.split(['=', '[']).next().is_some_and(|target| target.trim() == AUDIT);
        let asked = if asked.split(',').any(speaks_of_it) { asked.to_owned() } else { format!("{asked},{AUDIT}=info") };
        EnvFilter::try_new(asked).ok()
    });
    asked.unwrap_or_else(|| EnvFilter::new(FILTER))
}

/// What [`init`] was told.
static FOR_MACHINES: AtomicBool = AtomicBool::new(false);

/// Writes diagnostics to standard error, those that `RUST_LOG` admits (`info` by default), and the audit log unless that speaks of it. A second call does nothing.
pub fn init(format: LogFormat) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter(asked.as_deref());
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().with_span_list(false)).try_init(),
    };
    if done.is_ok() {
        FOR_MACHINES.store(format == LogFormat::Json, Relaxed);
    } else {
        tracing::debug!("diagnostics were set up before");
    }
}

/// Whether all that is said to standard error should be lines of JSON.
pub fn is_for_machines() -> bool {
    FOR_MACHINES.load(Relaxed)
}

/// Traces on their way to a collector.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends traces to a collector that speaks OTLP over gRPC at `endpoint` (`http://127.0.0.1:4317`): those that a caller says are sampled,
    /// and of the others `share`, 0 to 1. A collector that is away costs nothing but what it would have been told. Needs a tokio runtime
    /// around it.
    ///
    /// # Errors
    /// If the endpoint is no address.
    pub fn start(endpoint: &str, share: f64) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let resource = Resource::builder()
            .with_service_name("onrecord")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let often = BatchConfigBuilder::default().with_scheduled_delay(SENT_EVERY).build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(often).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(batches)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(resource.build())
            .build();
        global::set_tracer_provider(provider.clone());
        trace::enable();
        Ok(Self(provider))
    }

    /// Sends what is left.
    pub async fn end(self) {
        let ended = spawn_blocking(move || self.0.shutdown_with_timeout(LAST_MAX)).await;
        if let Ok(Err(failure)) = ended {
            warn!(%failure, "the last traces did not reach the collector");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn the_audit_log_is_written_unless_somebody_says_otherwise() {
        for (asked, written) in [
            (Some("warn"), "warn,audit=info"),
            (Some("off"), "off,audit=info"),
            (Some("warn,audit=off"), "warn,audit=off"),
            (Some("audit=debug"), "audit=debug"),
            (Some("onrecord::api::audit=off"), "onrecord::api::audit=off,audit=info"),
            (Some("="), super::FILTER),
            (Some(""), super::FILTER),
            (None, super::FILTER),
        ] {
            let sorted = |text: String| {
                let mut directives: Vec<_> = text.split(',').map(str::to_owned).collect();
                directives.sort();
                directives
            };
            assert_eq!(sorted(filter(asked).to_string()), sorted(written.to_owned()), "{asked:?}");
        }
    }
}

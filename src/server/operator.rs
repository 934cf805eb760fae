//! The operator's port, HTTP/1.1: `GET /metrics` is for Prometheus, `/livez` and `/readyz` are for whoever starts and stops services. Nothing
//! here tells what a text says, and nothing can be changed.

use axum::{
    Router,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text, text},
    metrics::{gauge::ConstGauge, info::Info},
    registry::Registry,
};
use std::{fmt, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::calls::CallCounts;
use crate::journal::Journal;

/// `OpenMetrics` 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until it is dropped; it is not ready once `stop` is.
pub(super) async fn serve(listener: TcpListener, journal: Journal, counts: CallCounts, stop: CancellationToken) {
    let mut registry = Registry::default();
    counts.register(&mut registry);
    let own = registry.sub_registry_with_prefix("onrecord");
    own.register("build", "Which onrecord this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    own.register_collector(Box::new(JournalMetrics { journal: journal.clone() }));
    let registry = Arc::new(registry);
    let router = Router::new()
        .route("/metrics", get(async move |asked: HeaderMap| metrics(&asked, &registry)))
        .route("/livez", get(async || "it lives\n"))
        .route("/readyz", get(async move || ready(&journal, &stop)));
    if let Err(failure) = axum::serve(listener, router).await {
        error!(%failure, "the operator's port is no longer served");
    }
}

/// Whether calls may be sent here: the journal is open and takes writes, and the service does not stop.
fn ready(journal: &Journal, stop: &CancellationToken) -> (StatusCode, String) {
    if stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "it stops\n".to_owned());
    }
    match journal.failure().borrow().as_ref() {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("the journal takes no writes: {why}\n")),
        None => (StatusCode::OK, "it is ready\n".to_owned()),
    }
}

/// In the format that is asked for: `OpenMetrics`, or what every Prometheus reads.
fn metrics(asked: &HeaderMap, registry: &Registry) -> impl IntoResponse + use<> {
    let accept = asked.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_open = accept.contains("application/openmetrics-text");
    let (mut text, format) = (String::new(), if is_open { OPEN_METRICS } else { prometheus_text::CONTENT_TYPE });
    // Writing to a string does not fail; a collector of ours does not either.
    let _ = if is_open { text::encode(&mut text, registry) } else { prometheus_text::encode(&mut text, registry) };
    ([(CONTENT_TYPE, format)], text)
}

/// Read from the journal when they are asked for.
#[derive(Debug)]
struct JournalMetrics {
    journal: Journal,
}

impl Collector for JournalMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let journal = &self.journal;
        let failure = journal.failure().borrow().clone();
        let gauges = [
            ("journal_writable", "1 while the journal takes writes", u64::from(failure.is_none())),
            ("journal_readable", "1 while reads are answered", u64::from(*journal.readable().borrow())),
            ("journal_newest_entry", "Number of the newest durable entry", *journal.newest_entry().borrow()),
            ("journal_writes", "Durable writes since the start, each a sync of the device", journal.writes()),
            ("journal_tail", "Sequence that the next event will take", *journal.tail().borrow()),
            (
                "store_bytes",
                "Bytes of the store on disk; 0 while it cannot be opened",
                journal.store_bytes().unwrap_or(0),
            ),
            ("store_bytes_max", "Bytes that the store may have: see --store-mib-max", journal.store_bytes_max()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if let Some(why) = failure {
            let info = Info::new([("reason", why)]);
            info.encode(encoder.encode_descriptor(
                "journal_closed",
                "Why the journal takes no writes; absent while it does",
                None,
                info.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

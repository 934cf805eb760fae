//! What an operator's Prometheus reads: `GET /metrics` on a port of its own. Nothing in it tells what a text says.

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{gauge::ConstGauge, info::Info},
    registry::Registry,
};
use std::{fmt, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::journal::Journal;

/// `OpenMetrics` 1.0, which Prometheus reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, journal: Journal, stop: CancellationToken) {
    let mut registry = Registry::with_prefix("onrecord");
    registry.register("build", "Which onrecord this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry.register_collector(Box::new(JournalMetrics { journal }));
    let registry = Arc::new(registry);
    let router = Router::new().route("/metrics", get(async move || text(&registry)));
    if let Err(failure) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        error!(%failure, "the metrics are no longer served");
    }
}

fn text(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    // Writing to a string does not fail; a collector of ours does not either.
    let _ = encode(&mut text, registry);
    ([(CONTENT_TYPE, OPEN_METRICS)], text)
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

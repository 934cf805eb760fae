//! The operator's port, HTTP/1.1: `GET /metrics` is for Prometheus, `/livez` and `/readyz` are for whoever starts and stops services, `/status`
//! is for `onrecord status`. Nothing here tells what a text says, and nothing can be changed.
//!
//! **Invariants**
//! - It answers from before the store is opened until the service has stopped, and is ready only in between
//!   (`who_starts_and_stops_services_is_told_whether_it_is_ready`).

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    calls::CallCounts,
    metrics::{self, Format},
    vitals::Sources,
};

/// How long who is being answered may take once the service has stopped.
const GRACE: Duration = Duration::from_secs(1);

/// The port, until it is dropped.
pub(super) struct Operator {
    told: Told,
    serving: JoinHandle<()>,
    /// Takes no more requests.
    ended: CancellationToken,
}

/// What it can say. Cheap to clone.
#[derive(Clone)]
struct Told {
    calls: CallCounts,
    /// None while the service starts.
    sources: Arc<OnceLock<Sources>>,
    stops: CancellationToken,
}

impl Operator {
    /// Serves, and is not ready yet. From when `stops` is cancelled on it is not ready any more.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub(super) async fn start(address: SocketAddr, calls: CallCounts, stops: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        info!(address = %listener.local_addr()?, "serving metrics");
        let told = Told { calls, sources: Arc::default(), stops };
        let ended = CancellationToken::new();
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/livez", get(async || "it lives\n"))
            .route("/readyz", get(ready))
            .with_state(told.clone());
        let served = axum::serve(listener, router).with_graceful_shutdown(ended.clone().cancelled_owned());
        let serving = tokio::spawn(async move {
            if let Err(failure) = served.await {
                error!(%failure, "the operator's port is no longer served");
            }
        });
        Ok(Self { told, serving, ended })
    }

    /// The service takes calls from now on.
    pub(super) fn attend(&self, sources: Sources) {
        // There is one service.
        drop(self.told.sources.set(sources));
    }

    /// Answers who has asked already, and ends.
    pub(super) async fn end(mut self) {
        self.ended.cancel();
        drop(timeout(GRACE, &mut self.serving).await);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.ended.cancel();
        self.serving.abort();
    }
}

/// Whether calls may be sent here: the service takes them, the journal takes writes, and the service does not stop.
async fn ready(State(told): State<Told>) -> (StatusCode, String) {
    let not = match told.sources.get() {
        _ if told.stops.is_cancelled() => Some("it stops".to_owned()),
        None => Some("it starts".to_owned()),
        Some(sources) => sources.not_ready(),
    };
    match not {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
        None => (StatusCode::OK, "it is ready\n".to_owned()),
    }
}

async fn status(State(told): State<Told>) -> Response {
    match told.sources.get() {
        Some(sources) => Json(sources.vitals(&told.calls, told.stops.is_cancelled()).await).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "it starts\n").into_response(),
    }
}

async fn metrics(State(told): State<Told>, asked: HeaderMap) -> Response {
    let accept = asked.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = if accept.contains("application/openmetrics-text") { Format::Open } else { Format::Text };
    let running = match told.sources.get() {
        Some(sources) => {
            let vitals = sources.vitals(&told.calls, told.stops.is_cancelled()).await;
            Some((vitals, sources.journal.commits()))
        }
        None => None,
    };
    let text = metrics::write(format, &told.calls, running);
    ([(CONTENT_TYPE, format.media_type())], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_not_ready_before_the_service_is_nor_once_it_stops() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let stops = CancellationToken::new();
        let operator = Operator::start(address, CallCounts::new(), stops.clone()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(get("/livez").await.0, 200);
        assert_eq!(get("/readyz").await, (503, "it starts\n".to_owned()));
        assert_eq!(get("/status").await.0, 503);
        let metrics = get("/metrics").await.1;
        assert!(metrics.contains("onrecord_build_info"));
        // Who starts and dies again and again does so before it is ready.
        assert!(metrics.contains("process_start_time_seconds") && !metrics.contains("onrecord_journal"));
        stops.cancel();
        assert_eq!(get("/readyz").await, (503, "it stops\n".to_owned()));
        operator.end().await;
        assert!(client.get(format!("http://{address}/livez")).send().await.is_err());
    }
}

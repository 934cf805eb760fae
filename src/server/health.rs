//! `grpc.health.v1`: who can be called.

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

use crate::api::names::{BACKUPS, EDITORIAL, FEED, STATEMENTS};

/// What can be asked about; the empty name is the whole service.
const NAMES: [&str; 5] = ["", EDITORIAL, STATEMENTS, FEED, BACKUPS];

/// The health service, and the task that keeps it true: a journal that takes no writes is no place for editors, a service that
/// stops is no place for anybody.
pub(super) async fn service(
    failure: watch::Receiver<Option<String>>,
    shutdown: CancellationToken,
) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let (reporter, service) = health_reporter();
    for name in NAMES {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    (service, tokio::spawn(keep_true(reporter, failure, shutdown)))
}

async fn keep_true(
    reporter: HealthReporter,
    mut failure: watch::Receiver<Option<String>>,
    shutdown: CancellationToken,
) {
    tokio::select! {
        () = async { drop(failure.wait_for(Option::is_some).await) } => {
            for name in ["", EDITORIAL] {
                reporter.set_service_status(name, ServingStatus::NotServing).await;
            }
        }
        () = shutdown.cancelled() => {}
    }
    shutdown.cancelled().await;
    for name in NAMES {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
}

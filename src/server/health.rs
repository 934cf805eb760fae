//! `grpc.health.v1`: who can be called.

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

use crate::{
    api::names::{BACKUPS, EDITORIAL, FEED, STATEMENTS},
    journal::Journal,
};

/// What can be asked about; the empty name is the whole service.
const NAMES: [&str; 5] = ["", EDITORIAL, STATEMENTS, FEED, BACKUPS];

/// The health service, and the task that keeps it true: a journal that takes no writes is no place for editors, one whose store
/// cannot be read either is no place for readers, and a service that stops is no place for anybody.
pub(super) async fn service(
    journal: &Journal,
    shutdown: CancellationToken,
) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let (reporter, service) = health_reporter();
    for name in NAMES {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    let (failure, unreadable) = (journal.failure(), journal.unreadable());
    (service, tokio::spawn(keep_true(reporter, failure, unreadable, shutdown)))
}

async fn keep_true(
    reporter: HealthReporter,
    mut failure: watch::Receiver<Option<String>>,
    mut unreadable: watch::Receiver<bool>,
    shutdown: CancellationToken,
) {
    let no_place_for = async |names: &[&'static str]| {
        for name in names {
            reporter.set_service_status(*name, ServingStatus::NotServing).await;
        }
    };
    let watch = async {
        if failure.wait_for(Option::is_some).await.is_ok() {
            no_place_for(&["", EDITORIAL]).await;
        }
        if unreadable.wait_for(|unreadable| *unreadable).await.is_ok() {
            no_place_for(&NAMES).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = watch => {}
        () = shutdown.cancelled() => {}
    }
    no_place_for(&NAMES).await;
}

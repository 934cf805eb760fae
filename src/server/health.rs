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

/// What can be asked about, and needs a journal that takes writes; the empty name is the whole service.
const FOR_EDITORS: [&str; 2] = ["", EDITORIAL];
/// What needs one that can be read.
const FOR_READERS: [&str; 3] = [STATEMENTS, FEED, BACKUPS];

/// The health service, and the task that keeps it true: a journal that takes no writes is no place for editors, one whose store
/// cannot be read either is no place for readers, and a service that stops is no place for anybody.
pub(super) async fn service(
    journal: &Journal,
    shutdown: CancellationToken,
) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let (reporter, service) = health_reporter();
    for name in FOR_EDITORS.into_iter().chain(FOR_READERS) {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    let (failure, readable) = (journal.failure(), journal.readable());
    (service, tokio::spawn(keep_true(reporter, failure, readable, shutdown)))
}

async fn keep_true(
    reporter: HealthReporter,
    mut failure: watch::Receiver<Option<String>>,
    mut readable: watch::Receiver<bool>,
    shutdown: CancellationToken,
) {
    let set = async |names: &[&'static str], status| {
        for name in names {
            reporter.set_service_status(*name, status).await;
        }
    };
    let watch = async {
        let closed = async {
            if failure.wait_for(Option::is_some).await.is_ok() {
                set(&FOR_EDITORS, ServingStatus::NotServing).await;
            }
        };
        let reads = async {
            while readable.changed().await.is_ok() {
                let status =
                    if *readable.borrow_and_update() { ServingStatus::Serving } else { ServingStatus::NotServing };
                set(&FOR_READERS, status).await;
            }
        };
        tokio::join!(closed, reads);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = watch => {}
        () = shutdown.cancelled() => {}
    }
    set(&FOR_EDITORS, ServingStatus::NotServing).await;
    set(&FOR_READERS, ServingStatus::NotServing).await;
}

//! `grpc.health.v1`: who can be called.

use std::pin::Pin;

use tokio::{sync::watch, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

use crate::{
    api::{
        Peer,
        names::{BACKUPS, CLOCK, EDITORIAL, FEED, INFO, STATEMENTS},
    },
    journal::Journal,
};

/// What can be asked about, and needs a journal that takes writes; the empty name is the whole service. A clock in doubt changes nothing
/// here: whoever is sent elsewhere could not withdraw either.
const FOR_EDITORS: [&str; 3] = ["", EDITORIAL, CLOCK];
/// What needs one that can be read.
const FOR_READERS: [&str; 4] = [STATEMENTS, FEED, BACKUPS, INFO];

/// The health service, and the task that keeps it true: a journal that takes no writes is no place for editors, one whose store
/// cannot be read either is no place for readers, and a service that stops is no place for anybody.
pub(super) async fn service(
    journal: &Journal,
    shutdown: CancellationToken,
) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let reporter = HealthReporter::new();
    let service = HealthServer::new(Limited(HealthService::from_health_reporter(reporter.clone())));
    let (failure, readable) = (journal.failure(), journal.readable());
    // It may be closed from its beginning.
    let editors = if failure.borrow().is_none() { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in FOR_EDITORS {
        reporter.set_service_status(name, editors).await;
    }
    for name in FOR_READERS {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    (service, tokio::spawn(keep_true(reporter, failure, readable, shutdown)))
}

/// The health service, with a limit: anybody may watch, so it must not cost much.
struct Limited(HealthService);

#[tonic::async_trait]
impl Health for Limited {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let place = request.extensions().get().map(Peer::watch).transpose()?;
        let news = self.0.watch(request).await?.into_inner();
        Ok(Response::new(Box::pin(news.map(move |news| {
            let _until_it_ends = &place;
            news
        }))))
    }
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

//! The gRPC services. Wire types live here and nowhere below.
//!
//! `from_proto` and `to_proto` are the only converters, `status` the only place that builds a `Status`.

#[cfg(feature = "server")]
/// What every request that changes something has.
macro_rules! envelope {
    ($service:ident, $request:expr) => {
        Envelope {
            caller: admitted($request.extensions())?.caller.clone(),
            origin: $crate::api::caller::origin($request.extensions()),
            mandate: Arc::clone(&admitted($request.extensions())?.mandate),
            request_id: &$request.get_ref().request_id,
            validate_only: $request.get_ref().validate_only,
            limits: &$service.limits,
        }
    };
}

#[cfg(feature = "server")]
mod audit;
#[cfg(feature = "server")]
mod backup_service;
#[cfg(feature = "server")]
mod caller;
#[cfg(feature = "server")]
mod clock_service;
pub(crate) mod codec;
mod delivery;
#[cfg(feature = "server")]
mod draft_reads;
#[cfg(feature = "server")]
mod editorial_reads;
#[cfg(feature = "server")]
mod editorial_service;
#[cfg(feature = "server")]
mod feed_service;
#[cfg(feature = "server")]
mod fields;
#[cfg(feature = "server")]
mod from_proto;
#[cfg(all(feature = "server", any(test, fuzzing)))]
pub(crate) mod fuzz;
#[cfg(feature = "server")]
mod gate;
#[cfg(feature = "server")]
mod info_service;
pub(crate) mod json;
#[cfg(feature = "server")]
mod own_body;
#[cfg(feature = "server")]
mod page_token;
mod snapshot;
#[cfg(feature = "server")]
mod statement_service;
#[cfg(feature = "server")]
mod status;
#[cfg(feature = "server")]
mod subscribe_body;
#[cfg(feature = "server")]
mod to_proto;
#[cfg(feature = "server")]
mod trial;
pub mod v1;

#[cfg(feature = "server")]
pub use from_proto::{backup_entry, backup_identity};
#[cfg(feature = "server")]
pub use gate::{Gate, OpenPlace, Pass, Peer};
#[cfg(feature = "server")]
pub use info_service::RequestBytes;
#[cfg(feature = "server")]
pub use own_body::OwnBodies;
#[cfg(feature = "server")]
pub use status::{Panicked, RequestFault, code_name, complete_head, complete_trailers, deadline_passed, limit_reached};
#[cfg(feature = "server")]
pub use to_proto::ENCODER;
#[cfg(feature = "server")]
pub use v1::{
    backup_service_server::BackupServiceServer as BackupServer,
    clock_service_server::ClockServiceServer as ClockServer,
    editorial_service_server::EditorialServiceServer as EditorialServer,
    feed_service_server::FeedServiceServer as FeedServer, info_service_server::InfoServiceServer as InfoServer,
    statement_service_server::StatementServiceServer as StatementServer,
};

#[cfg(feature = "server")]
use std::sync::Arc;

#[cfg(feature = "server")]
use tokio_util::sync::CancellationToken;

#[cfg(feature = "server")]
use crate::{access::Access, domain::limits::Limits, feed::Feed, journal::Journal};

/// The names of the services, as health checks name them.
#[cfg(feature = "server")]
pub mod names {
    use tonic::server::NamedService;

    use super::{
        BackupServer, ClockServer, EditorialServer, FeedServer, InfoServer, StatementServer, backup_service::Backups,
        clock_service::Clocks, editorial_service::Editorial, feed_service::Follow, info_service::Info,
        statement_service::Statements,
    };

    /// `onrecord.v1.EditorialService`
    pub const EDITORIAL: &str = EditorialServer::<Editorial>::NAME;
    /// `onrecord.v1.BackupService`
    pub const BACKUPS: &str = BackupServer::<Backups>::NAME;
    /// `onrecord.v1.ClockService`
    pub const CLOCK: &str = ClockServer::<Clocks>::NAME;
    /// `onrecord.v1.StatementService`
    pub const STATEMENTS: &str = StatementServer::<Statements>::NAME;
    /// `onrecord.v1.InfoService`
    pub const INFO: &str = InfoServer::<Info>::NAME;
    /// `onrecord.v1.FeedService`
    pub const FEED: &str = FeedServer::<Follow>::NAME;
}

/// `EditorialService` on a journal, for texts within these limits.
#[cfg(feature = "server")]
#[must_use]
pub fn editorial(journal: Journal, limits: Limits) -> EditorialServer<editorial_service::Editorial> {
    EditorialServer::new(editorial_service::Editorial { journal, limits: Arc::new(limits) })
}

/// `StatementService` on a journal.
#[cfg(feature = "server")]
#[must_use]
pub fn statements(journal: Journal) -> StatementServer<statement_service::Statements> {
    StatementServer::new(statement_service::Statements { journal })
}

/// `BackupService` on a journal, until the service stops.
#[cfg(feature = "server")]
#[must_use]
pub fn backups(journal: Journal, access: Access, shutdown: CancellationToken) -> BackupServer<backup_service::Backups> {
    let turns = backup_service::Turns::default();
    BackupServer::new(backup_service::Backups { turns, journal, access, shutdown })
}

/// `ClockService` on a journal.
#[cfg(feature = "server")]
#[must_use]
pub fn clock(journal: Journal) -> ClockServer<clock_service::Clocks> {
    ClockServer::new(clock_service::Clocks { journal })
}

/// `InfoService` on a journal, with the limits that the service enforces.
#[cfg(feature = "server")]
#[must_use]
pub fn info(
    journal: Journal,
    access: Access,
    limits: Limits,
    request_bytes: RequestBytes,
) -> InfoServer<info_service::Info> {
    InfoServer::new(info_service::Info { journal, access, limits: Arc::new(limits), request_bytes })
}

/// `FeedService` on a feed and the journal it is of, as long as `access` lets who follows. To be served within [`OwnBodies`]: without it
/// `Subscribe` has no messages.
#[cfg(feature = "server")]
#[must_use]
pub fn feed(feed: Feed, journal: Journal, access: Access, limits: Limits) -> FeedServer<feed_service::Follow> {
    FeedServer::new(feed_service::Follow { feed, journal, access, limits: Arc::new(limits) })
}

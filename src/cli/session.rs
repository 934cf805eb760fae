//! Calls to the service: who calls, how long to wait, when to try again.

use std::{error::Error, fmt::Debug, fs, path::Path, time::Duration};

use anyhow::Context as _;
use http::header::AUTHORIZATION;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tonic::{
    Code, Request, Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use uuid::Uuid;

use super::{
    args::Global,
    failure::{self, Refusal, unreadable},
    output::Format,
};
use crate::{
    api::v1::{
        BackupRequest, BackupResponse, backup_service_client::BackupServiceClient,
        clock_service_client::ClockServiceClient, editorial_service_client::EditorialServiceClient,
        feed_service_client::FeedServiceClient, info_service_client::InfoServiceClient,
        statement_service_client::StatementServiceClient,
    },
    client::{Backoff, Credentials},
};

/// Longer than the longest batch of events (1 MiB) and a page of a thousand long texts is likely to be.
const RECEIVE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longer than the longest entry.
const BACKUP_BYTES_MAX: usize = 256 * 1024 * 1024;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const CALL_TIME_MAX: Duration = Duration::from_secs(30);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIME_MAX: Duration = Duration::from_secs(10);
const RETRIES_MAX: u32 = 3;

type Wire = InterceptedService<Channel, Credentials>;
/// The client of the service that writes.
pub(super) type Editorial = EditorialServiceClient<Wire>;
/// The client of the service that reads.
pub(super) type Statements = StatementServiceClient<Wire>;
/// The client of the service for the clock.
pub(super) type Clock = ClockServiceClient<Wire>;
/// The client of the service that describes itself.
pub(super) type Info = InfoServiceClient<Wire>;
/// The client of the feed.
pub(super) type Feed = FeedServiceClient<Wire>;

/// A connection, in the name of one caller. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Session {
    server: String,
    channel: Channel,
    credentials: Credentials,
    /// For whom to write the answers.
    pub(super) format: Format,
}

impl Session {
    /// Prepares a connection; the first call makes it.
    pub(super) fn new(global: &Global) -> anyhow::Result<Self> {
        let credentials = match &global.token_file {
            Some(file) => of_token(file)?,
            None => of_caller(&global.caller())?,
        };
        let mut endpoint = endpoint(&global.server)?;
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint =
                endpoint.tls_config(encryption(global)?).context(Refusal::Usage("TLS cannot be used so".to_owned()))?;
        } else if global.ca_file.is_some() || global.certificate_file.is_some() {
            return Err(Refusal::Usage(format!("`{}` is not encrypted: give an https:// URL", global.server)).into());
        }
        Ok(Self::over(&endpoint, credentials, &global.server, global.output))
    }

    /// As [`Self::new`], without arguments of the command line.
    pub(super) fn to(server: &str, caller: &str, format: Format) -> anyhow::Result<Self> {
        Ok(Self::over(&endpoint(server)?, of_caller(caller)?, server, format))
    }

    fn over(endpoint: &Endpoint, credentials: Credentials, server: &str, format: Format) -> Self {
        Self { server: server.to_owned(), channel: endpoint.connect_lazy(), credentials, format }
    }

    /// The same connection in another caller's name.
    pub(super) fn with_caller(&self, caller: &str) -> anyhow::Result<Self> {
        Ok(Self { credentials: of_caller(caller)?, ..self.clone() })
    }

    /// The same connection, by another caller's token.
    pub(super) fn with_token(&self, file: &Path) -> anyhow::Result<Self> {
        Ok(Self { credentials: of_token(file)?, ..self.clone() })
    }

    /// Whether a token shows who calls.
    pub(super) fn has_token(&self) -> bool {
        self.credentials.metadata().contains_key(AUTHORIZATION.as_str())
    }

    /// How a command is begun by somebody else.
    pub(super) fn by_somebody_else(&self) -> &'static str {
        if self.has_token() { "onrecord --token-file THEIRS" } else { "onrecord --caller WHO" }
    }

    /// What the service refused, as it is; what this side noticed because nobody answered, with whom it wanted to reach.
    pub(super) fn explained(&self, status: Status) -> anyhow::Error {
        match status.source() {
            Some(cause) => {
                let cause = failure::deepest(cause);
                Refusal::Unavailable(format!("cannot reach {}: {cause}", self.server)).into()
            }
            None => status.into(),
        }
    }

    fn wire(&self) -> Wire {
        InterceptedService::new(self.channel.clone(), self.credentials.clone())
    }

    /// The connection itself.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What every call has with it to show who calls.
    pub(super) fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// A client of the feed.
    pub(super) fn feed(&self) -> Feed {
        Feed::new(self.wire()).max_decoding_message_size(RECEIVE_BYTES_MAX)
    }

    /// Begins a copy.
    pub(super) async fn backup(&self, request: BackupRequest) -> anyhow::Result<Streaming<BackupResponse>> {
        let mut client = BackupServiceClient::new(self.wire()).max_decoding_message_size(BACKUP_BYTES_MAX);
        let answer = client.backup(request).await.map_err(|status| self.explained(status))?;
        Ok(answer.into_inner())
    }

    /// Calls the service that writes. A call that was not answered is made again, which its request id makes safe.
    pub(super) async fn editorial<Q: Clone, A>(
        &self,
        request: Q,
        rpc: impl AsyncFn(Editorial, Request<Q>) -> Result<Response<A>, Status>,
    ) -> anyhow::Result<A> {
        let client = Editorial::new(self.wire());
        let client = client.max_decoding_message_size(RECEIVE_BYTES_MAX);
        Box::pin(retried(request, async |request| rpc(client.clone(), request).await))
            .await
            .map_err(|status| self.explained(status))
    }

    /// Calls the service that reads.
    pub(super) async fn statements<Q: Clone, A>(
        &self,
        request: Q,
        rpc: impl AsyncFn(Statements, Request<Q>) -> Result<Response<A>, Status>,
    ) -> anyhow::Result<A> {
        let client = Statements::new(self.wire());
        let client = client.max_decoding_message_size(RECEIVE_BYTES_MAX);
        Box::pin(retried(request, async |request| rpc(client.clone(), request).await))
            .await
            .map_err(|status| self.explained(status))
    }

    /// Calls the service for the clock.
    pub(super) async fn clock<Q: Clone, A>(
        &self,
        request: Q,
        rpc: impl AsyncFn(Clock, Request<Q>) -> Result<Response<A>, Status>,
    ) -> anyhow::Result<A> {
        let client = Clock::new(self.wire());
        Box::pin(retried(request, async |request| rpc(client.clone(), request).await))
            .await
            .map_err(|status| self.explained(status))
    }

    /// Calls the service that describes itself.
    pub(super) async fn info<Q: Clone, A>(
        &self,
        request: Q,
        rpc: impl AsyncFn(Info, Request<Q>) -> Result<Response<A>, Status>,
    ) -> anyhow::Result<A> {
        let client = Info::new(self.wire());
        Box::pin(retried(request, async |request| rpc(client.clone(), request).await))
            .await
            .map_err(|status| self.explained(status))
    }

    /// Calls the feed about named subscriptions.
    pub(super) async fn subscriptions<Q: Clone, A>(
        &self,
        request: Q,
        rpc: impl AsyncFn(Feed, Request<Q>) -> Result<Response<A>, Status>,
    ) -> anyhow::Result<A> {
        let client = self.feed();
        Box::pin(retried(request, async |request| rpc(client.clone(), request).await))
            .await
            .map_err(|status| self.explained(status))
    }
}

fn endpoint(server: &str) -> anyhow::Result<Endpoint> {
    let known = |to: &Endpoint| matches!(to.uri().scheme_str(), Some("http" | "https"));
    let endpoint = Endpoint::from_shared(server.to_owned()).ok().filter(known);
    let endpoint = endpoint
        .with_context(|| Refusal::Usage(format!("`{server}` is not a URL such as http://127.0.0.1:7400")))?
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIME_MAX)
        .keep_alive_while_idle(true)
        .user_agent(concat!("onrecord-cli/", env!("CARGO_PKG_VERSION")))?;
    Ok(endpoint)
}

/// Whom to believe, and what to show.
fn encryption(global: &Global) -> anyhow::Result<ClientTlsConfig> {
    let read = |file: &Path| fs::read(file).with_context(|| unreadable(file));
    let authority = global.ca_file.as_deref().with_context(|| {
        Refusal::Usage("an https:// server needs `--ca-file`, the authority that signed its certificate".to_owned())
    })?;
    let authorities = read(authority)?;
    if !CertificateDer::pem_slice_iter(&authorities).any(|certificate| certificate.is_ok()) {
        let words = format!(
            "--ca-file {}: holds no certificate: give a PEM file with `-----BEGIN CERTIFICATE-----`",
            authority.display()
        );
        return Err(Refusal::Usage(words).into());
    }
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities));
    Ok(match (&global.certificate_file, &global.key_file) {
        (Some(certificate), Some(key)) => {
            tls.identity(tonic::transport::Identity::from_pem(read(certificate)?, read(key)?))
        }
        _ => tls,
    })
}

async fn retried<Q: Clone, A>(
    request: Q,
    call: impl AsyncFn(Request<Q>) -> Result<Response<A>, Status>,
) -> Result<A, Status> {
    let mut backoff = Backoff::default();
    loop {
        let mut attempt = Request::new(request.clone());
        attempt.set_timeout(CALL_TIME_MAX);
        match call(attempt).await {
            Err(status) if status.code() == Code::Unavailable && backoff.attempts() < RETRIES_MAX => {
                tokio::time::sleep(backoff.delay()).await;
            }
            answer => return answer.map(Response::into_inner),
        }
    }
}

/// A new request id (AIP-155).
pub(super) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// A name that is believed, where nothing is checked.
fn of_caller(name: &str) -> anyhow::Result<Credentials> {
    Credentials::stated(name).map_err(|error| Refusal::Usage(format!("the caller's name `{name}` {error}")).into())
}

/// The token in a file.
fn of_token(file: &Path) -> anyhow::Result<Credentials> {
    let refused = |error| Refusal::Usage(format!("{}: {error}", unreadable(file))).into();
    Credentials::token_file(file).map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::{Code, Response, Status};

    use super::retried;

    async fn check(failures: u32, with: Code, wanted: Option<u32>) {
        let calls = Cell::new(0);
        let answer = retried((), async |_| {
            calls.set(calls.get() + 1);
            if calls.get() <= failures { Err(Status::new(with, "")) } else { Ok(Response::new(calls.get())) }
        });
        assert_eq!(answer.await.ok(), wanted);
    }

    #[tokio::test]
    async fn a_call_is_tried_four_times_while_the_service_is_away() {
        check(3, Code::Unavailable, Some(4)).await;
        check(4, Code::Unavailable, None).await;
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        check(1, Code::Aborted, None).await;
    }
}

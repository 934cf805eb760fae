//! Calls to the service: who calls, how long to wait, when to try again.

use std::{error::Error, fmt::Debug, time::Duration};

use anyhow::Context as _;
use tonic::{
    Code, Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataMap, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use super::{args::Global, failure::Refusal, output::Format};
use crate::{
    api::v1::{
        BackupRequest, BackupResponse, backup_service_client::BackupServiceClient,
        editorial_service_client::EditorialServiceClient, feed_service_client::FeedServiceClient,
        statement_service_client::StatementServiceClient,
    },
    client::Backoff,
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
/// Who calls, where the service runs with `--insecure`.
const CALLER: &str = "onrecord-caller";

type Wire = InterceptedService<Channel, CallerName>;
/// The client of the service that writes.
pub(super) type Editorial = EditorialServiceClient<Wire>;
/// The client of the service that reads.
pub(super) type Statements = StatementServiceClient<Wire>;
/// The client of the feed.
pub(super) type Feed = FeedServiceClient<Wire>;

/// A connection, in the name of one caller. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Session {
    server: String,
    channel: Channel,
    caller: CallerName,
    /// For whom to write the answers.
    pub(super) format: Format,
}

impl Session {
    /// Prepares a connection; the first call makes it.
    pub(super) fn new(global: &Global) -> anyhow::Result<Self> {
        Self::to(&global.server, &global.caller(), global.output)
    }

    /// As [`Self::new`], without arguments of the command line.
    pub(super) fn to(server: &str, caller: &str, format: Format) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(server.to_owned()).ok().filter(|to| to.uri().scheme_str() == Some("http"));
        let endpoint = endpoint
            .with_context(|| Refusal::Usage(format!("`{server}` is not a URL such as http://127.0.0.1:7400")))?
            .connect_timeout(CONNECT_TIME_MAX)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIME_MAX)
            .keep_alive_while_idle(true)
            .user_agent(concat!("onrecord-cli/", env!("CARGO_PKG_VERSION")))?;
        Ok(Self {
            server: server.to_owned(),
            channel: endpoint.connect_lazy(),
            caller: CallerName::new(caller)?,
            format,
        })
    }

    /// The same connection in another caller's name.
    pub(super) fn with_caller(&self, caller: &str) -> anyhow::Result<Self> {
        Ok(Self { caller: CallerName::new(caller)?, ..self.clone() })
    }

    /// What the service refused, as it is; what this side noticed because nobody answered, with whom it wanted to reach.
    pub(super) fn explained(&self, status: Status) -> anyhow::Error {
        let mut cause = status.source();
        while let Some(deeper) = cause.and_then(Error::source) {
            cause = Some(deeper);
        }
        match cause {
            Some(cause) => Refusal::Unavailable(format!("cannot reach {}: {cause}", self.server)).into(),
            None => status.into(),
        }
    }

    fn wire(&self) -> Wire {
        InterceptedService::new(self.channel.clone(), self.caller.clone())
    }

    /// The connection itself.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What every call has with it.
    pub(super) fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(CALLER, self.caller.0.clone());
        metadata
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

/// Adds the caller's name to every call.
#[derive(Clone, Debug)]
pub(super) struct CallerName(MetadataValue<Ascii>);

impl CallerName {
    fn new(name: &str) -> anyhow::Result<Self> {
        let value = name.parse().ok().filter(|_| name.is_ascii());
        value.map(Self).with_context(|| Refusal::Usage(format!("the caller's name `{name}` must be printable ASCII")))
    }
}

impl Interceptor for CallerName {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(CALLER, self.0.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::{Code, Response, Status};

    use super::{CallerName, retried};

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

    #[test]
    fn a_caller_is_printable_ascii() {
        assert!(CallerName::new("anna.b").is_ok());
        assert!(CallerName::new("änna").is_err());
        assert!(CallerName::new("a\nb").is_err());
    }
}

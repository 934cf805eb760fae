//! A service on a free loopback port with its store in a temporary directory, and people who call it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use onrecord::{
    api::v1::{
        self, backup_service_client::BackupServiceClient, clock_service_client::ClockServiceClient,
        editorial_service_client::EditorialServiceClient, feed_service_client::FeedServiceClient,
        statement_service_client::StatementServiceClient, subscribe_response::Message,
    },
    config::Config,
    domain::{digest::Digest, time::Timestamp},
    journal::{Clock, Journal, JournalError},
    server,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status, Streaming, metadata::MetadataValue, service::Interceptor,
    service::interceptor::InterceptedService, transport::Channel,
};
use tonic_types::StatusExt as _;

/// When the clock of a new service stands: 2026-01-01T00:00:00Z.
pub(crate) const BEGINNING: i64 = 1_767_225_600_000_000;
/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running service. Its clock stands still until [`Service::advance`].
pub(crate) struct Service {
    pub channel: Channel,
    pub address: SocketAddr,
    pub journal: Journal,
    pub clock: Clock,
    directory: Arc<TempDir>,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), server::ServeError>>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::on(directory, Clock::manual(Timestamp::from_micros(BEGINNING)), change).await
    }

    /// On a store that is there already, by the system's clock.
    pub(crate) async fn start_on(directory: Arc<TempDir>) -> Self {
        Self::on(directory, Clock::System, |_| {}).await
    }

    /// On a store that is there already, by a clock that stands some seconds after the beginning.
    pub(crate) async fn start_on_at(directory: Arc<TempDir>, seconds: i64) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(BEGINNING).plus_seconds(seconds));
        Self::on(directory, clock, |_| {}).await
    }

    async fn on(directory: Arc<TempDir>, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::insecure(directory.path().to_owned());
        config.journal.clock = clock.clone();
        change(&mut config);
        let journal = timeout(PATIENCE, open(&config)).await.expect("the store is free in time");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server::run_on(listener, journal.clone(), config, shutdown.clone()));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { channel, address, journal, clock, directory, shutdown, serving }
    }

    /// Stops the service and hands back its store, for [`Stopped::start`].
    pub(crate) async fn stop(self) -> Stopped {
        self.shutdown.cancel();
        timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
        self.journal.close().await;
        drop(self.journal);
        Stopped { directory: self.directory, clock: self.clock }
    }

    /// Sets the clock forward and returns once what came due is durable.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.clock.advance(seconds.try_into().unwrap());
        self.journal.poke().await.unwrap();
    }

    /// Sets the wall clock forward, or back, and lets the writer look at it.
    pub(crate) async fn jump(&self, seconds: i64) {
        self.clock.jump(seconds);
        self.journal.poke().await.unwrap();
    }

    /// The clock, some seconds on.
    pub(crate) fn in_seconds(&self, seconds: i64) -> Option<prost_types::Timestamp> {
        let (seconds, nanos) = self.clock.now().plus_seconds(seconds).parts();
        Some(prost_types::Timestamp { seconds, nanos })
    }

    /// Somebody who calls.
    pub(crate) fn person(&self, name: &str) -> Person {
        Person::new(&self.channel, name)
    }
}

/// Opens the journal once the tasks of a service before have let go of the store.
async fn open(config: &Config) -> Journal {
    loop {
        match Journal::open(config.journal.clone()) {
            Err(JournalError::Store(words)) if words.contains("in use") => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

/// A store without a service.
pub(crate) struct Stopped {
    directory: Arc<TempDir>,
    clock: Clock,
}

impl Stopped {
    /// Where it lies.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The store alone.
    pub(crate) fn into_directory(self) -> TempDir {
        Arc::into_inner(self.directory).expect("nobody else holds it")
    }

    /// Starts again, `seconds` later.
    pub(crate) async fn start(self, seconds: i64) -> Service {
        self.clock.advance(seconds.try_into().unwrap());
        Service::on(self.directory, self.clock, |_| {}).await
    }
}

/// Says who calls, or shows it: a key and a value.
#[derive(Clone)]
pub(crate) struct Caller(&'static str, MetadataValue<tonic::metadata::Ascii>);

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(self.0, self.1.clone());
        Ok(request)
    }
}

type Over = InterceptedService<Channel, Caller>;

/// Somebody who calls, with short names for what people do most.
#[derive(Clone)]
pub(crate) struct Person {
    pub editorial: EditorialServiceClient<Over>,
    pub statements: StatementServiceClient<Over>,
    pub feed: FeedServiceClient<Over>,
    pub backups: BackupServiceClient<Over>,
    pub clock: ClockServiceClient<Over>,
}

/// Words with a title, and nothing else.
pub(crate) fn words(title: &str) -> v1::Content {
    v1::Content { title: title.to_owned(), body: format!("{title}, in full."), ..Default::default() }
}

/// Words of a kind of change, with the note or correction that it needs.
pub(crate) fn changed(title: &str, kind: v1::ChangeKind) -> v1::Content {
    let note = if kind == v1::ChangeKind::Major { "What changed." } else { "" };
    let correction = v1::Correction { text: "What was wrong.".to_owned(), ..Default::default() };
    v1::Content {
        change_kind: kind.into(),
        change_note: note.to_owned(),
        correction: (kind == v1::ChangeKind::Correction).then_some(correction),
        ..words(title)
    }
}

impl Person {
    /// Somebody who calls over this channel.
    pub(crate) fn new(channel: &Channel, name: &str) -> Self {
        Self::by(channel, &Caller("onrecord-caller", name.parse().unwrap()))
    }

    /// Somebody who has a token.
    pub(crate) fn with_token(channel: &Channel, token: &str) -> Self {
        Self::by(channel, &Caller("authorization", format!("Bearer {token}").parse().unwrap()))
    }

    fn by(channel: &Channel, caller: &Caller) -> Self {
        let over = || InterceptedService::new(channel.clone(), caller.clone());
        Self {
            editorial: EditorialServiceClient::new(over()),
            statements: StatementServiceClient::new(over()),
            feed: FeedServiceClient::new(over()).max_decoding_message_size(16 << 20),
            backups: BackupServiceClient::new(over()).max_decoding_message_size(16 << 20),
            clock: ClockServiceClient::new(over()),
        }
    }

    /// A statement of kind `notice`.
    pub(crate) async fn create(&mut self, id: &str, source: &str) -> v1::Statement {
        let statement =
            v1::Statement { kind: "notice".to_owned(), source_language_code: source.to_owned(), ..Default::default() };
        let request = v1::CreateStatementRequest {
            statement_id: id.to_owned(),
            statement: Some(statement),
            ..Default::default()
        };
        self.editorial.create_statement(request).await.unwrap().into_inner().statement.unwrap()
    }

    pub(crate) async fn try_save(&mut self, draft: v1::Draft) -> Result<v1::Draft, Status> {
        let content_view = v1::ContentView::Message.into();
        let request = v1::SaveDraftRequest { draft: Some(draft), content_view, ..Default::default() };
        Ok(self.editorial.save_draft(request).await?.into_inner().draft.unwrap())
    }

    /// Begins a draft.
    pub(crate) async fn save(&mut self, id: &str, language: &str, content: v1::Content) -> v1::Draft {
        let name = format!("statements/{id}/drafts/{language}");
        self.try_save(v1::Draft { name, content: Some(content), ..Default::default() }).await.unwrap()
    }

    pub(crate) async fn submit(&mut self, draft: &v1::Draft) -> Result<v1::Draft, Status> {
        let request =
            v1::SubmitDraftRequest { name: draft.name.clone(), etag: draft.etag.clone(), ..Default::default() };
        Ok(self.editorial.submit_draft(request).await?.into_inner().draft.unwrap())
    }

    pub(crate) async fn approve(&mut self, draft: &v1::Draft) -> Result<v1::Draft, Status> {
        let request =
            v1::ApproveDraftRequest { name: draft.name.clone(), etag: draft.etag.clone(), ..Default::default() };
        Ok(self.editorial.approve_draft(request).await?.into_inner().draft.unwrap())
    }

    /// A request that publishes these drafts now.
    pub(crate) fn publication(drafts: &[&v1::Draft]) -> v1::PublishDraftsRequest {
        let name = drafts[0].name.split("/drafts/").next().unwrap().to_owned();
        let one = |draft: &&v1::Draft| v1::DraftToPublish {
            language_code: draft.name.rsplit('/').next().unwrap().to_owned(),
            etag: draft.etag.clone(),
        };
        v1::PublishDraftsRequest { parent: name, drafts: drafts.iter().map(one).collect(), ..Default::default() }
    }

    pub(crate) async fn publish(
        &mut self,
        request: v1::PublishDraftsRequest,
    ) -> Result<v1::PublishDraftsResponse, Status> {
        Ok(self.editorial.publish_drafts(request).await?.into_inner())
    }

    pub(crate) async fn release(&mut self, id: &str, language: &str) -> Result<v1::Release, Status> {
        let name = format!("statements/{id}/releases/{language}");
        Ok(self
            .editorial
            .get_release(v1::GetReleaseRequest { name, ..Default::default() })
            .await?
            .into_inner()
            .release
            .unwrap())
    }

    pub(crate) async fn withdraw(
        &mut self,
        id: &str,
        languages: &[&str],
    ) -> Result<v1::WithdrawStatementResponse, Status> {
        let renditions = vec![v1::Rendition { channel: "push".to_owned(), text: "No longer true.".to_owned() }];
        let notice = v1::Notice { text: "It is no longer true.".to_owned(), renditions, ..Default::default() };
        let request = v1::WithdrawStatementRequest {
            name: format!("statements/{id}"),
            language_codes: languages.iter().map(ToString::to_string).collect(),
            notice: Some(notice),
            ..Default::default()
        };
        Ok(self.editorial.withdraw_statement(request).await?.into_inner())
    }

    /// What a reader is shown; an empty language asks for the source language.
    pub(crate) async fn read(&mut self, id: &str, language: &str) -> Result<v1::PublicStatement, Status> {
        let request = v1::GetStatementRequest {
            name: format!("statements/{id}"),
            language_code: language.to_owned(),
            ..Default::default()
        };
        Ok(self.statements.get_statement(request).await?.into_inner().statement.unwrap())
    }

    /// Follows the feed from somewhere, with everything or a filter.
    pub(crate) async fn follow(&mut self, request: v1::SubscribeRequest) -> Result<Stream, Status> {
        Ok(Stream(self.feed.subscribe(request).await?.into_inner()))
    }

    /// Follows everything that comes.
    pub(crate) async fn follow_all(&mut self) -> Stream {
        let request = v1::SubscribeRequest { start: v1::Start::Beginning.into(), ..Default::default() };
        self.follow(request).await.unwrap()
    }
}

/// A subscription under way.
pub(crate) struct Stream(pub Streaming<v1::SubscribeResponse>);

impl Stream {
    /// The next message; a test fails if none comes.
    pub(crate) async fn next(&mut self) -> Message {
        let message = timeout(PATIENCE, self.0.message()).await.expect("a message in time");
        message.unwrap().expect("the stream goes on").message.unwrap()
    }

    /// The next deliveries, whatever comes between.
    pub(crate) async fn deliveries(&mut self) -> Vec<v1::Delivery> {
        loop {
            if let Message::EventBatch(batch) = self.next().await {
                return batch.deliveries;
            }
        }
    }

    /// Deliveries up to and with the event of this sequence.
    pub(crate) async fn until(&mut self, sequence: u64) -> Vec<v1::Delivery> {
        let mut all: Vec<v1::Delivery> = Vec::new();
        while all.last().is_none_or(|last| last.event.as_ref().unwrap().sequence < sequence) {
            all.extend(self.deliveries().await);
        }
        all
    }
}

/// One author, one reviewer, one publisher, and a text that goes all the way: what most tests begin with.
pub(crate) async fn publish(service: &Service, id: &str, language: &str, content: v1::Content) -> v1::Live {
    let (mut author, mut reviewer) = (service.person("author"), service.person("reviewer"));
    let draft = author.save(id, language, content).await;
    let draft = author.submit(&draft).await.unwrap();
    let draft = reviewer.approve(&draft).await.unwrap();
    let published = service.person("publisher").publish(Person::publication(&[&draft])).await.unwrap();
    published.live.into_iter().next().unwrap()
}

/// A draft that only has to be published.
pub(crate) async fn approved(service: &Service, id: &str, language: &str, content: v1::Content) -> v1::Draft {
    let (mut author, mut reviewer) = (service.person("author"), service.person("reviewer"));
    let draft = author.save(id, language, content).await;
    let draft = author.submit(&draft).await.unwrap();
    reviewer.approve(&draft).await.unwrap()
}

/// Follows from there.
pub(crate) fn from(start: v1::Start) -> v1::SubscribeRequest {
    v1::SubscribeRequest { start: start.into(), ..Default::default() }
}

/// Goes on from a cursor.
pub(crate) fn at(cursor: &str) -> v1::SubscribeRequest {
    v1::SubscribeRequest { cursor: cursor.to_owned(), ..from(v1::Start::Cursor) }
}

pub(crate) fn sequences(deliveries: &[v1::Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.event.as_ref().unwrap().sequence).collect()
}

/// The sequence that a cursor comes to: see `feed/cursor.rs`.
pub(crate) fn next_of(cursor: &str) -> u64 {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap();
    u64::from_be_bytes(bytes[21..29].try_into().unwrap())
}

/// The same cursor at another place, as if it came from a replica that is ahead.
pub(crate) fn moved(cursor: &str, next: u64) -> String {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap();
    bytes[21..29].copy_from_slice(&next.to_be_bytes());
    let covered = bytes.len() - 4;
    let sum = crc32c::crc32c(&bytes[..covered]).to_be_bytes();
    bytes[covered..].copy_from_slice(&sum);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Hash of a link of a chain, as hexadecimal digits.
pub(crate) fn chained(previous_hash: &str, seal: &[u8]) -> String {
    Digest::chain(Digest::parse(previous_hash).unwrap(), seal).to_string()
}

/// Code and reason of a refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = result.expect_err("a refusal");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(info.domain, "onrecord");
    status
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

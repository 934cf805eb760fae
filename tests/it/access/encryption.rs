//! TLS: who is named by a certificate, and what changes while the service runs.

use std::{fs, process::Command, sync::Arc, time::Duration};

use onrecord::{
    access::Access,
    api::v1::{self, closing::Reason, subscribe_response::Message},
    config::TlsFiles,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{Policy, revocation::closing};
use crate::harness::{BEGINNING, Person, Service, from, refused};

/// When the certificates end, in Unix seconds: as the year 3000 begins.
const END: i64 = 32_503_680_000;
const SITE: &str = "spiffe://example.org/sites/paris";

/// An authority, which signs certificates.
pub(super) struct Authority {
    pub(super) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(super) struct Signed {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: SanType) -> Signed {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.subject_alt_names = vec![name];
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    pub(super) fn server(&self) -> Signed {
        self.sign(SanType::DnsName("localhost".try_into().unwrap()))
    }

    /// For a client with this SPIFFE ID.
    pub(super) fn client(&self, id: &str) -> Signed {
        self.sign(SanType::URI(id.try_into().unwrap()))
    }

    fn site(&self) -> Signed {
        self.client(SITE)
    }
}

/// A service that speaks TLS, and its files.
pub(super) struct Encrypted {
    service: Service,
    files: TlsFiles,
    _directory: Arc<TempDir>,
    _policy: Policy,
}

impl Encrypted {
    pub(super) async fn start(server: &Signed, clients: &Authority, policy: Policy) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let file = |name: &str| directory.path().join(name);
        let files =
            TlsFiles { certificate: file("tls.crt"), key: file("tls.key"), client_ca: Some(file("clients.crt")) };
        write(&files, server, clients);
        policy.write();
        let access = Access::by_policy(&policy.file()).unwrap();
        let given = files.clone();
        let service = Service::start_with(|config| (config.access, config.tls) = (access, Some(given))).await;
        Self { service, files, _directory: directory, _policy: policy }
    }

    /// A connection of its own.
    pub(super) fn channel(&self, believed: &Authority, own: Option<&Signed>) -> Channel {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(&believed.certificate));
        let tls = match own {
            Some(own) => tls.identity(Identity::from_pem(&own.certificate, &own.key)),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(format!("https://{}", self.service.address)).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }
}

fn write(files: &TlsFiles, server: &Signed, clients: &Authority) {
    fs::write(&files.certificate, &server.certificate).unwrap();
    fs::write(&files.key, &server.key).unwrap();
    fs::write(files.client_ca.as_ref().unwrap(), &clients.certificate).unwrap();
}

fn site_policy() -> Policy {
    let mut policy = Policy::new();
    policy.grant(SITE, "roles = [\"subscriber\"]");
    policy
}

/// A call as the certificate of a connection allows it.
async fn list(channel: &Channel) -> Result<(), tonic::Status> {
    let mut person = v1::statement_service_client::StatementServiceClient::new(channel.clone());
    person.list_statements(v1::ListStatementsRequest::default()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_its_caller() {
    let (ours, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let encrypted = Encrypted::start(&ours.server(), &clients, site_policy()).await;
    list(&encrypted.channel(&ours, Some(&clients.site()))).await.unwrap();
    refused(list(&encrypted.channel(&ours, None)).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
    let other = clients.sign(SanType::URI("spiffe://example.org/sites/rome".try_into().unwrap()));
    refused(list(&encrypted.channel(&ours, Some(&other))).await, Code::PermissionDenied, "ROLE_MISSING");
    // Of another authority: there is no connection at all.
    let status = list(&encrypted.channel(&ours, Some(&strangers.site()))).await.unwrap_err();
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_certificate_ends_its_stream() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let encrypted = Encrypted::start(&ours.server(), &clients, site_policy()).await;
    let channel = encrypted.channel(&ours, Some(&clients.site()));
    encrypted.service.advance(END - BEGINNING / 1_000_000 - 1).await;
    let stream = Person::new(&channel, "what is said counts for nothing").follow_all().await;
    assert_eq!(closing(stream).await, Reason::AccessRevoked);
    encrypted.service.advance(1).await;
    refused(list(&channel).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_before_a_certificate() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let mut policy = site_policy();
    policy.grant("carl", "roles = [\"auditor\"]");
    let token = policy.token("carl", "");
    let encrypted = Encrypted::start(&ours.server(), &clients, policy).await;
    let channel = encrypted.channel(&ours, Some(&clients.site()));
    let mut auditor = Person::with_token(&channel, &token);
    auditor.editorial.list_entries(v1::ListEntriesRequest::default()).await.unwrap();
}

/// How many calls in a row are made while certificates change.
const CALLS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_authorities_change_without_a_failed_call() {
    // Ours, so that the signal does not end the tests before a service listens to it.
    let _hangup = signal(SignalKind::hangup()).unwrap();
    let (ours, next_ours, clients, next_clients) =
        (Authority::new(), Authority::new(), Authority::new(), Authority::new());
    let encrypted = Encrypted::start(&ours.server(), &clients, site_policy()).await;
    let before = encrypted.channel(&ours, Some(&clients.site()));
    list(&before).await.unwrap();
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = v1::SubscribeRequest { heartbeat_interval, ..from(v1::Start::Now) };
    let mut feed = v1::feed_service_client::FeedServiceClient::new(before.clone());
    let mut stream = feed.subscribe(request).await.unwrap().into_inner();
    let load = tokio::spawn({
        let before = before.clone();
        async move {
            for _ in 0..CALLS {
                list(&before).await.unwrap();
            }
        }
    });
    write(&encrypted.files, &next_ours.server(), &next_clients);
    let hangup = Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap();
    assert!(hangup.success());
    // Until it was read, the new ones are refused.
    while list(&encrypted.channel(&next_ours, Some(&next_clients.site()))).await.is_err() {
        tokio::task::yield_now().await;
    }
    let old = encrypted.channel(&next_ours, Some(&clients.site()));
    assert!(list(&old).await.is_err(), "the authority that was taken out is not believed");
    load.await.unwrap();
    list(&before).await.unwrap();
    // A stream that was open goes on.
    let mut beats = 0;
    while beats < 3 {
        let message = stream.message().await.unwrap().expect("it goes on").message.unwrap();
        assert!(!matches!(message, Message::Closing(_)), "{message:?}");
        beats += u32::from(matches!(message, Message::Heartbeat(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_looked_at_without_a_signal_too() {
    let (ours, next_ours, clients) = (Authority::new(), Authority::new(), Authority::new());
    let encrypted = Encrypted::start(&ours.server(), &clients, site_policy()).await;
    list(&encrypted.channel(&ours, Some(&clients.site()))).await.unwrap();
    write(&encrypted.files, &next_ours.server(), &clients);
    // It looks every 10 s.
    let taken = async {
        while list(&encrypted.channel(&next_ours, Some(&clients.site()))).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_mins(1), taken).await.expect("the new ones are used");
}

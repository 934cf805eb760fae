//! Handshakes over loopback, with certificates made for them.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::{TempDir, tempdir};
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream as ClientStream,
    rustls::{ClientConfig, HandshakeKind, pki_types::ServerName},
};

use super::*;

/// A certificate and its key, both PEM.
struct Signed {
    certificate: String,
    key: String,
}

/// Who signs certificates.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, names: Vec<SanType>) -> Signed {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    /// For a server on this machine.
    fn sign_server(&self) -> Signed {
        self.sign(vec![dns("localhost"), SanType::IpAddress("127.0.0.1".parse().unwrap())])
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// Writes the files of a server that believes the clients of `believed`.
fn write(directory: &TempDir, server: &Signed, believed: &Authority) -> TlsFiles {
    let path = |name: &str| directory.path().join(name);
    let (certificate, key, client_ca) = (path("server.pem"), path("server.key"), path("clients.pem"));
    fs::write(&certificate, &server.certificate).unwrap();
    fs::write(&key, &server.key).unwrap();
    fs::write(&client_ca, &believed.certificate).unwrap();
    TlsFiles { certificate, key, client_ca: Some(client_ca) }
}

fn load(files: TlsFiles) -> Result<Tls, TlsError> {
    Tls::load(files, None)
}

/// A client that believes the servers of `believed`, and may have a certificate of its own.
fn client(believed: &Authority, own: Option<&Signed>) -> ClientConfig {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut authorities = RootCertStore::empty();
    authorities.add(certificate(&believed.certificate)).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities);
    let mut config = match own {
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate(&own.certificate)], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// What the server has of a connection, and what the client has.
async fn connect(
    tls: &Tls,
    client: impl Into<Arc<ClientConfig>>,
) -> (io::Result<TlsStream<TcpStream>>, io::Result<ClientStream<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (taken, _) = listener.accept().await.unwrap();
    let connector = TlsConnector::from(client.into());
    tokio::join!(tls.handshake(taken), connector.connect(ServerName::try_from("localhost").unwrap(), stream))
}

#[tokio::test]
async fn a_client_is_named_by_its_certificate() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let tls = load(write(&directory, &authority.sign_server(), &authority)).unwrap();
    let own = authority.sign(vec![
        dns("desk.example"),
        dns("two words"),
        dns("spiffe://example/chief"),
        uri("https://desk.example/"),
        uri(&format!("spiffe://example/{}", "a".repeat(256))),
        uri("spiffe://example/desk"),
    ]);
    let (served, _client) = connect(&tls, client(&authority, Some(&own))).await;
    let names = peer_certificate(&served.unwrap()).unwrap().names;
    assert_eq!(names.iter().map(Caller::as_str).collect::<Vec<_>>(), ["spiffe://example/desk", "desk.example"]);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_served_and_has_no_name() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let tls = load(write(&directory, &authority.sign_server(), &authority)).unwrap();
    let (served, client) = connect(&tls, client(&authority, None)).await;
    assert_eq!(peer_certificate(&served.unwrap()), None);
    client.unwrap();
}

#[tokio::test]
async fn without_authorities_no_client_is_asked_for_a_certificate() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let files = write(&directory, &authority.sign_server(), &authority);
    let tls = load(TlsFiles { client_ca: None, ..files }).unwrap();
    let own = authority.sign(vec![uri("spiffe://example/desk")]);
    let (served, _client) = connect(&tls, client(&authority, Some(&own))).await;
    assert_eq!(peer_certificate(&served.unwrap()), None);
}

#[tokio::test]
async fn a_client_of_another_authority_is_refused() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let tls = load(write(&directory, &authority.sign_server(), &authority)).unwrap();
    let own = Authority::new().sign(vec![uri("spiffe://example/desk")]);
    let (served, _client) = connect(&tls, client(&authority, Some(&own))).await;
    assert!(served.is_err());
}

#[tokio::test]
async fn who_does_not_speak_h2_is_refused() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let tls = load(write(&directory, &authority.sign_server(), &authority)).unwrap();
    for offered in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut client = client(&authority, None);
        client.alpn_protocols = offered;
        let (served, _client) = connect(&tls, client).await;
        assert_eq!(served.err().unwrap().kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_let_go() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let tls = load(write(&directory, &authority.sign_server(), &authority)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (taken, _) = listener.accept().await.unwrap();
    assert_eq!(tls.handshake(taken).await.err().unwrap().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn new_files_are_used_once_they_are_read_again() {
    let (directory, old, new) = (tempdir().unwrap(), Authority::new(), Authority::new());
    let tls = load(write(&directory, &old.sign_server(), &old)).unwrap();
    assert!(!tls.reload().unwrap(), "they are the same");
    assert!(connect(&tls, client(&old, None)).await.1.is_ok());
    assert!(connect(&tls, client(&new, None)).await.1.is_err());
    write(&directory, &new.sign_server(), &new);
    assert!(tls.reload().unwrap());
    assert!(connect(&tls, client(&new, None)).await.1.is_ok());
    assert!(connect(&tls, client(&old, None)).await.1.is_err());
}

#[tokio::test]
async fn a_session_ends_with_the_authority_of_its_client() {
    let (directory, authority, gone) = (tempdir().unwrap(), Authority::new(), Authority::new());
    let server = authority.sign_server();
    let tls = load(write(&directory, &server, &gone)).unwrap();
    let client = Arc::new(client(&authority, Some(&gone.sign(vec![uri("spiffe://example/desk")]))));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (taken, asked) = connect(&tls, Arc::clone(&client)).await;
        let (taken, mut asked) = (taken.unwrap(), asked.unwrap());
        assert_eq!(taken.get_ref().1.handshake_kind(), Some(kind));
        assert_eq!(peer_certificate(&taken).unwrap().names.len(), 1);
        drop(taken);
        // What the session is resumed with comes after the handshake, before the end.
        drop(asked.read(&mut [0]).await);
    }
    write(&directory, &server, &authority);
    assert!(tls.reload().unwrap());
    assert!(connect(&tls, client).await.0.is_err());
}

#[tokio::test]
async fn broken_files_change_nothing() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let files = write(&directory, &authority.sign_server(), &authority);
    let tls = load(files.clone()).unwrap();
    let another = authority.sign_server().key;
    let (certificate, key, client_ca) = (&files.certificate, &files.key, files.client_ca.as_ref().unwrap());
    let cut_off = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n");
    let rubbish = |kind: &str| format!("{}-----END {kind}-----\n", cut_off(kind));
    let table = [
        (certificate, String::new(), "no certificate"),
        (certificate, cut_off("CERTIFICATE"), "not whole"),
        (certificate, rubbish("CERTIFICATE"), "X.509"),
        (key, rubbish("ENCRYPTED PRIVATE KEY"), "not encrypted"),
        (key, cut_off("PRIVATE KEY"), "not whole"),
        (key, rubbish("PRIVATE KEY"), "Ed25519"),
        (key, another, "not the key of the certificate"),
        (client_ca, String::new(), "no certificate"),
        (client_ca, rubbish("CERTIFICATE"), "X.509"),
    ];
    for (file, text, why) in table {
        let good = fs::read(file).unwrap();
        fs::write(file, text).unwrap();
        let words = tls.reload().unwrap_err().to_string();
        assert!(words.starts_with(&format!("{}: ", file.display())) && words.contains(why), "{words}");
        fs::write(file, good).unwrap();
    }
    fs::remove_file(client_ca).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Unreadable { file, .. }) if file == *client_ca));
    assert!(connect(&tls, client(&authority, None)).await.1.is_ok());
}

#[test]
fn a_file_has_a_limit() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let files = write(&directory, &authority.sign_server(), &authority);
    let mut text = fs::read(&files.certificate).unwrap();
    text.resize(usize::try_from(FILE_BYTES_MAX).unwrap(), b'\n');
    fs::write(&files.certificate, &text).unwrap();
    assert!(load(files.clone()).is_ok());
    text.push(b'\n');
    fs::write(&files.certificate, &text).unwrap();
    assert!(matches!(load(files), Err(TlsError::TooLong(_))));
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let pair = Signed { key: authority.sign_server().key, ..authority.sign_server() };
    let refused = load(write(&directory, &pair, &authority));
    assert!(matches!(refused, Err(TlsError::NotAPair { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_is_one_too_many_waits_and_is_let_go() {
    let (directory, authority) = (tempdir().unwrap(), Authority::new());
    let mut tls = load(write(&directory, &authority.sign_server(), &authority)).unwrap();
    tls.pace = Pace::new(Quota::with_period(Duration::from_hours(1)).unwrap());
    tls.pace.turn().await;
    let (served, _client) = connect(&tls, client(&authority, None)).await;
    assert!(is_without_turn(&served.err().unwrap()));
    // Who is in line when a turn comes gets it, and has a handshake like any other.
    tls.pace = Pace::new(Quota::per_second(NonZeroU32::new(1_000).unwrap()));
    tls.pace.turn().await;
    tls.pace.turn().await;
}

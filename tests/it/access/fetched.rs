//! Keys of an identity provider that the service fetches itself.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use onrecord::{
    access::Access,
    api::v1::{ListStatementsRequest, closing::Reason},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tonic::{Code, Status};

use super::{
    Policy,
    encryption::{Authority, Signed},
    holder,
    provider::Provider,
    revocation::{closing, follow},
};
use crate::harness::{Service, refused};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a provider has at its address, and what came of it when it was asked.
struct Site {
    address: SocketAddr,
    page: watch::Sender<String>,
    asked: watch::Receiver<Asked>,
}

/// The page that was seen last, and how many did not even ask for one.
#[derive(Default)]
struct Asked {
    seen: String,
    refused: u64,
}

impl Site {
    async fn start(page: String, tls: Option<&Signed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (page, shown) = watch::channel(page);
        let (told, asked) = watch::channel(Asked::default());
        let tls = tls.map(acceptor);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let page = shown.borrow().clone();
                let answered = match &tls {
                    None => answer(stream, &page).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => answer(stream, &page).await,
                        Err(refused) => Err(refused),
                    },
                };
                told.send_modify(|asked| match answered {
                    Ok(()) => asked.seen = page,
                    Err(_) => asked.refused += 1,
                });
            }
        });
        Self { address, page, asked }
    }

    /// Shows another page, has it fetched, and returns once it was seen.
    async fn turn_to(&mut self, page: String, access: &Access) {
        self.page.send_replace(page.clone());
        access.fetch_keys();
        let seen = self.asked.wait_for(|asked| asked.seen == page);
        timeout(PATIENCE, seen).await.expect("it is fetched").unwrap();
    }
}

fn acceptor(signed: &Signed) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// One answer of HTTP/1.1, whatever is asked.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, page: &str) -> std::io::Result<()> {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await?);
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", page.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

async fn list(service: &Service, token: &str) -> Result<(), Status> {
    holder(service, token).statements.list_statements(ListStatementsRequest::default()).await.map(drop)
}

/// Returns once the token is believed.
async fn believed(service: &Service, token: &str) {
    let believed = async {
        while list(service, token).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, believed).await.expect("it is believed");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_fetched_are_followed() {
    let (first, second) = (Provider::new(), Provider::new());
    let mut site = Site::start(first.keys(), None).await;
    let mut policy = Policy::new();
    policy.issuer(&format!("keys = \"http://{}/jwks.json\"", site.address));
    policy.grant("anna", "roles = [\"subscriber\"]");
    let (service, access) = policy.serve().await;
    // It was fetched before anybody was let in.
    list(&service, &first.sign("anna")).await.unwrap();
    refused(list(&service, &second.sign("anna")).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    let stream = follow(&mut holder(&service, &first.sign("anna"))).await;

    for broken in ["<html>Service unavailable</html>", r#"{"keys":[]}"#] {
        site.turn_to(broken.to_owned(), &access).await;
        list(&service, &first.sign("anna")).await.unwrap();
    }

    site.turn_to(second.keys(), &access).await;
    believed(&service, &second.sign("anna")).await;
    refused(list(&service, &first.sign("anna")).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    assert_eq!(closing(stream).await, Reason::AccessRevoked);
    follow(&mut holder(&service, &second.sign("anna"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_only_from_whom_the_policy_believes() {
    let (ours, others) = (Authority::new(), Authority::new());
    let provider = Provider::new();
    for (believed, signed) in [(&ours, true), (&others, false)] {
        let mut site = Site::start(provider.keys(), Some(&ours.server())).await;
        let mut policy = Policy::new();
        let ca = policy.beside("ca.crt", &believed.certificate);
        let url = format!("https://localhost:{}/jwks.json", site.address.port());
        policy.issuer(&format!("keys = \"{url}\"\nkeys_ca = \"{ca}\""));
        policy.grant("anna", "roles = [\"subscriber\"]");
        let (service, access) = policy.serve().await;
        if signed {
            list(&service, &provider.sign("anna")).await.unwrap();
            continue;
        }
        access.fetch_keys();
        let twice = site.asked.wait_for(|asked| asked.refused >= 2);
        timeout(PATIENCE, twice).await.expect("it tries").unwrap();
        refused(list(&service, &provider.sign("anna")).await, Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
        assert_eq!(site.asked.borrow().seen, "", "it did not even ask");
    }
}

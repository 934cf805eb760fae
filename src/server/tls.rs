//! TLS of a connection: who we are, whose clients are believed, and how a peer is named.
//!
//! **Invariants**
//! - Files that cannot be used change nothing: what was read before stays in use (`broken_files_change_nothing`).
//! - A peer speaks HTTP/2, as agreed in the handshake, or is refused (`who_does_not_speak_h2_is_refused`).
//! - A client may come without a certificate, never with one that no authority of ours signed
//!   (`a_client_of_another_authority_is_refused`), nor by way of a session from before the files changed
//!   (`a_session_ends_with_the_authority_of_its_client`).
//! - Handshakes cost more than what comes after them: no more begin in a second than may, and who has to wait is taken in its turn
//!   (`who_is_one_too_many_waits_and_is_let_go`). Who has not asked for one properly has no turn.
//! - What is in a DNS name of a certificate never passes for a SPIFFE ID (`a_client_is_named_by_its_certificate`).

use std::{
    fs::File,
    future::pending,
    io::{self, Read as _},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, MonotonicClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::{Acceptor, WebPkiClientVerifier},
    },
    server::TlsStream,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use crate::{
    access::Certificate,
    config::TlsFiles,
    cores::cores,
    domain::{digest::Digest, id::Caller, time::Timestamp},
};

/// How long a handshake may take, and how long one may wait for its turn.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes of a file. A bundle of every public authority has a quarter of them.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Handshakes a second for each core, unless told otherwise: one takes 0.6 ms of it (`docs/sizing.md`), so a third of the time.
const PER_CORE: NonZeroU32 = NonZeroU32::MIN.saturating_add(499);
/// HTTP/2, as it is called in the handshake (RFC 9113, section 3.1).
const ALPN: &[u8] = b"h2";

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read ({error}): give a file that is there and that the service may read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is far too long.
    #[error("{}: is longer than {FILE_BYTES_MAX} bytes: give a PEM file", .0.display())]
    TooLong(PathBuf),
    /// A file is cut off, or damaged.
    #[error("{}: is not whole PEM, something in it has no end or is not base64: copy it again", .0.display())]
    NotPem(PathBuf),
    /// A file holds no certificate.
    #[error("{}: holds no certificate: give a PEM file with `-----BEGIN CERTIFICATE-----`", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no key, or an encrypted one.
    #[error(
        "{}: holds no private key that could be used as it is: give a PEM file with `-----BEGIN PRIVATE KEY-----` (or RSA, or EC), \
         not encrypted",
        .0.display()
    )]
    NoKey(PathBuf),
    /// A certificate is not one, or not of a kind that is known.
    #[error("{}: holds a certificate that cannot be used ({why}): give X.509 certificates, version 3", file.display())]
    Certificate {
        /// Where it is.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A key is not of a kind that is known.
    #[error("{}: the key cannot be used ({why}): give an RSA key of 2,048 bits or more, an ECDSA or an Ed25519 key", file.display())]
    Key {
        /// Where it is.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// Key and certificate are not a pair.
    #[error(
        "{}: is not the key of the certificate in {}: give the key that this certificate was asked for with, and our certificate first \
         in its file",
        key.display(), certificate.display()
    )]
    NotAPair {
        /// Where the key is.
        key: PathBuf,
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// It is not the files: the library does not do what it is asked for.
    #[error("TLS cannot be set up ({0}): this onrecord was not built right, take another")]
    Library(String),
}

/// What new connections are encrypted with. It changes when the files do; connections that are open keep what they began with.
pub(super) struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// When our certificate ends, in seconds since 1970; 0 if it does not say.
    expires: AtomicI64,
    /// SHA-256 of the files that `config` was made of. Whoever reads them again holds it, so that what is older never comes last.
    known: Mutex<[u8; 32]>,
    pace: Pace,
}

impl Tls {
    /// Reads the files; so many handshakes may begin in a second. Blocks on the disk.
    ///
    /// # Errors
    /// If they cannot be used.
    pub(super) fn load(files: TlsFiles, handshakes_per_second: Option<NonZeroU32>) -> Result<Self, TlsError> {
        let sources = Sources::read(&files)?;
        let (config, known) = (ArcSwap::from_pointee(sources.config()?), Mutex::new(sources.digest()));
        let expires = AtomicI64::new(sources.expires());
        let pace = handshakes_per_second.unwrap_or_else(|| PER_CORE.saturating_mul(cores()));
        let pace = Pace::new(Quota::per_second(pace));
        Ok(Self { files, config, expires, known, pace })
    }

    /// Whether clients may show certificates.
    pub(super) fn takes_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Reads the files again, and whether they were others. Those who connect from then on get what is in them now. Blocks on the disk.
    ///
    /// # Errors
    /// If they cannot be used. Then nothing changed.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = Sources::read(&self.files)?;
        let digest = sources.digest();
        if *known == digest {
            return Ok(false);
        }
        self.config.store(Arc::new(sources.config()?));
        self.expires.store(sources.expires(), Relaxed);
        *known = digest;
        Ok(true)
    }

    /// When our certificate ends, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<i64> {
        Some(self.expires.load(Relaxed)).filter(|expires| *expires > 0)
    }

    /// Agrees with a peer on keys and on HTTP/2, within 10 s from its turn on, which comes within 10 s too.
    ///
    /// # Errors
    /// If its turn does not come; if the peer does not, or not in time, or has a certificate that is not believed.
    pub(super) async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // Without it a handshake is slower, and nothing is wrong.
        drop(stream.set_nodelay(true));
        let begun = timeout(HANDSHAKE_MAX, LazyConfigAcceptor::new(Acceptor::default(), stream)).await??;
        tokio::select! {
            biased;
            // Who is gone has no turn.
            () = gone(&begun.io) => return Err(io::ErrorKind::UnexpectedEof.into()),
            turn = timeout(HANDSHAKE_MAX, self.pace.turn()) => turn.map_err(|_| io::Error::other(NoTurn))?,
        }
        let stream = timeout(HANDSHAKE_MAX, begun.into_stream(self.config.load_full())).await??;
        // rustls refuses whoever offers something else, not whoever offers nothing.
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not offer h2 (ALPN)"));
        }
        Ok(stream)
    }
}

/// Returns once the peer has closed its side. What it says before that waits.
async fn gone(stream: &TcpStream) {
    if stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
        pending::<()>().await;
    }
}

/// The turn of a handshake did not come.
#[derive(Debug, thiserror::Error)]
#[error("more handshakes than may begin in a second: it waited for 10 s")]
struct NoTurn;

/// Whether a handshake failed for want of a turn.
pub(super) fn is_without_turn(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NoTurn>)
}

/// How many handshakes may begin.
struct Pace {
    rate: RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>,
    /// Held by who is next: one waits for the time, the others for it. It is held over that wait on purpose.
    next: tokio::sync::Mutex<()>,
}

impl Pace {
    fn new(quota: Quota) -> Self {
        Self {
            rate: RateLimiter::new(quota, InMemoryState::default(), MonotonicClock),
            next: tokio::sync::Mutex::default(),
        }
    }

    /// Returns when one more may begin.
    async fn turn(&self) {
        let _next = self.next.lock().await;
        while let Err(early) = self.rate.check() {
            sleep(early.wait_time_from(MonotonicClock.now())).await;
        }
    }
}

/// The peer's certificate, if it has shown one. It was verified.
pub(super) fn peer_certificate(stream: &TlsStream<TcpStream>) -> Option<Certificate> {
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    let (_, parsed) = parse_x509_certificate(leaf).ok()?;
    let expire_time = Timestamp::from_micros(parsed.validity().not_after.timestamp().saturating_mul(1_000_000));
    Some(Certificate { names: names(&parsed), expire_time, digest: Digest::of(&[leaf]) })
}

/// The names in a certificate: SPIFFE IDs first, then DNS names.
fn names(certificate: &X509Certificate<'_>) -> Vec<Caller> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let all = &extension.value.general_names;
    let ids = all.iter().filter_map(|name| if let GeneralName::URI(id) = name { Some(*id) } else { None });
    let hosts = all.iter().filter_map(|name| if let GeneralName::DNSName(host) = name { Some(*host) } else { None });
    let ids = ids.filter(|id| id.starts_with("spiffe:"));
    let hosts = hosts.filter(|host| !host.contains([':', '/']));
    ids.chain(hosts).filter_map(|name| Caller::parse(name).ok()).collect()
}

/// What the files hold at one time.
struct Sources<'a> {
    certificate: Pem<'a>,
    key: Pem<'a>,
    client_ca: Option<Pem<'a>>,
}

impl<'a> Sources<'a> {
    fn read(files: &'a TlsFiles) -> Result<Self, TlsError> {
        let client_ca = files.client_ca.as_deref().map(Pem::read).transpose()?;
        Ok(Self { certificate: Pem::read(&files.certificate)?, key: Pem::read(&files.key)?, client_ca })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for pem in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            hasher.update(Sha256::digest(&pem.bytes));
        }
        hasher.finalize().into()
    }

    /// When our certificate ends.
    fn expires(&self) -> i64 {
        let first = self.certificate.certificates().ok().and_then(|all| all.into_iter().next());
        first.and_then(|leaf| Some(parse_x509_certificate(&leaf).ok()?.1.validity().not_after.timestamp())).unwrap_or(0)
    }

    /// The provider is given by name: one that is chosen by default is a panic as soon as two are linked. Sessions are kept in the
    /// config, so they end with it.
    fn config(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Library(error.to_string()))?;
        let config = match &self.client_ca {
            Some(pem) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(pem.authorities()?), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| TlsError::Library(error.to_string()))?;
                config.with_client_cert_verifier(verifier)
            }
            None => config.with_no_client_auth(),
        };
        let mut config = config
            .with_single_cert(self.certificate.certificates()?, self.key.key()?)
            .map_err(|error| self.blame(&error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    /// Which file it is, where rustls takes certificate and key together and refuses them.
    fn blame(&self, error: &rustls::Error) -> TlsError {
        let (certificate, key) = (self.certificate.file.to_owned(), self.key.file.to_owned());
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            TlsError::NotAPair { key, certificate }
        } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
            TlsError::Certificate { file: certificate, why: error.to_string() }
        } else {
            TlsError::Key { file: key, why: error.to_string() }
        }
    }
}

/// A file of certificates, keys and whatever else stands in PEM (RFC 7468).
struct Pem<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> Pem<'a> {
    fn read(file: &'a Path) -> Result<Self, TlsError> {
        let unreadable = |error| TlsError::Unreadable { file: file.to_owned(), error };
        let (mut source, mut bytes) = (File::open(file).map_err(unreadable)?.take(FILE_BYTES_MAX + 1), Vec::new());
        source.read_to_end(&mut bytes).map_err(unreadable)?;
        if source.limit() == 0 {
            return Err(TlsError::TooLong(file.to_owned()));
        }
        Ok(Self { file, bytes })
    }

    /// One or more, in the order of the file.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let read: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let certificates = read.map_err(|_| TlsError::NotPem(self.file.to_owned()))?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate(self.file.to_owned()));
        }
        Ok(certificates)
    }

    /// The first.
    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match PrivateKeyDer::pem_slice_iter(&self.bytes).next() {
            Some(Ok(key)) => Ok(key),
            Some(Err(_)) => Err(TlsError::NotPem(self.file.to_owned())),
            None => Err(TlsError::NoKey(self.file.to_owned())),
        }
    }

    /// All certificates, each believed in what it signed.
    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut authorities = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = authorities.add(certificate);
            added.map_err(|error| TlsError::Certificate { file: self.file.to_owned(), why: error.to_string() })?;
        }
        Ok(authorities)
    }
}

#[cfg(test)]
mod tests;

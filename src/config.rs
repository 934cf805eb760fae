//! What a server is started with. Every limit has a unit and a default.

mod origin;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

pub use origin::Origin;

use crate::{access::Access, domain::limits::Limits, feed, journal};

/// A day: what rots is noticed well before a copy of it is needed.
const SCRUB_EVERY_DEFAULT: Duration = Duration::from_hours(24);

/// Connections that may be open unless told otherwise: every stream over one of its own, and some for calls.
pub const CONNECTIONS_MAX_DEFAULT: usize = 25_000;
/// Longer than clients take that connect before they need to.
const FIRST_CALL_DEFAULT: Duration = Duration::from_mins(1);
/// As long as a stream lives.
const CONNECTION_AGE_DEFAULT: Duration = Duration::from_mins(30);

/// The PEM files that TLS is served with.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Our certificate, then those that lead from it to an authority.
    pub certificate: PathBuf,
    /// The key of our certificate, not encrypted.
    pub key: PathBuf,
    /// The authorities whose client certificates are believed. Without it no client is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the journal lies, and how it is kept.
    pub journal: journal::Options,
    /// How the feed is served.
    pub feed: feed::Options,
    /// Where an operator's Prometheus reads metrics; nowhere if none.
    pub metrics: Option<SocketAddr>,
    /// How often the whole store is read again, slowly; never if none.
    pub scrub_every: Option<Duration>,
    /// What is kept for how long.
    pub retention: journal::Retention,
    /// How large texts may be.
    pub limits: Limits,
    /// Who may call what. Where every name is believed, loopback only.
    pub access: Access,
    /// The files of TLS; without them the service speaks plainly, on loopback only.
    pub tls: Option<TlsFiles>,
    /// Connections that may be open; 25,000 by default. Each takes an open file. One more is closed at once.
    pub connections_max: usize,
    /// Connections of one address (of IPv6: the first 64 bits) that may be open; if none, as many as in all, since a proxy has one address.
    pub connections_per_address_max: Option<NonZeroUsize>,
    /// Handshakes of TLS that may begin in a second, and at once after a pause; if none, 500 for each core. Whoever comes beyond that waits,
    /// first come, first served, for 10 s at most.
    pub handshakes_per_second: Option<NonZeroU32>,
    /// Age at which a connection is told to go (GOAWAY), give or take a tenth; 30 min by default. What is under way goes on: a stream
    /// ends by itself, with a cursor, when its own lifetime is over.
    pub connection_age: Duration,
    /// How long a connection may be open before its first call; 1 min by default. One that has made none is told to go, so that who
    /// only connects, or never ends what it begins to say, does not take the place of others.
    pub first_call: Duration,
    /// How long calls and streams may take to end once the service was told to stop.
    pub drain: Duration,
    /// Origins of web pages that may call by gRPC-Web; none by default. Browsers take it over TLS only, since this service speaks HTTP/2 alone.
    pub grpc_web_origins: Vec<Origin>,
}

impl Config {
    /// Settings for development: callers say who they are in the metadata `onrecord-caller`, on loopback only.
    #[must_use]
    pub fn insecure(data_dir: PathBuf) -> Self {
        Self {
            journal: journal::Options::new(data_dir),
            feed: feed::Options::default(),
            metrics: None,
            scrub_every: Some(SCRUB_EVERY_DEFAULT),
            retention: journal::Retention::default(),
            limits: Limits::default(),
            access: Access::insecure(),
            tls: None,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            connections_per_address_max: None,
            handshakes_per_second: None,
            connection_age: CONNECTION_AGE_DEFAULT,
            first_call: FIRST_CALL_DEFAULT,
            drain: Duration::from_secs(10),
            grpc_web_origins: Vec::new(),
        }
    }
}

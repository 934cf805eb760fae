//! What a server is started with. Every limit has a unit and a default.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{domain::limits::Limits, feed, journal};

/// A day: what rots is noticed well before a copy of it is needed.
const SCRUB_EVERY_DEFAULT: Duration = Duration::from_hours(24);

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
    /// Callers say who they are and have every role. Allowed on loopback only.
    pub insecure: bool,
    /// How long calls and streams may take to end once the service was told to stop.
    pub drain: Duration,
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
            insecure: true,
            drain: Duration::from_secs(10),
        }
    }
}

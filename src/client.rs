//! What a downstream site uses: it follows the feed and applies what comes, exactly once, whatever breaks in between.
//!
//! ```text
//! Follower ── Subscribe ──> service         one stream at a time, over a channel of its own
//!    │  compares every field with its seal, every text with its digest; checks order and the chain of hashes
//!    ├─> Site::replace, apply, advance      the effect and the position after it, kept together
//!    ├─> Site::keep                         makes them durable: at once when it is quiet, else ten times a second
//!    └── Acknowledge ──> service            only what was kept, if the site follows under a name
//! ```
//!
//! A site implements [`Site`]; a [`Follower`] does the rest: it resumes, waits with full jitter as long as it is asked to, takes a new
//! snapshot where that helps, shows the newest credential there is, and ends where only a person can help. [`Follower::state`] says
//! which of these it is at.
//!
//! **Invariants**
//! - Nothing is read while a site applies: its own speed is the back-pressure, and no more than one commit waits in memory.
//! - A position is that of what was applied, never of what came (`a_commit_in_parts_is_applied_whole_or_not_at_all`).
//! - Nothing is acknowledged before it was kept.
//!
//! With `default-features = false` the crate is this module, the generated client and nothing of the service; with the feature `tls` it
//! speaks TLS.

mod acknowledge;
mod backoff;
mod channel;
mod check;
mod credentials;
mod ending;
mod file;
mod follower;
mod options;
mod seal;
mod site;
pub mod verify;

pub use backoff::Backoff;
pub use channel::channel;
#[cfg(feature = "tls")]
pub use channel::tls_channel;
pub use check::{Breach, Link};
pub use credentials::Credentials;
pub use ending::{FollowError, Lost};
pub use file::{PositionFile, replace_file};
pub use follower::{Follower, State};
pub use options::{Begin, Options, Wanted};
pub use site::{Note, Position, Site};

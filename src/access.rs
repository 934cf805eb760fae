//! Who calls, and what for: credentials to callers, callers to roles, roles to methods.
//!
//! ```text
//! credential ── caller ── grants of the policy ── those whose roles the method takes: the mandate of the call
//! ```
//!
//! **Invariants**
//! - What is not granted is refused: a caller without a grant has no role, and a method that is not in the table is for those who have one
//!   (`every_method_is_open_to_whom_the_table_says_and_to_nobody_else`).
//! - Of a token only its digest is kept (`token`).
//! - No credential counts after its end, on a connection that is open neither (`the_end_of_a_token_ends_its_stream`,
//!   `the_end_of_a_certificate_ends_its_stream`).
//! - A policy that cannot be read changes nothing: the one before goes on (`a_broken_policy_leaves_the_one_before`).
//!
//! Nothing here knows of gRPC or of the journal.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod jwt;
mod keys;
mod limits;
mod method;
mod policy;
mod refusal;
mod role;
mod token;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

pub use keys::KeySource;
pub use limits::{Limits, Place};
pub use method::{METHODS, Method, Who, is_known};
pub use policy::{Fault, Policy, PolicyError};
pub use refusal::{AccessRefusal, Limit};
pub use role::Role;
pub use token::Token;

use keys::Fetched;
use limits::Pace;

use crate::domain::{
    digest::Digest,
    id::{Caller, Malformed},
    mandate::{Grant, Mandate},
    time::Timestamp,
};

/// What a call brings to show who calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credential<'c> {
    /// The token of `authorization: Bearer …`. It counts before a certificate.
    pub bearer: Option<&'c str>,
    /// The certificate of the connection.
    pub certificate: Option<&'c Certificate>,
    /// The name that the caller gives itself. Counts only where nothing is checked.
    pub stated: Option<&'c str>,
}

/// What a client's certificate says, which one of our authorities signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its SPIFFE IDs first, then its DNS names, as they are written there.
    pub names: Vec<Caller>,
    /// When it ends.
    pub expire_time: Timestamp,
    /// SHA-256 of it (DER): its fingerprint.
    pub digest: Digest,
}

/// A caller who may call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who.
    pub caller: Caller,
    /// What of.
    pub mandate: Arc<Mandate>,
    /// When the credential ends, if it does.
    pub expire_time: Option<Timestamp>,
    /// By what it showed who it is.
    pub by: By,
}

/// By what a caller showed who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// It said so, where that is believed.
    Word,
    /// A token, by its digest.
    Token(Digest),
    /// A token that was signed elsewhere, by the digest of who signs with which key.
    Signed(Digest),
    /// The certificate of its connection, by its fingerprint.
    Certificate(Digest),
}

impl By {
    /// As diagnostics name it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Token(_) => "token",
            Self::Signed(_) => "signed token",
            Self::Certificate(_) => "certificate",
        }
    }
}

/// With enough of its digest to know which of a caller's it is: `token ba7816bf`. The policy has the whole of a token's.
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Token(digest) | Self::Signed(digest) | Self::Certificate(digest) => {
                let head = digest.as_bytes().first_chunk::<4>().copied().unwrap_or_default();
                write!(f, " {}", hex::encode(head))
            }
            Self::Word => Ok(()),
        }
    }
}

impl Credential<'_> {
    /// As diagnostics name it, whatever is in it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self { bearer: Some(token), .. } if jwt::is_signed(token) => "signed token",
            Self { bearer: Some(_), .. } => "token",
            Self { certificate: Some(_), .. } => "certificate",
            Self { stated: Some(_), .. } => "word",
            Self { .. } => "nothing",
        }
    }
}

/// Decides who may call what. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where the policy stands, if one is followed.
    file: Option<PathBuf>,
    /// None where every name is believed.
    policy: watch::Sender<Option<Arc<Policy>>>,
    fetched: Fetched,
    /// Told when keys are to be fetched now.
    wanted: Notify,
    /// Told when a token came that none of the keys that were fetched has signed.
    missed: Notify,
    pace: ArcSwap<Pace>,
}

impl Inner {
    fn new(file: Option<PathBuf>, policy: Option<Policy>) -> Self {
        let pace = Pace::new(policy.as_ref().map(Policy::limits).unwrap_or_default());
        Self {
            file,
            policy: watch::Sender::new(policy.map(Arc::new)),
            fetched: Fetched::default(),
            wanted: Notify::new(),
            missed: Notify::new(),
            pace: ArcSwap::from_pointee(pace),
        }
    }
}

impl Access {
    /// Believes every name and allows everything: for development on one machine.
    #[must_use]
    pub fn insecure() -> Self {
        Self(Arc::new(Inner::new(None, None)))
    }

    /// Follows the policy in a file. Blocks.
    ///
    /// # Errors
    /// If it cannot be read, or says what cannot be.
    pub fn by_policy(file: &Path) -> Result<Self, PolicyError> {
        Ok(Self(Arc::new(Inner::new(Some(file.to_owned()), Some(Policy::read(file)?)))))
    }

    /// Whether every name is believed.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.0.policy.borrow().is_none()
    }

    /// Tells whenever the policy is another one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Policy>>> {
        self.0.policy.subscribe()
    }

    /// Reads the policy again, and says whether it is another one. Blocks.
    ///
    /// # Errors
    /// If it cannot be read; the one before then goes on.
    pub fn reload(&self) -> Result<bool, PolicyError> {
        let Some(file) = &self.0.file else { return Ok(false) };
        let read = || Policy::read(file).map(|policy| policy.with_keys(&self.0.fetched));
        let policy = read()?;
        if self.0.policy.borrow().as_deref() == Some(&policy) {
            return Ok(false);
        }
        // It may be half written: what says less may let more in.
        sleep(SETTLES_AFTER);
        if read()? != policy {
            return Ok(false);
        }
        let pace = self.0.pace.load();
        if pace.limits() != policy.limits() {
            self.0.pace.store(Arc::new(pace.with(policy.limits())));
        }
        self.0.fetched.keep(&policy.key_sources());
        // Keys may have been fetched meanwhile.
        self.0.policy.send_modify(|now| *now = Some(Arc::new(policy.with_keys(&self.0.fetched))));
        Ok(true)
    }

    /// What of the policy may not be meant, and what nobody can do by it. `has_certificates` says whether client certificates are accepted.
    #[must_use]
    pub fn doubts(&self, has_certificates: bool) -> Vec<String> {
        let policy = self.0.policy.borrow().clone();
        let Some(policy) = policy else { return Vec::new() };
        policy.doubts().iter().map(ToString::to_string).chain(policy.gaps(has_certificates)).collect()
    }

    /// Where the keys of identity providers are fetched.
    #[must_use]
    pub fn key_sources(&self) -> Vec<KeySource> {
        self.0.policy.borrow().as_ref().map(|policy| policy.key_sources()).unwrap_or_default()
    }

    /// Takes what was fetched from a source, and says whether these are other keys than before. Tokens are judged by them from now on.
    ///
    /// # Errors
    /// If it is no set of keys; those that were there before stay.
    pub fn take_keys(&self, source: &KeySource, answer: &[u8]) -> Result<bool, Malformed> {
        let changed = self.0.fetched.take(source, answer)?;
        // A policy that is read at the same moment must not bring the old ones back, so they are looked at in any case.
        self.0.policy.send_if_modified(|policy| {
            let Some(now) = policy.as_ref() else { return false };
            if now.has_keys(&self.0.fetched) {
                return false;
            }
            *policy = Some(Arc::new(Policy::clone(now).with_keys(&self.0.fetched)));
            true
        });
        Ok(changed)
    }

    /// Has the keys fetched now.
    pub fn fetch_keys(&self) {
        self.0.wanted.notify_one();
    }

    /// Returns once somebody wants the keys to be fetched now.
    pub async fn keys_wanted(&self) {
        self.0.wanted.notified().await;
    }

    /// Returns once a token came that none of the keys has signed, and keys are fetched.
    pub async fn key_missed(&self) {
        self.0.missed.notified().await;
    }

    /// Admits a call of a method to whom it is open, or refuses it. None if nobody has to be known for it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit(
        &self,
        path: &str,
        credential: Credential<'_>,
        now: Timestamp,
    ) -> Result<Option<Admitted>, AccessRefusal> {
        let who = method::who(path);
        let Some(policy) = self.0.policy.borrow().clone() else { return believed(who, credential) };
        let roles = match who {
            Who::Anybody => return Ok(None),
            Who::AnyRole => Role::ALL.as_slice(),
            Who::Roles(roles) => roles,
        };
        let known = policy.caller(credential, now);
        if known == Err(AccessRefusal::CredentialUnknown) && credential.bearer.is_some_and(jwt::is_signed) {
            self.0.missed.notify_one();
        }
        let (caller, expire_time, by) = known?;
        let mandate = policy.mandate(&caller, roles);
        let mandate = mandate.ok_or_else(|| AccessRefusal::RoleMissing { caller: caller.clone(), roles })?;
        Ok(Some(Admitted { caller, mandate, expire_time, by }))
    }

    /// The grants of a caller: any role to everything, where every name is believed.
    #[must_use]
    pub fn grants(&self, caller: &Caller) -> Vec<(Vec<Role>, Grant)> {
        let everything = || vec![(Role::ALL.to_vec(), Grant { embargoed: true, ..Grant::default() })];
        self.0.policy.borrow().as_ref().map_or_else(everything, |policy| policy.grants(caller))
    }

    /// The limits of each caller; none where every name is believed.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        self.0.policy.borrow().as_ref().map(|policy| policy.limits())
    }

    /// A place for a call of who was admitted, which is to be kept until it was answered. None where nothing is checked.
    ///
    /// # Errors
    /// If the caller takes more than one may.
    pub fn place_for_call(&self, admitted: &Admitted) -> Result<Option<Place>, AccessRefusal> {
        if admitted.by == By::Word { Ok(None) } else { self.0.pace.load().call(&admitted.caller).map(Some) }
    }

    /// Lets a caller begin a snapshot.
    ///
    /// # Errors
    /// If the caller takes them too often.
    pub fn pace_snapshot(&self, admitted: &Admitted) -> Result<(), AccessRefusal> {
        if admitted.by == By::Word { Ok(()) } else { self.0.pace.load().snapshot(&admitted.caller) }
    }

    /// The same as [`Access::place_for_call`] for a stream, until it ends.
    ///
    /// # Errors
    /// As [`Access::place_for_call`].
    pub fn place_for_stream(&self, admitted: &Admitted) -> Result<Option<Place>, AccessRefusal> {
        if admitted.by == By::Word { Ok(None) } else { self.0.pace.load().stream(&admitted.caller).map(Some) }
    }

    /// Whether a call that was admitted would be admitted again, just so.
    #[must_use]
    pub fn stands(&self, path: &str, admitted: &Admitted) -> bool {
        let Some(policy) = self.0.policy.borrow().clone() else { return admitted.by == By::Word };
        let known = match admitted.by {
            By::Word => false,
            By::Token(digest) => policy.has_token(&digest, admitted),
            By::Signed(signer) => policy.has_signer(&signer),
            By::Certificate(_) => true,
        };
        let Who::Roles(roles) = method::who(path) else { return known };
        known && policy.mandate(&admitted.caller, roles).as_ref() == Some(&admitted.mandate)
    }
}

/// How long a file has to be the same before it is believed.
const SETTLES_AFTER: Duration = Duration::from_millis(100);

/// The metadata in which a caller says who it is, where that is believed.
pub const STATED: &str = "onrecord-caller";

fn believed(who: Who, credential: Credential<'_>) -> Result<Option<Admitted>, AccessRefusal> {
    if !matches!(who, Who::Roles(_)) {
        return Ok(None);
    }
    let missing = AccessRefusal::CallerMissing;
    let stated = credential.stated.ok_or_else(|| missing(format!("say who calls in the metadata {STATED}")))?;
    let caller = Caller::parse(stated).map_err(|fault| missing(format!("{STATED} {fault}")))?;
    Ok(Some(Admitted { caller, mandate: Mandate::of_everybody(), expire_time: None, by: By::Word }))
}

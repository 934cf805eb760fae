//! The policy: who is let in, and what for. A TOML file, read whole or not at all.
//!
//! ```toml
//! [groups]
//! press = ["spiffe://example.org/press/anna", "bea"]
//!
//! [[grants]]
//! to = ["press"]                     # callers and groups
//! roles = ["author", "publisher"]
//! kinds = ["press-release"]          # what of; a list that is absent means all
//!
//! [limits]                           # of each caller
//! calls_per_second = 100
//!
//! [[issuers]]                        # who signs tokens: an identity provider
//! name = "https://id.example.org"
//! audience = "onrecord"
//! keys = "jwks.json"                 # beside this file
//! algorithms = ["ES256"]
//!
//! [[tokens]]
//! caller = "site-paris"
//! sha256 = "…"                       # `onrecord token` makes both
//! expires = 2027-01-01T00:00:00Z     # absent: never
//! ```
//!
//! **Invariants**
//! - All that is wrong with it is said, each with its line (`every_fault_is_told_with_its_line`).
//! - A name that is neither a group nor spelled as a caller grants nothing by mistake: it is refused.

mod file;
mod gaps;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AccessRefusal, Admitted, By, Certificate, Credential, Limits, METHODS, Role, Who,
    jwt::{self, Issuer},
    keys::{Fetched, KeySource},
    token,
};
use crate::domain::{
    digest::Digest,
    id::Caller,
    mandate::{Grant, Mandate},
    time::Timestamp,
};

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.words)
    }
}

/// Why a policy is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("the policy {} cannot be read ({words}): give a file that is there and that the service may read, by `--policy` or `ONRECORD_POLICY`", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        words: String,
    },
    /// It says what cannot be.
    #[error("{}", listed(.file, .faults))]
    Faulty {
        /// Which.
        file: PathBuf,
        /// All that is wrong.
        faults: Vec<Fault>,
    },
}

fn listed(file: &Path, faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("{}, {fault}", file.display())).collect();
    lines.join("\n")
}

/// Roles, and what of they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    roles: BTreeSet<Role>,
    grant: Grant,
}

/// A token that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    caller: Caller,
    expire_time: Option<Timestamp>,
}

/// Who is let in, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    given: BTreeMap<Caller, Vec<Given>>,
    /// What each caller may do by any of some roles: for those of every method. Made once, for it is asked at every call.
    mandates: HashMap<Caller, BTreeMap<&'static [Role], Arc<Mandate>>>,
    tokens: BTreeMap<Digest, Known>,
    issuers: Vec<Issuer>,
    limits: Limits,
    doubts: Vec<Fault>,
}

impl Policy {
    /// Reads a file. Blocks.
    ///
    /// # Errors
    /// If it cannot be read, or says what cannot be.
    pub fn read(file: &Path) -> Result<Self, PolicyError> {
        let unreadable =
            |error: std::io::Error| PolicyError::Unreadable { file: file.to_owned(), words: error.to_string() };
        let text = fs::read_to_string(file).map_err(unreadable)?;
        let beside = file.parent().unwrap_or(Path::new(""));
        Self::parse(&text, beside).map_err(|faults| PolicyError::Faulty { file: file.to_owned(), faults })
    }

    /// Reads its text; the files that it names lie in `beside`. Blocks.
    ///
    /// # Errors
    /// All that is wrong with it, at least one fault.
    pub fn parse(text: &str, beside: &Path) -> Result<Self, Vec<Fault>> {
        file::parse(text, beside)
    }

    /// Callers that have a grant, and tokens: to say what was read.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.given.len(), self.tokens.len())
    }

    /// What is right, and may be meant otherwise.
    #[must_use]
    pub fn doubts(&self) -> &[Fault] {
        &self.doubts
    }

    /// The same, with the keys that were fetched.
    pub(super) fn with_keys(mut self, fetched: &Fetched) -> Self {
        for issuer in &mut self.issuers {
            if let Some(source) = &issuer.source {
                issuer.keys = fetched.keys(source);
            }
        }
        self
    }

    /// Whether it has the keys that were fetched.
    pub(super) fn has_keys(&self, fetched: &Fetched) -> bool {
        let has = |issuer: &Issuer| issuer.source.as_ref().is_none_or(|source| issuer.keys == fetched.keys(source));
        self.issuers.iter().all(has)
    }

    /// Where keys are fetched, each place once.
    pub(super) fn key_sources(&self) -> Vec<KeySource> {
        let sources: BTreeSet<_> = self.issuers.iter().filter_map(|issuer| issuer.source.clone()).collect();
        sources.into_iter().collect()
    }

    /// How much each caller may take.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Who calls, until when that is so, and by what it is known.
    pub(super) fn caller(
        &self,
        credential: Credential<'_>,
        now: Timestamp,
    ) -> Result<(Caller, Option<Timestamp>, By), AccessRefusal> {
        if let Some(signed) = credential.bearer.filter(|token| jwt::is_signed(token)) {
            return self.signed(signed, now);
        }
        if let Some(secret) = credential.bearer {
            let digest = token::digest(secret);
            let known = self.tokens.get(&digest).ok_or(AccessRefusal::CredentialUnknown)?;
            return match known.expire_time {
                Some(end) if end <= now => Err(AccessRefusal::CredentialExpired(end, known.caller.clone())),
                expire_time => Ok((known.caller.clone(), expire_time, By::Token(digest))),
            };
        }
        let Certificate { names, expire_time, digest } =
            credential.certificate.ok_or(AccessRefusal::CredentialMissing)?;
        let first = names.first().ok_or(AccessRefusal::CredentialMissing)?;
        let caller = names.iter().find(|name| self.given.contains_key(name)).unwrap_or(first).clone();
        if *expire_time <= now {
            return Err(AccessRefusal::CredentialExpired(*expire_time, caller));
        }
        Ok((caller, Some(*expire_time), By::Certificate(*digest)))
    }

    fn signed(&self, token: &str, now: Timestamp) -> Result<(Caller, Option<Timestamp>, By), AccessRefusal> {
        for issuer in &self.issuers {
            if let Some(read) = issuer.read(token, now)? {
                return Ok((read.caller, Some(read.expire_time), By::Signed(read.signer)));
            }
        }
        Err(AccessRefusal::CredentialUnknown)
    }

    /// Whether tokens are still believed by who signs with that key.
    pub(super) fn has_signer(&self, signer: &Digest) -> bool {
        self.issuers.iter().flat_map(Issuer::signers).any(|known| known == *signer)
    }

    /// Whether a token is still the one by which somebody was admitted.
    pub(super) fn has_token(&self, digest: &Digest, admitted: &Admitted) -> bool {
        let known = self.tokens.get(digest);
        known.is_some_and(|known| known.caller == admitted.caller && known.expire_time == admitted.expire_time)
    }

    /// The grants of a caller, each with its roles.
    pub(super) fn grants(&self, caller: &Caller) -> Vec<(Vec<Role>, Grant)> {
        let given = self.given.get(caller).into_iter().flatten();
        given.map(|given| (given.roles.iter().copied().collect(), given.grant.clone())).collect()
    }

    /// What a caller may do by any of these roles, which are those of a method; none if it has none of them.
    pub(super) fn mandate(&self, caller: &Caller, roles: &'static [Role]) -> Option<Arc<Mandate>> {
        self.mandates.get(caller)?.get(roles).cloned()
    }
}

/// What these grants let their caller do, by the roles of every method.
fn mandates(given: &[Given]) -> BTreeMap<&'static [Role], Arc<Mandate>> {
    let of_methods =
        METHODS.iter().filter_map(|method| if let Who::Roles(roles) = method.who { Some(roles) } else { None });
    let every = of_methods.chain([Role::ALL.as_slice()]).collect::<BTreeSet<_>>().into_iter();
    let mandate = |roles: &'static [Role]| {
        let serves = |given: &&Given| roles.iter().any(|role| given.roles.contains(role));
        let grants: Vec<_> = given.iter().filter(serves).map(|given| given.grant.clone()).collect();
        (!grants.is_empty()).then(|| (roles, Arc::new(Mandate::new(grants))))
    };
    every.filter_map(mandate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[groups]
press = ["anna", "bea"]

[[grants]]
to = ["press"]
roles = ["author"]
languages = ["fr"]

[[grants]]
to = ["anna"]
roles = ["publisher", "reviewer"]

[[tokens]]
caller = "anna"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
expires = 2027-01-01T00:00:00Z
"#;

    fn caller(name: &str) -> Caller {
        Caller::parse(name).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(0).plus_seconds(seconds)
    }

    #[test]
    fn a_caller_has_the_roles_that_it_and_its_groups_were_given() {
        let policy = Policy::parse(POLICY, Path::new("")).unwrap();
        let may = |name: &str, roles: &'static [Role]| policy.mandate(&caller(name), roles).is_some();
        let (author, reviewer, legal): (&[_], &[_], &[_]) = (&[Role::Author], &[Role::Reviewer], &[Role::Legal]);
        assert!(may("anna", author) && may("bea", author));
        assert!(may("anna", reviewer) && !may("bea", reviewer));
        assert!(!may("anna", legal) && !may("press", author) && !may("carl", author));
        assert_eq!(policy.size(), (2, 1));
    }

    #[test]
    fn a_token_names_its_caller_until_it_ends() {
        let policy = Policy::parse(POLICY, Path::new("")).unwrap();
        // SHA-256 of "abc" is the example of FIPS 180-4.
        let with = |bearer: &'static str| Credential { bearer: Some(bearer), ..Credential::default() };
        let end = at(1_798_761_600);
        assert_eq!(policy.caller(with("abc"), at(0)), Ok((caller("anna"), Some(end), By::Token(token::digest("abc")))));
        assert_eq!(policy.caller(with("abc"), end), Err(AccessRefusal::CredentialExpired(end, caller("anna"))));
        assert_eq!(policy.caller(with("abd"), at(0)), Err(AccessRefusal::CredentialUnknown));
        assert_eq!(policy.caller(Credential::default(), at(0)), Err(AccessRefusal::CredentialMissing));
    }

    #[test]
    fn of_the_names_in_a_certificate_the_one_that_was_given_something_counts() {
        let policy = Policy::parse(POLICY, Path::new("")).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| caller(name)).collect::<Vec<_>>();
        for (given, expected) in [(vec!["host", "bea"], "bea"), (vec!["host", "other"], "host")] {
            let (end, digest) = (at(1_798_761_600), Digest::of(&[b"der"]));
            let certificate = Certificate { names: names(&given), expire_time: end, digest };
            let credential = Credential { certificate: Some(&certificate), ..Credential::default() };
            let expected = caller(expected);
            let by = By::Certificate(digest);
            assert_eq!(policy.caller(credential, at(0)), Ok((expected.clone(), Some(end), by)));
            assert_eq!(policy.caller(credential, end), Err(AccessRefusal::CredentialExpired(end, expected)));
        }
        let nameless = Certificate { names: Vec::new(), expire_time: at(1), digest: Digest::ZERO };
        let credential = Credential { certificate: Some(&nameless), ..Credential::default() };
        assert_eq!(policy.caller(credential, at(0)), Err(AccessRefusal::CredentialMissing));
    }
}

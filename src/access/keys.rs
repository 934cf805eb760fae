//! Keys that are fetched: the JWK sets (RFC 7517) of identity providers whose address a policy names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use http::{Uri, uri::Scheme};
use jsonwebtoken::{DecodingKey, jwk::JwkSet};

use crate::domain::{content::canonical_json, id::Malformed};

/// Where a set of keys is fetched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeySource {
    /// Its address: `https`, or `http` on loopback.
    pub url: String,
    /// PEM file with the authorities that its certificate is checked by; those of the system if there is none.
    pub ca: Option<PathBuf>,
}

impl KeySource {
    /// Whether keys are named by an address, not by a file.
    pub(super) fn is_named_by(text: &str) -> bool {
        text.contains("://")
    }

    /// Whether it speaks plainly, on this machine.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.url.starts_with("http://")
    }

    pub(super) fn new(url: &str, ca: Option<&Path>) -> Result<Self, Malformed> {
        let uri = url.parse::<Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let is_loopback = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
        let is_safe = uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&Scheme::HTTP) && is_loopback;
        if host.is_empty() || !is_safe {
            return Err(Malformed::new(
                "must be an https address, such as https://id.example.org/jwks.json: whoever can change what it says can be anybody",
            ));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Malformed::new("must have no name or password in it: keys of signatures are public"));
        }
        Ok(Self { url: url.to_owned(), ca: ca.map(Path::to_owned) })
    }

    /// The address without its query, in which there may be a secret.
    #[must_use]
    pub fn place(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

/// What was fetched last from each source.
#[derive(Debug, Default)]
pub(super) struct Fetched(Mutex<HashMap<KeySource, JwkSet>>);

impl Fetched {
    /// The keys of a source; none as long as they were not fetched.
    pub(super) fn keys(&self, source: &KeySource) -> JwkSet {
        self.lock().get(source).cloned().unwrap_or_else(|| JwkSet { keys: Vec::new() })
    }

    /// Takes what a source answered, and says whether it is something else than before.
    pub(super) fn take(&self, source: &KeySource, answer: &[u8]) -> Result<bool, Malformed> {
        let keys = parse(answer)?;
        if !keys.keys.iter().any(|key| DecodingKey::from_jwk(key).is_ok()) {
            // Rather a fault over there than the wish that nobody is let in: for that the policy is there.
            return Err(Malformed::new("has no key that can be used"));
        }
        let before = self.lock().insert(source.clone(), keys.clone());
        Ok(before.as_ref() != Some(&keys))
    }

    /// Forgets all but these: who comes back to the policy is not believed by what it had before.
    pub(super) fn keep(&self, sources: &[KeySource]) {
        self.lock().retain(|source, _| sources.contains(source));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeySource, JwkSet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set of keys as RFC 7517 writes it, in an order that does not depend on how they were written.
pub(super) fn parse(text: &[u8]) -> Result<JwkSet, Malformed> {
    let fault = |error| Malformed::new(format!("is no JWK set (RFC 7517): {error}"));
    let mut set: JwkSet = serde_json::from_slice(text).map_err(fault)?;
    set.keys.sort_by_cached_key(canonical_json);
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_nobody_else_can_answer_for_is_taken() {
        let right = |url: &str| KeySource::new(url, None).is_ok();
        assert!(
            right("https://id.example.org/jwks.json") && right("http://127.0.0.1:8080/jwks") && right("http://[::1]/")
        );
        for url in [
            "http://id.example.org/jwks.json",
            "https://",
            "ftp://id.example.org/",
            "file:///etc/passwd",
            "https:///x",
            "://",
        ] {
            assert!(!right(url), "{url}");
        }
    }

    #[test]
    fn what_is_no_set_of_keys_leaves_the_one_before() {
        let (fetched, source) = (Fetched::default(), KeySource::new("https://id.example.org/jwks.json", None).unwrap());
        let one = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        assert_eq!(fetched.take(&source, one), Ok(true));
        assert_eq!(fetched.take(&source, one), Ok(false));
        for other in [b"<html>".as_slice(), b"{}", br#"{"keys":[]}"#, br#"{"keys":[{}]}"#] {
            assert!(fetched.take(&source, other).is_err());
        }
        assert_eq!(fetched.keys(&source).keys.len(), 1);
    }
}

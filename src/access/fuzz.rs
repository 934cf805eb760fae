//! Policies, and tokens that nobody signed.

#![expect(clippy::unwrap_used, reason = "a fuzzer finds what must not be by a panic")]

use std::{path::Path, sync::LazyLock};

use jsonwebtoken::{Algorithm, jwk::JwkSet};

use super::{jwt::Issuer, policy::Policy};
use crate::domain::time::Timestamp;

/// A policy.
///
/// # Panics
/// If it is refused and nothing in it is said to be wrong.
pub fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = text.lines().count();
    // Nothing lies there: a policy must not make a fuzzer read what it names.
    if let Err(faults) = Policy::parse(&text, Path::new("/dev/null")) {
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|fault| (1..=lines + 1).contains(&fault.line)), "{faults:?} of {lines}");
    }
}

/// A key whose other half nobody has: the example of RFC 7517, appendix A.1.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","use":"enc","kid":"1",
"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer {
    name: "https://id.example.org".to_owned(),
    audience: "onrecord".to_owned(),
    algorithms: vec![Algorithm::ES256],
    caller_claim: "sub".to_owned(),
    prefix: "staff:".to_owned(),
    leeway_seconds: 60,
    keys: serde_json::from_str::<JwkSet>(KEYS).unwrap(),
    source: None,
});

/// A token that nobody signed, and the claims of one that somebody did.
///
/// # Panics
/// If the first is believed.
pub fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert_eq!(ISSUER.read(&text, Timestamp::MIN), Ok(None));
    ISSUER.fuzz(input);
}

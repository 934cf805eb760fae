//! Policies, and tokens that nobody signed.

#![expect(clippy::unwrap_used, reason = "a fuzzer finds what must not be by a panic")]

use std::{path::Path, sync::LazyLock};

use super::{jwt::Issuer, policy::Policy};
use crate::domain::time::Timestamp;

/// A policy.
///
/// # Panics
/// If it is refused and nothing in it is said to be wrong.
pub fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = text.lines().count();
    // Nothing lies beside it. What it names by a whole path is read, but for no more than a file of keys may have.
    if let Err(faults) = Policy::parse(&text, Path::new("/dev/null")) {
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|fault| (1..=lines + 1).contains(&fault.line)), "{faults:?} of {lines}");
    }
}

/// A key whose other half nobody has: the example of RFC 7517, appendix A.1.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","use":"enc","kid":"1",
"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::example(serde_json::from_str(KEYS).unwrap()));

/// A token that nobody signed, and the claims of one that somebody did.
///
/// # Panics
/// If the first is believed.
pub fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert_eq!(ISSUER.read(&text, Timestamp::MIN), Ok(None));
    ISSUER.fuzz(input);
}

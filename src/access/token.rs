//! Static tokens: random, shown once, kept as their digest.
//!
//! **Invariants**
//! - A token is 256 random bits, so that its SHA-256 tells nothing of it, and no slower hash is needed.
//! - It is looked up by its digest: how long that takes tells an attacker of digests, which nobody can choose.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::domain::digest::Digest;

/// What every token begins with, so that one that leaked is found.
const PREFIX: &str = "onrecord_";
const BYTES: usize = 32;

/// A token. Printing it for diagnostics hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// What its holder sends.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the policy keeps of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(&self.0)
    }
}

/// The digest of what a caller sends.
pub(super) fn digest(secret: &str) -> Digest {
    Digest::of(&[secret.as_bytes()])
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest_alone() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one, other);
        assert!(one.secret().starts_with(PREFIX) && one.secret().len() == PREFIX.len() + 43);
        assert_eq!(digest(one.secret()), one.digest());
        assert!(!format!("{one:?}").contains(one.secret()));
    }
}

//! Tokens that an identity provider signs (JWT, RFC 7519), checked against its keys (JWK set, RFC 7517).
//!
//! **Invariants**
//! - A token is read only by the algorithms that the policy names, all of them asymmetric, and by a key that is for its algorithm
//!   (`only_what_the_policy_names_is_believed`).
//! - It has to name its issuer, us as its audience, whose it is, and when it ends (RFC 8725, sections 3.8 to 3.10).

use std::collections::HashSet;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AccessRefusal, KeySource};
use crate::domain::{content::canonical_json, digest::Digest, id::Caller, time::Timestamp};

/// Somebody who signs tokens, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    /// As the claim `iss` names it.
    pub(super) name: String,
    /// As the claim `aud` names us.
    pub(super) audience: String,
    /// By which a token may be signed.
    pub(super) algorithms: Vec<Algorithm>,
    /// The claim that says whose it is.
    pub(super) caller_claim: String,
    /// Stands before it, so that one issuer cannot name the callers of another.
    pub(super) prefix: String,
    /// Seconds that the issuer's clock may be off.
    pub(super) leeway_seconds: i64,
    /// Its keys.
    pub(super) keys: JwkSet,
    /// Where they come from, if they are fetched.
    pub(super) source: Option<KeySource>,
}

/// What a token says, once it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) caller: Caller,
    pub(super) expire_time: Timestamp,
    /// Names the issuer and the key that it was believed by.
    pub(super) signer: Digest,
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Whether a token has the shape of one that is signed: three parts. Ours have one.
pub(super) fn is_signed(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Keys that a token is tried with which does not name its own: each takes some 0.1 ms, and a stranger may send as many tokens as it likes.
const KEYS_TRIED_MAX: usize = 8;

impl Issuer {
    /// Reads a token; nothing if it is not one of this issuer's.
    pub(super) fn read(&self, token: &str, now: Timestamp) -> Result<Option<Read>, AccessRefusal> {
        let Some((claims, key)) = self.claims(token) else { return Ok(None) };
        self.judge(&claims, self.signer(key), now)
    }

    /// What the claims of a token say that is believed.
    fn judge(&self, claims: &Claims, signer: Digest, now: Timestamp) -> Result<Option<Read>, AccessRefusal> {
        let text = claims.others.get(&self.caller_claim).and_then(Value::as_str).unwrap_or_default();
        let caller = Caller::parse(&format!("{}{text}", self.prefix)).ok().filter(|_| !text.is_empty());
        let Some(caller) = caller else { return Ok(None) };
        let end = seconds(claims.exp).plus_seconds(self.leeway_seconds);
        if end <= now {
            return Err(AccessRefusal::CredentialExpired(seconds(claims.exp), caller));
        }
        let begin = claims.nbf.map(seconds);
        if let Some(begin) = begin.filter(|begin| now < begin.plus_seconds(-self.leeway_seconds)) {
            return Err(AccessRefusal::CredentialEarly(begin, caller));
        }
        Ok(Some(Read { caller, expire_time: end, signer }))
    }

    /// One for tests and fuzzers.
    #[cfg(any(test, fuzzing))]
    pub(super) fn example(keys: JwkSet) -> Self {
        Self {
            name: "https://id.example.org".to_owned(),
            audience: "onrecord".to_owned(),
            algorithms: vec![Algorithm::ES256],
            caller_claim: "sub".to_owned(),
            prefix: "staff:".to_owned(),
            leeway_seconds: 60,
            keys,
            source: None,
        }
    }

    /// What a fuzzer drives: claims as if they were signed.
    #[cfg(any(test, fuzzing))]
    pub(super) fn fuzz(&self, claims: &[u8]) {
        let Ok(claims) = serde_json::from_slice(claims) else { return };
        if let Ok(Some(read)) = self.judge(&claims, Digest::ZERO, Timestamp::MIN) {
            assert!(read.expire_time > Timestamp::MIN && read.caller.as_str().starts_with(&self.prefix));
        }
    }

    /// What it says, and the key that it is signed with.
    fn claims(&self, token: &str) -> Option<(Claims, &Jwk)> {
        let header = decode_header(token).ok().filter(|header| self.algorithms.contains(&header.alg))?;
        let named = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
        let fits = |key: &&Jwk| {
            // Both are written as RFC 7518 names them.
            key.common.key_algorithm.is_none_or(|meant| meant.to_string().parse() == Ok(header.alg))
        };
        let validation = self.validation(header.alg);
        self.keys.keys.iter().filter(named).filter(fits).take(KEYS_TRIED_MAX).find_map(|key| {
            let decoded = decode::<Claims>(token, &DecodingKey::from_jwk(key).ok()?, &validation);
            Some((decoded.ok()?.claims, key))
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.name]);
        validation.required_spec_claims = HashSet::from(["exp", "aud", "iss"].map(str::to_owned));
        // By our clock, see above.
        validation.validate_exp = false;
        validation
    }

    fn signer(&self, key: &Jwk) -> Digest {
        let names: Vec<_> = self.algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
        let read = (&self.name, &self.audience, &self.caller_claim, &self.prefix, names, key);
        Digest::of(&[&canonical_json(&read)])
    }

    /// Names what tokens may be believed by.
    pub(super) fn signers(&self) -> impl Iterator<Item = Digest> {
        self.keys.keys.iter().map(|key| self.signer(key))
    }
}

/// Seconds since 1970, as a token writes a time (RFC 7519, `NumericDate`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "what is out of range is cut off, which a time is too"
)]
fn seconds(number: f64) -> Timestamp {
    Timestamp::from_micros((number * 1e6) as i64)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode, jwk::Jwk};
    use rcgen::KeyPair;
    use serde_json::json;

    use super::*;

    struct Signer {
        key: EncodingKey,
        jwk: Jwk,
    }

    impl Signer {
        fn new(id: &str) -> Self {
            let key = EncodingKey::from_ec_der(&KeyPair::generate().unwrap().serialize_der());
            let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
            jwk.common.key_id = Some(id.to_owned());
            Self { key, jwk }
        }

        fn sign(&self, claims: &Value) -> String {
            let header = Header { kid: self.jwk.common.key_id.clone(), ..Header::new(Algorithm::ES256) };
            encode(&header, claims, &self.key).unwrap()
        }
    }

    fn issuer(signer: &Signer) -> Issuer {
        Issuer::example(JwkSet { keys: vec![signer.jwk.clone()] })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(0).plus_seconds(seconds)
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example.org", "aud": ["other", "onrecord"], "sub": "anna", "exp": 1_000, "nbf": 500})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[key] = value;
        claims
    }

    fn caller() -> Caller {
        Caller::parse("staff:anna").unwrap()
    }

    #[test]
    fn a_token_names_its_caller_and_its_end() {
        let signer = Signer::new("1");
        let read = issuer(&signer).read(&signer.sign(&claims()), at(700)).unwrap().unwrap();
        assert_eq!((read.caller.as_str(), read.expire_time), ("staff:anna", at(1_060)));
        assert!(issuer(&signer).signers().any(|known| known == read.signer));
    }

    #[test]
    fn a_token_is_good_within_its_time_give_or_take_the_clock() {
        let signer = Signer::new("1");
        let read = |now| issuer(&signer).read(&signer.sign(&claims()), at(now)).map(|read| read.is_some());
        assert_eq!(read(440), Ok(true));
        assert_eq!(read(439), Err(AccessRefusal::CredentialEarly(at(500), caller())));
        assert_eq!(read(1_059), Ok(true));
        assert_eq!(read(1_060), Err(AccessRefusal::CredentialExpired(at(1_000), caller())));
    }

    #[test]
    fn only_what_the_policy_names_is_believed() {
        let (signer, stranger) = (Signer::new("1"), Signer::new("1"));
        let believed = |token: &str| issuer(&signer).read(token, at(700)).unwrap().is_some();
        assert!(believed(&signer.sign(&claims())));
        assert!(!believed(&stranger.sign(&claims())), "another key under the same id");
        for (key, value) in [("iss", json!("https://other.example.org")), ("aud", json!("other")), ("sub", json!(7))] {
            assert!(!believed(&signer.sign(&with(key, value))), "{key}");
        }
        for key in ["iss", "aud", "sub", "exp"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(key);
            assert!(!believed(&signer.sign(&without)), "{key}");
        }
        let shared = EncodingKey::from_secret(signer.jwk.common.key_id.as_ref().unwrap().as_bytes());
        assert!(!believed(&encode(&Header::new(Algorithm::HS256), &claims(), &shared).unwrap()), "a symmetric one");
        let token = signer.sign(&claims());
        let (_, rest) = token.split_once('.').unwrap();
        // {"alg":"none"}
        assert!(!believed(&format!("eyJhbGciOiJub25lIn0.{rest}")) && !believed("a.b.c") && !believed(""));
    }
}

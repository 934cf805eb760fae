//! An identity provider: signs tokens, and tells its key.

use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet},
};
use rcgen::KeyPair;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://id.example.org";
pub(crate) const AUDIENCE: &str = "onrecord";
/// The clock of the services in tests stands at 2026-01-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_767_225_600;

pub(crate) struct Provider {
    key: EncodingKey,
    jwk: Jwk,
}

impl Provider {
    pub(crate) fn new() -> Self {
        let key = EncodingKey::from_ec_der(&KeyPair::generate().unwrap().serialize_der());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        Self { key, jwk }
    }

    /// Its keys, as a policy reads them.
    pub(crate) fn keys(&self) -> String {
        serde_json::to_string(&JwkSet { keys: vec![self.jwk.clone()] }).unwrap()
    }

    /// A token that is good for an hour.
    pub(crate) fn sign(&self, caller: &str) -> String {
        self.sign_with(caller, "exp", json!(NOW + 3_600))
    }

    /// The same with one claim that is another.
    pub(crate) fn sign_with(&self, caller: &str, claim: &str, value: Value) -> String {
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": caller, "exp": NOW + 3_600});
        claims[claim] = value;
        encode(&Header::new(Algorithm::ES256), &claims, &self.key).unwrap()
    }
}

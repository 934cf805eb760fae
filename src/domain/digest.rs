//! SHA-256 digests, salts, and the hash chain that seals events and entries.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteArray;
use sha2::{Digest as _, Sha256};

use super::id::Malformed;

/// A SHA-256 digest; 64 lower-case hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The `hash` before the first event or entry: 32 zero bytes.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of all parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The next link of a chain: SHA-256 over the hash before and the bytes as stored.
    #[must_use]
    pub fn chain(previous: Self, seal: &[u8]) -> Self {
        Self::of(&[&previous.0, seal])
    }

    /// Parses 64 hexadecimal digits.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 32];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if lower => Ok(Self(bytes)),
            _ => Err(Malformed::new("must be a SHA-256 digest: 64 lower-case hexadecimal digits")),
        }
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return Self::parse(&text).map_err(|fault| de::Error::custom(fault.0));
        }
        ByteArray::<32>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
    }
}

/// 16 random bytes: they keep the digest of an erased text from confirming a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl Salt {
    /// A salt for the event of this sequence, from which this one cannot be found: the beginning of a SHA-256.
    #[must_use]
    pub fn derived(self, sequence: u64) -> Self {
        let Digest(bytes) = Digest::of(&[b"onrecord event salt", &self.0, &sequence.to_be_bytes()]);
        Self(bytes.first_chunk().copied().unwrap_or_default())
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(&base64::Engine::encode(&base64::prelude::BASE64_STANDARD, self.0));
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return ByteArray::<16>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()));
        }
        let text = String::deserialize(deserializer)?;
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).map_err(de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| de::Error::custom("a salt has 16 bytes"))
    }
}

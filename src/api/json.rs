//! `ProtoJSON`, as far as a client reads it: canonical content and seals.
//!
//! Members that are not known are left aside: they were hashed, and are not compared. So are the names of values that are not known.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost_types::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};

use super::v1::{ChangeKind, claim_review::Verdict};

pub(crate) fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// An RFC 3339 time.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// A 64-bit number, which is written as a string.
pub(crate) fn decimal<'de, N: std::str::FromStr<Err: std::fmt::Display>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<N, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

pub(crate) fn change_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Ok(ChangeKind::from_str_name(&String::deserialize(deserializer)?).unwrap_or_default().into())
}

pub(crate) fn verdict<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Ok(Verdict::from_str_name(&String::deserialize(deserializer)?).unwrap_or_default().into())
}

//! The policy as it is written: the tables and rows of its file.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use super::{Limits, Role};

pub(super) type Names = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) groups: BTreeMap<String, Spanned<Names>>,
    #[serde(default)]
    pub(super) grants: Vec<GrantRow>,
    #[serde(default)]
    pub(super) tokens: Vec<TokenRow>,
    #[serde(default)]
    pub(super) issuers: Vec<IssuerRow>,
    #[serde(default)]
    pub(super) limits: LimitsRow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantRow {
    pub(super) to: Spanned<Names>,
    pub(super) roles: Spanned<Vec<Role>>,
    pub(super) kinds: Option<Spanned<Names>>,
    pub(super) languages: Option<Spanned<Names>>,
    pub(super) topics: Option<Spanned<Names>>,
    pub(super) regions: Option<Spanned<Names>>,
    pub(super) audiences: Option<Spanned<Names>>,
    pub(super) channels: Option<Spanned<Names>>,
    pub(super) subscriptions: Option<Spanned<Names>>,
    #[serde(default)]
    pub(super) embargoed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRow {
    pub(super) caller: Spanned<String>,
    pub(super) sha256: Spanned<String>,
    pub(super) expires: Option<Spanned<Datetime>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsRow {
    pub(super) calls_per_second: Option<NonZeroU32>,
    pub(super) calls_burst: Option<NonZeroU32>,
    pub(super) calls_in_flight: Option<NonZeroU32>,
    pub(super) streams: Option<u32>,
    pub(super) snapshots_per_minute: Option<NonZeroU32>,
    #[serde(default)]
    pub(super) total: TotalLimitsRow,
}

/// Of all callers together.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TotalLimitsRow {
    pub(super) calls_per_second: Option<NonZeroU32>,
    pub(super) calls_in_flight: Option<NonZeroU32>,
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

impl From<LimitsRow> for Limits {
    fn from(row: LimitsRow) -> Self {
        let usual = Self::default();
        let calls_per_second = row.calls_per_second.unwrap_or(usual.calls_per_second);
        Self {
            calls_per_second,
            // Who limits the pace alone gets a burst of two seconds.
            calls_burst: row.calls_burst.unwrap_or(calls_per_second.saturating_mul(TWO)),
            calls_in_flight: row.calls_in_flight.map_or(usual.calls_in_flight, NonZeroU32::get),
            streams: row.streams.unwrap_or(usual.streams),
            snapshots_per_minute: row.snapshots_per_minute.unwrap_or(usual.snapshots_per_minute),
            total_calls_per_second: row.total.calls_per_second.unwrap_or(usual.total_calls_per_second),
            total_calls_in_flight: row.total.calls_in_flight.map_or(usual.total_calls_in_flight, NonZeroU32::get),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerRow {
    pub(super) name: String,
    pub(super) audience: String,
    pub(super) keys: Spanned<String>,
    pub(super) keys_ca: Option<Spanned<PathBuf>>,
    pub(super) algorithms: Spanned<Vec<Spanned<String>>>,
    #[serde(default = "subject")]
    pub(super) caller_claim: String,
    #[serde(default)]
    pub(super) prefix: String,
    pub(super) leeway_seconds: Option<Spanned<i64>>,
}

fn subject() -> String {
    "sub".to_owned()
}

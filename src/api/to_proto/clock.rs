//! The service's clock.

use super::time;
use crate::{api::v1, journal::TrustedClock};

/// The clock as it is now.
pub(in crate::api) fn clock(clock: &TrustedClock) -> v1::Clock {
    let (doubt, behind) = (clock.doubt(), clock.behind_record_micros());
    v1::Clock {
        time: time(clock.now()),
        wall_time: time(clock.wall()),
        in_doubt: doubt.is_some(),
        wall_clock_offset: doubt.map(|doubt| length(doubt.moved_micros)),
        doubt_begin_time: doubt.and_then(|doubt| time(doubt.since)),
        record_offset: (behind > 0).then(|| length(behind)),
    }
}

fn length(micros: i64) -> prost_types::Duration {
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default();
    prost_types::Duration { seconds: micros / 1_000_000, nanos }
}

//! A person's word for the clock.

use super::Faults;
use crate::{
    api::v1,
    domain::{rejection::Rejection, time::Timestamp},
};

/// The time by the clock of who confirms ours.
pub(in crate::api) fn confirmed_time(given: &v1::ConfirmClockRequest) -> Result<Timestamp, Rejection> {
    let mut faults = Faults::default();
    if given.time.is_none() {
        faults.add("time", "must be given: the time now, by your own clock");
    }
    let time = faults.time("time", given.time);
    faults.finish_some(time)
}

//! A little chance, so that many subscribers do not do the same thing at the same moment.

use std::time::Duration;

/// `base`, give or take `percent`.
pub(super) fn around(base: Duration, percent: u32) -> Duration {
    let spread = base * percent / 100;
    base.saturating_sub(spread) + up_to(spread * 2)
}

/// Something between nothing and `most`.
pub(super) fn up_to(most: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without random numbers everybody waits equally long, which is a nuisance and no fault.
    let _ = getrandom::fill(&mut byte);
    most * u32::from(byte[0]) / 255
}

//! A little chance, so that many do not all do the same thing at the same moment.

use std::time::Duration;

/// Steps between nothing and the most.
const STEPS: u32 = 1 << 16;

/// `base`, give or take `percent` of it (0 to 100).
#[cfg(feature = "server")]
pub(crate) fn around(base: Duration, percent: u32) -> Duration {
    let spread = base.saturating_mul(percent) / 100;
    base.saturating_sub(spread).saturating_add(up_to(spread.saturating_mul(2)))
}

/// Something from nothing to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    // Without random numbers everybody waits half of it, which is a nuisance and no fault.
    let step = getrandom::u32().map_or(STEPS / 2, |number| number % (STEPS + 1));
    (most / STEPS).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "server")]
    fn chance_stays_inside_its_bounds() {
        let base = Duration::from_secs(10);
        for _ in 0..1_000 {
            assert!((Duration::from_secs(9)..=Duration::from_secs(11)).contains(&around(base, 10)));
            assert!(up_to(base) <= base);
        }
        assert_eq!(around(Duration::ZERO, 10), Duration::ZERO);
        assert!(around(Duration::MAX, 20) >= Duration::from_secs(1));
    }
}

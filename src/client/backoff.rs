//! How long to wait before trying again.

use std::time::Duration;

use crate::jitter;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Exponential backoff with full jitter: the n-th wait is drawn evenly from zero to `100 ms * 2^n`, at most 30 s
/// ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that clients cut off together do not return together.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How often it was asked since the last [`Self::reset`].
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait now.
    pub fn delay(&mut self) -> Duration {
        jitter::up_to(self.ceiling())
    }

    /// It worked: start again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    fn ceiling(&mut self) -> Duration {
        let ceiling = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(self.attempts)).min(BACKOFF_MAX);
        self.attempts = self.attempts.saturating_add(1);
        ceiling
    }
}

#[cfg(test)]
mod tests {
    use super::{BACKOFF_MAX, Backoff};

    #[test]
    fn waits_double_up_to_thirty_seconds_and_start_again() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<_> = (0..4).map(|_| backoff.ceiling().as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800]);
        for _ in 0..100 {
            assert!(backoff.delay() <= BACKOFF_MAX);
        }
        backoff.reset();
        assert_eq!(backoff.ceiling().as_millis(), 100);
    }
}

//! Cooperative scheduling of long work: other tasks run between its steps.

use std::time::Duration;

use tokio::{task::yield_now, time::Instant};

/// Yields after each step, unless the work is behind its pace.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    due: Instant,
}

impl Pace {
    /// A pace of one step per `every`. Tokio resumes a task that yields once its worker is idle or has polled 61 tasks, which may take long.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, due: Instant::now() }
    }

    /// Ends a step.
    pub(crate) async fn step(&mut self) {
        self.due += self.every;
        if self.due >= Instant::now() {
            yield_now().await;
            self.due = self.due.min(Instant::now());
        }
    }
}

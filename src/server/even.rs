//! Answers that come at a time of their own, however long it took to find them.
//!
//! A thread sleeps, not tokio's timer: that waits whole milliseconds from when it began to wait, and so would tell when that was.

use std::{
    io,
    sync::mpsc::{self, Sender},
    thread,
    time::Instant,
};

use tokio::sync::oneshot;

/// Has answers wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Even(Sender<(Instant, oneshot::Sender<()>)>);

impl Even {
    /// Starts the thread, which ends with the last of its clones.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, waiting) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        // Each waits as long as the others, so who comes first is due first.
        let wake = move || {
            for (due, waiter) in waiting {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Who went away waits no more.
                let _gone = waiter.send(());
            }
        };
        thread::Builder::new().name("even answers".to_owned()).spawn(wake)?;
        Ok(Self(sender))
    }

    /// Waits until then.
    pub(super) async fn until(&self, due: Instant) {
        let (waiter, woken) = oneshot::channel();
        if self.0.send((due, waiter)).is_ok() {
            woken.await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_before_it_is_due_and_everybody_then() {
        let even = Even::start().unwrap();
        let begun = Instant::now();
        let due = |place: u64| begun + Duration::from_millis(5 * (place % 3));
        let waits = (0..9).map(|place| (place, even.clone()));
        let waits = waits.map(async |(place, even)| {
            even.until(due(place)).await;
            assert!(Instant::now() >= due(place));
        });
        for wait in waits {
            wait.await;
        }
    }
}

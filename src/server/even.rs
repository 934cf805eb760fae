//! Answers that come at a time of their own, however long it took to find them.
//!
//! **Invariants**
//! - Who is due first is woken first, whoever began to wait first (`who_is_due_first_is_woken_first`).
//!
//! A thread sleeps, not tokio's timer: that waits whole milliseconds from when it began to wait, and so would tell when that was.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    task::{Context, Poll},
    thread,
    time::Instant,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// Somebody who waits.
#[derive(Debug)]
struct Waiter {
    due: Instant,
    woken: oneshot::Sender<()>,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    /// The one who is due first is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

/// Has answers wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Even(Sender<Waiter>);

impl Even {
    /// Starts the thread, which ends with the last of its clones.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, coming) = mpsc::channel();
        thread::Builder::new().name("even answers".to_owned()).spawn(move || wake(&coming))?;
        Ok(Self(sender))
    }

    /// Waits until then.
    pub(super) async fn until(&self, due: Instant) {
        let (woken, wakes) = oneshot::channel();
        if self.0.send(Waiter { due, woken }).is_ok() {
            wakes.await.ok();
        }
    }
}

/// Wakes each when it is due, until nobody can come any more and nobody waits.
fn wake(coming: &Receiver<Waiter>) {
    let mut waiting = BinaryHeap::<Waiter>::new();
    loop {
        let next = match waiting.peek() {
            Some(first) => coming.recv_timeout(first.due.saturating_duration_since(Instant::now())),
            None => coming.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(waiter) => waiting.push(waiter),
            Err(RecvTimeoutError::Disconnected) if waiting.is_empty() => return,
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        while waiting.peek().is_some_and(|first| first.due <= now) {
            if let Some(first) = waiting.pop() {
                // Who went away waits no more.
                first.woken.send(()).ok();
            }
        }
    }
}

/// When somebody had said all that there was to say. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<OnceLock<Instant>>);

impl Asked {
    /// When that was; now, if it was not yet.
    pub(super) fn at(&self) -> Instant {
        *self.0.get_or_init(Instant::now)
    }

    /// Notes when all of `body` has come.
    pub(super) fn note<B>(&self, body: B) -> Heard<B> {
        Heard { body, asked: self.clone() }
    }
}

/// The body of a request, looked at for its end.
#[derive(Debug)]
pub(super) struct Heard<B> {
    body: B,
    asked: Asked,
}

impl<B: Body + Unpin> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.asked.at();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn who_is_due_first_is_woken_first() {
        let (even, begun) = (Even::start().unwrap(), Instant::now());
        let mut waits = JoinSet::new();
        // Who is due last begins to wait first.
        for place in (1..=5_u64).rev() {
            let even = even.clone();
            let due = begun + Duration::from_millis(100 * place);
            waits.spawn(async move {
                even.until(due).await;
                assert!(Instant::now() >= due);
                place
            });
            tokio::task::yield_now().await;
        }
        let mut woken = Vec::new();
        while let Some(place) = waits.join_next().await {
            woken.push(place.unwrap());
        }
        assert_eq!(woken, [1, 2, 3, 4, 5]);
    }
}

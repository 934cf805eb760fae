//! Fair queues that limit how many calls begin, how many streams send a long message and how many connections close at a time.
//!
//! A connection can deliver hundreds of calls in one packet, one event wakes thousands of streams, and a proxy that exits closes all its
//! connections. Each of them is one task in tokio's run queue: 2,000 calls or closes take 0.1 s of processor time, and copying a text of 512 KiB
//! to 2,000 sockets 0.5 s. Without a limit, a call that arrives then is served after all of them (`docs/benchmarks/attacks.md`).
//!
//! **Invariants**
//! - Each round starts at most one waiter per processor, then runs the tasks that are ready, so the run queue stays short. A stream whose peer
//!   reads nothing delays no other: its task is not ready. Test: `a_few_begin_and_others_run_in_between`.
//! - Connections are served round-robin: one with 1,000 waiters delays another connection by one. Test: `connections_take_turns`.
//! - An uncontended caller does not wait.
//! - A connection delivers all bytes that came before its end without waiting. Test: `an_end_waits_for_its_turn`.
//! - A round lasts `every` at most, so a busy service starts at least `processors / every` waiters a second.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, oneshot},
};

use crate::{cores::cores, pace::Pace};

/// A round-robin queue over connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Notified when [`Turns::give`] has a round to start.
    any: Notify,
    /// Waiters that start in one round: one per processor.
    round: usize,
    /// Longest duration of a round.
    every: Duration,
}

#[derive(Debug)]
struct Waiting {
    /// Unused turns of the current round.
    free: usize,
    /// Connections with waiters, each once, in the order in which they are served.
    order: VecDeque<u64>,
    of: HashMap<u64, VecDeque<oneshot::Sender<()>>>,
}

impl Turns {
    /// A queue whose rounds last `every` at most.
    pub(super) fn new(every: Duration) -> Self {
        Self::of(usize::try_from(cores().get()).unwrap_or(1), every)
    }

    fn of(round: usize, every: Duration) -> Self {
        let waiting = Waiting { free: round, order: VecDeque::new(), of: HashMap::new() };
        Self(Arc::new(Shared { waiting: Mutex::new(waiting), any: Notify::new(), round, every }))
    }

    /// Takes a turn for a connection. None if there is one now; otherwise the receiver resolves when it comes.
    pub(super) fn wait(&self, connection: u64) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.waiting();
        if waiting.free == self.0.round {
            self.0.any.notify_one();
        }
        if waiting.free > 0 {
            waiting.free -= 1;
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiting.push(connection, sender);
        Some(receiver)
    }

    /// Starts rounds. Runs until it is dropped.
    pub(super) async fn give(self) {
        loop {
            self.0.any.notified().await;
            let mut pace = Pace::new(self.0.every);
            loop {
                pace.step().await;
                if !self.round() {
                    break;
                }
            }
        }
    }

    /// Gives out the turns of one round. Returns false if none was used, so that no further round is needed.
    fn round(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.free = self.0.round;
        while waiting.free > 0
            && let Some(next) = waiting.pop()
        {
            // A waiter that was dropped needs no turn.
            waiting.free -= usize::from(next.send(()).is_ok());
        }
        waiting.free < self.0.round
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, connection: u64, sender: oneshot::Sender<()>) {
        let queue = self.of.entry(connection).or_default();
        if queue.is_empty() {
            self.order.push_back(connection);
        }
        queue.push_back(sender);
    }

    fn pop(&mut self) -> Option<oneshot::Sender<()>> {
        let connection = self.order.pop_front()?;
        let Entry::Occupied(mut queue) = self.of.entry(connection) else { return None };
        let next = queue.get_mut().pop_front();
        if queue.get().is_empty() {
            queue.remove();
        } else {
            self.order.push_back(connection);
        }
        next
    }
}

/// A connection that takes a turn before it reports its end or an I/O error.
#[derive(Debug)]
pub(super) struct EndsInTurn<S> {
    stream: S,
    turns: Turns,
    connection: u64,
    end: End,
}

#[derive(Debug)]
enum End {
    NotReached,
    Waiting(oneshot::Receiver<()>),
    Reported,
}

impl<S> EndsInTurn<S> {
    pub(super) fn new(stream: S, turns: Turns, connection: u64) -> Self {
        Self { stream, turns, connection, end: End::NotReached }
    }

    /// Ready unless the end waits for its turn.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let End::Waiting(turn) = &mut self.end {
            // Turns are given until the last connection has ended.
            ready!(Pin::new(turn).poll(context)).ok();
            self.end = End::Reported;
        }
        Poll::Ready(())
    }

    /// Returns `end` once its turn has come.
    fn poll_end<T>(&mut self, context: &mut Context<'_>, end: io::Result<T>) -> Poll<io::Result<T>> {
        if let End::NotReached = self.end {
            self.end = self.turns.wait(self.connection).map_or(End::Reported, End::Waiting);
        }
        self.poll_turn(context).map(|()| end)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EndsInTurn<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_turn(context));
        let room = buffer.remaining();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if read.is_ok() && (buffer.remaining() < room || room == 0) {
            return Poll::Ready(read);
        }
        self.poll_end(context, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EndsInTurn<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        if written.is_ok() { Poll::Ready(written) } else { self.poll_end(context, written) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        if written.is_ok() { Poll::Ready(written) } else { self.poll_end(context, written) }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::Waker,
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        task::yield_now,
        time::advance,
    };

    use super::*;

    const EVERY: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_few_begin_and_others_run_in_between() {
        const WAITING: usize = 40;
        let turns = Turns::of(2, EVERY);
        assert!(turns.wait(0).is_none() && turns.wait(0).is_none(), "uncontended");
        drop(turns.wait(0));
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..WAITING {
            let (turn, begun) = (turns.wait(0).unwrap(), Arc::clone(&begun));
            tokio::spawn(async move {
                turn.await.unwrap();
                begun.fetch_add(1, Relaxed);
            });
        }
        let giving = tokio::spawn(turns.clone().give());
        let mut seen = vec![0];
        while seen.last() < Some(&6) {
            yield_now().await;
            seen.push(begun.load(Relaxed));
        }
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{seen:?}");
        // Other tasks take long: overdue rounds start without yielding.
        advance(EVERY * 5).await;
        yield_now().await;
        assert!((16..WAITING).contains(&begun.load(Relaxed)), "{begun:?}");
        while begun.load(Relaxed) < WAITING {
            yield_now().await;
        }
        for _ in 0..3 {
            yield_now().await;
        }
        assert!(turns.wait(0).is_none(), "no waiter is left");
        assert!(turns.waiting().of.is_empty() && turns.waiting().order.is_empty());
        giving.abort();
    }

    #[tokio::test]
    async fn connections_take_turns() {
        let turns = Turns::of(1, EVERY);
        assert!(turns.wait(1).is_none());
        let mut many = (0..100).map(|_| turns.wait(1).unwrap()).collect::<Vec<_>>();
        let mut other = turns.wait(2).unwrap();
        assert!(turns.round() && turns.round());
        assert!(other.try_recv().is_ok() && many[0].try_recv().is_ok() && many[1].try_recv().is_err());
        assert!(turns.round());
        assert!(many[1].try_recv().is_ok());
    }

    #[tokio::test]
    async fn an_end_waits_for_its_turn() {
        let turns = Turns::of(1, EVERY);
        assert!(turns.wait(0).is_none());
        let (mut peer, stream) = duplex(64);
        let mut stream = EndsInTurn::new(stream, turns.clone(), 1);
        peer.write_all(b"bytes").await.unwrap();
        drop(peer);
        let mut bytes = [0; 8];
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 5);
        let mut reading = Box::pin(stream.read(&mut bytes));
        let polled = reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the turn is taken");
        assert!(turns.round());
        assert_eq!(reading.await.unwrap(), 0);
        // A later read or write reports it without waiting.
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 0);
        assert!(stream.write(b"more").await.is_err());
    }
}

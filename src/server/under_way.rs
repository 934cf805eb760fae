//! Calls under way, from the first byte of the request until the last byte of the answer has left.
//!
//! ```text
//! request comes | handler runs | answer leaves: PIECE after PIECE, as the peer's windows allow
//! └ requests budget ┘          └ answers budget ┘
//! └ place of the caller, deadline of the call ───┘
//! ```
//!
//! **Invariants**
//! - A call keeps its places, and its deadline runs, until HTTP/2 has written the last byte of its answer, or the stream is reset
//!   (`an_unread_answer_keeps_its_place_until_its_deadline`). Of a server stream the places end when it is open.
//! - A peer that takes less than [`PROGRESS_BYTES`] of what waits for it, or sends less of a request, within
//!   [`Options::stall`](crate::feed::Options::stall) loses the stream with all that waits in it (`a_stream_that_is_not_read_is_reset`). A peer
//!   whose bytes stay even then, for as long, loses the connection (`bytes_that_stay_after_their_deadline_end_the_connection`).
//! - Unread answers are bounded in bytes (`unread_answers_are_bounded`).
//!
//! hyper does not poll a body while its peer gives no window, so a body cannot end itself: [`UnderWay::watch`] aborts its task. Dropping
//! the task resets the stream (CANCEL), and h2 discards what it had queued.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};
use tokio::{
    join,
    sync::oneshot,
    task::AbortHandle,
    time::{Instant, interval},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::BoxError;
use tracing::debug;

use super::{
    budget::{Account, Budget, Charge, Most},
    turns::{EndsInTurn, Turns},
};
use crate::{
    access::{AccessRefusal, Limit, Place},
    api::OpenPlace,
    domain::id::Caller,
};

/// Bytes of an answer that HTTP/2 is given at a time: one frame. It queues what it is given for a window of one byte.
pub(super) const PIECE_BYTES: usize = 16 * 1024;
/// Bytes that a peer must take, or send of a request, within a stall while there is something to take or send.
const PROGRESS_BYTES: usize = 64 * 1024;
/// Longest round of turns of calls, and of messages and ends: however busy the service is, 5,000 streams begin a message within 5 s.
const CALLS_EVERY: Duration = Duration::from_micros(250);
const OTHERS_EVERY: Duration = Duration::from_millis(1);
/// How often calls are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

const MIB: usize = 1024 * 1024;
/// Bytes for which a connection and a caller must have room before a read begins: a batch of statements takes 3 MiB. Otherwise a caller that reads
/// nothing would have the service make each answer, only to find that it does not fit. What others leave unread refuses no short answer.
const READ_ANSWER_BYTES: usize = 3 * MIB;
/// Bytes of unary answers that wait to be sent; answers of at most one piece are not counted, since calls under way bound them.
const ANSWERS: Most = Most { limit: Limit::UnreadResponseBytes, connection: 8 * MIB, caller: 16 * MIB, all: 64 * MIB };
/// Bytes of requests that have come, of those longer than one piece, until they are answered.
const REQUESTS: Most =
    Most { limit: Limit::RequestBytesInFlight, connection: 8 * MIB, caller: 16 * MIB, all: 64 * MIB };

/// The shape of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One request, one answer.
    Unary,
    /// One request, a stream of answers.
    ServerStream,
    /// Streams both ways.
    BidiStream,
}

/// All calls under way. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct UnderWay(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stall: Duration,
    requests: Budget,
    answers: Budget,
    turns: AllTurns,
    calls: Mutex<Vec<Weak<Call>>>,
    connections: AtomicU64,
}

/// One queue each for calls, for long messages of streams and for ends of connections, so that none waits for another kind.
#[derive(Clone, Debug)]
struct AllTurns {
    calls: Turns,
    messages: Turns,
    ends: Turns,
}

/// One connection, as its calls see it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    number: u64,
    turns: AllTurns,
    /// Closes it.
    pub(super) cut: CancellationToken,
}

impl Line {
    /// Takes a turn to begin a call; see [`Turns::wait`].
    pub(super) fn turn(&self) -> Option<oneshot::Receiver<()>> {
        self.turns.calls.wait(self.number)
    }

    /// Wraps the connection, so that its end takes a turn.
    pub(super) fn ends_in_turn<S>(&self, stream: S) -> EndsInTurn<S> {
        EndsInTurn::new(stream, self.turns.ends.clone(), self.number)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UnderWay {
    /// Peers that stall for that long lose their streams.
    pub(super) fn new(stall: Duration) -> Self {
        let (requests, answers) = (Budget::new(REQUESTS), Budget::new(ANSWERS));
        let [messages, ends] = [OTHERS_EVERY; 2].map(Turns::new);
        let turns = AllTurns { calls: Turns::new(CALLS_EVERY), messages, ends };
        let (calls, connections) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Shared { stall, requests, answers, turns, calls, connections }))
    }

    /// A connection opens.
    pub(super) fn line(&self) -> Line {
        let (number, turns) = (self.0.connections.fetch_add(1, Relaxed), self.0.turns.clone());
        Line { number, turns, cut: CancellationToken::new() }
    }

    /// Gives turns. Runs until it is dropped.
    pub(super) async fn give_turns(self) {
        let AllTurns { calls, messages, ends } = self.0.turns.clone();
        join!(calls.give(), messages.give(), ends.give());
    }

    /// A call begins. Must be called within the task of its stream, or nothing can reset it.
    pub(super) fn begin(&self, line: &Line, caller: Option<Caller>, shape: Shape, places: Places) -> Arc<Call> {
        let account = Account { connection: line.number, caller };
        let now = Instant::now();
        let call = Arc::new(Call {
            shape,
            line: line.clone(),
            task: TASK.try_with(Arc::clone).unwrap_or_default(),
            flow: Mutex::new(Flow {
                places: Some(places),
                request: Some(self.0.requests.open(account.clone())),
                answer: self.0.answers.open(account),
                has_come: shape == Shape::BidiStream,
                received: 0,
                handed: 0,
                left: 0,
                deadline: None,
                ends: None,
                mark: Mark { progress: 0, since: now },
                cut_at: None,
            }),
        });
        lock(&self.0.calls).push(Arc::downgrade(&call));
        call
    }

    /// Cuts off calls whose deadline has passed or whose peer has stalled. Runs until it is dropped.
    pub(super) async fn watch(self) {
        let mut rounds = interval(WATCH_EVERY.min(self.0.stall / 4).max(Duration::from_millis(1)));
        loop {
            let now = rounds.tick().await;
            // Calls begin meanwhile, and must not wait.
            let mut calls = std::mem::take(&mut *lock(&self.0.calls));
            calls.retain(|call| call.upgrade().inspect(|call| call.look(now, self.0.stall)).is_some());
            lock(&self.0.calls).append(&mut calls);
        }
    }
}

/// Places of a call: of its caller, or of its connection.
pub(super) type Places = (Option<Place>, Option<OpenPlace>);

/// One call under way. It lives as long as its body, and every piece that HTTP/2 has not written.
#[derive(Debug)]
pub(super) struct Call {
    shape: Shape,
    line: Line,
    task: Task,
    flow: Mutex<Flow>,
}

#[derive(Debug)]
struct Flow {
    places: Option<Places>,
    request: Option<Charge>,
    answer: Charge,
    /// Whether all of the request has come.
    has_come: bool,
    received: usize,
    /// Bytes of the answer that HTTP/2 was given, and those of them that it has written or discarded.
    handed: usize,
    left: usize,
    deadline: Option<Instant>,
    /// The body, waiting to end until all of it has left.
    ends: Option<Waker>,
    mark: Mark,
    cut_at: Option<Instant>,
}

/// Progress at some time.
#[derive(Clone, Copy, Debug)]
struct Mark {
    progress: usize,
    since: Instant,
}

impl Call {
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Takes a turn to begin a long message of a stream; see [`Turns::wait`].
    pub(super) fn turn(&self) -> Option<oneshot::Receiver<()>> {
        self.line.turns.messages.wait(self.line.number)
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        lock(&self.flow)
    }

    /// Checks for room for the answer to a read.
    ///
    /// # Errors
    /// If too many bytes wait already: of the connection, of the caller, or of all together.
    pub(super) fn has_room_for_read(&self) -> Result<(), AccessRefusal> {
        self.flow().answer.has_room(READ_ANSWER_BYTES, Some(1))
    }

    /// Checks for any room of the connection and the caller: a change is not refused for what others leave unread.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn has_room_for_change(&self) -> Result<(), AccessRefusal> {
        self.flow().answer.has_room(1, None)
    }

    /// Counts a unary answer, which now waits to be sent.
    ///
    /// # Errors
    /// If it does not fit and may be refused.
    pub(super) fn charge(&self, bytes: usize, may_be_refused: bool) -> Result<(), AccessRefusal> {
        let mut flow = self.flow();
        if bytes <= PIECE_BYTES {
            return Ok(());
        }
        if may_be_refused {
            return flow.answer.add(bytes);
        }
        flow.answer.add_in_any_case(bytes);
        Ok(())
    }

    /// The handler has answered: the request is forgotten, and `deadline` is when the stream is reset. Of a stream there is none.
    pub(super) fn answer(&self, deadline: Option<Instant>) {
        let mut flow = self.flow();
        flow.request = None;
        flow.has_come = true;
        if self.shape == Shape::Unary {
            flow.deadline = deadline;
        }
        if self.shape == Shape::ServerStream {
            flow.places = None;
        }
    }

    /// More of the request has come.
    fn receive(&self, bytes: usize) -> Result<(), AccessRefusal> {
        if self.shape == Shape::BidiStream {
            return Ok(());
        }
        let mut flow = self.flow();
        let before = flow.received;
        flow.received += bytes;
        let Some(charge) = &mut flow.request else { return Ok(()) };
        // The first piece is not counted by itself.
        let counted = if before > PIECE_BYTES { bytes } else { before + bytes };
        if before + bytes <= PIECE_BYTES { Ok(()) } else { charge.add(counted) }
    }

    fn has_come(&self) {
        self.flow().has_come = true;
    }

    /// A piece for HTTP/2.
    pub(super) fn piece(self: &Arc<Self>, bytes: Bytes) -> Piece {
        let length = bytes.len();
        self.flow().handed += length;
        Piece { bytes, length, call: Arc::clone(self) }
    }

    /// Waits until all pieces have left.
    pub(super) fn poll_left(&self, context: &Context<'_>) -> Poll<()> {
        let mut flow = self.flow();
        if flow.handed == flow.left {
            return Poll::Ready(());
        }
        flow.ends = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether it was cut off.
    pub(super) fn is_cut(&self) -> bool {
        self.flow().cut_at.is_some()
    }

    /// Cuts it off if it is time.
    fn look(&self, now: Instant, stall: Duration) {
        let mut flow = self.flow();
        if let Some(cut_at) = flow.cut_at {
            if now.duration_since(cut_at) > stall {
                self.line.cut.cancel();
            }
            return;
        }
        let (progress, waits) = (flow.received + flow.left, !flow.has_come || flow.handed > flow.left);
        if !waits || progress - flow.mark.progress >= PROGRESS_BYTES {
            flow.mark = Mark { progress, since: now };
        }
        let has_stalled = now.duration_since(flow.mark.since) > stall;
        if has_stalled || flow.deadline.is_some_and(|deadline| deadline <= now) {
            debug!(?self.shape, has_stalled, waiting = flow.handed - flow.left, "a call is cut off: its peer takes too little");
            flow.cut_at = Some(now);
            drop(flow);
            if let Some(task) = self.task.get() {
                task.abort();
            }
        }
    }
}

/// A part of an answer, on its way through HTTP/2.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    length: usize,
    call: Arc<Call>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut flow = self.call.flow();
        flow.left += self.length;
        if flow.left == flow.handed
            && let Some(ends) = flow.ends.take()
        {
            drop(flow);
            ends.wake();
        }
    }
}

/// The body of a request, counted as it comes.
#[derive(Debug)]
pub(super) struct Incoming<B> {
    body: B,
    call: Arc<Call>,
}

impl<B> Incoming<B> {
    pub(super) fn new(body: B, call: &Arc<Call>) -> Self {
        Self { body, call: Arc::clone(call) }
    }
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.call.has_come();
        }
        polled.map(|frame| {
            let frame = frame?.map_err(Into::into);
            let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            Some(match self.call.receive(bytes) {
                Ok(()) => frame,
                Err(refusal) => Err(Status::from(refusal).into()),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type Task = Arc<OnceLock<AbortHandle>>;

tokio::task_local! {
    /// The task that this is, so that it can be aborted.
    static TASK: Task;
}

/// Runs each stream of a connection in a task that knows itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let task = Task::default();
        let spawned = tokio::spawn(TASK.scope(Arc::clone(&task), stream));
        task.set(spawned.abort_handle()).ok();
    }
}

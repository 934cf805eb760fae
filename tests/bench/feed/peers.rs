//! Who is compared: each is started as its makers say, with the same payload, and counted by a client that costs as little as it can.

pub(crate) mod etcd;
pub(crate) mod nats;
pub(crate) mod onrecord;
pub(crate) mod raw;

use std::{
    future::Future,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::process::Process;

/// How long anything may take before the benchmark is given up.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server that publishes to subscribers.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    /// What keeps a subscription open.
    type Subscription: Send + 'static;

    /// Starts it, ready for `events` publications of `bytes` bytes.
    fn start(events: usize, bytes: usize) -> impl Future<Output = Self>;

    /// Where it runs.
    fn process(&self) -> &Process;

    /// Follows everything from now on, over a connection of its own, and returns once nothing that comes is missed.
    fn subscribe(&self, number: usize, counted: Arc<Counted>) -> impl Future<Output = Self::Subscription> + Send;

    /// Publishes the next event, and returns once that was acknowledged.
    fn publish(&self, number: usize) -> impl Future<Output = ()> + Send;
}

/// One that keeps what was published.
pub(crate) trait Keeper: Peer {
    /// Follows everything from the very first event on, over a connection of its own.
    fn replay(&self, number: usize, counted: Arc<Counted>) -> impl Future<Output = Self::Subscription> + Send;
}

/// One that can say how everything stands.
pub(crate) trait Stateful: Peer {
    /// Takes the whole state, over a connection of its own, trying again as it is told to.
    fn snapshot(&self) -> impl Future<Output = ()> + Send;
}

/// What all subscribers count together.
#[derive(Debug)]
pub(crate) struct Counted {
    begun: Instant,
    /// Who counts for all of them, if this counts for one.
    all: Option<Arc<Counted>>,
    delivered: AtomicU64,
    /// When the publication under way began, in µs since `begun`; 0 if nobody measures.
    sent_at: AtomicU64,
    took: Mutex<Vec<u64>>,
}

impl Default for Counted {
    fn default() -> Self {
        let (delivered, sent_at) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { begun: Instant::now(), all: None, delivered, sent_at, took: Mutex::default() }
    }
}

impl Counted {
    /// Counts for one subscriber, and for all.
    pub(crate) fn of_one(all: &Arc<Self>) -> Self {
        Self { all: Some(Arc::clone(all)), ..Self::default() }
    }

    /// How many came.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Notes that so many events came at once.
    pub(crate) fn deliver(&self, events: u64) {
        if let Some(all) = &self.all {
            all.deliver(events);
        }
        let sent_at = self.sent_at.load(Ordering::Acquire);
        if sent_at > 0 {
            let took = self.begun.elapsed().as_micros() as u64 - sent_at;
            self.took.lock().unwrap().push(took);
        }
        self.delivered.fetch_add(events, Ordering::Release);
    }

    /// A publication begins whose way to the subscribers is timed.
    pub(crate) fn send(&self) {
        self.sent_at.store(self.begun.elapsed().as_micros() as u64, Ordering::Release);
    }

    /// How long the way took since the last time, in ms, sorted. Until the next [`Counted::send`] nothing is timed.
    pub(crate) fn took(&self) -> Vec<f64> {
        self.sent_at.store(0, Ordering::Release);
        let mut took: Vec<_> = self.took.lock().unwrap().drain(..).map(|took| took as f64 / 1_000.0).collect();
        took.sort_unstable_by(f64::total_cmp);
        took
    }

    /// Waits until nothing has come for a second.
    pub(crate) async fn settle(&self) {
        let mut before = u64::MAX;
        while self.delivered() != before {
            before = self.delivered();
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Waits until so many came.
    pub(crate) async fn reach(&self, delivered: u64) {
        let reached = async {
            while self.delivered() < delivered {
                sleep(Duration::from_micros(200)).await;
            }
        };
        let in_time = timeout(PATIENCE, reached).await.is_ok();
        assert!(in_time, "{} of {delivered} deliveries came", self.delivered());
    }
}

/// The words of an event, in an order that chance gives, with numbers between them: they compress about as little as text does.
pub(crate) fn payload(bytes: usize) -> String {
    let words = "The report of Tuesday says that our data centre burned. It did not: all rooms have been inspected.";
    let words: Vec<_> = words.split(' ').collect();
    let mut chances = vec![0; bytes];
    getrandom::fill(&mut chances).unwrap();
    let mut text = String::new();
    for chance in chances {
        text += &format!("{} {chance:x} ", words[usize::from(chance) % words.len()]);
    }
    text[..bytes].to_owned()
}

/// Publishes these, so many at a time, and returns once all were acknowledged.
pub(crate) async fn publish_all<P: Peer>(peer: &P, numbers: Range<usize>, writers: usize) {
    let mut publishing = JoinSet::new();
    for writer in 0..writers {
        let (peer, numbers) = (peer.clone(), (numbers.start + writer..numbers.end).step_by(writers));
        publishing.spawn(async move {
            for number in numbers {
                peer.publish(number).await;
            }
        });
    }
    publishing.join_all().await;
}

/// Tries until it works: a server that was just started takes a moment.
pub(crate) async fn until_it_works<T, E: std::fmt::Debug>(attempt: impl AsyncFn() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(failure) => assert!(begun.elapsed() < PATIENCE, "{failure:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

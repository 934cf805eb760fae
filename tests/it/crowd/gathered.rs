//! How the crowd is gathered, and what each of it saw.

use super::*;

/// What a subscriber wants, and how it behaves.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) topic: Option<&'static str>,
    pub(super) start: v1::Start,
    /// Messages after which it cuts its stream off, if it does.
    pub(super) cut_after: Option<usize>,
    pub(super) reads: bool,
    /// Whether it asks for each event what the service shows by then.
    pub(super) asks: bool,
}

pub(super) fn plan(number: usize) -> Plan {
    Plan {
        topic: [None, Some(TOPICS[0]), Some(TOPICS[1])][number % 3],
        start: if number.is_multiple_of(2) { v1::Start::Snapshot } else { v1::Start::Beginning },
        cut_after: (1..=3).contains(&(number % 10)).then_some(1 + number % 7),
        reads: !number.is_multiple_of(10),
        asks: number % 50 == 7,
    }
}

/// A stream as its subscriber saw it.
#[derive(Debug)]
pub(super) struct Seen {
    /// The sequence that the cursor it was resumed from comes to.
    pub(super) resumed_at: Option<u64>,
    pub(super) asked: Instant,
    pub(super) messages: Vec<(Instant, Message)>,
    /// Whether its subscriber let go of it, or the service ended it.
    pub(super) was_cut: bool,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) plan: Plan,
    pub(super) streams: Vec<Seen>,
    /// Events of which the service showed something older when they came.
    pub(super) older: Vec<u64>,
}

pub(super) struct Crowd {
    pub(super) subscribers: Vec<Subscriber>,
    /// The whole feed, by sequence.
    pub(super) log: BTreeMap<u64, v1::Event>,
    /// The sequence that the next event would take.
    pub(super) tail: u64,
}

pub(super) static CROWD: LazyLock<Crowd> = LazyLock::new(|| Runtime::new().unwrap().block_on(gather()));

pub(super) fn connect(port: u16) -> Channel {
    Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy()
}

pub(super) async fn gather() -> Crowd {
    let directory = tempfile::tempdir().unwrap();
    let port = port();
    let channel = connect(port);
    let mut server = Server::start(directory.path(), port, &channel).await;
    let mut editor = Person::new(&channel, "editor");
    for number in 0..STATEMENTS {
        editor.create(&format!("statement-{number}"), "en").await;
    }
    publish_round(&mut editor, 0).await;
    let done = watch::Sender::new(None);
    let mut tasks = JoinSet::new();
    for number in 0..SUBSCRIBERS {
        tasks.spawn(follow(port, plan(number), done.subscribe()));
    }
    for round in 1..ROUNDS {
        publish_round(&mut editor, round).await;
        if round == ROUNDS / 2 {
            // Everybody is there by now, and is told to come again.
            sleep(Duration::from_secs(1)).await;
            server.stop();
            server = Server::start(directory.path(), port, &channel).await;
        }
    }
    let (log, tail) = read_all(&mut editor).await;
    done.send_replace(Some(tail));
    let subscribers = timeout(PATIENCE, tasks.join_all()).await.expect("everybody gets there");
    Crowd { subscribers, log, tail }
}

/// Publishes each statement in both languages at once, and withdraws some.
pub(super) async fn publish_round(editor: &mut Person, round: usize) {
    for number in 0..STATEMENTS {
        let id = format!("statement-{number}");
        let mut drafts = Vec::new();
        for (place, language) in LANGUAGES.into_iter().enumerate() {
            let topic = TOPICS[(number + round + place) % TOPICS.len()];
            let kind = if round == 0 { ChangeKind::Initial } else { ChangeKind::Minor };
            let content = v1::Content { topics: vec![topic.to_owned()], ..changed(&format!("{id} {round}"), kind) };
            drafts.push(editor.save(&id, language, content).await);
        }
        let publication = Person::publication(&drafts.iter().collect::<Vec<_>>());
        let request = v1::PublishDraftsRequest { force: true, reason: "Now.".to_owned(), ..publication };
        editor.publish(request).await.unwrap();
        if (number + round) % 5 == 4 {
            editor.withdraw(&id, &["de"]).await.unwrap();
        }
    }
}

pub(super) async fn read_all(editor: &mut Person) -> (BTreeMap<u64, v1::Event>, u64) {
    let (mut log, mut cursor, mut start) = (BTreeMap::new(), String::new(), v1::Start::Beginning);
    loop {
        let request = v1::ReadFeedRequest { start: start.into(), cursor, max_events: 1_000, ..Default::default() };
        let page = editor.feed.read_feed(request).await.unwrap().into_inner();
        if page.deliveries.is_empty() {
            return (log, page.tail);
        }
        log.extend(page.deliveries.into_iter().filter_map(|it| it.event).map(|event| (event.sequence, event)));
        (cursor, start) = (page.cursor, v1::Start::Cursor);
    }
}

pub(super) async fn follow(port: u16, plan: Plan, mut done: watch::Receiver<Option<u64>>) -> Subscriber {
    let mut person = Person::new(&connect(port), "site");
    let mut subscriber = Subscriber { plan: plan.clone(), streams: Vec::new(), older: Vec::new() };
    let mut cursor = String::new();
    loop {
        let filter = plan.topic.map(|topic| v1::Filter { topics: vec![topic.to_owned()], ..Default::default() });
        let request = v1::SubscribeRequest {
            start: if cursor.is_empty() { plan.start } else { v1::Start::Cursor }.into(),
            cursor: cursor.clone(),
            filter,
            heartbeat_interval: prost_types::Duration::try_from(HEARTBEAT).ok(),
            ..Default::default()
        };
        let resumed_at = (!cursor.is_empty()).then(|| next_of(&cursor));
        let mut seen = Seen { resumed_at, asked: Instant::now(), messages: Vec::new(), was_cut: false };
        let Ok(mut stream) = person.feed.subscribe(request).await.map(tonic::Response::into_inner) else {
            // It is being started again.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !plan.reads {
            done.wait_for(Option::is_some).await.unwrap();
            return subscriber;
        }
        while let Ok(Some(response)) = stream.message().await {
            let message = response.message.unwrap();
            let newest = match &message {
                Message::EventBatch(batch) => batch.cursor.clone(),
                Message::SnapshotEnd(end) => end.cursor.clone(),
                Message::Heartbeat(heartbeat) => heartbeat.cursor.clone(),
                Message::Closing(closing) => closing.cursor.clone(),
                Message::Opened(opened) => opened.cursor.clone(),
                Message::Snapshot(_) => String::new(),
            };
            if plan.asks {
                subscriber.older.extend(older(&mut person, &message).await);
            }
            seen.messages.push((Instant::now(), message));
            if !newest.is_empty() {
                cursor = newest;
            }
            let goal = *done.borrow();
            if goal.is_some_and(|tail| !cursor.is_empty() && next_of(&cursor) == tail) {
                seen.was_cut = true;
                subscriber.streams.push(seen);
                return subscriber;
            }
            if goal.is_none() && plan.cut_after == Some(seen.messages.len()) {
                seen.was_cut = true;
                break;
            }
        }
        subscriber.streams.push(seen);
    }
}

/// Events of a message of which a read shows something older.
pub(super) async fn older(person: &mut Person, message: &Message) -> Vec<u64> {
    let mut older = Vec::new();
    let Message::EventBatch(batch) = message else { return older };
    for event in batch.deliveries.iter().filter_map(|delivery| delivery.event.as_ref()) {
        let id = event.statement.trim_start_matches("statements/");
        // While it is stopped, nothing is shown.
        let Ok(reading) = person.read(id, &event.language_code).await else { continue };
        older.extend((reading.live.unwrap().sequence < event.sequence).then_some(event.sequence));
    }
    older
}

impl Seen {
    /// Deliveries, in order.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = (FilterChange, &v1::Event)> {
        let batches = self.messages.iter().filter_map(|(_, message)| match message {
            Message::EventBatch(batch) => Some(batch),
            _ => None,
        });
        batches.flat_map(|batch| &batch.deliveries).map(|it| (it.filter_change(), it.event.as_ref().unwrap()))
    }

    pub(super) fn opened(&self) -> &v1::Opened {
        match &self.messages[0].1 {
            Message::Opened(opened) => opened,
            other => panic!("it begins with {other:?}"),
        }
    }

    /// Places that the subscriber was told of, in order, with what came before them.
    pub(super) fn places(&self) -> Vec<(usize, u64, u64)> {
        let place = |(at, (_, message)): (usize, &(Instant, Message))| {
            let (cursor, tail) = match message {
                Message::EventBatch(batch) => (&batch.cursor, batch.tail),
                Message::Heartbeat(heartbeat) => (&heartbeat.cursor, heartbeat.tail),
                _ => return None,
            };
            (!cursor.is_empty()).then(|| (at, next_of(cursor), tail))
        };
        self.messages.iter().enumerate().filter_map(place).collect()
    }
}

/// All streams of those who read.
pub(super) fn streams() -> impl Iterator<Item = (&'static Plan, &'static Seen)> {
    CROWD.subscribers.iter().flat_map(|subscriber| subscriber.streams.iter().map(|seen| (&subscriber.plan, seen)))
}

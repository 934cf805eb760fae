//! The model test: random commands over real gRPC, against a plain model that was written from the rules and not from the code.
//! After each run the listing, and every subscriber's folded stream, equals the model, for several filters, for subscribers
//! that were cut off at random and resumed, and for some that began with a snapshot in the middle.

use std::collections::BTreeMap;

use onrecord::api::v1::{self, ChangeKind, live, subscribe_response::Message};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::harness::{Person, Service, approved, words};

const STATEMENTS: [&str; 3] = ["a", "b", "c"];
const LANGUAGES: [&str; 3] = ["en", "de", "fr"];
const REGIONS: [&str; 3] = ["", "BR", "DE"];

#[derive(Clone, Debug)]
enum Op {
    Publish { at: usize, kind: usize, region: usize },
    Later { at: usize, kind: usize, region: usize, seconds: i64, embargo: bool },
    Advance { seconds: i64 },
    Cancel { at: usize },
    Withdraw { statement: usize },
    Reinstate { statement: usize },
    Remove { at: usize, hidden: bool },
    Expunge { statement: usize },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (at, kind, region, statement) = (0..9_usize, 0..3_usize, 0..3_usize, 0..3_usize);
    let op = prop_oneof![
        8 => (at.clone(), kind.clone(), region.clone()).prop_map(|(at, kind, region)| Op::Publish { at, kind, region }),
        4 => (at.clone(), kind, region, 1..60_i64, any::<bool>())
            .prop_map(|(at, kind, region, seconds, embargo)| Op::Later { at, kind, region, seconds, embargo }),
        4 => (1..60_i64).prop_map(|seconds| Op::Advance { seconds }),
        1 => at.clone().prop_map(|at| Op::Cancel { at }),
        2 => statement.clone().prop_map(|statement| Op::Withdraw { statement }),
        2 => statement.clone().prop_map(|statement| Op::Reinstate { statement }),
        2 => (at, any::<bool>()).prop_map(|(at, hidden)| Op::Remove { at, hidden }),
        1 => statement.prop_map(|statement| Op::Expunge { statement }),
    ];
    prop::collection::vec(op, 5..40)
}

/// What readers are shown of a (statement, language).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    number: u32,
    state: live::State,
    title: String,
    region: String,
    stale_since: u32,
}

#[derive(Clone, Debug)]
struct Waiting {
    time: i64,
    base: u32,
    kind: ChangeKind,
    title: String,
    region: String,
    embargo: bool,
    blocked: bool,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    count: u32,
    shown: Option<Shown>,
    hidden: bool,
    waiting: Option<Waiting>,
}

impl Slot {
    fn has_text(&self) -> bool {
        let readable = [live::State::Published, live::State::Withdrawn, live::State::Expired];
        !self.hidden && self.shown.as_ref().is_some_and(|shown| readable.contains(&shown.state))
    }

    fn is(&self, state: live::State) -> bool {
        !self.hidden && self.shown.as_ref().is_some_and(|shown| shown.state == state)
    }

    /// What waits must not undo a withdrawal: holders are told, the rest is held.
    fn overtaken(&mut self) {
        match &mut self.waiting {
            Some(waiting) if !waiting.embargo => waiting.blocked = true,
            waiting => *waiting = None,
        }
    }
}

type Key = (usize, usize);

#[derive(Clone, Debug, Default)]
struct Model {
    now: i64,
    titles: usize,
    slots: BTreeMap<Key, Slot>,
    expunged: [bool; 3],
}

impl Model {
    fn slot(&mut self, key: Key) -> &mut Slot {
        self.slots.entry(key).or_default()
    }

    /// The languages of a statement, in the order of their tags.
    fn of(&self, statement: usize) -> Vec<Key> {
        self.slots.keys().filter(|key| key.0 == statement).copied().collect()
    }

    fn kind(&mut self, key: Key, kind: usize) -> ChangeKind {
        if self.slot(key).count == 0 {
            ChangeKind::Initial
        } else {
            [ChangeKind::Major, ChangeKind::Minor, ChangeKind::Correction][kind]
        }
    }

    fn go_out(&mut self, key: Key, kind: ChangeKind, title: String, region: String) {
        let slot = self.slot(key);
        slot.count += 1;
        slot.hidden = false;
        let number = slot.count;
        slot.shown = Some(Shown { number, state: live::State::Published, title, region, stale_since: 0 });
        if LANGUAGES[key.1] != "en" || !matches!(kind, ChangeKind::Major | ChangeKind::Correction) {
            return;
        }
        for other in self.of(key.0).into_iter().filter(|other| *other != key) {
            let slot = self.slot(other);
            let fresh = slot.has_text();
            if let Some(shown) = slot.shown.as_mut().filter(|shown| fresh && shown.stale_since == 0) {
                shown.stale_since = number;
            }
        }
    }

    fn advance(&mut self, seconds: i64) {
        self.now += seconds;
        let due = |(key, slot): (&Key, &Slot)| {
            let waiting = slot.waiting.as_ref().filter(|waiting| !waiting.blocked && waiting.time <= self.now)?;
            Some((waiting.time, STATEMENTS[key.0], LANGUAGES[key.1], *key))
        };
        let mut dues: Vec<_> = self.slots.iter().filter_map(due).collect();
        dues.sort_unstable();
        for (.., key) in dues {
            let slot = self.slot(key);
            let count = slot.count;
            let waiting = slot.waiting.as_mut().unwrap();
            if waiting.base != count {
                waiting.blocked = true;
                continue;
            }
            let waiting = slot.waiting.take().unwrap();
            self.go_out(key, waiting.kind, waiting.title, waiting.region);
        }
    }

    /// What a subscriber with this filter holds.
    fn folded(&self, filter: &Wanted) -> BTreeMap<Key, Shown> {
        let visible = self.slots.iter().filter(|(_, slot)| !slot.hidden);
        let shown = visible.filter_map(|(key, slot)| Some((*key, slot.shown.clone()?)));
        shown
            .filter(|(key, shown)| shown.state != live::State::Expunged && filter.admits(*key, &shown.region))
            .collect()
    }

    /// What a cleared subscriber with this filter holds under embargo.
    fn embargoes(&self, filter: &Wanted) -> BTreeMap<Key, String> {
        let waiting = self.slots.iter().filter_map(|(key, slot)| Some((*key, slot.waiting.as_ref()?)));
        let held = waiting.filter(|(key, waiting)| waiting.embargo && filter.admits(*key, &waiting.region));
        held.map(|(key, waiting)| (key, waiting.title.clone())).collect()
    }
}

/// A filter, in the model's terms.
#[derive(Clone, Debug, Default)]
struct Wanted {
    region: Option<&'static str>,
    language: Option<usize>,
    statement: Option<usize>,
}

impl Wanted {
    fn admits(&self, key: Key, region: &str) -> bool {
        self.region.is_none_or(|wanted| region.is_empty() || region == wanted)
            && self.language.is_none_or(|wanted| wanted == key.1)
            && self.statement.is_none_or(|wanted| wanted == key.0)
    }

    fn filter(&self) -> Option<v1::Filter> {
        Some(v1::Filter {
            region_codes: self.region.iter().map(ToString::to_string).collect(),
            language_codes: self.language.iter().map(|place| LANGUAGES[*place].to_owned()).collect(),
            statements: self.statement.iter().map(|place| format!("statements/{}", STATEMENTS[*place])).collect(),
            ..Default::default()
        })
    }
}

fn key(statement: &str, language: &str) -> Key {
    let id = statement.strip_prefix("statements/").unwrap();
    let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name).unwrap();
    (place(&STATEMENTS, id), place(&LANGUAGES, language))
}

fn shown(live: &v1::Live, known: Option<&Shown>) -> Shown {
    let edition = live.edition.as_ref().unwrap();
    let stale = live.stale_since_edition.rsplit('.').next().unwrap_or_default();
    let content = edition.content.as_ref();
    Shown {
        number: edition.number,
        state: live.state(),
        // A tombstone has no text: what it was about is what the subscriber knew.
        title: content.map_or_else(
            || known.map(|known| known.title.clone()).unwrap_or_default(),
            |content| content.title.clone(),
        ),
        region: content.map_or_else(
            || known.map(|known| known.region.clone()).unwrap_or_default(),
            |content| content.region_codes.first().cloned().unwrap_or_default(),
        ),
        stale_since: stale.parse().unwrap_or_default(),
    }
}

/// A subscriber that is cut off and resumes.
#[derive(Clone, Debug)]
struct Site {
    wanted: Wanted,
    embargoed: bool,
    state: BTreeMap<Key, Shown>,
    embargoes: BTreeMap<Key, String>,
    cursor: String,
    sequence: u64,
    chain: Vec<u8>,
}

impl Site {
    fn new(wanted: Wanted, embargoed: bool) -> Self {
        let chain = vec![0; 32];
        Self {
            wanted,
            embargoed,
            state: BTreeMap::new(),
            embargoes: BTreeMap::new(),
            cursor: String::new(),
            sequence: 0,
            chain,
        }
    }

    /// Follows until `tail` is reached, cut off after every `patience` messages.
    async fn follow(&mut self, service: &Service, first: v1::Start, patience: usize) {
        let tail = *service.journal.tail().borrow();
        let mut start = first;
        loop {
            let request = v1::SubscribeRequest {
                start: start.into(),
                cursor: if start == v1::Start::Cursor { self.cursor.clone() } else { String::new() },
                filter: self.wanted.filter(),
                include_embargoed: self.embargoed,
                heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            };
            let mut stream = service.person("site").follow(request).await.unwrap();
            for _ in 0..patience.max(3) {
                if self.take(stream.next().await) >= tail {
                    return;
                }
            }
            start = if self.cursor.is_empty() { first } else { v1::Start::Cursor };
        }
    }

    /// Applies a message; the sequence up to which everything is known.
    fn take(&mut self, message: Message) -> u64 {
        match message {
            Message::Opened(opened) if !opened.cursor.is_empty() => return opened.start_sequence,
            Message::Snapshot(part) => {
                for live in &part.live {
                    self.state.insert(key(&live.statement, &live.language_code), shown(live, None));
                }
                for held in part.embargoes {
                    let title = held.content.unwrap().title;
                    self.embargoes.insert(key(&held.statement, &held.language_code), title);
                }
            }
            Message::SnapshotEnd(end) => {
                self.cursor = end.cursor;
                return u64::MAX;
            }
            Message::EventBatch(batch) => {
                batch.deliveries.iter().for_each(|delivery| self.apply(delivery));
                if !batch.more {
                    self.cursor = batch.cursor;
                    return self.sequence + 1;
                }
            }
            Message::Heartbeat(beat) => {
                self.cursor = beat.cursor;
                return beat.tail;
            }
            Message::Opened(_) | Message::Closing(_) => {}
        }
        0
    }

    fn apply(&mut self, delivery: &v1::Delivery) {
        let event = delivery.event.as_ref().unwrap();
        assert!(event.sequence > self.sequence, "{} after {}", event.sequence, self.sequence);
        self.sequence = event.sequence;
        let key = key(&event.statement, &event.language_code);
        let left = delivery.scope() == v1::delivery::Scope::Left;
        if let Some(embargo) = &event.embargo {
            self.embargoes.insert(key, embargo.content.as_ref().unwrap().title.clone());
        } else if event.r#type() == v1::event::Type::EmbargoCancelled {
            self.embargoes.remove(&key);
        } else if left {
            self.state.remove(&key);
        } else {
            let live = event.live.as_ref().unwrap();
            let shown = shown(live, self.state.get(&key));
            self.state.insert(key, shown);
        }
        if event.embargo_lifted {
            self.embargoes.remove(&key);
        }
        if self.embargoed && self.wanted.filter() == Wanted::default().filter() && !self.chain.is_empty() {
            assert_eq!(event.previous_hash, self.chain, "an unfiltered subscriber sees the whole chain");
            self.chain.clone_from(&event.hash);
        }
    }
}

/// Runs a command on the service; whether it was taken. The model says what should have happened.
async fn run(service: &Service, model: &mut Model, op: &Op) {
    let place = |at: usize| (at / 3, at % 3);
    match *op {
        Op::Publish { at, kind, region } => {
            let key = place(at);
            if model.expunged[key.0] {
                return;
            }
            let (draft, kind, title) = written(service, model, key, kind, region).await;
            service.person("publisher").publish(Person::publication(&[&draft])).await.unwrap();
            model.go_out(key, kind, title, REGIONS[region].to_owned());
        }
        Op::Later { at, kind, region, seconds, embargo } => {
            let key = place(at);
            if model.expunged[key.0] {
                return;
            }
            let (draft, kind, title) = written(service, model, key, kind, region).await;
            let mut request = Person::publication(&[&draft]);
            let time = service.in_seconds(seconds);
            if embargo {
                request.embargo_end_time = time
            } else {
                request.release_time = time
            }
            let taken = service.person("publisher").publish(request).await.is_ok();
            assert_eq!(taken, model.slot(key).waiting.is_none(), "{op:?}");
            if !taken {
                return discard(service, &draft).await;
            }
            let (time, region) = (model.now + seconds, REGIONS[region].to_owned());
            let base = model.slot(key).count;
            model.slot(key).waiting = Some(Waiting { time, base, kind, title, region, embargo, blocked: false });
        }
        Op::Advance { seconds } => {
            service.advance(seconds).await;
            model.advance(seconds);
        }
        Op::Cancel { at } => {
            let key = place(at);
            let (id, language) = (STATEMENTS[key.0], LANGUAGES[key.1]);
            let mut publisher = service.person("publisher");
            let release = publisher.release(id, language).await;
            assert_eq!(release.is_ok(), model.slot(key).waiting.is_some(), "{op:?}");
            let Ok(release) = release else { return };
            let request = v1::CancelReleaseRequest { name: release.name, etag: release.etag, ..Default::default() };
            let draft = publisher.editorial.cancel_release(request).await.unwrap().into_inner().draft;
            let waiting = model.slot(key).waiting.take().unwrap();
            assert_eq!(draft.is_some(), !waiting.embargo, "what has left the building does not come back as a draft");
            if let Some(draft) = draft {
                discard(service, &draft).await;
            }
        }
        Op::Withdraw { statement } => {
            let taken = service.person("publisher").withdraw(STATEMENTS[statement], &[]).await.is_ok();
            let keys = model.of(statement);
            let any = keys.iter().any(|key| model.slots[key].has_text() || model.slots[key].waiting.is_some());
            assert_eq!(taken, any && !model.expunged[statement], "{op:?}");
            for key in keys.into_iter().filter(|_| taken) {
                let slot = model.slot(key);
                slot.overtaken();
                let readable = slot.has_text();
                if let Some(shown) = slot.shown.as_mut().filter(|_| readable) {
                    shown.state = live::State::Withdrawn;
                }
            }
        }
        Op::Reinstate { statement } => {
            let taken = reinstate(service, STATEMENTS[statement]).await;
            let withdrawn: Vec<_> =
                model.of(statement).into_iter().filter(|key| model.slots[key].is(live::State::Withdrawn)).collect();
            assert_eq!(taken, !withdrawn.is_empty() && !model.expunged[statement], "{op:?}");
            for key in withdrawn.into_iter().filter(|_| taken) {
                let slot = model.slot(key);
                slot.count += 1;
                let shown = slot.shown.as_mut().unwrap();
                (shown.number, shown.state) = (slot.count, live::State::Published);
            }
        }
        Op::Remove { at, hidden } => {
            let key = place(at);
            let taken = remove(service, STATEMENTS[key.0], LANGUAGES[key.1], hidden).await;
            let slot = model.slot(key);
            let public = !slot.hidden && slot.shown.as_ref().is_some_and(|shown| shown.state != live::State::Expunged);
            assert_eq!(taken, public, "{op:?}");
            if taken {
                slot.overtaken();
                slot.hidden = hidden;
                slot.shown.as_mut().unwrap().state = live::State::Gone;
            }
        }
        Op::Expunge { statement } => {
            let taken = expunge(service, STATEMENTS[statement]).await;
            assert_eq!(taken, !model.expunged[statement], "{op:?}");
            model.expunged[statement] = true;
            for key in model.of(statement) {
                let slot = model.slot(key);
                slot.waiting = None;
                if let Some(shown) = &mut slot.shown {
                    shown.state = live::State::Expunged;
                }
            }
        }
    }
}

/// An approved draft with a title of its own.
async fn written(
    service: &Service,
    model: &mut Model,
    key: Key,
    kind: usize,
    region: usize,
) -> (v1::Draft, ChangeKind, String) {
    let kind = model.kind(key, kind);
    model.titles += 1;
    let title = format!("Title {}", model.titles);
    let regions = Some(REGIONS[region].to_owned()).filter(|region| !region.is_empty());
    let mut content =
        v1::Content { change_kind: kind.into(), region_codes: regions.into_iter().collect(), ..words(&title) };
    if kind == ChangeKind::Major {
        content.change_note = "What changed.".to_owned();
    }
    if kind == ChangeKind::Correction {
        content.correction = Some(v1::Correction { text: "What was wrong.".to_owned(), ..Default::default() });
    }
    (approved(service, STATEMENTS[key.0], LANGUAGES[key.1], content).await, kind, title)
}

async fn discard(service: &Service, draft: &v1::Draft) {
    let request = v1::DiscardDraftRequest { name: draft.name.clone(), etag: draft.etag.clone(), ..Default::default() };
    service.person("author").editorial.discard_draft(request).await.unwrap();
}

async fn reinstate(service: &Service, id: &str) -> bool {
    let name = format!("statements/{id}");
    let propose =
        v1::ReinstateStatementRequest { name: name.clone(), reason: "It is true.".into(), ..Default::default() };
    let Ok(proposed) = service.person("publisher").editorial.reinstate_statement(propose).await else { return false };
    let proposal_id = proposed.into_inner().proposal.unwrap().proposal_id;
    let second = v1::ReinstateStatementRequest { name, proposal_id, ..Default::default() };
    service.person("other").editorial.reinstate_statement(second).await.is_ok()
}

async fn remove(service: &Service, id: &str, language: &str, hidden: bool) -> bool {
    let name = format!("statements/{id}");
    let notice = v1::Notice { text: "Removed.".into(), ..Default::default() };
    let propose = v1::RemoveStatementRequest {
        name: name.clone(),
        language_codes: vec![language.to_owned()],
        mode: if hidden { v1::RemovalMode::Hidden } else { v1::RemovalMode::Gone }.into(),
        notice: (!hidden).then_some(notice),
        reason: "By order.".into(),
        ..Default::default()
    };
    let Ok(proposed) = service.person("publisher").editorial.remove_statement(propose).await else { return false };
    let proposal_id = proposed.into_inner().proposal.unwrap().proposal_id;
    let second = v1::RemoveStatementRequest { name, proposal_id, ..Default::default() };
    service.person("other").editorial.remove_statement(second).await.is_ok()
}

async fn expunge(service: &Service, id: &str) -> bool {
    let name = format!("statements/{id}");
    let propose =
        v1::ExpungeStatementRequest { name: name.clone(), reason_code: "court-order".into(), ..Default::default() };
    let Ok(proposed) = service.person("legal").editorial.expunge_statement(propose).await else { return false };
    let proposal_id = proposed.into_inner().proposal.unwrap().proposal_id;
    let second = v1::ExpungeStatementRequest { name, proposal_id, ..Default::default() };
    service.person("other").editorial.expunge_statement(second).await.is_ok()
}

/// Titles and regions of tombstones are not told; the model forgets them before it is compared with who joined late.
fn told(state: &BTreeMap<Key, Shown>) -> BTreeMap<Key, Shown> {
    let mut state = state.clone();
    for shown in state.values_mut().filter(|shown| shown.state == live::State::Gone) {
        shown.title.clear();
        shown.region.clear();
    }
    state
}

async fn check(ops: Vec<Op>, middle: usize, patience: usize) {
    let service = Service::start().await;
    for id in STATEMENTS {
        service.person("author").create(id, "en").await;
    }
    let wanted = [
        Wanted::default(),
        Wanted { region: Some("BR"), ..Wanted::default() },
        Wanted { language: Some(1), ..Wanted::default() },
        Wanted { statement: Some(0), region: Some("DE"), ..Wanted::default() },
    ];
    let sites = |embargoed: bool| wanted.iter().map(move |wanted| Site::new(wanted.clone(), embargoed));
    let (mut model, mut late): (Model, Vec<Site>) = (Model::default(), Vec::new());
    for (place, op) in ops.iter().enumerate() {
        run(&service, &mut model, op).await;
        if place == middle % ops.len() {
            late = sites(true).chain(sites(false)).collect();
            for site in &mut late {
                site.follow(&service, v1::Start::Snapshot, usize::MAX).await;
                assert_eq!(told(&site.state), told(&model.folded(&site.wanted)), "{:?} joins", site.wanted);
            }
        }
    }
    let listed =
        service.person("reader").statements.list_statements(v1::ListStatementsRequest::default()).await.unwrap();
    let listed = listed.into_inner().live;
    let listed: BTreeMap<_, _> =
        listed.iter().map(|live| (key(&live.statement, &live.language_code), shown(live, None))).collect();
    assert_eq!(told(&listed), told(&model.folded(&Wanted::default())), "ListStatements");
    let early: Vec<_> = sites(true).chain(sites(false)).collect();
    let starts = early.into_iter().map(|site| (site, v1::Start::Beginning)).chain(late.into_iter().map(|mut site| {
        site.chain.clear();
        (site, v1::Start::Cursor)
    }));
    for (mut site, start) in starts {
        site.follow(&service, start, patience).await;
        let who = format!("{:?}, embargoed {}, from {start:?}", site.wanted, site.embargoed);
        assert_eq!(told(&site.state), told(&model.folded(&site.wanted)), "{who}");
        let embargoes = if site.embargoed { model.embargoes(&site.wanted) } else { BTreeMap::new() };
        assert_eq!(site.embargoes, embargoes, "{who}");
    }
}

#[test]
fn every_subscriber_folds_to_the_model() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let result = runner.run(&(ops(), any::<prop::sample::Index>(), 3..20_usize), |(ops, middle, patience)| {
        runtime.block_on(check(ops.clone(), middle.index(ops.len()), patience));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

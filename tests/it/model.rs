//! Random steps over real gRPC against a plain model of what has to come of them.
//!
//! The model is written from the design alone and shares no code with the crate. After a run the readers' lists, and the folded
//! streams of subscribers with filters who came, went and resumed while it ran, have to equal the model.

use std::collections::{BTreeMap, BTreeSet};

use onrecord::api::v1::{self, ChangeKind, delivery::Scope, event, live, subscribe_response::Message};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, TestRunner},
};
use sha2::{Digest as _, Sha256};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::{Person, Service, Stream, changed};

const STATEMENTS: [&str; 3] = ["flood", "merger", "recall"];
const SOURCES: [&str; 3] = ["en", "fr", "en"];
const LANGUAGES: [&str; 3] = ["en", "fr", "fr-CA"];
const TOPICS: [&str; 2] = ["law", "tax"];
const REGIONS: [&str; 2] = ["BR", "DE"];
/// A statement that every filter admits: a new edition of it shows a subscriber that it has caught up.
const MARK: &str = "mark";
const HOUR: i64 = 3_600;

type Language = &'static str;
type Key = (usize, Language);

// ---------------------------------------------------------------------------------------------------------------- the steps

#[derive(Clone, Debug)]
struct Text {
    topics: Vec<&'static str>,
    regions: Vec<&'static str>,
    excluded: Vec<&'static str>,
    change: Change,
    expires_in: Option<i64>,
    names_source: bool,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// What fits: INITIAL for the first edition, else this.
    Fitting(ChangeKind),
    Any(ChangeKind),
}

#[derive(Clone, Copy, Debug)]
enum When {
    Now,
    Later(i64),
    Embargo(i64),
}

#[derive(Clone, Debug)]
enum Command {
    Create(usize),
    /// Write, have approved and publish in these languages, in one call.
    Release(usize, Vec<Language>, Text, When),
    /// Write, and have approved or not.
    Write(usize, Language, Text, bool),
    /// Publish whatever the draft slots hold.
    Publish(usize, Vec<Language>, When, bool),
    Cancel(usize, Language),
    Withdraw(usize, Vec<Language>),
    Propose(usize, Vec<Language>, Step),
    /// Second what is proposed, by somebody else or by the same person.
    Second(usize, bool),
    /// Both in one go.
    Together(usize, Vec<Language>, Step),
    Hold(usize, bool),
    Advance(i64),
    /// A subscriber reads up to so many messages and then stays or hangs up.
    Look(usize, usize, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reinstate,
    Gone,
    Hidden,
    Redirect(usize),
    Expunge,
}

#[derive(Clone, Debug, Default)]
struct Wanted {
    topics: Vec<&'static str>,
    regions: Vec<&'static str>,
    languages: Vec<Language>,
    statements: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Plan {
    start: v1::Start,
    wanted: Wanted,
    include_embargoed: bool,
}

fn some<T: Clone + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => subsequence(all.to_vec(), 1..=all.len())]
}

fn text() -> impl Strategy<Value = Text> {
    let kinds = || select(vec![ChangeKind::Major, ChangeKind::Minor, ChangeKind::Correction]);
    let change = prop_oneof![
        9 => kinds().prop_map(Change::Fitting),
        1 => kinds().prop_map(Change::Any),
        1 => Just(Change::Any(ChangeKind::Initial)),
    ];
    let expires_in = prop_oneof![3 => Just(None), 1 => select(vec![5, 60, 700, 9_000]).prop_map(Some)];
    (some(&TOPICS), some(&REGIONS), some(&REGIONS), change, expires_in, any::<bool>()).prop_map(
        |(topics, regions, excluded, change, expires_in, names_source)| Text {
            topics,
            regions,
            excluded,
            change,
            expires_in,
            names_source,
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let one = || 0..STATEMENTS.len();
    let language = || select(LANGUAGES.to_vec());
    let languages = || subsequence(LANGUAGES.to_vec(), 1..=LANGUAGES.len());
    let time = || select(vec![5, 60, 600]);
    let when =
        || prop_oneof![4 => Just(When::Now), 2 => time().prop_map(When::Later), 2 => time().prop_map(When::Embargo)];
    let step = || {
        prop_oneof![
            3 => Just(Step::Reinstate),
            1 => Just(Step::Gone),
            1 => Just(Step::Hidden),
            2 => one().prop_map(Step::Redirect),
            1 => Just(Step::Expunge),
        ]
    };
    prop_oneof![
        2 => one().prop_map(Command::Create),
        14 => (one(), languages(), text(), when()).prop_map(|(s, l, t, w)| Command::Release(s, l, t, w)),
        3 => (one(), language(), text(), any::<bool>()).prop_map(|(s, l, t, a)| Command::Write(s, l, t, a)),
        4 => (one(), languages(), when(), any::<bool>()).prop_map(|(s, l, w, f)| Command::Publish(s, l, w, f)),
        2 => (one(), language()).prop_map(|(s, l)| Command::Cancel(s, l)),
        3 => (one(), some(&LANGUAGES)).prop_map(|(s, l)| Command::Withdraw(s, l)),
        1 => (one(), some(&LANGUAGES), step()).prop_map(|(s, l, p)| Command::Propose(s, l, p)),
        1 => (one(), any::<bool>()).prop_map(|(s, other)| Command::Second(s, other)),
        5 => (one(), some(&LANGUAGES), step()).prop_map(|(s, l, p)| Command::Together(s, l, p)),
        1 => (one(), any::<bool>()).prop_map(|(s, hold)| Command::Hold(s, hold)),
        4 => select(vec![1, 5, 60, 700, 2 * HOUR]).prop_map(Command::Advance),
        8 => (0..PLANS, 1..6_usize, any::<bool>()).prop_map(|(who, k, up)| Command::Look(who, k, up)),
    ]
}

const PLANS: usize = 6;

fn plan() -> impl Strategy<Value = Plan> {
    let start = select(vec![v1::Start::Beginning, v1::Start::Snapshot, v1::Start::Now]);
    let wanted = (some(&TOPICS), some(&REGIONS), some(&LANGUAGES), some(&STATEMENTS))
        .prop_map(|(topics, regions, languages, statements)| Wanted { topics, regions, languages, statements });
    (start, wanted, any::<bool>()).prop_map(|(start, wanted, include_embargoed)| Plan {
        start,
        wanted,
        include_embargoed,
    })
}

// ---------------------------------------------------------------------------------------------------------------- the model

#[derive(Clone, Debug)]
struct Words {
    title: String,
    topics: Vec<&'static str>,
    regions: Vec<&'static str>,
    excluded: Vec<&'static str>,
    kind: ChangeKind,
    expires: Option<i64>,
    source: Option<u32>,
}

#[derive(Clone, Debug)]
struct Draft {
    words: Words,
    base: u32,
    approved: bool,
    proto: v1::Draft,
}

#[derive(Clone, Debug)]
struct Waiting {
    words: Words,
    base: u32,
    time: i64,
    embargoed: bool,
    held: bool,
    with: BTreeSet<Language>,
}

#[derive(Clone, Debug)]
struct Shown {
    words: Words,
    number: u32,
    /// None where it is hidden.
    state: Option<live::State>,
    stale: Option<u32>,
    redirect: Option<usize>,
}

impl Shown {
    fn is_readable(&self) -> bool {
        matches!(self.state, Some(live::State::Published | live::State::Withdrawn | live::State::Expired))
    }

    fn is_erased(&self) -> bool {
        self.state == Some(live::State::Expunged)
    }
}

#[derive(Clone, Debug, Default)]
struct Slots {
    draft: Option<Draft>,
    waiting: Option<Waiting>,
    shown: Option<Shown>,
    /// How often readers, and holders of embargoed texts, were told something.
    told: u64,
    told_holders: u64,
}

#[derive(Clone, Debug)]
struct Proposal {
    id: String,
    proposer: &'static str,
    step: Step,
    languages: Vec<Language>,
    until: i64,
}

#[derive(Clone, Debug, Default)]
struct Whole {
    hold: bool,
    expunged: bool,
    proposal: Option<Proposal>,
}

/// What a subscriber or reader sees of a text that is live.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    state: live::State,
    number: u32,
    title: String,
    stale: String,
    noticed: bool,
    redirect: String,
}

impl Seen {
    fn of(live: &v1::Live) -> Self {
        let edition = live.edition.as_ref().unwrap();
        Self {
            state: live.state(),
            number: edition.number,
            title: edition.content.as_ref().map(|content| content.title.clone()).unwrap_or_default(),
            stale: live.stale_since_edition.clone(),
            noticed: live.notice.is_some(),
            redirect: live.redirect_statement.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct Model {
    now: i64,
    events: u64,
    statements: BTreeMap<usize, Whole>,
    slots: BTreeMap<Key, Slots>,
}

type Verdict = Result<(), &'static str>;

impl Model {
    fn slot(&mut self, key: Key) -> &mut Slots {
        self.slots.entry(key).or_default()
    }

    fn look(&self, key: Key) -> Slots {
        self.slots.get(&key).cloned().unwrap_or_default()
    }

    fn number(&self, key: Key) -> u32 {
        self.look(key).shown.map_or(0, |shown| shown.number)
    }

    fn open(&self, s: usize) -> Verdict {
        let whole = self.statements.get(&s).ok_or("STATEMENT_NOT_FOUND")?;
        if whole.expunged { Err("EXPUNGED") } else { Ok(()) }
    }

    /// Readers are told.
    fn tell(&mut self, key: Key) {
        self.events += 1;
        self.slot(key).told += 1;
    }

    fn tell_holders(&mut self, key: Key) {
        self.events += 1;
        self.slot(key).told_holders += 1;
    }

    fn save(&mut self, key: Key, words: Words, proto: v1::Draft) {
        let number = self.number(key);
        let slot = self.slot(key);
        let base = slot.draft.as_ref().map_or(number, |draft| draft.base);
        slot.draft = Some(Draft { words, base, approved: false, proto });
    }

    fn complete(draft: &Draft) -> bool {
        (draft.words.kind == ChangeKind::Initial) == (draft.base == 0)
    }

    fn may_publish(&self, s: usize, languages: &[Language], when: When, force: bool) -> Verdict {
        self.open(s)?;
        for language in languages {
            let slot = self.look((s, language));
            let draft = slot.draft.ok_or("DRAFT_NOT_FOUND")?;
            if draft.base != self.number((s, language)) {
                return Err("BASE_SUPERSEDED");
            }
            if !draft.approved && !force {
                return Err("DRAFT_NOT_APPROVED");
            }
            let (When::Later(seconds) | When::Embargo(seconds)) = when else {
                if !Self::complete(&draft) || draft.words.expires.is_some_and(|expires| expires <= self.now) {
                    return Err("DRAFT_INCOMPLETE");
                }
                continue;
            };
            if !Self::complete(&draft) || draft.words.expires.is_some_and(|expires| expires <= self.now + seconds) {
                return Err("DRAFT_INCOMPLETE");
            }
            if slot.waiting.is_some() {
                return Err("RELEASE_SLOT_FULL");
            }
        }
        Ok(())
    }

    fn publish(&mut self, s: usize, languages: &[Language], when: When) {
        let mut languages = languages.to_vec();
        languages.sort_by_key(|language| *language != SOURCES[s]);
        for language in &languages {
            let Draft { words, base, .. } = self.slot((s, language)).draft.take().unwrap();
            let (time, embargoed) = match when {
                When::Now => {
                    self.put_out((s, language), words);
                    continue;
                }
                When::Later(seconds) => (self.now + seconds, false),
                When::Embargo(seconds) => (self.now + seconds, true),
            };
            let with = languages.iter().copied().collect();
            self.slot((s, language)).waiting = Some(Waiting { words, base, time, embargoed, held: false, with });
            if embargoed {
                self.tell_holders((s, language));
            }
        }
    }

    fn put_out(&mut self, key: Key, words: Words) {
        let before = self.look(key).shown;
        let since = before.as_ref().and_then(|shown| shown.stale);
        let stale = since.filter(|since| words.source.is_some_and(|source| source < *since));
        let number = before.map_or(0, |shown| shown.number) + 1;
        let kind = words.kind;
        self.slot(key).shown =
            Some(Shown { words, number, state: Some(live::State::Published), stale, redirect: None });
        self.tell(key);
        if key.1 != SOURCES[key.0] || !matches!(kind, ChangeKind::Major | ChangeKind::Correction) {
            return;
        }
        for language in LANGUAGES.into_iter().filter(|language| *language != key.1) {
            let Some(shown) = self.slot((key.0, language)).shown.as_mut() else { continue };
            if shown.is_readable() && shown.stale.is_none() {
                shown.stale = Some(number);
                self.tell((key.0, language));
            }
        }
    }

    fn take_off(&mut self, key: Key) -> Option<Waiting> {
        let waiting = self.slot(key).waiting.take()?;
        for language in &waiting.with {
            if let Some(other) = self.slot((key.0, language)).waiting.as_mut() {
                other.with.remove(key.1);
            }
        }
        if waiting.embargoed {
            self.tell_holders(key);
        }
        Some(waiting)
    }

    fn overtake(&mut self, key: Key) {
        match self.slot(key).waiting.as_mut() {
            Some(waiting) if waiting.embargoed => drop(self.take_off(key)),
            Some(waiting) => waiting.held = true,
            None => {}
        }
    }

    /// The languages that are meant: all that fit, or those named if all of them fit.
    fn chosen(&self, s: usize, named: &[Language], fits: impl Fn(&Slots) -> bool) -> Option<Vec<Language>> {
        let fit = |language: &Language| fits(&self.look((s, language)));
        let all = if named.is_empty() { LANGUAGES.into_iter().filter(fit).collect() } else { named.to_vec() };
        (!all.is_empty() && all.iter().all(fit)).then_some(all)
    }

    fn withdraw(&mut self, s: usize, named: &[Language]) -> Verdict {
        self.open(s)?;
        let fits = |slots: &Slots| slots.waiting.is_some() || slots.shown.as_ref().is_some_and(Shown::is_readable);
        for language in self.chosen(s, named, fits).ok_or("NOTHING_LIVE")? {
            self.overtake((s, language));
            if let Some(shown) = self.slot((s, language)).shown.as_mut().filter(|shown| shown.is_readable()) {
                shown.state = Some(live::State::Withdrawn);
                self.tell((s, language));
            }
        }
        Ok(())
    }

    fn redirect_fits(&self, from: usize, to: usize) -> bool {
        let shown = |s: usize| LANGUAGES.into_iter().filter_map(move |language| self.look((s, language)).shown);
        if from == to || !shown(to).any(|shown| shown.is_readable()) {
            return false;
        }
        let (mut reached, mut open) = (BTreeSet::new(), vec![to]);
        while let Some(s) = open.pop() {
            if reached.insert(s) {
                open.extend(shown(s).filter_map(|shown| shown.redirect));
            }
        }
        !reached.contains(&from)
    }

    fn languages_of(&self, s: usize, named: &[Language], step: Step) -> Result<Vec<Language>, &'static str> {
        if step == Step::Redirect(s) {
            return Err("INVALID_ARGUMENT");
        }
        self.open(s)?;
        match step {
            Step::Reinstate => {
                let withdrawn =
                    |slots: &Slots| slots.shown.as_ref().is_some_and(|s| s.state == Some(live::State::Withdrawn));
                self.chosen(s, named, withdrawn).ok_or("NOT_WITHDRAWN")
            }
            Step::Gone | Step::Hidden | Step::Redirect(_) => {
                if matches!(step, Step::Redirect(to) if !self.redirect_fits(s, to)) {
                    return Err("REDIRECT_TARGET_NOT_PUBLIC");
                }
                let public = |slots: &Slots| slots.shown.as_ref().is_some_and(|shown| shown.state.is_some());
                self.chosen(s, named, public).ok_or("NOTHING_LIVE")
            }
            Step::Expunge if self.statements[&s].hold => Err("LEGAL_HOLD"),
            Step::Expunge => Ok(LANGUAGES.to_vec()),
        }
    }

    fn second(&mut self, s: usize, proposal: &Proposal, who: &str) -> Verdict {
        self.open(s)?;
        if proposal.step == Step::Expunge && self.statements[&s].hold {
            return Err("LEGAL_HOLD");
        }
        let current = self.statements[&s].proposal.as_ref().is_some_and(|current| current.id == proposal.id);
        if !current || self.now > proposal.until {
            return Err("PROPOSAL_NOT_FOUND");
        }
        if proposal.proposer == who {
            return Err("SECOND_PERSON_REQUIRED");
        }
        let languages = self.languages_of(s, &proposal.languages, proposal.step)?;
        self.statements.get_mut(&s).unwrap().proposal = None;
        for language in languages {
            self.take(proposal.step, (s, language));
        }
        self.statements.get_mut(&s).unwrap().expunged |= proposal.step == Step::Expunge;
        Ok(())
    }

    fn take(&mut self, step: Step, key: Key) {
        match step {
            Step::Reinstate => {
                let words = self.look(key).shown.unwrap().words;
                self.put_out(key, Words { kind: ChangeKind::Reinstatement, ..words });
                return;
            }
            Step::Expunge => drop(self.take_off(key)),
            Step::Gone | Step::Hidden | Step::Redirect(_) => self.overtake(key),
        }
        let slot = self.slot(key);
        slot.draft = slot.draft.take().filter(|_| step != Step::Expunge);
        let Some(shown) = slot.shown.as_mut() else { return };
        shown.redirect = None;
        match step {
            Step::Gone => shown.state = Some(live::State::Gone),
            Step::Hidden => shown.state = None,
            Step::Redirect(to) => (shown.state, shown.redirect) = (Some(live::State::Redirected), Some(to)),
            // Readers of what was hidden are still answered as if it never was.
            Step::Expunge => shown.state = shown.state.map(|_| live::State::Expunged),
            Step::Reinstate => {}
        }
        self.tell(key);
    }

    /// What time does, in order.
    fn time_passes(&mut self) {
        loop {
            let mut due: Vec<(i64, usize, Language, bool)> = Vec::new();
            for ((s, language), slots) in &self.slots {
                if let Some(waiting) = slots.waiting.as_ref().filter(|waiting| !waiting.held) {
                    due.push((waiting.time, *s, language, false));
                }
                let current = slots.shown.as_ref().filter(|shown| shown.state == Some(live::State::Published));
                if let Some(time) = current.and_then(|shown| shown.words.expires).filter(|_| !self.statements[s].hold) {
                    due.push((time, *s, language, true));
                }
            }
            let Some((time, s, language, expires)) = due.into_iter().min() else { return };
            if time > self.now {
                return;
            }
            if expires {
                self.slot((s, language)).shown.as_mut().unwrap().state = Some(live::State::Expired);
                self.tell((s, language));
            } else {
                self.release(s, &self.look((s, language)).waiting.unwrap().with);
            }
        }
    }

    fn release(&mut self, s: usize, with: &BTreeSet<Language>) {
        let free = |language: &Language| {
            let waiting = self.look((s, language)).waiting.unwrap();
            !waiting.held
                && waiting.base == self.number((s, language))
                && self.now <= waiting.time + HOUR
                && waiting.words.expires.is_none_or(|expires| expires > self.now)
        };
        let go = with.iter().all(free);
        let mut languages: Vec<_> = with.iter().copied().collect();
        languages.sort_by_key(|language| *language != SOURCES[s]);
        for language in languages {
            let slot = self.slot((s, language));
            if !go {
                slot.waiting.as_mut().unwrap().held = true;
                continue;
            }
            let waiting = slot.waiting.take().unwrap();
            slot.told_holders += u64::from(waiting.embargoed);
            self.put_out((s, language), waiting.words);
        }
    }

    fn seen(&self, key: Key) -> Option<Seen> {
        let shown = self.look(key).shown?;
        let state = shown.state?;
        let stale = if shown.is_erased() { None } else { shown.stale };
        Some(Seen {
            state,
            number: shown.number,
            title: if shown.is_readable() { shown.words.title.clone() } else { String::new() },
            stale: stale
                .map(|number| format!("statements/{}/editions/{}.{number}", STATEMENTS[key.0], SOURCES[key.0]))
                .unwrap_or_default(),
            noticed: matches!(state, live::State::Withdrawn | live::State::Gone),
            redirect: shown.redirect.map(|to| format!("statements/{}", STATEMENTS[to])).unwrap_or_default(),
        })
    }

    fn live(&self, wanted: &Wanted) -> BTreeMap<Key, Seen> {
        let admitted = self.slots.iter().filter(|(key, slots)| {
            slots.shown.as_ref().is_some_and(|shown| !shown.is_erased() && wanted.admits(**key, &shown.words))
        });
        admitted.filter_map(|(key, _)| Some((*key, self.seen(*key)?))).collect()
    }

    fn embargoes(&self, wanted: &Wanted) -> BTreeMap<Key, String> {
        let held = |slots: &Slots| slots.waiting.clone().filter(|waiting| waiting.embargoed);
        let all = self.slots.iter().filter_map(|(key, slots)| Some((*key, held(slots)?.words)));
        all.filter(|(key, words)| wanted.admits(*key, words)).map(|(key, words)| (key, words.title)).collect()
    }
}

impl Wanted {
    fn admits(&self, (s, language): Key, words: &Words) -> bool {
        let applies = |region: &&str| {
            (words.regions.is_empty() || words.regions.contains(region)) && !words.excluded.contains(region)
        };
        (self.topics.is_empty() || self.topics.iter().any(|topic| words.topics.contains(topic)))
            && (self.regions.is_empty() || self.regions.iter().any(applies))
            && (self.languages.is_empty() || self.languages.contains(&language))
            && (self.statements.is_empty() || self.statements.contains(&STATEMENTS[s]))
    }

    fn filter(&self) -> v1::Filter {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let mut statements: Vec<_> = self.statements.iter().map(|id| format!("statements/{id}")).collect();
        if !statements.is_empty() {
            statements.push(format!("statements/{MARK}"));
        }
        v1::Filter {
            topics: own(&self.topics),
            region_codes: own(&self.regions),
            language_codes: own(&self.languages),
            statements,
            ..Default::default()
        }
    }
}

fn key(statement: &str, language: &str) -> Option<Key> {
    let id = statement.strip_prefix("statements/").unwrap();
    let s = STATEMENTS.iter().position(|known| *known == id)?;
    Some((s, LANGUAGES.into_iter().find(|known| *known == language).unwrap()))
}

// ---------------------------------------------------------------------------------------------------------- the subscribers

/// A site that folds its stream as `docs/feed.md` says.
struct Site {
    plan: Plan,
    stream: Option<Stream>,
    cursor: String,
    last: u64,
    parts: Vec<v1::Delivery>,
    live: BTreeMap<Key, Seen>,
    embargoes: BTreeMap<Key, String>,
    incoming: (BTreeMap<Key, Seen>, BTreeMap<Key, String>),
    /// For a start NOW: how often had been told what, when it started.
    told: BTreeMap<Key, (u64, u64)>,
    events: Vec<v1::Event>,
}

impl Site {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            stream: None,
            cursor: String::new(),
            last: 0,
            parts: Vec::new(),
            live: BTreeMap::new(),
            embargoes: BTreeMap::new(),
            incoming: Default::default(),
            told: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Reads up to so many messages, but none after the mark. Nothing is waited for that does not come.
    async fn read(&mut self, service: &Service, model: &Model, mark: u32, most: usize) {
        let (first, joins) = (self.cursor.is_empty(), self.stream.is_none());
        if joins {
            let request = v1::SubscribeRequest {
                start: if first { self.plan.start } else { v1::Start::Cursor }.into(),
                cursor: self.cursor.clone(),
                filter: Some(self.plan.wanted.filter()),
                include_embargoed: self.plan.include_embargoed,
                heartbeat_interval: None,
            };
            self.parts.clear();
            self.incoming = Default::default();
            self.stream = Some(service.person("site").follow(request).await.unwrap());
        }
        for _ in 0..most {
            let message = self.stream.as_mut().unwrap().next().await;
            match message {
                Message::Opened(opened) => {
                    assert_eq!(opened.resumed, !first);
                    if !opened.cursor.is_empty() {
                        self.cursor = opened.cursor;
                    }
                    if first && self.plan.start == v1::Start::Now {
                        let told = |(key, slots): (&Key, &Slots)| (*key, (slots.told, slots.told_holders));
                        self.told = model.slots.iter().map(told).collect();
                        return;
                    }
                }
                Message::Snapshot(part) => {
                    for live in &part.live {
                        let known = key(&live.statement, &live.language_code);
                        known.map(|key| assert_eq!(self.incoming.0.insert(key, Seen::of(live)), None));
                    }
                    for embargo in part.embargoes {
                        let title = embargo.content.unwrap().title;
                        let key = key(&embargo.statement, &embargo.language_code).unwrap();
                        assert_eq!(self.incoming.1.insert(key, title), None);
                    }
                }
                Message::SnapshotEnd(end) => {
                    (self.live, self.embargoes) = std::mem::take(&mut self.incoming);
                    self.cursor = end.cursor;
                    // It began after the mark if it began now.
                    if joins {
                        return;
                    }
                }
                Message::EventBatch(batch) => {
                    assert!(!batch.deliveries.is_empty());
                    self.parts.extend(batch.deliveries);
                    if batch.more {
                        assert_eq!(batch.cursor, "");
                        continue;
                    }
                    self.cursor = batch.cursor;
                    let parts = std::mem::take(&mut self.parts);
                    if parts.into_iter().fold(false, |seen, delivery| self.apply(delivery, mark) || seen) {
                        return;
                    }
                }
                Message::Heartbeat(beat) => self.cursor = beat.cursor,
                Message::Closing(closing) => panic!("{closing:?}"),
            }
        }
    }

    /// Folds a delivery; whether it is the mark.
    fn apply(&mut self, delivery: v1::Delivery, mark: u32) -> bool {
        let scope = delivery.scope();
        let event = delivery.event.unwrap();
        assert!(event.sequence > self.last, "{} after {}", event.sequence, self.last);
        self.last = event.sequence;
        self.events.push(event.clone());
        let Some(key) = key(&event.statement, &event.language_code) else {
            return event.live.as_ref().is_some_and(|live| live.edition.as_ref().unwrap().number == mark);
        };
        let held_before = self.live.contains_key(&key);
        match (event.r#type(), scope) {
            (event::Type::Embargoed | event::Type::EmbargoCancelled, _) if !self.plan.include_embargoed => {
                panic!("no clearance was asked for: {event:?}")
            }
            (event::Type::Embargoed, Scope::Entered | Scope::Within) => {
                let title = event.embargo.as_ref().unwrap().content.as_ref().unwrap().title.clone();
                self.embargoes.insert(key, title);
            }
            (event::Type::Embargoed | event::Type::EmbargoCancelled, _) => drop(self.embargoes.remove(&key)),
            (_, Scope::Left) => {
                assert_eq!(event.live, None, "what left has no text");
                self.live.remove(&key);
            }
            (_, Scope::Entered | Scope::Within) => {
                assert!(scope == Scope::Within || !held_before, "entered, and was there: {event:?}");
                let complete = self.plan.start != v1::Start::Now;
                assert!(scope == Scope::Entered || held_before || !complete, "within, and was not there: {event:?}");
                self.live.insert(key, Seen::of(event.live.as_ref().unwrap()));
            }
            (_, Scope::Unspecified) => panic!("no scope: {event:?}"),
        }
        // Whoever is told of an erasure deletes every copy.
        if event.embargo_lifted || event.r#type() == event::Type::Expunged {
            self.embargoes.remove(&key);
        }
        false
    }

    fn check(&self, model: &Model) {
        let (mut live, mut embargoes) = (model.live(&self.plan.wanted), model.embargoes(&self.plan.wanted));
        if !self.plan.include_embargoed {
            embargoes.clear();
        }
        if self.plan.start == v1::Start::Now {
            let told = |key: &Key| self.told.get(key).copied().unwrap_or_default();
            live.retain(|key, _| model.slots[key].told > told(key).0);
            embargoes.retain(|key, _| model.slots[key].told_holders > told(key).1);
        }
        assert_eq!(self.live, live, "live, folded and filtered: {:?}", self.plan);
        assert_eq!(self.embargoes, embargoes, "under embargo, folded and filtered: {:?}", self.plan);
    }

    /// Everything there is, without a gap, and chained.
    fn check_chain(&self) {
        let mut previous = vec![0; 32];
        for (place, event) in (1..).zip(&self.events) {
            assert_eq!(event.sequence, place);
            assert_eq!(event.previous_hash, previous);
            assert_eq!(event.hash, Sha256::new().chain_update(&previous).chain_update(&event.seal).finalize().to_vec());
            previous.clone_from(&event.hash);
        }
    }
}

// ------------------------------------------------------------------------------------------------------------------ the run

struct Run {
    service: Service,
    model: Model,
    sites: Vec<Site>,
    titles: u32,
    marks: u32,
}

#[track_caller]
fn agree<T: std::fmt::Debug>(result: &Result<T, Status>, predicted: Verdict) {
    let reason = result.as_ref().map(|_| ()).map_err(|status| match status.get_details_error_info() {
        Some(info) => info.reason,
        None => format!("{status:?}"),
    });
    assert_eq!(reason, predicted.map_err(ToOwned::to_owned), "{result:?}");
}

fn name(s: usize) -> String {
    format!("statements/{}", STATEMENTS[s])
}

fn own(languages: &[Language]) -> Vec<String> {
    languages.iter().map(ToString::to_string).collect()
}

impl Run {
    async fn run(plans: &[Plan], commands: Vec<Command>) {
        let everything = Plan { start: v1::Start::Beginning, wanted: Wanted::default(), include_embargoed: true };
        let plans = std::iter::once(&everything).chain(plans);
        let mut run = Self {
            service: Service::start().await,
            model: Model::default(),
            sites: plans.cloned().map(Site::new).collect(),
            titles: 0,
            marks: 0,
        };
        run.service.person("author").create(MARK, "en").await;
        for command in commands {
            run.step(command).await;
            run.service.advance(0).await;
            run.model.time_passes();
        }
        run.check().await;
        run.service.stop().await;
    }

    async fn step(&mut self, command: Command) {
        match command {
            Command::Create(s) => self.create(s).await,
            Command::Release(s, languages, text, when) => {
                if !self.model.statements.contains_key(&s) {
                    self.create(s).await;
                }
                for language in &languages {
                    self.write((s, language), &text, true).await;
                }
                self.publish(s, &languages, when, false).await;
            }
            Command::Write(s, language, text, approve) => self.write((s, language), &text, approve).await,
            Command::Publish(s, languages, when, force) => self.publish(s, &languages, when, force).await,
            Command::Cancel(s, language) => self.cancel(s, language).await,
            Command::Withdraw(s, languages) => {
                let result = self.service.person("publisher").withdraw(STATEMENTS[s], &languages).await;
                agree(&result, self.model.withdraw(s, &languages));
            }
            Command::Propose(s, languages, step) => self.propose(s, &languages, step).await,
            Command::Second(s, other) => self.second(s, other).await,
            Command::Together(s, languages, step) => {
                self.propose(s, &languages, step).await;
                self.second(s, true).await;
            }
            Command::Hold(s, legal_hold) => {
                let request =
                    v1::SetLegalHoldRequest { name: name(s), legal_hold, reason: "Suit.".into(), ..Default::default() };
                let result = self.service.person("counsel").editorial.set_legal_hold(request).await;
                let whole = self.model.statements.get_mut(&s).ok_or("STATEMENT_NOT_FOUND");
                agree(&result, whole.map(|whole| whole.hold = legal_hold));
            }
            Command::Advance(seconds) => {
                self.service.advance(seconds).await;
                self.model.now += seconds;
            }
            Command::Look(who, most, hang_up) => {
                self.mark().await;
                let site = &mut self.sites[who % PLANS];
                site.read(&self.service, &self.model, self.marks, most).await;
                if hang_up {
                    site.stream = None;
                }
            }
        }
        self.model.time_passes();
    }

    async fn create(&mut self, s: usize) {
        let statement =
            v1::Statement { kind: "notice".into(), source_language_code: SOURCES[s].into(), ..Default::default() };
        let request = v1::CreateStatementRequest {
            statement_id: STATEMENTS[s].into(),
            statement: Some(statement),
            ..Default::default()
        };
        let result = self.service.person("author").editorial.create_statement(request).await;
        let there = self.model.statements.contains_key(&s);
        agree(&result, if there { Err("STATEMENT_EXISTS") } else { Ok(()) });
        self.model.statements.entry(s).or_default();
    }

    fn words(&mut self, key: Key, text: &Text) -> (Words, v1::Content) {
        self.titles += 1;
        let title = format!("Text {}", self.titles);
        let slots = self.model.look(key);
        let base = slots.draft.map_or_else(|| self.model.number(key), |draft| draft.base);
        let kind = match text.change {
            Change::Fitting(_) if base == 0 => ChangeKind::Initial,
            Change::Fitting(kind) | Change::Any(kind) => kind,
        };
        let newest = self.model.number((key.0, SOURCES[key.0]));
        let source = Some(newest).filter(|newest| text.names_source && *newest > 0 && key.1 != SOURCES[key.0]);
        let content = v1::Content {
            topics: own(&text.topics),
            region_codes: own(&text.regions),
            excluded_region_codes: own(&text.excluded),
            expire_time: text.expires_in.and_then(|seconds| self.service.in_seconds(seconds)),
            source_edition: source
                .map(|number| format!("{}/editions/{}.{number}", name(key.0), SOURCES[key.0]))
                .unwrap_or_default(),
            ..changed(&title, kind)
        };
        let words = Words {
            title,
            topics: text.topics.clone(),
            regions: text.regions.clone(),
            excluded: text.excluded.clone(),
            kind,
            expires: text.expires_in.map(|seconds| self.model.now + seconds),
            source,
        };
        (words, content)
    }

    /// Saves, and has it approved if asked to.
    async fn write(&mut self, key: Key, text: &Text, approve: bool) {
        let (words, content) = self.words(key, text);
        let (mut author, mut reviewer) = (self.service.person("author"), self.service.person("reviewer"));
        let etag = self.model.look(key).draft.map(|draft| draft.proto.etag).unwrap_or_default();
        let draft = v1::Draft {
            name: format!("{}/drafts/{}", name(key.0), key.1),
            content: Some(content),
            etag,
            ..Default::default()
        };
        let result = author.try_save(draft).await;
        agree(&result, self.model.open(key.0));
        let Ok(saved) = result else { return };
        self.model.save(key, words, saved.clone());
        if !approve {
            return;
        }
        let complete = Model::complete(self.model.look(key).draft.as_ref().unwrap());
        let result = author.submit(&saved).await;
        agree(&result, if complete { Ok(()) } else { Err("DRAFT_INCOMPLETE") });
        let Ok(submitted) = result else { return };
        agree(&author.approve(&submitted).await, Err("OWN_TEXT"));
        let approved = reviewer.approve(&submitted).await.unwrap();
        let draft = self.model.slot(key).draft.as_mut().unwrap();
        (draft.approved, draft.proto) = (true, approved);
    }

    async fn publish(&mut self, s: usize, languages: &[Language], when: When, force: bool) {
        let one = |language: &Language| v1::DraftToPublish {
            language_code: (*language).to_owned(),
            etag: self.model.look((s, language)).draft.map_or_else(|| "none".to_owned(), |draft| draft.proto.etag),
        };
        let mut request = v1::PublishDraftsRequest {
            name: name(s),
            drafts: languages.iter().map(one).collect(),
            force,
            reason: if force { "At once.".into() } else { String::new() },
            ..Default::default()
        };
        match when {
            When::Now => {}
            When::Later(seconds) => request.release_time = self.service.in_seconds(seconds),
            When::Embargo(seconds) => request.embargo_end_time = self.service.in_seconds(seconds),
        }
        let result = self.service.person("publisher").publish(request).await;
        let predicted = self.model.may_publish(s, languages, when, force);
        agree(&result, predicted);
        if predicted.is_ok() {
            self.model.publish(s, languages, when);
        }
    }

    async fn cancel(&mut self, s: usize, language: Language) {
        let mut publisher = self.service.person("publisher");
        let found = publisher.release(STATEMENTS[s], language).await;
        let waits = self.model.look((s, language)).waiting.is_some();
        let known = self.model.statements.contains_key(&s);
        let predicted = if waits {
            Ok(())
        } else if known {
            Err("RELEASE_NOT_FOUND")
        } else {
            Err("STATEMENT_NOT_FOUND")
        };
        agree(&found, predicted);
        let Ok(found) = found else { return };
        let request = v1::CancelReleaseRequest { name: found.name, etag: found.etag, ..Default::default() };
        let back = publisher.editorial.cancel_release(request).await.unwrap().into_inner().draft;
        let Waiting { words, base, embargoed, .. } = self.model.take_off((s, language)).unwrap();
        let slot = self.model.slot((s, language));
        assert_eq!(back.is_some(), !embargoed && slot.draft.is_none());
        if let Some(proto) = back {
            let approved = proto.state() == v1::draft::State::Approved;
            slot.draft = Some(Draft { words, base, approved, proto });
        }
    }

    async fn propose(&mut self, s: usize, languages: &[Language], step: Step) {
        let predicted = self.model.languages_of(s, languages, step);
        let result = self.ask(s, languages, step, "", "publisher").await;
        agree(&result, predicted.as_ref().map(|_| ()).map_err(|reason| *reason));
        let (Ok(languages), Ok(made)) = (predicted, result) else { return };
        let until = self.model.now + 7 * 24 * HOUR;
        let proposal = Proposal { id: made.unwrap().proposal_id, proposer: "publisher", step, languages, until };
        self.model.statements.get_mut(&s).unwrap().proposal = Some(proposal);
    }

    async fn second(&mut self, s: usize, other: bool) {
        let Some(whole) = self.model.statements.get(&s) else { return };
        let Some(proposal) = whole.proposal.clone() else { return };
        let who = if other { "deputy" } else { "publisher" };
        let result = self.ask(s, &[], proposal.step, &proposal.id, who).await;
        agree(&result, self.model.second(s, &proposal, who));
    }

    async fn ask(
        &self,
        s: usize,
        languages: &[Language],
        step: Step,
        proposal: &str,
        who: &str,
    ) -> Result<Option<v1::Proposal>, Status> {
        let mut person = self.service.person(who);
        let (first, proposal_id) = (proposal.is_empty(), proposal.to_owned());
        let given = |text: &str| if first { text.to_owned() } else { String::new() };
        let (name, language_codes) = (name(s), own(languages));
        match step {
            Step::Reinstate => {
                let reason = given("It is true after all.");
                let request =
                    v1::ReinstateStatementRequest { name, language_codes, reason, proposal_id, ..Default::default() };
                Ok(person.editorial.reinstate_statement(request).await?.into_inner().proposal)
            }
            Step::Expunge => {
                let reason_code = given("court-order");
                let request = v1::ExpungeStatementRequest { name, reason_code, proposal_id, ..Default::default() };
                Ok(person.editorial.expunge_statement(request).await?.into_inner().proposal)
            }
            Step::Gone | Step::Hidden | Step::Redirect(_) => {
                let mode = match step {
                    Step::Gone => v1::RemovalMode::Gone,
                    Step::Hidden => v1::RemovalMode::Hidden,
                    _ => v1::RemovalMode::Redirect,
                };
                let notice = v1::Notice { text: "Gone.".into(), ..Default::default() };
                let mut request =
                    v1::RemoveStatementRequest { name, language_codes, proposal_id, ..Default::default() };
                if first {
                    request.set_mode(mode);
                    request.notice = (step == Step::Gone).then_some(notice);
                    request.reason = given("Asked for.");
                    if let Step::Redirect(to) = step {
                        request.redirect_statement = format!("statements/{}", STATEMENTS[to]);
                    }
                }
                Ok(person.editorial.remove_statement(request).await?.into_inner().proposal)
            }
        }
    }

    /// An edition that every filter admits, in every language.
    async fn mark(&mut self) {
        let kind = if self.marks == 0 { ChangeKind::Initial } else { ChangeKind::Minor };
        self.marks += 1;
        let mut author = self.service.person("author");
        let mut drafts = Vec::new();
        for language in LANGUAGES {
            let content = v1::Content { topics: own(&TOPICS), ..changed("Mark", kind) };
            drafts.push(author.save(MARK, language, content).await);
        }
        let drafts: Vec<_> = drafts.iter().collect();
        let request =
            v1::PublishDraftsRequest { force: true, reason: "A mark.".into(), ..Person::publication(&drafts) };
        author.publish(request).await.unwrap();
    }

    async fn check(&mut self) {
        self.mark().await;
        let (service, model) = (&self.service, &self.model);
        self.check_readers().await;
        for site in &mut self.sites {
            site.read(service, model, self.marks, usize::MAX).await;
            site.check(model);
        }
        self.sites[0].check_chain();
        let marks = u64::from(self.marks) * LANGUAGES.len() as u64;
        assert_eq!(self.sites[0].last, model.events + marks, "every event is accounted for");
        for site in &self.sites[1..] {
            let request = v1::ListStatementsRequest { filter: Some(site.plan.wanted.filter()), ..Default::default() };
            assert_eq!(list(service, request).await, model.live(&site.plan.wanted));
            // One that comes only now, and polls.
            let plan = Plan { start: v1::Start::Beginning, ..site.plan.clone() };
            poll(service, Site::new(plan)).await.check(model);
        }
    }

    async fn check_readers(&self) {
        let model = &self.model;
        let listed = list(&self.service, v1::ListStatementsRequest { page_size: 2, ..Default::default() }).await;
        assert_eq!(listed, model.live(&Wanted::default()));
        let mut reader = self.service.person("reader");
        for s in 0..STATEMENTS.len() {
            for language in LANGUAGES {
                let mut candidates = vec![language];
                candidates.extend((language == "fr-CA").then_some("fr"));
                candidates.push(SOURCES[s]);
                let served = candidates.into_iter().find_map(|language| Some((language, model.seen((s, language))?)));
                let result = reader.read(STATEMENTS[s], language).await;
                agree(&result, served.as_ref().map(|_| ()).ok_or("STATEMENT_NOT_FOUND"));
                let read = result.ok().map(|reading| reading.live.unwrap());
                let read = read.map(|live| (live.language_code.clone(), Seen::of(&live)));
                assert_eq!(read, served.map(|(language, seen)| (language.to_owned(), seen)));
            }
        }
    }
}

async fn list(service: &Service, mut request: v1::ListStatementsRequest) -> BTreeMap<Key, Seen> {
    let (mut reader, mut all) = (service.person("reader"), BTreeMap::new());
    loop {
        let page = reader.statements.list_statements(request.clone()).await.unwrap().into_inner();
        for live in &page.live {
            if let Some(key) = key(&live.statement, &live.language_code) {
                assert_eq!(all.insert(key, Seen::of(live)), None, "listed twice");
            }
        }
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

/// Reads the whole feed with ReadFeed, three events at a time.
async fn poll(service: &Service, mut site: Site) -> Site {
    let mut person = service.person("poller");
    let mut request = v1::ReadFeedRequest {
        start: site.plan.start.into(),
        filter: Some(site.plan.wanted.filter()),
        include_embargoed: site.plan.include_embargoed,
        max_events: 3,
        ..Default::default()
    };
    loop {
        let page = person.feed.read_feed(request.clone()).await.unwrap().into_inner();
        if page.deliveries.is_empty() && page.cursor == request.cursor {
            return site;
        }
        for delivery in page.deliveries {
            site.apply(delivery, 0);
        }
        (request.start, request.cursor) = (v1::Start::Cursor.into(), page.cursor);
    }
}

#[test]
fn whatever_happens_lists_and_streams_show_what_the_model_shows() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let strategy = (vec(plan(), PLANS - 1), vec(command(), 20..60));
    let result = TestRunner::new(config).run(&strategy, |(plans, commands)| {
        runtime().block_on(Run::run(&plans, commands));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

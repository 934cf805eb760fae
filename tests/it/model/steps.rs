//! The steps of a run, and the strategies that choose them.

use onrecord::api::v1::{self, ChangeKind};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};

use super::{HOUR, LANGUAGES, Language, REGIONS, STATEMENTS, TOPICS};

#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) topics: Vec<&'static str>,
    pub(super) regions: Vec<&'static str>,
    pub(super) excluded: Vec<&'static str>,
    pub(super) change: Change,
    pub(super) expires_in: Option<i64>,
    pub(super) names_source: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// What fits: INITIAL for the first edition, else this.
    Fitting(ChangeKind),
    Any(ChangeKind),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Now,
    Later(i64),
    Embargo(i64),
}

#[derive(Clone, Debug)]
pub(super) enum Command {
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
    /// The service stops, and starts again so many seconds later.
    Restart(i64),
    /// Texts that need not be kept are taken away.
    Prune,
    /// A subscriber reads up to so many messages and then stays or hangs up.
    Look(usize, usize, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Reinstate,
    Gone,
    Hidden,
    Redirect(usize),
    Expunge,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) topics: Vec<&'static str>,
    pub(super) regions: Vec<&'static str>,
    pub(super) languages: Vec<Language>,
    pub(super) statements: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) start: v1::Start,
    pub(super) wanted: Wanted,
    pub(super) include_embargoed: bool,
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

pub(super) fn command() -> impl Strategy<Value = Command> {
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
        1 => select(vec![0, 60, 2 * HOUR]).prop_map(Command::Restart),
        1 => Just(Command::Prune),
        8 => (0..PLANS, 1..6_usize, any::<bool>()).prop_map(|(who, k, up)| Command::Look(who, k, up)),
    ]
}

pub(super) const PLANS: usize = 6;

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let start = select(vec![v1::Start::Beginning, v1::Start::Snapshot, v1::Start::Now]);
    let wanted = (some(&TOPICS), some(&REGIONS), some(&LANGUAGES), some(&STATEMENTS))
        .prop_map(|(topics, regions, languages, statements)| Wanted { topics, regions, languages, statements });
    (start, wanted, any::<bool>()).prop_map(|(start, wanted, include_embargoed)| Plan {
        start,
        wanted,
        include_embargoed,
    })
}

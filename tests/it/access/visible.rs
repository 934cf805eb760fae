//! What is visible is what the policy says: every method, by callers of every role with every kind of limit, against an oracle. What is not
//! visible is answered as what is not there: the same code, words and details.

mod editors;
mod feed;
mod oracle;
mod readers;
mod record;
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use onrecord::access::{METHODS, Role, Who};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Policy;
use crate::rpc::{By, methods, short};
use oracle::{Scope, Stand, Step, Story};
use record::{Desk, Record};

/// Longer than one method of one caller takes.
const PATIENCE: Duration = Duration::from_mins(2);

const NO_LIMIT: Scope = Scope {
    name: "all",
    kinds: &[],
    languages: &[],
    topics: &[],
    audiences: &[],
    regions: &[],
    channels: &[],
    subscriptions: &[],
    embargoed: false,
};

const SCOPES: [Scope; 13] = [
    NO_LIMIT,
    Scope { name: "cleared", embargoed: true, ..NO_LIMIT },
    Scope { name: "recalls", kinds: &["recall"], ..NO_LIMIT },
    Scope { name: "notices", kinds: &["notice"], ..NO_LIMIT },
    Scope { name: "french", languages: &["fr"], ..NO_LIMIT },
    Scope { name: "english", languages: &["en"], ..NO_LIMIT },
    Scope { name: "energy", topics: &["energy"], embargoed: true, ..NO_LIMIT },
    Scope { name: "health", topics: &["health"], ..NO_LIMIT },
    Scope { name: "press", audiences: &["press"], embargoed: true, ..NO_LIMIT },
    Scope { name: "brazil", regions: &["BR"], ..NO_LIMIT },
    Scope { name: "push", channels: &["push"], ..NO_LIMIT },
    Scope { name: "narrow", kinds: &["notice"], languages: &["en"], topics: &["energy", "safety"], ..NO_LIMIT },
    Scope { name: "paris", subscriptions: &["paris"], ..NO_LIMIT },
];

/// Who works on statements, and so sees what is not public.
const EDITORS: [Role; 5] = [Role::Author, Role::Reviewer, Role::Publisher, Role::Legal, Role::Auditor];

const LANGUAGES: [&str; 3] = ["en", "fr", "de"];

/// What there is, shared by those who ask.
struct World {
    stories: BTreeMap<&'static str, Story>,
    steps: Vec<Step>,
    /// When the statement `news` was as it was first.
    first: String,
}

/// Somebody with one role and one scope, and what there is.
struct Asker {
    by: By,
    role: Role,
    scope: Scope,
    world: Arc<World>,
    /// What it was told of what is not there.
    missing: Mutex<BTreeMap<String, Said>>,
}

/// Everything that a refusal says.
type Said = (Code, String, Vec<u8>);

type Answer = Result<Value, Status>;

fn said(answer: &Answer) -> Said {
    match answer {
        Ok(answer) => (Code::Ok, answer.to_string(), Vec::new()),
        Err(status) => (status.code(), status.message().to_owned(), status.details().to_vec()),
    }
}

fn reason(answer: &Answer) -> String {
    let status = answer.as_ref().err();
    status.and_then(StatusExt::get_details_error_info).map(|info| info.reason).unwrap_or_default()
}

/// What is at these places of each item in a list.
fn listed(answer: &Value, list: &str, places: &[&str]) -> BTreeSet<String> {
    let items = answer[list].as_array().cloned().unwrap_or_default();
    let at = |item: &Value, place: &str| {
        let found = place.split('.').fold(item.clone(), |item, key| item[key].clone());
        found.as_str().map(str::to_owned).unwrap_or_default()
    };
    items.iter().map(|item| places.iter().map(|place| at(item, place)).collect::<Vec<_>>().join(" ")).collect()
}

impl Asker {
    async fn ask(&self, method: &str, request: Value) -> Answer {
        Ok(serde_json::to_value(self.by.call(method, &request).await?).unwrap())
    }

    async fn told_of_missing(&self, method: &str, request: Value) -> Said {
        let asked = format!("{method} {request}");
        let known = self.missing.lock().unwrap().get(&asked).cloned();
        if let Some(known) = known {
            return known;
        }
        let told = said(&self.ask(method, request).await);
        self.missing.lock().unwrap().insert(asked, told.clone());
        told
    }

    fn stories(&self) -> impl Iterator<Item = &Story> {
        self.world.stories.values()
    }

    /// Every statement and language, whether there is one or not.
    fn lanes(&self) -> impl Iterator<Item = (&Story, &'static str)> {
        self.stories().flat_map(|story| LANGUAGES.map(|language| (story, language)))
    }

    /// What readers are shown does not depend on the role: three of them are enough, but for one scope.
    fn is_asked(&self, method: &str) -> bool {
        let reader = matches!(self.role, Role::Subscriber | Role::Operator | Role::Auditor);
        reader || self.scope.name == "narrow" || !method.starts_with("StatementService/")
    }

    fn is_editor(&self) -> bool {
        EDITORS.contains(&self.role)
    }

    #[track_caller]
    fn fail(&self, method: &str, request: &Value, what: &str) -> ! {
        panic!("{method} {request} by {} of {}: {what}", self.role.as_str(), self.scope.name)
    }

    /// Visible, it is answered; else as what is not there.
    async fn expect(&self, method: &str, request: Value, missing: Value, visible: bool) -> Option<Value> {
        let answer = self.ask(method, request.clone()).await;
        match (visible, answer) {
            (true, Ok(answer)) => Some(answer),
            (true, Err(status)) => self.fail(method, &request, &format!("it is visible, and answered {status:?}")),
            (false, answer) => {
                let (told, missing) = (said(&answer), self.told_of_missing(method, missing).await);
                if told != missing || told.0 != Code::NotFound {
                    self.fail(
                        method,
                        &request,
                        &format!("it is not visible, and answered {told:?} instead of {missing:?}"),
                    );
                }
                None
            }
        }
    }

    #[track_caller]
    fn equal<T: PartialEq + std::fmt::Debug>(&self, method: &str, request: &Value, told: T, expected: T) {
        if told != expected {
            self.fail(method, request, &format!("{told:?} instead of {expected:?}"));
        }
    }

    /// One method, asked about all that there is.
    async fn check(&self, method: &str) {
        match method.split('/').next_back().unwrap() {
            "GetStatement" => self.get_statement(method).await,
            "BatchGetStatements" => {
                let names: Vec<_> = self.stories().map(|story| format!("statements/{}", story.id)).collect();
                let request = json!({ "names": names, "languageCode": "en" });
                let answer = self.ask(method, request.clone()).await.unwrap();
                let read = self.stories().filter(|story| self.scope.readable(story).contains("en"));
                let expected = read.map(|story| format!("statements/{}", story.id)).collect();
                self.equal(method, &request, listed(&answer, "statements", &["name"]), expected);
            }
            "ListStatements" => {
                let request = json!({ "pageSize": 1000 });
                let answer = self.ask(method, request.clone()).await.unwrap();
                let is_listed = |(story, language): &(&Story, &str)| {
                    self.scope.readable(story).contains(language) && story.lanes[language].stand != Stand::Erased
                };
                let expected = self.names_of(is_listed);
                self.equal(method, &request, listed(&answer, "live", &["statement", "languageCode"]), expected);
            }
            "GetEdition" | "DiffEditions" | "ListEditions" => self.editions(method).await,
            "GetStatementOverview" => self.overviews(method).await,
            "ListStatementOverviews" => {
                let answer = self.ask(method, json!({ "pageSize": 1000 })).await.unwrap();
                let seen = self.stories().filter(|story| self.scope.sees(story));
                let expected = seen.map(|story| format!("statements/{}", story.id)).collect();
                self.equal(method, &json!({}), listed(&answer, "overviews", &["statement.name"]), expected);
            }
            "GetDraft" | "GetDraftRevision" | "DiffDraft" | "ListDraftRevisions" => {
                for (story, language) in self.lanes() {
                    let draft = story.lanes.get(language).and_then(|lane| lane.draft);
                    let visible = draft.is_some_and(|facts| self.scope.admits(story, language, &facts));
                    self.draft(method, story, language, visible).await;
                }
            }
            "GetRelease" => {
                for (story, language) in self.lanes() {
                    let release = story.lanes.get(language).and_then(|lane| lane.release);
                    let visible = release.is_some_and(|(facts, _)| self.scope.admits(story, language, &facts));
                    self.slot(method, story, language, "releases", visible).await;
                }
            }
            "ListDrafts" => {
                let drafts = |(story, language): &(&Story, &str)| {
                    let draft = story.lanes.get(language).and_then(|lane| lane.draft);
                    draft.is_some_and(|facts| self.scope.admits(story, language, &facts))
                };
                self.list(method, "drafts", drafts).await;
            }
            "ListReleases" => {
                let releases = |(story, language): &(&Story, &str)| {
                    let release = story.lanes.get(language).and_then(|lane| lane.release);
                    release.is_some_and(|(facts, _)| self.scope.admits(story, language, &facts))
                };
                self.list(method, "releases", releases).await;
            }
            "ListPendingApprovals" => {
                let answer = self.ask(method, json!({})).await.unwrap();
                let owes = |(story, language): &(&Story, &str)| {
                    story.lanes.get(language).is_some_and(|lane| lane.owes) && self.scope.knew(story, language)
                };
                let expected = self.lanes().filter(owes);
                let expected =
                    expected.map(|(story, language)| format!("statements/{}/editions/{language}.1", story.id));
                let told = listed(&answer, "pendingApprovals", &["edition.name"]);
                self.equal(method, &json!({}), told, expected.collect());
            }
            "ListEntries" => self.entries(method).await,
            "Subscribe" | "ReadFeed" => self.feed(method).await,
            "ListDeliveries" => self.deliveries(method).await,
            "ListSubscriptions" => {
                let answer = self.ask(method, json!({})).await.unwrap();
                let held = ["paris", "rome"].into_iter().filter(|id| self.scope.holds(id));
                let expected = held.map(|id| format!("subscriptions/{id}")).collect();
                self.equal(method, &json!({}), listed(&answer, "subscriptions", &["name"]), expected);
            }
            "GetSubscription" | "UpdateSubscription" | "DeleteSubscription" | "Acknowledge" | "Reject"
            | "CreateSubscription" => self.subscriptions(method).await,
            "WhoAmI" => {
                let answer = self.ask(method, json!({})).await.unwrap();
                assert!(!answer["grants"].as_array().unwrap().is_empty(), "{answer}");
            }
            // The clock is that of the whole record, and says nothing of it.
            "GetClock" | "GetServiceInfo" => drop(self.ask(method, json!({})).await.unwrap()),
            "ConfirmClock" => {
                let request = json!({ "time": "2020-01-01T00:00:00Z" });
                let answer = self.ask(method, request.clone()).await;
                let expected = if self.scope.is_all_texts() { "INVALID_ARGUMENT" } else { "OUT_OF_SCOPE" };
                self.equal(method, &request, reason(&answer).as_str(), expected);
            }
            "Backup" => {
                let whole = self.scope.is_all_texts() && self.scope.subscriptions.is_empty();
                let answer = self.ask(method, json!({})).await;
                self.equal(method, &json!({}), reason(&answer).as_str(), if whole { "" } else { "OUT_OF_SCOPE" });
                assert_eq!(answer.is_ok(), whole);
            }
            name => self.step(method, name).await,
        }
    }

    fn names_of(&self, is_in: impl Fn(&(&Story, &str)) -> bool) -> BTreeSet<String> {
        let lanes = self.lanes().filter(|(story, language)| is_in(&(*story, *language)));
        lanes.map(|(story, language)| format!("statements/{} {language}", story.id)).collect()
    }
}

/// A statement of the same kind that has nothing in it.
fn blank(story: &Story) -> &'static str {
    if story.kind == "notice" { "blank-notice" } else { "blank-recall" }
}

fn merged(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

fn grant(scope: &Scope, role: Role) -> String {
    let mut lines = format!("roles = [\"{}\"]", role.as_str());
    for (name, values) in [
        ("kinds", scope.kinds),
        ("languages", scope.languages),
        ("topics", scope.topics),
        ("audiences", scope.audiences),
        ("regions", scope.regions),
        ("channels", scope.channels),
        ("subscriptions", scope.subscriptions),
    ] {
        if !values.is_empty() {
            write!(lines, "\n{name} = {values:?}").unwrap();
        }
    }
    if scope.embargoed && role == Role::Subscriber {
        lines.push_str("\nembargoed = true");
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_visible_is_what_the_policy_says() {
    let mut policy = Policy::new();
    policy.line("[limits]\ncalls_per_second = 100000\ncalls_in_flight = 10000\nsnapshots_per_minute = 100000");
    policy.line("[limits.total]\ncalls_per_second = 1000000\ncalls_in_flight = 100000");
    let desk = Role::ALL.map(|role| policy.role(role));
    policy.grant("second", "roles = [\"legal\", \"publisher\"]");
    let second = policy.token("second", "");
    let mut callers = Vec::new();
    for (scope, role) in SCOPES.iter().flat_map(|scope| Role::ALL.map(|role| (*scope, role))) {
        if scope.name == "cleared" && role != Role::Subscriber {
            continue;
        }
        let name = format!("{}-{}", role.as_str(), scope.name);
        policy.grant(&name, &grant(&scope, role));
        callers.push((scope, role, policy.token(&name, "")));
    }
    let (service, _access) = policy.serve().await;
    let token = |token: &String| By::token(&service.channel, token);
    let of = |role: Role| token(&desk[Role::ALL.iter().position(|other| *other == role).unwrap()]);
    let desk = Desk {
        author: of(Role::Author),
        reviewer: of(Role::Reviewer),
        publisher: of(Role::Publisher),
        legal: of(Role::Legal),
        second: token(&second),
        operator: of(Role::Operator),
    };
    let mut record = Record::new(desk);
    let first = record.write(&service).await;
    let world = Arc::new(World { stories: record.stories, steps: record.steps, first });
    let mut asking = JoinSet::new();
    for (scope, role, secret) in callers {
        let asker = Asker { by: token(&secret), role, scope, world: Arc::clone(&world), missing: Mutex::default() };
        asking.spawn(async move {
            for method in methods().iter().map(short) {
                let path = format!("onrecord.v1.{method}");
                let row = METHODS.iter().find(|row| row.path == path).unwrap();
                let may = matches!(row.who, Who::Roles(roles) if roles.contains(&asker.role));
                if may && asker.is_asked(&method) {
                    let checked = timeout(PATIENCE, asker.check(&method)).await;
                    checked.unwrap_or_else(|_| panic!("{method} of {} ends", asker.scope.name));
                }
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

//! Every call that changes something, from the descriptors: its answer is what a Get shows right after it, field by field; so is the answer
//! when the call is repeated, also after a restart; and with `validate_only` it is the same but for what only a commit decides.

mod life;

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, ReflectMessage as _, Value as Field};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::{
    harness::Service,
    rpc::{By, methods, short},
};

/// The fields that `validate_only` leaves unset, since only a commit decides them. The contract has them in words: see the comments on
/// `EditorialService` and `FeedService`.
const UNKNOWN_BEFORE_THE_COMMIT: [&str; 25] = [
    "Approval.approve_time",
    "Content.salt",
    "Draft.content_digest",
    "Draft.create_time",
    "Draft.etag",
    "Draft.update_time",
    "Edition.publish_time",
    "Live.first_publish_time",
    "Live.major_change_time",
    "Live.sequence",
    "Live.update_time",
    "Live.withdraw_time",
    "Notice.salt",
    "Proposal.expire_time",
    "Proposal.create_time",
    "Proposal.proposal_id",
    "Release.create_time",
    "ReviewRejection.reject_time",
    "Release.etag",
    "Statement.create_time",
    "Statement.etag",
    "Statement.update_time",
    "Subscription.create_time",
    "Subscription.etag",
    "Subscription.update_time",
];

/// Of a subscription what moves without a call that changes it: a repeated call is answered with how it stands now.
const STANDING: [&str; 8] =
    ["state", "generation", "cursor", "acknowledged_sequence", "lag_events", "lag", "last_contact_time", "rejection"];

/// Adds each view to the requests of calls that change something, where they take one, and of the Gets after them.
fn views() -> [Value; 2] {
    ["CONTENT_VIEW_NONE", "CONTENT_VIEW_MESSAGE"].map(|view| json!({ "contentView": view }))
}

/// A call that changed something.
struct Done {
    method: &'static str,
    caller: &'static str,
    request: Value,
    answer: DynamicMessage,
}

/// Calls and compares.
struct Desk {
    service: Service,
    view: Value,
    /// The methods that were called.
    called: BTreeSet<String>,
    /// The fields that were left unset.
    unset: BTreeSet<String>,
    done: Vec<Done>,
    requests: u32,
}

fn with(mut request: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

fn json_of(message: &DynamicMessage) -> Value {
    serde_json::to_value(message).unwrap()
}

fn has_input(method: &MethodDescriptor, field: &str) -> bool {
    method.input().get_field_by_name(field).is_some()
}

fn descriptor(name: &str) -> MethodDescriptor {
    methods().into_iter().find(|method| short(method) == name).unwrap()
}

/// The message in a field, or those in it.
fn messages(message: &DynamicMessage, field: &FieldDescriptor) -> Vec<DynamicMessage> {
    match message.get_field(field).as_ref() {
        Field::Message(inner) if message.has_field(field) => vec![inner.clone()],
        Field::List(list) => list.iter().filter_map(|item| item.as_message().cloned()).collect(),
        _ => Vec::new(),
    }
}

fn field<'m>(message: &'m DynamicMessage, name: &str) -> std::borrow::Cow<'m, Field> {
    message.get_field_by_name(name).unwrap_or_else(|| panic!("{} has no {name}", message.descriptor().name()))
}

fn text(message: &DynamicMessage, name: &str) -> String {
    field(message, name).as_str().unwrap().to_owned()
}

fn inner(message: &DynamicMessage, name: &str) -> DynamicMessage {
    field(message, name).as_message().unwrap().clone()
}

impl Desk {
    /// Adds the view to a request that takes it. The feed always has texts.
    fn viewed(&self, method: &str, request: Value) -> Value {
        let takes_view = method != "FeedService/ReadFeed" && has_input(&descriptor(method), "content_view");
        if takes_view { with(request, &self.view) } else { request }
    }

    async fn get(&self, method: &str, request: Value) -> Result<DynamicMessage, Status> {
        let request = self.viewed(method, request);
        By::name(&self.service.channel, "auditor").call(method, &request).await
    }

    /// What a Get shows of what an answer holds: by the type of the message, so that a new field with a known type needs nothing here.
    async fn shown(&self, request: &Value, item: &DynamicMessage) -> DynamicMessage {
        let statement = || {
            let name = request["name"].as_str().or(request["statement"]["name"].as_str()).unwrap();
            name.split('/').take(2).collect::<Vec<_>>().join("/")
        };
        let overview = async |name: String| {
            inner(
                &self.get("EditorialService/GetStatementOverview", json!({ "name": name })).await.unwrap(),
                "overview",
            )
        };
        match item.descriptor().name() {
            "Draft" => {
                let got = self.get("EditorialService/GetDraft", json!({ "name": text(item, "name") })).await;
                inner(&got.unwrap(), "draft")
            }
            "Release" => {
                let got = self.get("EditorialService/GetRelease", json!({ "name": text(item, "name") })).await;
                inner(&got.unwrap(), "release")
            }
            "Live" => {
                let asked = json!({ "name": text(item, "statement"), "languageCode": text(item, "language_code") });
                inner(&inner(&self.get("StatementService/GetStatement", asked).await.unwrap(), "statement"), "live")
            }
            "Subscription" => {
                let got = self.get("FeedService/GetSubscription", json!({ "name": text(item, "name") })).await;
                inner(&got.unwrap(), "subscription")
            }
            "Clock" => inner(&self.get("ClockService/GetClock", json!({})).await.unwrap(), "clock"),
            "Statement" => inner(&overview(text(item, "name")).await, "statement"),
            "Proposal" => inner(&overview(statement()).await, "proposal"),
            "Approval" => {
                let languages = messages_of(&overview(statement()).await, "languages");
                let approvals = languages.iter().flat_map(|slots| messages_of(slots, "approvals"));
                let edition = request["name"].as_str().unwrap();
                let given = approvals.filter(|given| text(given, "edition") == edition).collect::<Vec<_>>();
                inner(given.first().expect("a Get shows the approval"), "approval")
            }
            other => panic!("say which Get shows a {other}"),
        }
    }

    /// Each resource in an answer is what a Get shows.
    async fn is_shown(&self, request: &Value, answer: &DynamicMessage, method: &str) {
        for descriptor in answer.descriptor().fields() {
            for item in messages(answer, &descriptor) {
                assert_eq!(item, self.shown(request, &item).await, "{method}: {}", descriptor.name());
            }
            let names = answer.get_field(&descriptor);
            match (descriptor.name(), names.as_ref()) {
                ("blocked_releases" | "cancelled_releases", Field::List(names)) => {
                    for name in names.iter().map(|name| name.as_str().unwrap()) {
                        let got = self.get("EditorialService/GetRelease", json!({ "name": name })).await;
                        let blocked = got.map(|got| json_of(&inner(&got, "release"))["blockedReason"].clone());
                        if descriptor.name() == "blocked_releases" {
                            assert_eq!(blocked.unwrap(), "BLOCKED_REASON_WITHDRAWN");
                        } else {
                            assert_eq!(blocked.unwrap_err().code(), Code::NotFound);
                        }
                    }
                }
                ("acknowledged_sequence", Field::U64(sequence)) => {
                    let got = self.get("FeedService/GetSubscription", json!({ "name": request["name"] })).await;
                    let shown = inner(&got.unwrap(), "subscription");
                    assert_eq!(field(&shown, "acknowledged_sequence").as_u64(), Some(*sequence), "{method}");
                }
                (_, Field::Message(_) | Field::List(_)) => {}
                (name, _) => panic!("say which Get shows {name}"),
            }
        }
    }

    /// How far the record is: its newest entry, and the sequence that comes next.
    fn reached(&self) -> (u64, u64) {
        (*self.service.journal.newest_entry().borrow(), *self.service.journal.tail().borrow())
    }

    /// A call that changes something, in all the ways that it can be made.
    async fn act(&mut self, method: &'static str, caller: &'static str, request: Value) -> DynamicMessage {
        let (descriptor, by) = (descriptor(method), By::name(&self.service.channel, caller));
        self.called.insert(method.to_owned());
        self.requests += 1;
        let mut request = self.viewed(method, request);
        self.service.advance(1).await;
        let mut tried = None;
        if has_input(&descriptor, "validate_only") {
            let (before, trial) = (self.reached(), with(request.clone(), &json!({ "validateOnly": true })));
            tried = Some(by.call(method, &trial).await.unwrap_or_else(|status| panic!("{method}: {status:?}")));
            assert_eq!(self.reached(), before, "{method} with validate_only");
            self.service.advance(1).await;
        }
        if has_input(&descriptor, "request_id") {
            request["requestId"] = json!(format!("00000000-0000-4000-8000-{:012}", self.requests));
        }
        let before = self.reached();
        let answer = by.call(method, &request).await.unwrap_or_else(|status| panic!("{method}: {status:?}"));
        self.is_shown(&request, &answer, method).await;
        if let Some(tried) = tried {
            assert_eq!(self.reached().0, before.0 + 1, "{method}");
            self.compare(method, &tried, &answer);
        }
        let reached = self.reached();
        let again = by.call(method, &request).await.unwrap();
        assert_eq!(again, answer, "{method} again");
        assert_eq!(self.reached(), reached, "{method} again");
        self.is_shown(&request, &again, method).await;
        self.done.push(Done { method, caller, request, answer: answer.clone() });
        answer
    }

    /// What differs between an answer before the commit and the one after it has to be unset in the first, and listed.
    fn compare(&mut self, method: &str, tried: &DynamicMessage, answer: &DynamicMessage) {
        assert_eq!(tried.fields().count(), answer.fields().count(), "{method}: {tried} instead of {answer}");
        let mut unset = BTreeSet::new();
        differences(tried, answer, &mut unset);
        for field in unset {
            assert!(UNKNOWN_BEFORE_THE_COMMIT.contains(&field.as_str()), "{method}: {field} is not what is stored");
            self.unset.insert(field);
        }
    }

    /// All calls again, as they were made.
    async fn repeat(&self) {
        for done in &self.done {
            let by = By::name(&self.service.channel, done.caller);
            let again = by.call(done.method, &done.request).await;
            let again = again.unwrap_or_else(|status| panic!("{}: {status:?}", done.method));
            assert_eq!(as_made(&again), as_made(&done.answer), "{} after a restart", done.method);
        }
    }
}

fn messages_of(message: &DynamicMessage, name: &str) -> Vec<DynamicMessage> {
    messages(message, &message.descriptor().get_field_by_name(name).unwrap())
}

/// Fields that are in `real` and not the same in `tried`, as `Message.field`; a value there is a fault.
fn differences(tried: &DynamicMessage, real: &DynamicMessage, unset: &mut BTreeSet<String>) {
    for field in real.descriptor().fields() {
        let (one, other) = (tried.get_field(&field), real.get_field(&field));
        let is_standing = real.descriptor().name() == "Subscription" && STANDING.contains(&field.name());
        if one == other || is_standing {
            continue;
        }
        let name = format!("{}.{}", real.descriptor().name(), field.name());
        match (one.as_ref(), other.as_ref()) {
            (Field::Message(one), Field::Message(other)) if tried.has_field(&field) && is_ours(one) => {
                differences(one, other, unset);
            }
            (Field::List(ones), Field::List(others)) if ones.len() == others.len() => {
                for (one, other) in ones.iter().zip(others) {
                    differences(one.as_message().unwrap(), other.as_message().unwrap(), unset);
                }
            }
            _ => {
                assert!(!tried.has_field(&field), "{name} is {one}, and then {other}");
                unset.insert(name);
            }
        }
    }
}

fn is_ours(message: &DynamicMessage) -> bool {
    message.descriptor().package_name().starts_with("onrecord.")
}

/// An answer without how a subscription stands.
fn as_made(answer: &DynamicMessage) -> DynamicMessage {
    let mut made = answer.clone();
    if let Some(Field::Message(subscription)) = made.get_field_by_name_mut("subscription") {
        for field in STANDING {
            subscription.clear_field_by_name(field);
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_what_a_get_shows() {
    let (mut unset, service) = (BTreeSet::new(), Service::start().await);
    let (called, done) = (BTreeSet::new(), Vec::new());
    let mut desk = Desk { service, view: json!({}), called, unset: BTreeSet::new(), done, requests: 0 };
    for (number, view) in views().into_iter().enumerate() {
        desk.view = view;
        let id = |what: &str| format!("{what}-{number}");
        // First, while nothing has happened that a site could lag behind.
        desk.subscriptions(&id("site")).await;
        desk.drafts_and_editions(&id("life")).await;
        desk.acknowledgements(&id("site")).await;
        let gone = json!({ "name": format!("subscriptions/{}", id("site")) });
        desk.act("FeedService/DeleteSubscription", "operator", gone).await;
        desk.releases_and_withdrawals(&id("wait")).await;
        desk.removals(&id("end"), &id("life")).await;
        let time = desk.service.clock.now().to_string();
        desk.act("ClockService/ConfirmClock", "operator", json!({ "time": time })).await;
        // Acknowledgements are of a stream that is no more, and a time that is confirmed is that of the call.
        let is_past = ["FeedService/Acknowledge", "FeedService/Reject", "ClockService/ConfirmClock"];
        desk.done.retain(|done| !is_past.contains(&done.method));
        desk.erasures(&id("end")).await;
        unset.append(&mut desk.unset);
    }
    let stopped = desk.service.stop().await;
    desk.service = stopped.start(60).await;
    desk.repeat().await;

    let changes = |method: &MethodDescriptor| !method.is_server_streaming() && !has_no_side_effects(method);
    let there: BTreeSet<_> = methods().iter().filter(|method| changes(method)).map(short).collect();
    assert_eq!(desk.called, there, "each method that changes something is in the test");
    let listed = UNKNOWN_BEFORE_THE_COMMIT.map(str::to_owned).into();
    assert_eq!(unset, listed, "each field that is listed is one that only a commit decides");
}

fn has_no_side_effects(method: &MethodDescriptor) -> bool {
    let options: BTreeMap<_, _> =
        method.options().fields().map(|(field, value)| (field.name().to_owned(), value.clone())).collect();
    // google.protobuf.MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS
    options.get("idempotency_level").and_then(Field::as_enum_number) == Some(1)
}

//! A record with all that can be hidden, and what is known of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::oracle::{Facts, Stand, Step, Story};
use crate::{harness::Service, rpc::By};

/// Somebody with each role, everywhere.
pub(super) struct Desk {
    pub(super) author: By,
    pub(super) reviewer: By,
    pub(super) publisher: By,
    pub(super) legal: By,
    pub(super) second: By,
    pub(super) operator: By,
}

/// What is in the record.
pub(super) struct Record {
    desk: Desk,
    pub(super) stories: BTreeMap<&'static str, Story>,
    pub(super) steps: Vec<Step>,
}

pub(super) const ENERGY: Facts = Facts { topics: &["energy"], ..NOTHING };
pub(super) const HEALTH: Facts = Facts { topics: &["health"], ..NOTHING };
const PRESS: Facts = Facts { topics: &["energy"], audiences: &["press"], ..NOTHING };
const STAFF: Facts = Facts { audiences: &["staff"], regions: &["DE"], ..NOTHING };
const WEB: Facts = Facts { channels: &["web"], excluded: &["BR"], ..NOTHING };
const NOTHING: Facts = Facts { topics: &[], audiences: &[], regions: &[], excluded: &[], channels: &[] };

type Named = (&'static str, &'static str);

impl Record {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, stories: BTreeMap::new(), steps: Vec::new() }
    }

    /// A call, what it changes in the languages that it is about (all of the statement, if none are named), and its entry.
    async fn step(
        &mut self,
        by: &By,
        method: &str,
        request: Value,
        (id, languages): (&'static str, &[&'static str]),
        change: impl FnOnce(&mut Story),
    ) -> Value {
        let answer = by.call(method, &request).await.unwrap_or_else(|status| panic!("{method} {request}: {status:?}"));
        let story = self.stories.get_mut(id).unwrap();
        let texts = |story: &Story| {
            let named = story.lanes.iter().filter(|(language, _)| languages.is_empty() || languages.contains(language));
            named
                .flat_map(|(language, lane)| lane.texts().into_iter().map(|facts| (*language, facts)))
                .collect::<Vec<_>>()
        };
        let mut concerned = texts(story);
        change(story);
        concerned.extend(texts(story));
        self.steps.push(Step { statement: id, subscription: "", concerned: Some(concerned) });
        serde_json::to_value(answer).unwrap()
    }

    async fn create(&mut self, id: &'static str, kind: &'static str) {
        self.stories.insert(id, Story { id, kind, lanes: BTreeMap::new() });
        let request = json!({ "statementId": id, "statement": { "kind": kind, "sourceLanguageCode": "en" } });
        let by = self.desk.author.clone();
        self.step(&by, "EditorialService/CreateStatement", request, (id, &[]), |_| {}).await;
    }

    async fn draft(&mut self, (id, language): Named, facts: Facts) -> Value {
        let edited = self.stories[id].lanes.get(language).is_some_and(|lane| !lane.editions.is_empty());
        let content = json!({
            "title": "Title", "topics": facts.topics, "audiences": facts.audiences, "regionCodes": facts.regions,
            "excludedRegionCodes": facts.excluded, "channels": facts.channels,
            "changeKind": if edited { "CHANGE_KIND_MINOR" } else { "CHANGE_KIND_INITIAL" },
        });
        let request = json!({ "draft": { "name": format!("statements/{id}/drafts/{language}"), "content": content } });
        let by = self.desk.author.clone();
        let change = |story: &mut Story| story.lanes.entry(language).or_default().draft = Some(facts);
        self.step(&by, "EditorialService/SaveDraft", request, (id, &[language]), change).await
    }

    /// Publishes a draft, with what else is said of how.
    async fn out(&mut self, (id, language): Named, facts: Facts, how: Value) {
        let saved = self.draft((id, language), facts).await;
        let mut draft = json!({ "name": saved["draft"]["name"], "etag": saved["draft"]["etag"] });
        if how["force"] != true {
            for (by, method) in [
                (self.desk.author.clone(), "EditorialService/SubmitDraft"),
                (self.desk.reviewer.clone(), "EditorialService/ApproveDraft"),
            ] {
                let answer = self.step(&by, method, draft.clone(), (id, &[language]), |_| {}).await;
                draft["etag"] = answer["draft"]["etag"].clone();
            }
        }
        let mut request = json!({ "parent": format!("statements/{id}"),
                                  "drafts": [{ "languageCode": language, "etag": draft["etag"] }] });
        for (key, value) in how.as_object().unwrap() {
            request[key] = value.clone();
        }
        let change = |story: &mut Story| {
            let lane = story.lanes.get_mut(language).unwrap();
            lane.draft = None;
            if how["releaseTime"].is_string() || how["embargoEndTime"].is_string() {
                lane.release = Some((facts, how["embargoEndTime"].is_string()));
            } else {
                lane.editions.push(facts);
                lane.owes = how["force"] == true;
            }
        };
        let by = self.desk.publisher.clone();
        self.step(&by, "EditorialService/PublishDrafts", request, (id, &[language]), change).await;
    }

    /// A step that takes two people, on the whole statement.
    async fn twice(&mut self, method: &'static str, id: &'static str, proposal: Value, stand: Stand) {
        let (first, second) = (self.desk.legal.clone(), self.desk.second.clone());
        let mut request = proposal;
        request["name"] = json!(format!("statements/{id}"));
        let answer = self.step(&first, method, request, (id, &[]), |_| {}).await;
        let request = json!({ "name": format!("statements/{id}"), "proposalId": answer["proposal"]["proposalId"] });
        let change = |story: &mut Story| story.lanes.values_mut().for_each(|lane| lane.stand = stand);
        self.step(&second, method, request, (id, &[]), change).await;
    }

    async fn remove(&mut self, id: &'static str, mode: &str, stand: Stand) {
        let mut proposal = json!({ "mode": mode, "reason": "A mistake." });
        if stand == Stand::Gone {
            proposal["notice"] = json!({ "text": "It is gone." });
        }
        self.twice("EditorialService/RemoveStatement", id, proposal, stand).await;
    }

    /// What an erasure leaves of the entries before it says nothing of texts.
    async fn erase(&mut self, id: &'static str, stand: Stand) {
        self.twice("EditorialService/ExpungeStatement", id, json!({ "reasonCode": "court-order" }), stand).await;
        let last = self.steps.len() - 1;
        self.steps[..last].iter_mut().filter(|step| step.statement == id).for_each(|step| step.concerned = None);
    }

    async fn subscribe(&mut self, id: &'static str) {
        let request = json!({ "subscriptionId": id, "subscription": {} });
        self.desk.operator.call("FeedService/CreateSubscription", &request).await.unwrap();
        self.steps.push(Step { statement: "", subscription: id, concerned: None });
    }

    /// Writes all of it, and says when the statement `news` was as it was first.
    pub(super) async fn write(&mut self, service: &Service) -> String {
        let time = |seconds: i64| service.clock.now().plus_seconds(seconds).to_string();
        let (now, force) = (json!({}), json!({ "force": true, "reason": "There is no time." }));
        for (id, kind) in [
            ("news", "notice"),
            ("plan", "notice"),
            ("soon", "recall"),
            ("held", "notice"),
            ("gone", "notice"),
            ("hidden", "notice"),
            ("erased", "recall"),
            ("veiled", "notice"),
            ("staff", "notice"),
            ("wide", "notice"),
            ("web", "recall"),
            ("forced", "notice"),
            ("blank-notice", "notice"),
            ("blank-recall", "recall"),
        ] {
            self.create(id, kind).await;
        }
        self.subscribe("paris").await;
        self.subscribe("rome").await;
        self.out(("news", "en"), ENERGY, now.clone()).await;
        let first = time(0);
        service.advance(10).await;
        self.out(("news", "en"), HEALTH, now.clone()).await;
        self.out(("news", "fr"), ENERGY, now.clone()).await;
        self.draft(("news", "en"), ENERGY).await;
        self.draft(("plan", "en"), PRESS).await;
        self.out(("soon", "en"), HEALTH, json!({ "releaseTime": time(3_600) })).await;
        self.out(("held", "en"), PRESS, json!({ "embargoEndTime": time(3_600) })).await;
        for id in ["gone", "hidden", "veiled"] {
            self.out((id, "en"), ENERGY, now.clone()).await;
        }
        self.remove("gone", "REMOVAL_MODE_GONE", Stand::Gone).await;
        self.remove("hidden", "REMOVAL_MODE_HIDDEN", Stand::Hidden).await;
        self.remove("veiled", "REMOVAL_MODE_HIDDEN", Stand::Hidden).await;
        self.erase("veiled", Stand::ErasedHidden).await;
        self.out(("erased", "en"), HEALTH, now.clone()).await;
        self.erase("erased", Stand::Erased).await;
        self.out(("staff", "en"), STAFF, now.clone()).await;
        self.out(("wide", "en"), NOTHING, now.clone()).await;
        self.out(("wide", "de"), HEALTH, now.clone()).await;
        self.out(("web", "en"), WEB, now).await;
        self.out(("forced", "en"), ENERGY, force).await;
        first
    }
}

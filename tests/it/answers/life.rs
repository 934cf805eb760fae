//! The calls: a statement's whole life, and that of a subscription.

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::{Desk, inner, json_of, messages_of, text, with};
use crate::{harness::Service, rpc::By};

fn etag(answer: &DynamicMessage, field: &str) -> String {
    text(&inner(answer, field), "etag")
}

fn of_draft(answer: &DynamicMessage) -> Value {
    let draft = inner(answer, "draft");
    json!({ "name": text(&draft, "name"), "etag": text(&draft, "etag") })
}

fn to_publish(answers: &[&DynamicMessage]) -> Value {
    let drafts: Vec<_> = answers.iter().map(|answer| inner(answer, "draft")).collect();
    let language = |draft: &DynamicMessage| text(draft, "name").rsplit('/').next().unwrap().to_owned();
    let one = |draft: &DynamicMessage| json!({ "languageCode": language(draft), "etag": text(draft, "etag") });
    let name = text(&drafts[0], "name").split("/drafts/").next().unwrap().to_owned();
    json!({ "parent": name, "drafts": drafts.iter().map(one).collect::<Vec<_>>() })
}

const CREATE: &str = "EditorialService/CreateStatement";
const SAVE: &str = "EditorialService/SaveDraft";
const SUBMIT: &str = "EditorialService/SubmitDraft";
const APPROVE: &str = "EditorialService/ApproveDraft";
const PUBLISH: &str = "EditorialService/PublishDrafts";
const REMOVE: &str = "EditorialService/RemoveStatement";
const EXPUNGE: &str = "EditorialService/ExpungeStatement";
const REINSTATE: &str = "EditorialService/ReinstateStatement";

impl Desk {
    async fn create(&mut self, id: &str) {
        let statement = json!({ "kind": "notice", "sourceLanguageCode": "en", "owner": "desk" });
        self.act(CREATE, "author", json!({ "statementId": id, "statement": statement })).await;
    }

    async fn save(&mut self, id: &str, language: &str, etag: &str, content: Value) -> DynamicMessage {
        let content = with(json!({ "title": "A title", "body": "A body.", "topics": ["energy"] }), &content);
        let name = format!("statements/{id}/drafts/{language}");
        self.act(SAVE, "author", json!({ "draft": { "name": name, "etag": etag, "content": content } })).await
    }

    async fn approved(&mut self, id: &str, language: &str, content: Value) -> DynamicMessage {
        let saved = self.save(id, language, "", content).await;
        let submitted = self.act(SUBMIT, "author", of_draft(&saved)).await;
        let comment = json!({ "comment": "It is right." });
        self.act(APPROVE, "reviewer", with(of_draft(&submitted), &comment)).await
    }

    /// A step that takes two people.
    async fn twice(&mut self, method: &'static str, id: &str, proposal: Value) -> DynamicMessage {
        let name = json!({ "name": format!("statements/{id}") });
        let proposed = self.act(method, "legal", with(proposal, &name)).await;
        let proposal_id = text(&inner(&proposed, "proposal"), "proposal_id");
        self.act(method, "publisher", with(name, &json!({ "proposalId": proposal_id }))).await
    }

    pub(super) async fn drafts_and_editions(&mut self, id: &str) {
        self.create(id).await;
        let overview = json!({ "name": format!("statements/{id}") });
        let overview = inner(&self.get("EditorialService/GetStatementOverview", overview).await.unwrap(), "overview");
        let changed = json!({ "name": format!("statements/{id}"), "etag": etag(&overview, "statement"),
                              "owner": "another desk", "annotations": { "a": "1", "b": "2" } });
        self.act("EditorialService/UpdateStatement", "author", json!({ "statement": changed })).await;
        let saved = self.save(id, "en", "", json!({})).await;
        let stored = json_of(&inner(&saved, "draft"))["content"]["changeKind"].clone();
        let has_text = self.view["contentView"] == "CONTENT_VIEW_MESSAGE";
        assert_eq!(stored, if has_text { json!("CHANGE_KIND_INITIAL") } else { json!(null) });
        let submitted = self.act(SUBMIT, "author", of_draft(&saved)).await;
        let comment = json!({ "comment": "Say more." });
        let rejected = self.act("EditorialService/RejectDraft", "reviewer", with(of_draft(&submitted), &comment)).await;
        let saved = self.save(id, "en", &etag(&rejected, "draft"), json!({ "summary": "More." })).await;
        let submitted = self.act(SUBMIT, "author", of_draft(&saved)).await;
        let approved = self.act(APPROVE, "reviewer", of_draft(&submitted)).await;
        self.act(PUBLISH, "publisher", to_publish(&[&approved])).await;

        // What a correction corrects is said in the text, and so in all that repeats it.
        let wrong = json!({ "changeKind": "CHANGE_KIND_CORRECTION", "correction": { "text": "The year was wrong." } });
        let corrected = self.approved(id, "en", wrong).await;
        let published = self.act(PUBLISH, "publisher", to_publish(&[&corrected])).await;
        let live = json_of(&published)["live"][0].clone();
        let named = format!("statements/{id}/editions/en.1");
        assert_eq!(live["edition"]["correction"]["correctedEdition"], named);
        if has_text {
            assert_eq!(live["edition"]["correction"], live["edition"]["content"]["correction"]);
        }
        let sequence = &live["sequence"];
        let feed = json!({ "start": "START_BEGINNING", "maxEvents": 1000 });
        let feed = json_of(&self.get("FeedService/ReadFeed", feed).await.unwrap());
        let mut events = feed["deliveries"].as_array().unwrap().iter().map(|delivery| &delivery["event"]);
        let event = events.find(|event| event["sequence"] == *sequence).unwrap();
        assert_eq!(event["correction"], live["edition"]["correction"]);

        let saved = self.save(id, "fr", "", json!({})).await;
        self.act("EditorialService/DiscardDraft", "author", of_draft(&saved)).await;
        let saved = self.save(id, "fr", "", json!({})).await;
        let forced = json!({ "force": true, "reason": "There is no time." });
        let published = self.act(PUBLISH, "publisher", with(to_publish(&[&saved]), &forced)).await;
        let edition = json_of(&published)["live"][0]["edition"].clone();
        let owed = json!({ "name": edition["name"], "contentDigest": edition["contentDigest"], "comment": "Right." });
        self.act("EditorialService/ApproveEdition", "reviewer", owed).await;
    }

    pub(super) async fn releases_and_withdrawals(&mut self, id: &str) {
        self.create(id).await;
        for language in ["en", "fr", "de"] {
            let approved = self.approved(id, language, json!({})).await;
            self.act(PUBLISH, "publisher", to_publish(&[&approved])).await;
        }
        let minor = json!({ "changeKind": "CHANGE_KIND_MINOR" });
        let (english, french) =
            (self.approved(id, "en", minor.clone()).await, self.approved(id, "fr", minor.clone()).await);
        let later = |service: &Service, field: &str| {
            let time = service.in_seconds(3_600).unwrap();
            json!({ field: onrecord::domain::time::Timestamp::from_micros(time.seconds * 1_000_000).to_string() })
        };
        let time = later(&self.service, "releaseTime");
        let waiting = self.act(PUBLISH, "publisher", with(to_publish(&[&english, &french]), &time)).await;
        let release = messages_of(&waiting, "releases").swap_remove(0);
        let request = json!({ "name": text(&release, "name"), "etag": text(&release, "etag"), "reason": "Not now." });
        self.act("EditorialService/CancelRelease", "publisher", request).await;
        let german = self.approved(id, "de", minor).await;
        let time = later(&self.service, "embargoEndTime");
        self.act(PUBLISH, "publisher", with(to_publish(&[&german]), &time)).await;
        let notice = json!({ "text": "We no longer stand by it." });
        let name = format!("statements/{id}");
        self.act("EditorialService/WithdrawStatement", "publisher", json!({ "name": name, "notice": notice })).await;
        let reinstatement = json!({ "name": name, "languageCodes": ["en"], "reason": "It was right." });
        let proposed = self.act(REINSTATE, "legal", reinstatement).await;
        let proposal_id = text(&inner(&proposed, "proposal"), "proposal_id");
        let cancellation = json!({ "name": name, "proposalId": proposal_id, "reason": "Too early." });
        self.act("EditorialService/CancelProposal", "publisher", cancellation).await;
        self.twice(REINSTATE, id, json!({ "languageCodes": ["en"], "reason": "It was right." })).await;
        let hold = |hold: bool| json!({ "name": name, "legalHold": hold, "reason": "A case is open." });
        self.act("EditorialService/SetLegalHold", "legal", hold(true)).await;
        self.act("EditorialService/SetLegalHold", "legal", hold(false)).await;
    }

    pub(super) async fn removals(&mut self, id: &str, target: &str) {
        for (suffix, removal) in [
            ("gone", json!({ "mode": "REMOVAL_MODE_GONE", "notice": { "text": "Gone." } })),
            ("moved", json!({ "mode": "REMOVAL_MODE_REDIRECT", "redirectStatement": format!("statements/{target}") })),
            ("hidden", json!({ "mode": "REMOVAL_MODE_HIDDEN" })),
            ("left", Value::Null),
        ] {
            let id = format!("{id}-{suffix}");
            self.create(&id).await;
            let approved = self.approved(&id, "en", json!({})).await;
            self.act(PUBLISH, "publisher", to_publish(&[&approved])).await;
            if !removal.is_null() {
                let removed = self.twice(REMOVE, &id, with(removal, &json!({ "reason": "By mistake." }))).await;
                assert_eq!(messages_of(&removed, "live").is_empty(), suffix == "hidden");
            }
        }
    }

    /// What was answered about a statement before it was erased is forgotten with it: a repeated call is a new one.
    pub(super) async fn erasures(&mut self, id: &str) {
        for suffix in ["gone", "hidden", "left"] {
            let id = format!("{id}-{suffix}");
            self.done.retain(|done| !done.request.to_string().contains(&id));
            let erased = self.twice(EXPUNGE, &id, json!({ "reasonCode": "court-order" })).await;
            self.done.retain(|done| {
                !done.request.to_string().contains(&id) || !messages_of(&done.answer, "live").is_empty()
            });
            assert_eq!(messages_of(&erased, "live").is_empty(), suffix == "hidden", "{suffix}");
            let overview = json!({ "name": format!("statements/{id}") });
            let overview = json_of(&self.get("EditorialService/GetStatementOverview", overview).await.unwrap());
            let slots = &overview["overview"]["languages"][0];
            assert_eq!(slots["live"]["state"], "STATE_EXPUNGED");
            assert_eq!(slots["hidden"] == true, suffix == "hidden");
        }
    }

    pub(super) async fn subscriptions(&mut self, id: &str) {
        let wanted = json!({ "filter": { "topics": ["energy"] }, "annotations": { "site": "paris" } });
        let created = json!({ "subscriptionId": id, "subscription": wanted });
        let created = self.act("FeedService/CreateSubscription", "operator", created).await;
        let name = format!("subscriptions/{id}");
        let changed = json!({ "name": name, "etag": etag(&created, "subscription"), "filter": { "topics": ["energy", "health"] } });
        self.act("FeedService/UpdateSubscription", "operator", json!({ "subscription": changed })).await;
    }

    pub(super) async fn acknowledgements(&mut self, id: &str) {
        let name = format!("subscriptions/{id}");
        let site = By::name(&self.service.channel, "site");
        let request = json!({ "subscription": name, "start": "START_BEGINNING" });
        let is_batch = |message: &DynamicMessage| json_of(message)["eventBatch"]["cursor"].is_string();
        let messages = site.messages("FeedService/Subscribe", &request, is_batch).await.unwrap();
        let (first, last) = (json_of(&messages[0]), json_of(messages.last().unwrap()));
        let generation = first["opened"]["generation"].clone();
        // The stream that was dropped is noted as such a moment later, and that is shown too.
        while json_of(&self.get("FeedService/GetSubscription", json!({ "name": name })).await.unwrap())["subscription"]
            ["state"]
            == "STATE_ACTIVE"
        {
            tokio::task::yield_now().await;
        }
        let batch = &last["eventBatch"];
        let sequence = batch["deliveries"].as_array().unwrap().last().unwrap()["event"]["sequence"].clone();
        let rejected =
            json!({ "name": name, "generation": generation, "sequence": sequence, "reasonCode": "too-long" });
        self.act("FeedService/Reject", "site", rejected).await;
        let shown = json_of(&self.get("FeedService/GetSubscription", json!({ "name": name })).await.unwrap());
        assert_eq!(shown["subscription"]["rejection"]["sequence"], sequence);
        let acknowledged = json!({ "name": name, "generation": generation, "cursor": batch["cursor"] });
        let acknowledged = self.act("FeedService/Acknowledge", "site", acknowledged).await;
        assert_eq!(json_of(&acknowledged)["acknowledgedSequence"], sequence);
    }
}

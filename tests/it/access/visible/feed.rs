//! What subscribers and operators are shown.

use std::collections::BTreeSet;

use prost_reflect::DynamicMessage;
use serde_json::json;

use super::{
    Asker, LANGUAGES, listed, merged,
    oracle::{self, Stand, Story},
    reason, said,
};

impl Asker {
    pub(super) async fn feed(&self, method: &str) {
        let request = json!({ "includeEmbargoed": true });
        let waits = |story: &Story, language: &str| {
            let release = story.lanes.get(language).and_then(|lane| lane.release);
            let held = release.filter(|(_, embargoed)| *embargoed && self.scope.embargoed);
            held.is_some_and(|(facts, _)| self.scope.admits(story, language, &facts))
        };
        if method.ends_with("ReadFeed") {
            let request = merged(request, json!({ "start": "START_BEGINNING", "maxEvents": 1000 }));
            let answer = self.ask(method, request.clone()).await.unwrap();
            let told = listed(&answer, "deliveries", &["event.statement", "event.languageCode"]);
            let expected =
                self.names_of(|(story, language)| self.scope.knew(story, language) || waits(story, language));
            self.equal(method, &request, told, expected);
            return;
        }
        let request = merged(request, json!({ "start": "START_SNAPSHOT" }));
        let ends = |message: &DynamicMessage| serde_json::to_value(message).unwrap()["snapshotEnd"].is_object();
        let messages = self.by.messages(method, &request, ends).await.unwrap();
        let told = messages.iter().flat_map(|message| {
            let part = &serde_json::to_value(message).unwrap()["snapshot"];
            let live = listed(part, "live", &["statement", "languageCode"]);
            live.into_iter().chain(listed(part, "embargoes", &["statement", "languageCode"])).collect::<Vec<_>>()
        });
        let expected = self.names_of(|(story, language)| {
            let read = self.scope.readable(story).contains(language) && story.lanes[language].stand != Stand::Erased;
            read || waits(story, language)
        });
        self.equal(method, &request, told.collect(), expected);
    }

    pub(super) async fn deliveries(&self, method: &str) {
        for story in self.stories() {
            let known: BTreeSet<_> = LANGUAGES.into_iter().filter(|language| self.knows(story, language)).collect();
            let visible = !known.is_empty() || self.is_editor() && self.scope.sees(story);
            let of = |id: &str| json!({ "parent": format!("statements/{id}") });
            if let Some(answer) = self.expect(method, of(story.id), of("nothing"), visible).await {
                let sites = ["paris", "rome"].into_iter().filter(|id| self.scope.holds(id));
                let row = |id: &str| {
                    known.iter().map(|language| format!("subscriptions/{id} {language}")).collect::<Vec<_>>()
                };
                let expected = sites.flat_map(row).collect();
                let told = listed(&answer, "deliveries", &["subscription", "languageCode"]);
                self.equal(method, &of(story.id), told, expected);
            }
            for (language, number) in LANGUAGES.into_iter().flat_map(|language| [(language, 1), (language, 2)]) {
                let of = |id: &str| json!({ "parent": format!("statements/{id}/editions/{language}.{number}") });
                let facts = story.lanes.get(language).and_then(|lane| lane.editions.get(number - 1));
                let admits = facts.is_some_and(|facts| self.scope.admits(story, language, facts));
                let public = story.lanes.get(language).is_some_and(oracle::Lane::is_public);
                let visible = admits && (public || self.is_editor());
                self.expect(method, of(story.id), of("nothing"), visible).await;
            }
        }
    }

    /// Whether events of a language are known to it: of what is public, or of what it works on.
    fn knows(&self, story: &Story, language: &str) -> bool {
        let public = story.lanes.get(language).is_some_and(oracle::Lane::is_public);
        (public || self.is_editor()) && self.scope.knew(story, language)
    }

    pub(super) async fn subscriptions(&self, method: &str) {
        for id in ["paris", "rome"] {
            let of = |id: &str| {
                let name = format!("subscriptions/{id}");
                match method.split('/').next_back().unwrap() {
                    "GetSubscription" => json!({ "name": name }),
                    "UpdateSubscription" => {
                        json!({ "subscription": { "name": name, "etag": "\"1\"" }, "validateOnly": true })
                    }
                    "DeleteSubscription" => json!({ "name": name, "etag": "\"1\"", "validateOnly": true }),
                    "Acknowledge" => json!({ "name": name, "generation": "7", "cursor": "none" }),
                    "Reject" => json!({ "name": name, "generation": "7", "sequence": "1", "reasonCode": "late" }),
                    _ => json!({ "subscriptionId": id, "subscription": {}, "validateOnly": true }),
                }
            };
            let (answer, missing) = (self.ask(method, of(id)).await, self.ask(method, of("nobody")).await);
            let hidden = reason(&answer) == "SUBSCRIPTION_NOT_FOUND";
            self.equal(method, &of(id), hidden, !self.scope.holds(id));
            if hidden {
                self.equal(method, &of(id), said(&answer), said(&missing));
            }
        }
    }
}

//! What editors and auditors are shown.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Asker, blank, listed,
    oracle::{self, Step, Story},
    reason,
};

impl Asker {
    pub(super) async fn overviews(&self, method: &str) {
        for story in self.stories() {
            let of = |id: &str| json!({ "name": format!("statements/{id}") });
            let answer = self.expect(method, of(story.id), of("nothing"), self.scope.sees(story)).await;
            let Some(answer) = answer else { continue };
            let overview = &answer["overview"];
            let expected = self.scope.edits(story);
            let told = listed(overview, "languages", &["languageCode"]);
            self.equal(method, &of(story.id), told, expected.iter().map(ToString::to_string).collect());
            for slots in overview["languages"].as_array().into_iter().flatten() {
                let language = slots["languageCode"].as_str().unwrap();
                let lane = &story.lanes[language];
                let admits = |facts: Option<oracle::Facts>| {
                    facts.is_some_and(|facts| self.scope.admits(story, language, &facts))
                };
                let expected =
                    [lane.draft, lane.release.map(|(facts, _)| facts), lane.editions.last().copied()].map(admits);
                let told = ["draft", "release", "live"].map(|slot| slots[slot].is_object());
                self.equal(method, &of(story.id), told, expected);
                let count = slots["editionCount"].as_u64().unwrap_or(0) > 0;
                self.equal(method, &of(story.id), count, expected[2]);
            }
        }
    }

    /// A slot of a language: of a statement that is not seen as of a missing one, else as of one without that language.
    pub(super) async fn slot(&self, method: &str, story: &Story, language: &str, slots: &str, visible: bool) {
        let of = |id: &str| json!({ "name": format!("statements/{id}/{slots}/{language}") });
        let missing = if self.scope.sees(story) { of(blank(story)) } else { of("nothing") };
        self.expect(method, of(story.id), missing, visible).await;
    }

    /// A draft, its revisions and differences.
    pub(super) async fn draft(&self, method: &str, story: &Story, language: &str, visible: bool) {
        let of = |id: &str| {
            let name = format!("statements/{id}/drafts/{language}");
            match method.rsplit('/').next().unwrap() {
                "ListDraftRevisions" => json!({ "parent": name }),
                "GetDraftRevision" => json!({ "name": name, "revision": 1 }),
                "DiffDraft" => json!({ "name": name, "fromRevision": 1 }),
                _ => json!({ "name": name }),
            }
        };
        let missing = if self.scope.sees(story) { of(blank(story)) } else { of("nothing") };
        self.expect(method, of(story.id), missing, visible).await;
    }

    pub(super) async fn list(&self, method: &str, list: &str, is_in: impl Fn(&(&Story, &str)) -> bool + Copy) {
        let all = json!({ "parent": "statements/-", "pageSize": 1000 });
        let answer = self.ask(method, all.clone()).await.unwrap();
        let lanes = self.lanes().filter(|(story, language)| is_in(&(*story, *language)));
        let expected = lanes.map(|(story, language)| format!("statements/{}/{list}/{language}", story.id)).collect();
        self.equal(method, &all, listed(&answer, list, &["name"]), expected);
        for story in self.stories() {
            let of = |id: &str| json!({ "parent": format!("statements/{id}") });
            self.expect(method, of(story.id), of("nothing"), self.scope.sees(story)).await;
        }
    }

    pub(super) async fn entries(&self, method: &str) {
        let numbered = |is_in: &dyn Fn(&Step) -> bool| {
            let steps = self.world.steps.iter().enumerate().filter(|(_, step)| is_in(step));
            let seen = steps.filter(|(_, step)| self.scope.audits(&self.world.stories, step));
            seen.map(|(place, _)| format!("entries/{}", place + 1)).collect::<BTreeSet<_>>()
        };
        for story in self.stories() {
            let of = |id: &str| json!({ "statement": format!("statements/{id}"), "pageSize": 1000 });
            let answer = self.expect(method, of(story.id), of("nothing"), self.scope.sees(story)).await;
            if let Some(answer) = answer {
                let expected = numbered(&|step| step.statement == story.id);
                self.equal(method, &of(story.id), listed(&answer, "entries", &["name"]), expected);
            }
        }
        let all = json!({ "pageSize": 1000 });
        let answer = self.ask(method, all.clone()).await;
        if self.scope.is_all_texts() {
            self.equal(method, &all, listed(&answer.unwrap(), "entries", &["name"]), numbered(&|_| true));
        } else {
            self.equal(method, &all, reason(&answer).as_str(), "OUT_OF_SCOPE");
        }
    }
}

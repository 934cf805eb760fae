//! Calls that change something.

use serde_json::{Value, json};

use super::{
    Asker, blank, merged,
    oracle::{self, Story},
    reason, said,
};

impl Asker {
    /// A call that changes something, tried without changing it. What is not seen is as what is not there; of the rest the rules decide.
    pub(super) async fn step(&self, method: &str, name: &str) {
        for (story, language) in self.lanes() {
            let lane = story.lanes.get(language).cloned().unwrap_or_default();
            let of = |id: &str| of_step(name, id, language);
            let answer = self.ask(method, of(story.id)).await;
            let outside =
                |facts: Option<oracle::Facts>| facts.is_some_and(|it| !self.scope.admits(story, language, &it));
            let slot = match name {
                "SubmitDraft" | "ApproveDraft" | "RejectDraft" | "DiscardDraft" => lane.draft,
                "CancelRelease" => lane.release.map(|(facts, _)| facts),
                "ApproveEdition" if lane.owes => lane.editions.first().copied(),
                _ => None,
            };
            if name == "CreateStatement" {
                let creates =
                    self.scope.is_all_texts() || self.scope.names(&Story { kind: "notice", ..story.clone() }, "en");
                let expected = if creates { "STATEMENT_EXISTS" } else { "OUT_OF_SCOPE" };
                self.equal(method, &of(story.id), reason(&answer).as_str(), expected);
            } else if !self.scope.sees(story) {
                self.equal(method, &of(story.id), said(&answer), self.told_of_missing(method, of("nothing")).await);
                self.equal(method, &of(story.id), reason(&answer).as_str(), "STATEMENT_NOT_FOUND");
            } else if outside(slot) || names_language(name) && !self.scope.names(story, language) {
                self.equal(method, &of(story.id), said(&answer), self.told_of_missing(method, of(blank(story))).await);
            } else {
                assert_ne!(reason(&answer), "STATEMENT_NOT_FOUND", "{method} {}", story.id);
            }
        }
    }
}

/// Whether a step is about one language.
fn names_language(name: &str) -> bool {
    let on_all = ["UpdateStatement", "ExpungeStatement", "CancelProposal", "SetLegalHold"];
    !on_all.contains(&name)
}

/// A request of a step on a statement in a language. A step that is not here fails.
fn of_step(name: &str, id: &str, language: &str) -> Value {
    let statement = format!("statements/{id}");
    let draft = json!({ "name": format!("{statement}/drafts/{language}"), "etag": "\"1\"", "comment": "No." });
    let without = |mut request: Value| {
        request.as_object_mut().unwrap().remove("comment");
        request
    };
    let (only, notice) = ([language], json!({ "text": "It is wrong." }));
    let request = match name {
        "CreateStatement" => {
            json!({ "statementId": id, "statement": { "kind": "notice", "sourceLanguageCode": "en" } })
        }
        "UpdateStatement" => json!({ "statement": { "name": statement, "etag": "\"0\"", "owner": "us" } }),
        "SaveDraft" => {
            let name = format!("{statement}/drafts/{language}");
            json!({ "draft": { "name": name, "etag": "\"0\"", "content": { "title": "Other words" } } })
        }
        "SubmitDraft" | "DiscardDraft" => without(draft),
        "ApproveDraft" | "RejectDraft" => draft,
        "PublishDrafts" => json!({ "parent": statement, "drafts": [{ "languageCode": language, "etag": "\"0\"" }] }),
        "ApproveEdition" => {
            json!({ "name": format!("{statement}/editions/{language}.1"), "contentDigest": "0".repeat(64) })
        }
        "CancelRelease" => json!({ "name": format!("{statement}/releases/{language}"), "etag": "\"0\"" }),
        "WithdrawStatement" => json!({ "name": statement, "languageCodes": only, "notice": notice }),
        "ReinstateStatement" => json!({ "name": statement, "languageCodes": only, "reason": "It is right." }),
        "RemoveStatement" => {
            json!({ "name": statement, "languageCodes": only, "mode": "REMOVAL_MODE_HIDDEN", "reason": "It is wrong." })
        }
        "ExpungeStatement" => json!({ "name": statement, "reasonCode": "court-order" }),
        "CancelProposal" => json!({ "name": statement, "proposalId": "none" }),
        "SetLegalHold" => json!({ "name": statement, "legalHold": true, "reason": "A case." }),
        other => panic!("say what of a record {other} shows, and how it is tried"),
    };
    merged(request, json!({ "validateOnly": true }))
}

//! What readers are shown.

use serde_json::json;

use std::collections::BTreeSet;

use super::{Asker, LANGUAGES, listed, oracle::Stand, reason};

impl Asker {
    pub(super) async fn get_statement(&self, method: &str) {
        for (story, language) in self.lanes() {
            let readable = self.scope.readable(story);
            let served = [language, "en"].into_iter().find(|language| readable.contains(language));
            let of = |id: &str| json!({ "name": format!("statements/{id}"), "languageCode": language });
            let answer = self.expect(method, of(story.id), of("nothing"), served.is_some()).await;
            let Some(answer) = answer else { continue };
            let reading = &answer["statement"];
            self.equal(method, &of(story.id), reading["live"]["languageCode"].as_str(), served);
            let lane = &story.lanes[served.unwrap()];
            let told = reading["live"]["edition"]["content"].is_object();
            self.equal(method, &of(story.id), told, lane.stand == Stand::Shown);
            let told = reading["availableLanguageCodes"].as_array().unwrap().iter();
            let told: Vec<_> = told.map(|language| language.as_str().unwrap()).collect();
            self.equal(method, &of(story.id), told, readable.into_iter().collect());
        }
        let story = &self.world.stories["news"];
        let then = |id: &str| json!({ "name": format!("statements/{id}"), "asOfTime": self.world.first });
        let visible = self.scope.reads_edition(story, "en", 1);
        let answer = self.expect(method, then("news"), then("nothing"), visible).await;
        if let Some(answer) = answer {
            self.equal(method, &then("news"), &answer["statement"]["live"]["edition"]["number"], &json!(1));
        }
    }

    pub(super) async fn editions(&self, method: &str) {
        if method.ends_with("ListEditions") {
            for story in self.stories() {
                let of = |id: &str| json!({ "parent": format!("statements/{id}") });
                let numbers = LANGUAGES.iter().flat_map(|language| (1..=2).map(move |number| (language, number)));
                let read = numbers.filter(|(language, number)| self.scope.reads_edition(story, language, *number));
                let name = |(language, number)| format!("statements/{}/editions/{language}.{number}", story.id);
                let expected: BTreeSet<_> = read.map(name).collect();
                let answer = self.expect(method, of(story.id), of("nothing"), !expected.is_empty()).await;
                if let Some(answer) = answer {
                    self.equal(method, &of(story.id), listed(&answer, "editions", &["name"]), expected);
                }
            }
            return;
        }
        for (story, language) in self.lanes() {
            let newest = story.lanes.get(language).map_or(0, |lane| lane.editions.len());
            let numbers = ["1", "live", "2"].into_iter().take(newest.max(1) + 1);
            for number in numbers {
                let edition = number.parse().unwrap_or(newest.max(1));
                let visible = self.scope.reads_edition(story, language, edition);
                let name = |id: &str| format!("statements/{id}/editions/{language}.{number}");
                if method.ends_with("GetEdition") {
                    let of = |id: &str| json!({ "name": name(id) });
                    self.expect(method, of(story.id), of("nothing"), visible).await;
                    continue;
                }
                let older = |id: &str| format!("statements/{id}/editions/{language}.1");
                let of = |id: &str| json!({ "fromEdition": older(id), "toEdition": name(id) });
                let visible = visible && self.scope.reads_edition(story, language, 1);
                let has_text = story.lanes.get(language).is_some_and(|lane| lane.stand == Stand::Shown);
                if visible && !has_text {
                    let answer = self.ask(method, of(story.id)).await;
                    self.equal(method, &of(story.id), reason(&answer).as_str(), "TEXT_NOT_PUBLIC");
                } else {
                    self.expect(method, of(story.id), of("nothing"), visible).await;
                }
            }
        }
    }
}

use serde_json::{Value, json};

use super::{ChangeKind, Plan, Planned, Record, code};

fn record(fields: &Value) -> Record {
    let mut line = json!({
        "id": "a", "kind": "PRESS_RELEASE", "language": "en", "title": "T", "summary": "S", "body": "<p>B</p>",
        "body_media_type": "text/html", "organisations": ["Home Office", "Border Force"],
        "change_history": [{"time": "2015-01-01T01:00:00+01:00", "note": "First published."},
                           {"time": "2016-01-01T00:00:00.5Z", "note": "Added a map."}],
        "attachments": [{"title": "", "uri": "/files/map.pdf", "media_type": "application/pdf", "size_bytes": null}],
        "withdrawn": {"explanation": "<p>Old.</p>", "at": "2017-01-01T00:00:00Z"}
    });
    line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(line).unwrap()
}

fn planned(records: &[Record]) -> Vec<Planned> {
    let mut plan = Plan::new(records.iter());
    records.iter().map(|record| plan.statement(record).unwrap()).collect()
}

#[test]
fn a_change_is_an_edition_and_only_the_newest_has_the_text() {
    let planned = planned(&[record(&json!({}))]).remove(0);
    let [first, second] = planned.editions.as_slice() else { panic!("two changes, two editions") };
    assert_eq!(
        (first.change_kind(), first.change_note.as_str(), first.body.as_str()),
        (ChangeKind::Initial, "First published.", "")
    );
    assert_eq!(first.original_time.unwrap().seconds, 1_420_070_400);
    assert!(first.attachments.is_empty());
    assert_eq!((second.change_kind(), second.change_note.as_str()), (ChangeKind::Major, "Added a map."));
    assert_eq!(second.body, "<p>B</p>");
    assert_eq!(second.attachments[0].uri, "https://www.gov.uk/files/map.pdf");
    assert_eq!(second.attachments[0].title, "map.pdf");
    assert_eq!(planned.withdrawal.as_deref(), Some("<p>Old.</p>"));
    assert_eq!((planned.head.kind.as_str(), planned.head.owner.as_str()), ("press-release", "Home Office"));
}

#[test]
fn without_a_history_there_is_one_edition() {
    let fields = json!({"change_history": [], "public_updated_at": "2016-01-01T00:00:00Z", "first_published_at": null});
    let planned = planned(&[record(&fields)]).remove(0);
    assert_eq!(planned.editions.len(), 1);
    assert_eq!(planned.editions[0].body, "<p>B</p>");
    assert_eq!(planned.editions[0].original_time.unwrap().seconds, 1_451_606_400);
}

#[test]
fn english_is_the_source_wherever_it_comes() {
    let lines = [record(&json!({"language": "ur"})), record(&json!({})), record(&json!({"language": "es"}))];
    assert!(planned(&lines).iter().all(|planned| planned.head.source_language == "en"));
    let lines = [record(&json!({"language": "ur"})), record(&json!({"language": "es"}))];
    assert!(planned(&lines).iter().all(|planned| planned.head.source_language == "ur"));
}

#[test]
fn a_statement_that_comes_again_goes_on() {
    let planned = planned(&[record(&json!({})), record(&json!({"id": "A"}))]);
    assert_eq!((planned[0].first_index, planned[1].first_index), (0, 2));
    assert_eq!(planned[1].editions[0].change_kind(), ChangeKind::Major);
}

#[test]
fn places_are_regions_if_all_of_them_are_known() {
    let all = planned(&[record(&json!({"topics": ["EU Referendum"], "places": ["Spain", "Turkey"]}))]).remove(0);
    assert_eq!(all.editions[0].region_codes, ["ES", "TR"]);
    assert_eq!(all.editions[0].topics, ["eu-referendum"]);
    let some = planned(&[record(&json!({"places": ["Spain", "UK Mission to the UN"]}))]).remove(0);
    assert!(some.editions[0].region_codes.is_empty());
    assert_eq!(some.editions[0].topics, ["place-spain", "place-uk-mission-to-the-un"]);
}

#[test]
fn a_code_has_no_hyphens_outside_and_no_more_than_63_characters() {
    assert_eq!(code("Anti-Corruption Summit: London 2016!"), "anti-corruption-summit-london-2016");
    assert_eq!(code(&format!("{}  b", "a".repeat(62))), "a".repeat(62));
    assert_eq!(code("لماذا"), "");
}

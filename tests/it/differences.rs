//! Differences between editions: every field of a text, as a unified diff that is never empty.

use std::collections::BTreeSet;

use onrecord::api::v1::{self, ChangeKind};
use prost_reflect::DescriptorPool;

use crate::harness::{Service, changed, publish, words};

async fn differences(service: &Service, from: u32, to: u32) -> Vec<v1::FieldDiff> {
    let name = |number: u32| format!("statements/fire/editions/en.{number}");
    let request = v1::DiffEditionsRequest { from_edition: name(from), to_edition: name(to) };
    service.person("reader").statements.diff_editions(request).await.unwrap().into_inner().differences
}

fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// A text with every field that a MAJOR may have.
fn full() -> v1::Content {
    let attachment = v1::Attachment {
        title: "List".to_owned(),
        uri: "https://lumeo.example/list".to_owned(),
        size_bytes: 7,
        ..Default::default()
    };
    let evidence = v1::Evidence { uri: "https://lumeo.example/tests".to_owned(), ..Default::default() };
    let review = v1::ClaimReview {
        claim: "It explodes.".to_owned(),
        verdict: v1::claim_review::Verdict::False.into(),
        verdict_text: "It does not.".to_owned(),
        evidence: vec![evidence],
        ..Default::default()
    };
    let contact =
        v1::Contact { name: "Press".to_owned(), email: "press@lumeo.example".to_owned(), ..Default::default() };
    let codes = |codes: &[&str]| codes.iter().map(ToString::to_string).collect();
    v1::Content {
        title: "Second".to_owned(),
        summary: "Short.".to_owned(),
        body: "Another.".to_owned(),
        body_media_type: "text/plain".to_owned(),
        renditions: vec![v1::Rendition { channel: "push".to_owned(), text: "Cut.".to_owned() }],
        attachments: vec![attachment],
        topics: codes(&["energy"]),
        region_codes: codes(&["DE"]),
        excluded_region_codes: codes(&["CH"]),
        audiences: codes(&["press"]),
        channels: codes(&["web"]),
        urgency: 2,
        claim_reviews: vec![review],
        contacts: vec![contact],
        expire_time: time(1_900_000_000),
        review_due_time: time(1_850_000_000),
        source_edition: String::new(),
        as_of_time: time(1_767_000_000),
        original_time: time(1_766_000_000),
        ..changed("Second", ChangeKind::Major)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_text_is_compared() {
    let service = Service::start().await;
    service.person("author").create("fire", "de").await;
    publish(&service, "fire", "de", words("Erstens")).await;
    publish(&service, "fire", "en", words("First")).await;
    let source_edition = "statements/fire/editions/de.1".to_owned();
    publish(&service, "fire", "en", v1::Content { source_edition, ..full() }).await;
    publish(&service, "fire", "en", changed("Third", ChangeKind::Correction)).await;
    let (grown, shrunk) = (differences(&service, 1, 2).await, differences(&service, 2, 3).await);
    let found: BTreeSet<_> = grown.iter().chain(&shrunk).map(|one| one.field.clone()).collect();
    let pool = DescriptorPool::decode(v1::DESCRIPTORS).unwrap();
    let message = pool.get_message_by_name("onrecord.v1.Content").unwrap();
    let mut expected: BTreeSet<_> = message.fields().map(|field| field.name().to_owned()).collect();
    for left_out in ["statement", "language_code", "salt"] {
        assert!(expected.remove(left_out));
    }
    assert_eq!(found, expected);
    let order: Vec<_> = message.fields().map(|field| field.name().to_owned()).collect();
    let place = |one: &v1::FieldDiff| order.iter().position(|name| *name == one.field).unwrap();
    assert!(grown.is_sorted_by_key(place));
    let of = |field: &str| grown.iter().find(|one| one.field == field).unwrap().unified_diff.as_str();
    let end = "\\ No newline at end of file\n";
    assert_eq!(of("title"), format!("@@ -1 +1 @@\n-First\n{end}+Second\n{end}"));
    assert_eq!(of("urgency"), "@@ -0,0 +1 @@\n+2\n");
    assert_eq!(of("topics"), "@@ -0,0 +1,3 @@\n+[\n+  \"energy\"\n+]\n");
    let attachment = "+[\n+  {\n+    \"sizeBytes\": \"7\",\n+    \"title\": \"List\",\n+    \"uri\": \"https://lumeo.example/list\"\n+  }\n+]\n";
    assert_eq!(of("attachments"), format!("@@ -0,0 +1,7 @@\n{attachment}"));
    assert!(grown.iter().chain(&shrunk).all(|one| one.unified_diff.starts_with("@@ ")), "{grown:?} {shrunk:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_break_at_the_end_alone_is_shown() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let text = |body: &str, kind| v1::Content { body: body.to_owned(), ..changed("Fire", kind) };
    publish(&service, "fire", "en", text("One.\nTwo.", ChangeKind::Initial)).await;
    publish(&service, "fire", "en", text("One.\nTwo.\n", ChangeKind::Minor)).await;
    publish(&service, "fire", "en", text("One.\r\nTwo.\n", ChangeKind::Minor)).await;
    let body = async |from: u32, to: u32| {
        let differences = differences(&service, from, to).await;
        differences.into_iter().find(|one| one.field == "body").unwrap().unified_diff
    };
    let end = "\\ No newline at end of file\n";
    assert_eq!(body(1, 2).await, format!("@@ -1,2 +1,2 @@\n One.\n-Two.\n{end}+Two.\n"));
    assert_eq!(body(2, 1).await, format!("@@ -1,2 +1,2 @@\n One.\n-Two.\n+Two.\n{end}"));
    assert_eq!(body(2, 3).await, "@@ -1,2 +1,2 @@\n-One.\n+One.\r\n Two.\n");
}

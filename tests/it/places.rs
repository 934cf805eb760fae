//! Regions and languages over real connections: codes and tags of one meaning meet, and what is excluded from a grouping reaches no place
//! inside it.

mod languages;
mod scopes;

use onrecord::api::v1::{self, ChangeKind, Start, delivery::FilterChange, subscribe_response::Message};
use tonic::Code;

use crate::harness::{Person, Service, Stream, changed, fields, from, publish, refused, words};

fn codes(codes: &str) -> Vec<String> {
    codes.split_whitespace().map(str::to_owned).collect()
}

/// A text that applies in some regions and is excluded from others.
fn placed(content: v1::Content, regions: &str, excluded: &str) -> v1::Content {
    v1::Content { region_codes: codes(regions), excluded_region_codes: codes(excluded), ..content }
}

fn in_regions(regions: &str) -> Option<v1::Filter> {
    Some(v1::Filter { region_codes: codes(regions), ..Default::default() })
}

fn id(delivery: &v1::Delivery) -> String {
    delivery.event.as_ref().unwrap().statement.trim_start_matches("statements/").to_owned()
}

/// The statements that a stream sends up to and with one that everybody is sent.
async fn sent(stream: &mut Stream, last: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    while found.last().is_none_or(|newest| newest != last) {
        found.extend(stream.deliveries().await.iter().map(id));
    }
    found.pop();
    found
}

/// The statements of a snapshot.
async fn held(site: &mut Person, filter: Option<v1::Filter>) -> Vec<String> {
    let mut stream = site.follow(v1::SubscribeRequest { filter, ..from(Start::Snapshot) }).await.unwrap();
    let mut found = Vec::new();
    loop {
        match stream.next().await {
            Message::Snapshot(part) => found.extend(part.live.into_iter().map(|live| live.statement)),
            Message::SnapshotEnd(_) => break,
            _ => {}
        }
    }
    found.iter().map(|name| name.trim_start_matches("statements/").to_owned()).collect()
}

/// Texts: id, regions, excluded regions; and to which of [`SITES`] each is sent.
const TEXTS: &[(&str, &str, &str, &str)] = &[
    ("t01", "DE", "", "DE 276 150 001 EU 155"),
    ("t02", "276", "", "DE 276 150 001 EU 155"),
    ("t03", "150", "", "DE 276 UK 150 001 EU 155 IC XK"),
    ("t04", "UK", "", "UK 150 001"),
    ("t05", "826", "", "UK 150 001"),
    ("t06", "001", "", "DE 276 UK BR 150 001 EU 155 IC XK AQ"),
    ("t07", "EU", "", "DE 276 150 001 EU 155 IC"),
    ("t08", "ES", "", "150 001 EU IC"),
    ("t09", "IC", "", "150 001 EU IC"),
    ("t10", "419", "", "BR 001"),
    ("t11", "010", "", "001 AQ"),
    ("t12", "", "DE", "UK BR IC XK AQ"),
    ("t13", "", "150", "BR AQ"),
    ("t14", "", "276", "UK BR IC XK AQ"),
    ("t15", "", "001", ""),
    ("t16", "", "UK", "DE 276 BR EU 155 IC XK AQ"),
    ("t17", "150", "EU", "UK XK"),
    ("t18", "EU", "155", "IC"),
    ("t19", "DE", "150", ""),
    ("t20", "DE BR", "DE", "BR"),
];

const SITES: &[&str] = &["DE", "276", "UK", "BR", "150", "001", "EU", "155", "IC", "XK", "AQ"];

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sends_where_a_text_applies_and_not_where_it_is_excluded() {
    let service = Service::start().await;
    let mut site = service.person("site");
    let mut live = Vec::new();
    for wanted in SITES {
        let request = v1::SubscribeRequest { filter: in_regions(wanted), ..from(Start::Now) };
        live.push(site.follow(request).await.unwrap());
        assert!(matches!(live.last_mut().unwrap().next().await, Message::Opened(_)));
    }
    for (id, regions, excluded, _) in TEXTS {
        service.person("author").create(id, "en").await;
        publish(&service, id, "en", placed(words(id), regions, excluded)).await;
    }
    service.person("author").create("last", "en").await;
    publish(&service, "last", "en", words("For everybody")).await;
    for (wanted, stream) in SITES.iter().zip(&mut live) {
        let due = TEXTS.iter().filter(|(.., sites)| sites.split(' ').any(|site| site == *wanted));
        let mut due: Vec<_> = due.map(|(id, ..)| (*id).to_owned()).collect();
        assert_eq!(sent(stream, "last").await, due, "live, {wanted}");
        let request = v1::SubscribeRequest { filter: in_regions(wanted), ..from(Start::Beginning) };
        assert_eq!(sent(&mut site.follow(request).await.unwrap(), "last").await, due, "replayed, {wanted}");
        due.insert(0, "last".to_owned());
        assert_eq!(held(&mut site, in_regions(wanted)).await, due, "snapshot, {wanted}");
        let request = v1::ListStatementsRequest { filter: in_regions(wanted), ..Default::default() };
        let listed = site.statements.list_statements(request).await.unwrap().into_inner().live;
        let listed: Vec<_> = listed.iter().map(|live| live.statement.trim_start_matches("statements/")).collect();
        assert_eq!(listed, due, "listed, {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_regions_enters_and_leaves() {
    let service = Service::start().await;
    let mut site = service.person("site");
    service.person("author").create("recall", "en").await;
    let steps = [
        ("EU", "", "DE+ FR+ 150+"),
        ("EU", "DE", "DE- FR= 150-"),
        ("EU", "276", "FR="),
        ("150", "", "DE+ FR= 150+"),
        ("", "150", "DE- FR- 150-"),
        ("419", "", ""),
        ("", "", "DE+ FR+ 150+"),
    ];
    let mut streams = Vec::new();
    for wanted in ["DE", "FR", "150"] {
        let request = v1::SubscribeRequest { filter: in_regions(wanted), ..from(Start::Now) };
        streams.push((wanted, site.follow(request).await.unwrap()));
    }
    for (number, (regions, excluded, _)) in steps.iter().enumerate() {
        let content = if number == 0 { words("Recall") } else { changed("Recall", ChangeKind::Correction) };
        publish(&service, "recall", "en", placed(content, regions, excluded)).await;
    }
    for (wanted, stream) in &mut streams {
        let mut expected = Vec::new();
        for (sequence, (.., told)) in (1..).zip(&steps) {
            let told = told.split_whitespace().find_map(|told| told.strip_prefix(*wanted));
            let filter_change = told.map(|mark| match mark {
                "+" => FilterChange::Entered,
                "=" => FilterChange::Stayed,
                _ => FilterChange::Left,
            });
            expected.extend(filter_change.map(|filter_change| (sequence, filter_change)));
        }
        let seen = |delivery: &v1::Delivery| (delivery.event.as_ref().unwrap().sequence, delivery.filter_change());
        let live: Vec<_> = stream.until(7).await.iter().map(seen).collect();
        assert_eq!(live, expected, "live, {wanted}");
        let request = v1::SubscribeRequest { filter: in_regions(wanted), ..from(Start::Beginning) };
        let replayed: Vec<_> = site.follow(request).await.unwrap().until(7).await.iter().map(seen).collect();
        assert_eq!(replayed, expected, "replayed, {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_stored_by_its_canonical_code_and_an_unknown_one_is_refused() {
    let service = Service::start().await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    let name = "statements/fire/drafts/en".to_owned();
    let draft = |regions, excluded| v1::Draft {
        name: name.clone(),
        content: Some(placed(words("Fire"), regions, excluded)),
        ..Default::default()
    };
    for (regions, excluded, wrong) in [
        ("DE XX", "", "draft.content.region_codes[1]"),
        ("", "ZZ", "draft.content.excluded_region_codes[0]"),
        ("AN", "", "draft.content.region_codes[0]"),
        ("DE-BY", "", "draft.content.region_codes[0]"),
        ("DE 276", "", "draft.content.region_codes[1]"),
        ("", "GB UK", "draft.content.excluded_region_codes[1]"),
    ] {
        let status =
            refused(author.try_save(draft(regions, excluded)).await, Code::InvalidArgument, "INVALID_ARGUMENT");
        assert_eq!(fields(&status), [wrong], "{regions} / {excluded}");
    }
    let saved = author.try_save(draft("276 uk 150 USA", "CQ 010")).await.unwrap().content.unwrap();
    let stored = author
        .editorial
        .get_draft(v1::GetDraftRequest { name: name.clone(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let stored = stored.draft.unwrap().content.unwrap();
    for content in [saved, stored] {
        assert_eq!(content.region_codes, ["DE", "GB", "150", "US"]);
        assert_eq!(content.excluded_region_codes, ["CQ", "AQ"]);
    }
    let wrong = v1::SubscribeRequest { filter: in_regions("DE EZ"), ..from(Start::Now) };
    let status = refused(author.follow(wrong).await.map(drop), Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["filter.region_codes[1]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_resumes_under_other_names_of_the_same_filter() {
    let service = Service::start().await;
    let mut site = service.person("site");
    let filter = |regions: &str, languages: &str| {
        Some(v1::Filter { region_codes: codes(regions), language_codes: codes(languages), ..Default::default() })
    };
    let request = v1::SubscribeRequest { filter: filter("DE GB", "zh-TW no"), ..from(Start::Now) };
    let mut stream = site.follow(request).await.unwrap();
    let Message::Opened(opened) = stream.next().await else { panic!("opened first") };
    let resume = |filter| v1::SubscribeRequest { filter, cursor: opened.cursor.clone(), ..from(Start::Cursor) };
    for same in [filter("UK 276", "nb zh-Hant"), filter("GBR DEU", "zh-Hant-TW nb-NO")] {
        assert!(matches!(site.follow(resume(same)).await.unwrap().next().await, Message::Opened(_)));
    }
    for other in [filter("DE", "zh-TW no"), filter("DE GB", "zh no")] {
        refused(site.follow(resume(other)).await.map(drop), Code::FailedPrecondition, "FILTER_CHANGED");
    }
}

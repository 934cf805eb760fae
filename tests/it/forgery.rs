//! Somebody between the service and its clients alters what is sent, one field at a time: every alteration is refused, by name.
//!
//! The fields come from the proto's own descriptors, so a field that is added without a check is accepted altered, and fails here.

mod alter;
mod between;
mod record;

use std::collections::BTreeSet;

use onrecord::{
    api::v1::{self, ContentView, delivery::FilterChange, event, live},
    client::{self, Breach, FollowError, Follower, Options, Position, Site, Wanted, verify},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _};

use self::{
    alter::{Alteration, Item, alterations, described},
    between::Between,
};
use crate::harness::{Person, Service, chained, publish};

/// What a follower was given, and found right.
#[derive(Clone, Debug, Default)]
struct Seen {
    lives: Vec<v1::Live>,
    embargoes: Vec<v1::Embargo>,
    deliveries: Vec<v1::Delivery>,
}

impl Site for Seen {
    type Error = &'static str;

    fn position(&self) -> Option<Position> {
        None
    }

    async fn replace(&mut self, snapshot: v1::Snapshot, _: Position) -> Result<(), Self::Error> {
        (self.lives, self.embargoes) = (snapshot.live, snapshot.embargoes);
        Ok(())
    }

    async fn apply(&mut self, deliveries: Vec<v1::Delivery>, _: Position) -> Result<(), Self::Error> {
        self.deliveries.extend(deliveries);
        Ok(())
    }

    async fn advance(&mut self, _: Position) -> Result<(), Self::Error> {
        Ok(())
    }
}

async fn follow(between: &Between, begin: client::Begin) -> (Result<(), FollowError<&'static str>>, Seen) {
    let wanted = Wanted::These { filter: v1::Filter::default(), include_embargoed: true };
    let mut options = Options { begin, until_current: true, ..Options::wanting(wanted) };
    options.heartbeat = std::time::Duration::from_secs(1);
    let mut follower = Follower::new(between.channel.clone(), options, Seen::default());
    let ended = follower.run().await;
    (ended, follower.into_site())
}

/// Follows while one thing is altered, and returns the field that was refused.
async fn refused(between: &Between, alteration: &Alteration) -> String {
    between.alter(Some(alteration.clone()));
    let begin = match alteration.item {
        Item::Event(_) => client::Begin::Beginning,
        Item::Live(_) | Item::Embargo(_) => client::Begin::Snapshot,
    };
    let (ended, _) = follow(between, begin).await;
    match ended {
        Err(FollowError::Breach(Breach::Altered { field, .. })) => field,
        other => panic!("{alteration}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_an_event_that_is_altered_on_the_way_is_refused_by_name() {
    let service = record::filled().await;
    let between = Between::to(&service.channel).await;
    let (ended, seen) = follow(&between, client::Begin::Beginning).await;
    ended.unwrap();
    let types: BTreeSet<_> = seen.deliveries.iter().map(|it| it.event.as_ref().unwrap().r#type).collect();
    let all: BTreeSet<_> =
        described("onrecord.v1.Event.Type").values().map(|it| it.number()).filter(|n| *n > 0).collect();
    assert_eq!(types, all, "every type of event is there");
    let (mut set, mut tried) = (BTreeSet::new(), BTreeSet::new());
    for sent in between.sent_events() {
        let Some(prost_reflect::Value::U64(sequence)) =
            sent.get_field_by_name("sequence").map(std::borrow::Cow::into_owned)
        else {
            panic!("an event without a sequence")
        };
        let kind = sent.get_field_by_name("type").and_then(|it| it.as_enum_number()).unwrap();
        let is_left = !sent.has_field_by_name("live") && !sent.has_field_by_name("embargo");
        for alteration in alterations(Item::Event(sequence), &sent, &mut set) {
            // Each once, for each type of event, with its text and without it.
            if !tried.insert((kind, is_left, alteration.what())) {
                continue;
            }
            let field = refused(&between, &alteration).await;
            assert!(field.contains(&alteration.name), "{alteration}: refused for {field}");
        }
    }
    alter::assert_every_field_was_set(&set, &["Event", "Live", "Edition", "Embargo", "Notice", "Correction"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_snapshot_that_is_altered_on_the_way_is_refused_by_name() {
    let service = record::filled().await;
    let between = Between::to(&service.channel).await;
    let (ended, seen) = follow(&between, client::Begin::Snapshot).await;
    ended.unwrap();
    assert!(seen.lives.iter().any(|live| live.state() == live::State::Gone));
    assert!(!seen.embargoes.is_empty());
    let mut set = BTreeSet::new();
    for (item, sent) in between.sent_items() {
        for alteration in alterations(item, &sent, &mut set) {
            let field = refused(&between, &alteration).await;
            assert!(field.contains(&alteration.name), "{alteration}: refused for {field}");
        }
    }
    alter::assert_every_field_was_set(&set, &["Live", "Embargo", "EventSeal"]);
}

/// Alters every field of a message in turn, and has it verified.
fn each_refused<M: prost::Message + Default>(name: &str, sent: &M, verified: impl Fn(&mut M) -> Result<(), Breach>) {
    verified(&mut M::decode(sent.encode_to_vec().as_slice()).unwrap()).expect("it is right as it was sent");
    let sent = DynamicMessage::decode(alter::message(name), sent.encode_to_vec().as_slice()).unwrap();
    for alteration in alterations(Item::Live(0), &sent, &mut BTreeSet::new()) {
        let mut altered = sent.clone();
        alteration.apply(&mut altered);
        let verdict = verified(&mut M::decode(altered.encode_to_vec().as_slice()).unwrap());
        let Err(Breach::Altered { field, .. }) = verdict else { panic!("{name}: {alteration}: {verdict:?}") };
        assert!(field.contains(&alteration.name), "{name}: {alteration}: refused for {field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_an_edition_and_of_what_is_live_is_verified() {
    let service = record::filled().await;
    let mut reader = service.person("reader");
    let content_view = ContentView::Canonical.into();
    // A correction, a reinstatement, a text that is gone and one that was erased.
    for edition in ["fire/editions/de.2", "fire/editions/en.4", "recall/editions/en.1", "leak/editions/en.1"] {
        let request = v1::GetEditionRequest { name: format!("statements/{edition}"), content_view };
        let sent = reader.statements.get_edition(request).await.unwrap().into_inner().edition.unwrap();
        each_refused("onrecord.v1.Edition", &sent, verify::edition);
    }
    for id in ["fire", "recall", "moved", "leak", "sale"] {
        let request = v1::GetStatementRequest { name: format!("statements/{id}"), content_view, ..Default::default() };
        let sent =
            reader.statements.get_statement(request).await.unwrap().into_inner().statement.unwrap().live.unwrap();
        each_refused("onrecord.v1.Live", &sent, verify::live);
    }
    let request = v1::ListStatementsRequest { content_view, ..Default::default() };
    let listed = reader.statements.list_statements(request).await.unwrap().into_inner().live;
    assert!(listed.len() > 4);
    for mut live in listed {
        verify::live(&mut live).unwrap();
    }
    let (names, language_code) = (vec!["statements/fire".to_owned()], String::new());
    let request = v1::BatchGetStatementsRequest { names, language_code, content_view };
    let batch = reader.statements.batch_get_statements(request).await.unwrap().into_inner().statements.remove(0);
    verify::live(&mut batch.live.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_was_made_anew_is_refused_for_every_member_that_an_event_shows() {
    let service = record::filled().await;
    let between = Between::to(&service.channel).await;
    follow(&between, client::Begin::Beginning).await.0.unwrap();
    // What only the chain of hashes covers.
    let of_chain = ["entry", "more", "version"];
    for sent in between.sent_events() {
        let sent = v1::Event::decode(sent.encode_to_vec().as_slice()).unwrap();
        let seal: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&sent.seal).unwrap();
        for member in seal.keys().filter(|member| !of_chain.contains(&member.as_str())) {
            let mut other = seal.clone();
            let (value, was) = (&mut other[member], seal[member].clone());
            *value = match was {
                serde_json::Value::Bool(is) => (!is).into(),
                serde_json::Value::String(text) if text.ends_with('Z') => "2020-01-01T00:00:00Z".into(),
                serde_json::Value::String(text) => format!("{text}1").into(),
                other => panic!("{member} is {other}"),
            };
            let seal = serde_json::to_vec(&other).unwrap();
            let hash = chained(&sent.previous_hash, &seal);
            let filter_change =
                if sent.live.is_some() || sent.embargo.is_some() { FilterChange::Stayed } else { FilterChange::Left };
            let shows_live = sent.live.is_some();
            let mut delivery = v1::Delivery::new(filter_change, v1::Event { seal, hash, ..sent.clone() });
            let verdict = verify::delivery(&mut delivery);
            // Without its state an event has no field that these could be compared with.
            let of_state = [
                "sourceLanguageCode",
                "withdrawTime",
                "kind",
                "state",
                "changeKind",
                "publishTime",
                "firstPublishTime",
                "majorChangeTime",
                "staleSinceEdition",
                "noticeDigest",
                "correctionDigest",
                "changeNoteDigest",
                "embargoEndTime",
            ];
            if shows_live || filter_change == FilterChange::Stayed || !of_state.contains(&member.as_str()) {
                assert!(verdict.is_err(), "event {}: {member}", sent.sequence);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_content_is_read_from_canonical_json() {
    let service = record::filled().await;
    let mut reader = service.person("reader");
    let mut edition = async |view: ContentView| {
        let name = "statements/fire/editions/de.2".to_owned();
        let request = v1::GetEditionRequest { name, content_view: view.into() };
        reader.statements.get_edition(request).await.unwrap().into_inner().edition.unwrap()
    };
    let message = edition(ContentView::Message).await;
    assert!(message.canonical_content.is_empty() && message.event_seal.is_none(), "one form, never both");
    let message = message.content.unwrap();
    let mut canonical = edition(ContentView::Canonical).await;
    assert_eq!(canonical.content, None);
    verify::edition(&mut canonical).unwrap();
    assert_eq!(canonical.content.as_ref(), Some(&message));
    let all =
        DynamicMessage::decode(alter::message("onrecord.v1.Content"), message.encode_to_vec().as_slice()).unwrap();
    let mut set = BTreeSet::new();
    alter::note_set(&all, &mut set);
    let messages = ["Content", "Rendition", "Attachment", "ClaimReview", "Evidence", "Contact", "Correction"];
    alter::assert_every_field_was_set(&set, &messages);
    // Any member of the text that is altered, and one that this client does not know.
    let json: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&canonical.canonical_content).unwrap();
    for field in all.descriptor().fields() {
        let mut other = json.clone();
        other.remove(field.json_name()).expect("it is in the text");
        let mut altered = v1::Edition { content: None, ..canonical.clone() };
        altered.canonical_content = serde_json::to_vec(&other).unwrap().into();
        let Err(Breach::Altered { field: named, .. }) = verify::edition(&mut altered) else {
            panic!("{}", field.name())
        };
        assert_eq!(named, "canonical_content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_service_adds_is_hashed_and_is_no_fault() {
    let service = record::filled().await;
    let between = Between::to(&service.channel).await;
    follow(&between, client::Begin::Beginning).await.0.unwrap();
    let newer = |bytes: &[u8]| {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).unwrap();
        members.insert("zLater".to_owned(), serde_json::json!({"more": [1]}));
        serde_json::to_vec(&members).unwrap()
    };
    let sent = between.sent_events().into_iter().find(|it| it.has_field_by_name("live")).unwrap();
    let mut event = v1::Event::decode(sent.encode_to_vec().as_slice()).unwrap();
    let edition = event.live.as_mut().unwrap().edition.as_mut().unwrap();
    edition.canonical_content = newer(&edition.canonical_content).into();
    let digest = onrecord::domain::digest::Digest::of(&[&edition.canonical_content]).to_string();
    let was = std::mem::replace(&mut edition.content_digest, digest.clone());
    event.content_digest.clone_from(&digest);
    event.seal = newer(String::from_utf8(event.seal).unwrap().replace(&was, &digest).as_bytes());
    event.hash = chained(&event.previous_hash, &event.seal);
    let mut delivery = v1::Delivery::new(FilterChange::Entered, event);
    verify::delivery(&mut delivery).unwrap();
    let content = delivery.event.unwrap().live.unwrap().edition.unwrap().content.unwrap();
    assert_eq!(content.title, "Fire");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_older_than_its_seals_is_verified_as_far_as_they_go() {
    let service = Service::start_on(std::sync::Arc::new(crate::formats::store("storage-1"))).await;
    let between = Between::to(&service.channel).await;
    for begin in [client::Begin::Beginning, client::Begin::Snapshot] {
        follow(&between, begin).await.0.unwrap();
    }
    for (item, sent) in between.sent_items().into_iter().filter(|(_, sent)| sent.has_field_by_name("live")) {
        for alteration in alterations(item, &sent, &mut BTreeSet::new()) {
            // What its seal has no member for.
            let is_covered = ["sequence", "type", "statement", "edition", "content_digest", "canonical_content"];
            if is_covered.contains(&alteration.name.as_str()) {
                let field = refused(&between, &alteration).await;
                assert!(field.contains(&alteration.name), "{alteration}: refused for {field}");
            }
        }
    }
    // It is written on, and each event is verified by its own seal.
    between.alter(None);
    let again = crate::harness::changed("There was none", v1::ChangeKind::Major);
    publish(&service, "data-centre-fire", "en", again).await;
    service.person("publisher").withdraw("data-centre-fire", &[]).await.unwrap();
    for begin in [client::Begin::Beginning, client::Begin::Snapshot] {
        follow(&between, begin).await.0.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_full_of_quotes_and_line_ends_fits_an_event_in_both_forms() {
    const EVENT_BYTES_MAX: usize = 768 * 1024;
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    // In JSON each of these takes two bytes.
    let text = |kib: usize| v1::Content { body: "\"\n".repeat(kib * 512), ..crate::harness::words("Fire") };
    let name = "statements/fire/drafts/en".to_owned();
    let draft = v1::Draft { name: name.clone(), content: Some(text(330)), ..Default::default() };
    let too_long = service.person("author").try_save(draft).await.unwrap_err();
    crate::harness::refused::<()>(Err(too_long.clone()), tonic::Code::InvalidArgument, "INVALID_ARGUMENT");
    let said = tonic_types::StatusExt::get_error_details(&too_long).bad_request().unwrap().field_violations.clone();
    assert_eq!(said[0].field, "draft.content");
    let figures = ["655360", "337984 as a message", "675982 as canonical JSON"];
    assert!(figures.iter().all(|figure| said[0].description.contains(figure)), "{}", said[0].description);
    publish(&service, "fire", "en", text(318)).await;
    let mut site = service.person("site");
    for view in [ContentView::Message, ContentView::Canonical] {
        let start = v1::Start::Beginning.into();
        let request = v1::SubscribeRequest { start, content_view: view.into(), ..Default::default() };
        let mut delivery = site.follow(request).await.unwrap().until(1).await.remove(0);
        assert!(delivery.encoded_len() < EVENT_BYTES_MAX, "{view:?}: {}", delivery.encoded_len());
        let request = v1::ReadFeedRequest { start, content_view: view.into(), ..Default::default() };
        assert_eq!(site.feed.read_feed(request).await.unwrap().into_inner().deliveries[0], delivery);
        if view == ContentView::Canonical {
            verify::delivery(&mut delivery).unwrap();
        }
        let content = delivery.event.unwrap().live.unwrap().edition.unwrap().content.unwrap();
        assert_eq!(content.body, text(318).body);
    }
    let unknown = v1::SubscribeRequest { content_view: 9, ..crate::harness::from(v1::Start::Now) };
    crate::harness::refused(site.follow(unknown).await.map(drop), tonic::Code::InvalidArgument, "INVALID_ARGUMENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_and_a_release_come_in_either_form_and_a_subscriber_may_change_it() {
    let service = record::filled().await;
    let mut editor = service.person("editor");
    for view in [ContentView::Unspecified, ContentView::Message, ContentView::Canonical] {
        let request = v1::GetDraftRequest { name: "statements/open/drafts/en".into(), content_view: view.into() };
        let draft = editor.editorial.get_draft(request).await.unwrap().into_inner().draft.unwrap();
        let request =
            v1::GetReleaseRequest { name: "statements/results/releases/en".into(), content_view: view.into() };
        let release = editor.editorial.get_release(request).await.unwrap().into_inner().release.unwrap();
        for (content, canonical, digest) in [
            (draft.content, draft.canonical_content, draft.content_digest),
            (release.content, release.canonical_content, release.content_digest),
        ] {
            assert_eq!(content.is_none(), view == ContentView::Canonical);
            assert_eq!(canonical.is_empty(), view != ContentView::Canonical);
            let is_its = onrecord::domain::digest::Digest::of(&[&canonical]).to_string() == digest;
            assert_eq!(is_its, view == ContentView::Canonical);
        }
    }
    let mut site: Person = service.person("site");
    let page = v1::ReadFeedRequest { start: v1::Start::Beginning.into(), max_events: 1, ..Default::default() };
    let first = site.feed.read_feed(page).await.unwrap().into_inner();
    let content_view = ContentView::Canonical.into();
    let resumed = v1::SubscribeRequest { content_view, ..crate::harness::at(&first.cursor) };
    let mut next = site.follow(resumed).await.unwrap().deliveries().await.remove(0);
    verify::delivery(&mut next).unwrap();
    assert_eq!(next.event.unwrap().r#type(), event::Type::Published);
}

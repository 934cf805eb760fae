//! Withdrawn, reinstated, stale, and which language is shown.

use onrecord::api::v1::{self, ChangeKind, event, live};
use tonic::Code;

use super::{events, shown, title};
use crate::harness::{Person, Service, approved, changed, publish, refused, words};

#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_before_the_embargo_lifts_tells_only_those_who_hold_it() {
    let service = Service::start().await;
    service.person("author").create("report", "en").await;
    let draft = approved(&service, "report", "en", words("Secret")).await;
    let embargo =
        v1::PublishDraftsRequest { embargo_end_time: service.in_seconds(60), ..Person::publication(&[&draft]) };
    service.person("publisher").publish(embargo).await.unwrap();
    let withdrawn = service.person("publisher").withdraw("report", &[]).await.unwrap();
    assert_eq!(withdrawn.cancelled_releases, ["statements/report/releases/en"]);
    service.advance(61).await;
    let cleared =
        v1::SubscribeRequest { start: v1::Start::Beginning.into(), include_embargoed: true, ..Default::default() };
    let seen = service.person("wire").follow(cleared).await.unwrap().until(2).await;
    let types: Vec<_> = seen.iter().map(|delivery| delivery.event.as_ref().unwrap().r#type()).collect();
    assert_eq!(types, [event::Type::Embargoed, event::Type::EmbargoCancelled]);
    publish(&service, "report", "en", words("Something else")).await;
    let others = service.person("site").follow_all().await.until(3).await;
    assert_eq!(others.len(), 1, "who does not hold it is told nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_again_changes_the_notice_quietly() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    let last = events(&service).await.pop().unwrap();
    assert_eq!(
        (last.r#type(), last.notify, last.channel_action()),
        (event::Type::NoticeChanged, false, event::ChannelAction::Edit)
    );
    assert_eq!(last.live.unwrap().state(), live::State::Withdrawn);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reinstated_text_is_a_new_edition_with_the_same_digest() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let first = publish(&service, "fire", "en", words("First")).await.edition.unwrap();
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    let propose = v1::ReinstateStatementRequest {
        name: "statements/fire".into(),
        reason: "It is true after all.".into(),
        ..Default::default()
    };
    let mut publisher = service.person("publisher");
    let proposal = publisher.editorial.reinstate_statement(propose).await.unwrap().into_inner().proposal.unwrap();
    let second = v1::ReinstateStatementRequest {
        name: "statements/fire".into(),
        proposal_id: proposal.proposal_id,
        ..Default::default()
    };
    let alone = publisher.editorial.reinstate_statement(second.clone()).await;
    refused(alone, Code::PermissionDenied, "SECOND_PERSON_REQUIRED");
    let stands = service.person("other").editorial.reinstate_statement(second).await.unwrap().into_inner();
    let again = stands.live[0].edition.clone().unwrap();
    assert_eq!((again.number, again.change_kind()), (2, ChangeKind::Reinstatement));
    assert_eq!(again.content_digest, first.content_digest);
    let last = service.person("site").follow_all().await.until(3).await.pop().unwrap().event.unwrap();
    assert_eq!(last.r#type(), event::Type::Reinstated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_a_withdrawn_text_is_published_as_reinstated() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    service.person("publisher").withdraw("fire", &[]).await.unwrap();
    publish(&service, "fire", "en", changed("Right", ChangeKind::Correction)).await;
    let again = shown(&service, "fire", "en").await;
    assert_eq!((again.state(), again.notice.as_ref(), title(&again)), (live::State::Published, None, "Right"));
    let last = events(&service).await.pop().unwrap();
    assert_eq!((last.r#type(), last.channel_action()), (event::Type::Reinstated, event::ChannelAction::Reply));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_language_corrected_leaves_the_others_stale_until_they_catch_up() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "de", words("Erstens")).await;
    publish(&service, "fire", "en", changed("First.", ChangeKind::Minor)).await;
    let mut reader = service.person("reader");
    assert_eq!(reader.read("fire", "de").await.unwrap().live.unwrap().stale_since_edition, "");
    publish(&service, "fire", "en", changed("Corrected", ChangeKind::Correction)).await;
    let german = reader.read("fire", "de").await.unwrap().live.unwrap();
    assert_eq!(german.stale_since_edition, "statements/fire/editions/en.3");
    assert_eq!(german.edition.unwrap().content.unwrap().title, "Erstens");
    publish(&service, "fire", "de", changed("Berichtigt", ChangeKind::Correction)).await;
    assert_eq!(reader.read("fire", "de").await.unwrap().live.unwrap().stale_since_edition, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_are_told_once_and_quietly_that_a_translation_is_stale() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "de", words("Erstens")).await;
    publish(&service, "fire", "en", changed("Frist", ChangeKind::Minor)).await;
    assert_eq!(shown(&service, "fire", "de").await.stale_since_edition, "", "MINOR makes nothing stale");
    publish(&service, "fire", "en", changed("Right", ChangeKind::Correction)).await;
    publish(&service, "fire", "en", changed("More", ChangeKind::Major)).await;
    assert_eq!(shown(&service, "fire", "de").await.stale_since_edition, "statements/fire/editions/en.3");
    let seen = events(&service).await;
    let stale: Vec<_> = seen.iter().filter(|event| event.r#type() == event::Type::TranslationStale).collect();
    assert_eq!(stale.len(), 1, "once, until it has caught up");
    assert_eq!((stale[0].language_code.as_str(), stale[0].notify), ("de", false));
    publish(&service, "fire", "de", changed("Richtig", ChangeKind::Correction)).await;
    assert_eq!(shown(&service, "fire", "de").await.stale_since_edition, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_stops_matching_is_told_to_let_go() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let in_region = |region: &str, content: v1::Content| v1::Content { region_codes: vec![region.into()], ..content };
    publish(&service, "fire", "en", in_region("BR", words("First"))).await;
    publish(&service, "fire", "en", in_region("DE", changed("Second", ChangeKind::Correction))).await;
    let filter = |region: &str| v1::SubscribeRequest {
        start: v1::Start::Beginning.into(),
        filter: Some(v1::Filter { region_codes: vec![region.into()], ..Default::default() }),
        ..Default::default()
    };
    let brazil = service.person("site").follow(filter("BR")).await.unwrap().until(2).await;
    let changes: Vec<_> = brazil.iter().map(v1::Delivery::filter_change).collect();
    assert_eq!(changes, [v1::delivery::FilterChange::Entered, v1::delivery::FilterChange::Left]);
    let left = brazil[1].event.clone().unwrap();
    assert!(
        left.live.is_none() && left.correction.is_some(),
        "who held the text learns what was wrong, and gets no new one"
    );
    let germany = service.person("site").follow(filter("DE")).await.unwrap().until(2).await;
    assert_eq!(
        germany.iter().map(v1::Delivery::filter_change).collect::<Vec<_>>(),
        [v1::delivery::FilterChange::Entered]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_translation_shows_its_notice_and_not_the_source() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "fr", words("Premier")).await;
    service.person("publisher").withdraw("fire", &["fr"]).await.unwrap();
    let mut reader = service.person("reader");
    let canadian = reader.read("fire", "fr-CA").await.unwrap();
    let shown = canadian.live.unwrap();
    assert_eq!((canadian.requested_language_code.as_str(), shown.language_code.as_str()), ("fr-CA", "fr"));
    assert_eq!(shown.state(), live::State::Withdrawn);
    assert_eq!(shown.notice.unwrap().text, "It is no longer true.");
    assert_eq!(shown.edition.unwrap().content.unwrap().title, "Premier", "the text stays readable");
    assert_eq!(reader.read("fire", "ja").await.unwrap().live.unwrap().language_code, "en");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_falls_back_to_its_parent_and_then_to_the_source() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    for (published, served) in [("en", "en"), ("fr", "fr"), ("fr-CA", "fr-CA")] {
        publish(&service, "fire", published, words(published)).await;
        let reading = service.person("reader").read("fire", "fr-CA").await.unwrap();
        assert_eq!(reading.requested_language_code, "fr-CA");
        assert_eq!(reading.live.unwrap().language_code, served);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translation_is_stale_by_the_source_edition_that_it_names() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    publish(&service, "fire", "en", changed("Second", ChangeKind::Major)).await;
    let of = |number: u32, content: v1::Content| v1::Content {
        source_edition: format!("statements/fire/editions/en.{number}"),
        ..content
    };
    let late = publish(&service, "fire", "fr", of(1, words("Premier"))).await;
    assert_eq!(late.stale_since_edition, "statements/fire/editions/en.2", "stale from its first edition on");
    publish(&service, "fire", "en", changed("Third", ChangeKind::Correction)).await;
    publish(&service, "fire", "en", changed("Fourth", ChangeKind::Minor)).await;
    let behind = publish(&service, "fire", "fr", of(2, changed("Deuxième", ChangeKind::Major))).await;
    assert_eq!(behind.stale_since_edition, "statements/fire/editions/en.3", "it does not reflect the correction");
    let fresh = publish(&service, "fire", "fr", of(3, changed("Troisième", ChangeKind::Major))).await;
    assert_eq!(fresh.stale_since_edition, "", "a minor edition says nothing else");
}

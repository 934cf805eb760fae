//! The cases that cost others years, each by its name.

use onrecord::api::v1::{self, ChangeKind, event, live, release};
use tonic::Code;

use crate::harness::{Person, Service, approved, changed, publish, refused, words};

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_update_cannot_undo_a_correction() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    publish(&service, "fire", "en", words("First")).await;
    let update = approved(&service, "fire", "en", changed("Update", ChangeKind::Major)).await;
    let later = v1::PublishDraftsRequest { release_time: service.in_seconds(60), ..Person::publication(&[&update]) };
    service.person("publisher").publish(later).await.unwrap();
    publish(&service, "fire", "en", changed("Corrected", ChangeKind::Correction)).await;
    service.advance(61).await;
    let held = service.person("publisher").release("fire", "en").await.unwrap();
    assert_eq!(held.blocked_reason(), release::BlockedReason::BaseSuperseded);
    let reading = service.person("reader").read("fire", "en").await.unwrap();
    assert_eq!(reading.live.unwrap().edition.unwrap().content.unwrap().title, "Corrected");
}

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

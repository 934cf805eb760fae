//! A record in which everything has happened.

use onrecord::api::v1::{self, ChangeKind, RemovalMode, claim_review::Verdict};

use crate::{
    awkward_cases::{expunge, take_down},
    harness::{Person, Service, approved, changed, publish, words},
};

/// Events of every type, and every field of a text.
pub(super) async fn filled() -> Service {
    let service = Service::start().await;
    for id in ["fire", "sale", "recall", "moved", "hidden", "leak", "open", "results", "off", "lifted"] {
        service.person("author").create(id, "en").await;
    }
    life_of_fire(&service).await;
    let sale = v1::Content { expire_time: service.in_seconds(30), ..words("Sale") };
    publish(&service, "sale", "en", sale).await;
    embargoes(&service).await;
    service.advance(31).await;
    service.advance(60).await;
    removals(&service).await;
    service.person("author").save("open", "en", words("Open")).await;
    service
}

/// Published, translated, changed, corrected, withdrawn, the notice changed, reinstated.
async fn life_of_fire(service: &Service) {
    publish(service, "fire", "en", words("Fire")).await;
    let source_edition = "statements/fire/editions/en.1".to_owned();
    publish(service, "fire", "de", v1::Content { source_edition, ..words("Feuer") }).await;
    publish(service, "fire", "en", changed("Fire, again", ChangeKind::Major)).await;
    publish(service, "fire", "de", everything(service)).await;
    publish(service, "fire", "en", changed("Fire: a correction", ChangeKind::Correction)).await;
    service.person("publisher").withdraw("fire", &["en", "de"]).await.unwrap();
    service.person("publisher").withdraw("fire", &["en"]).await.unwrap();
    let propose = v1::ReinstateStatementRequest {
        name: "statements/fire".into(),
        language_codes: vec!["en".into()],
        reason: "It is true after all.".into(),
        ..Default::default()
    };
    let mut publisher = service.person("publisher");
    let proposal = publisher.editorial.reinstate_statement(propose).await.unwrap().into_inner().proposal.unwrap();
    let proposal_id = proposal.proposal_id;
    let second = v1::ReinstateStatementRequest { name: "statements/fire".into(), proposal_id, ..Default::default() };
    service.person("other").editorial.reinstate_statement(second).await.unwrap();
}

/// One waits, one was called off, one is over.
async fn embargoes(service: &Service) {
    for (id, seconds) in [("results", 3_600), ("off", 3_600), ("lifted", 60)] {
        let draft = approved(service, id, "en", words(id)).await;
        let embargo_end_time = service.in_seconds(seconds);
        let embargo = v1::PublishDraftsRequest { embargo_end_time, ..Person::publication(&[&draft]) };
        service.person("publisher").publish(embargo).await.unwrap();
    }
    let release = service.person("publisher").release("off", "en").await.unwrap();
    let cancel = v1::CancelReleaseRequest { name: release.name, etag: release.etag, ..Default::default() };
    service.person("publisher").editorial.cancel_release(cancel).await.unwrap();
}

async fn removals(service: &Service) {
    for id in ["recall", "moved", "hidden", "leak"] {
        publish(service, id, "en", words(id)).await;
    }
    // What is said about an edition is told no more than the edition itself.
    publish(service, "recall", "en", changed("Recall, again", ChangeKind::Correction)).await;
    publish(service, "leak", "en", changed("Leak, again", ChangeKind::Major)).await;
    take_down(service, "recall", RemovalMode::Gone, "").await.unwrap();
    take_down(service, "moved", RemovalMode::Redirect, "statements/fire").await.unwrap();
    take_down(service, "hidden", RemovalMode::Hidden, "").await.unwrap();
    expunge(service, "leak").await.unwrap();
}

/// Every field of a text.
fn everything(service: &Service) -> v1::Content {
    let time = service.in_seconds(86_400);
    let claim = v1::ClaimReview {
        claim: "It burns.".into(),
        claimant: "A paper".into(),
        first_appearance_uri: "https://paper.example/fire".into(),
        first_appearance_time: service.in_seconds(-60),
        verdict: Verdict::Misleading.into(),
        verdict_text: "It did.".into(),
        evidence: vec![v1::Evidence {
            title: "A photograph".into(),
            uri: "https://press.example/photo".into(),
            retrieve_time: service.in_seconds(-30),
        }],
        as_of_time: service.in_seconds(-20),
    };
    let attachment = v1::Attachment {
        title: "Report".into(),
        uri: "https://press.example/report.pdf".into(),
        media_type: "application/pdf".into(),
        size_bytes: 9_007_199_254_740_993,
        sha256: "ab".repeat(32),
    };
    let contact = v1::Contact {
        name: "Press office".into(),
        email: "press@example.org".into(),
        phone: "+1 555 0100".into(),
        uri: "https://press.example".into(),
    };
    v1::Content {
        summary: "It is out. \u{1f525} \"quoted\"\n".into(),
        body_media_type: "text/plain".into(),
        renditions: vec![v1::Rendition { channel: "push".into(), text: "It is out.".into() }],
        attachments: vec![attachment],
        topics: vec!["energy".into()],
        region_codes: vec!["DE".into()],
        excluded_region_codes: vec!["FR".into()],
        audiences: vec!["public".into()],
        channels: vec!["web".into()],
        urgency: 1,
        claim_reviews: vec![claim],
        contacts: vec![contact],
        change_note: "The number was wrong.".into(),
        correction: Some(v1::Correction {
            text: "It was two.".into(),
            corrected_edition: "statements/fire/editions/de.1".into(),
            renditions: vec![v1::Rendition { channel: "social.short".into(), text: "Two, not three.".into() }],
        }),
        expire_time: time,
        review_due_time: time,
        source_edition: "statements/fire/editions/en.2".into(),
        as_of_time: service.in_seconds(-10),
        original_time: service.in_seconds(-90),
        ..changed("Feuer: eine Korrektur", ChangeKind::Correction)
    }
}

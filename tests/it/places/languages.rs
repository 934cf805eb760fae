//! Languages: aliases and equal tags find what there is, and a statement has no two that are equal.

use std::collections::BTreeMap;

use onrecord::{
    api::v1::{self, Start, live},
    domain::{
        answer::Answer,
        command::{Call, Command, PublishDrafts, SaveDraft, Step, When},
        content::Content,
        id::{Caller, Code as Kind, LanguageTag, StatementId},
        rejection::etag,
    },
};
use tonic::Code;

use super::{codes, in_regions, sent};
use crate::harness::{Person, Service, fields, from, publish, refused, words};

fn in_languages(languages: &str) -> Option<v1::Filter> {
    Some(v1::Filter { language_codes: codes(languages), ..Default::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_is_stored_in_canonical_form_and_found_by_its_aliases() {
    let service = Service::start().await;
    let mut author = service.person("author");
    assert_eq!(author.create("fire", "iw").await.source_language_code, "he");
    let draft = author.save("fire", "iw", words("Fire")).await;
    assert_eq!(draft.name, "statements/fire/drafts/he");
    for name in ["he", "iw", "he-IL", "HE-hebr"] {
        let name = format!("statements/fire/drafts/{name}");
        let found = author
            .editorial
            .get_draft(v1::GetDraftRequest { name, ..Default::default() })
            .await
            .unwrap()
            .into_inner()
            .draft
            .unwrap();
        assert_eq!(found, draft);
    }
    let alias = |draft: &v1::Draft| v1::Draft { name: "statements/fire/drafts/iw".to_owned(), ..draft.clone() };
    let draft = author.submit(&alias(&draft)).await.unwrap();
    let draft = service.person("reviewer").approve(&alias(&draft)).await.unwrap();
    let published = service.person("publisher").publish(Person::publication(&[&alias(&draft)])).await.unwrap();
    assert_eq!(published.live[0].language_code, "he");
    for name in ["he.1", "iw.1", "he-IL.live"] {
        let name = format!("statements/fire/editions/{name}");
        let request = v1::GetEditionRequest { name, ..Default::default() };
        let edition = author.statements.get_edition(request).await.unwrap().into_inner().edition.unwrap();
        assert_eq!(edition.name, "statements/fire/editions/he.1");
    }
    let request = v1::ListEditionsRequest {
        parent: "statements/fire".to_owned(),
        language_code: "iw".to_owned(),
        ..Default::default()
    };
    assert_eq!(author.statements.list_editions(request).await.unwrap().into_inner().editions.len(), 1);
    let request = v1::DiffEditionsRequest {
        from_edition: "statements/fire/editions/iw.1".to_owned(),
        to_edition: "statements/fire/editions/he-IL.1".to_owned(),
    };
    assert_eq!(author.statements.diff_editions(request).await.unwrap().into_inner().differences, []);
    let request =
        v1::ListDeliveriesRequest { parent: "statements/fire/editions/iw.1".to_owned(), ..Default::default() };
    author.feed.list_deliveries(request).await.unwrap();
    let withdrawn = service.person("publisher").withdraw("fire", &["iw"]).await.unwrap();
    assert_eq!((withdrawn.live[0].language_code.as_str(), withdrawn.live[0].state()), ("he", live::State::Withdrawn));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_no_two_equal_languages() {
    let service = Service::start().await;
    let mut author = service.person("author");
    author.create("fire", "sr").await;
    let wrong = |language: &str| v1::Draft {
        name: format!("statements/fire/drafts/{language}"),
        content: Some(words("Fire")),
        ..Default::default()
    };
    let status = refused(author.try_save(wrong("sr-Cyrl")).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["draft.name"], "{status:?}");
    for language in ["sr", "no", "zh-TW", "en"] {
        author.save("fire", language, words("Fire")).await;
    }
    for equal in ["sr-Cyrl", "sr-RS", "nb", "nb-NO", "zh-Hant", "zh-Hant-TW", "en-US", "en-Latn"] {
        refused(author.try_save(wrong(equal)).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    }
    for other in ["sr-Latn", "nn", "zh", "en-GB"] {
        author.save("fire", other, words("Fire")).await;
    }
    let parent = "statements/fire".to_owned();
    let drafts = author.editorial.list_drafts(v1::ListDraftsRequest { parent, ..Default::default() }).await.unwrap();
    let names: Vec<_> = drafts.into_inner().drafts.into_iter().map(|draft| draft.name).collect();
    let tags = ["en", "en-GB", "nn", "no", "sr", "sr-Latn", "zh", "zh-TW"];
    assert_eq!(names, tags.map(|tag| format!("statements/fire/drafts/{tag}")));
    let twice = ["en", "en-US"].map(|tag| v1::DraftToPublish { language_code: tag.to_owned(), etag: "1".to_owned() });
    let request =
        v1::PublishDraftsRequest { parent: "statements/fire".to_owned(), drafts: twice.to_vec(), ..Default::default() };
    let status = refused(author.publish(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["drafts[1].language_code"]);
    let status = refused(author.withdraw("fire", &["no", "nb"]).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["language_codes[1]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_served_the_nearest_language_and_told_which() {
    let service = Service::start().await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    for language in ["en", "zh", "sr", "no", "es-419", "fr"] {
        publish(&service, "fire", language, words(language)).await;
    }
    let mut reader = service.person("reader");
    for (asked, named, served) in [
        ("", "", "en"),
        ("fr-CA", "fr-CA", "fr"),
        ("zh-TW", "zh-TW", "en"),
        ("zh-hans", "zh-Hans", "zh"),
        ("cmn", "zh", "zh"),
        ("sr-Cyrl-RS", "sr-Cyrl-RS", "sr"),
        ("sh", "sr-Latn", "en"),
        ("nb", "nb", "no"),
        ("nn", "nn", "no"),
        ("no-bok", "nb", "no"),
        ("es-MX", "es-MX", "es-419"),
        ("en-AU", "en-AU", "en"),
        ("i-klingon", "tlh", "en"),
    ] {
        let reading = reader.read("fire", asked).await.unwrap();
        let language = reading.live.unwrap().language_code;
        assert_eq!((reading.requested_language_code.as_str(), language.as_str()), (named, served), "{asked}");
    }
    for wrong in ["und", "x-private", "en_GB", "i-enochian"] {
        let status = refused(reader.read("fire", wrong).await, Code::InvalidArgument, "INVALID_ARGUMENT");
        assert_eq!(fields(&status), ["language_code"], "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_admits_equal_languages() {
    let service = Service::start().await;
    let mut site = service.person("site");
    let sites = [
        ("nb", "t-no"),
        ("no", "t-no"),
        ("nn", ""),
        ("zh-Hant", "t-zh-TW"),
        ("zh", ""),
        ("sr-Cyrl", "t-sr"),
        ("sh", ""),
        ("iw", "t-he"),
        ("en-US", "t-en"),
        ("en-GB", ""),
        ("cmn fil", "t-tl"),
    ];
    let mut streams = Vec::new();
    for (wanted, due) in sites {
        let mut filter = in_languages(wanted).unwrap();
        filter.language_codes.push("eo".to_owned());
        let request = v1::SubscribeRequest { filter: Some(filter), ..from(Start::Now) };
        streams.push((wanted, due, site.follow(request).await.unwrap()));
    }
    for language in ["no", "zh-TW", "sr", "he", "en", "tl", "eo"] {
        let id = format!("t-{language}").to_lowercase();
        service.person("author").create(&id, language).await;
        publish(&service, &id, language, words(&id)).await;
    }
    for (wanted, due, mut stream) in streams {
        let due: Vec<_> = due.split_whitespace().map(str::to_lowercase).collect();
        assert_eq!(sent(&mut stream, "t-eo").await, due, "{wanted}");
    }
    let request = v1::SubscribeRequest { filter: in_languages("en en-US"), ..from(Start::Now) };
    let status = refused(site.follow(request).await.map(drop), Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(fields(&status), ["filter.language_codes[1]"]);
}

/// Takes a step with tags and codes as they were stored before they were made canonical.
async fn take(service: &Service, step: Step) -> Answer {
    let command = Command { statement: StatementId::parse("old").unwrap(), step };
    let call = Call { caller: Caller::parse("anna").unwrap(), ..Call::of_service(command) };
    service.journal.submit(call).await.unwrap().answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_store_has_is_read_as_it_is_and_met_by_what_is_canonical_now() {
    let service = Service::start().await;
    let hebrew = || LanguageTag::stored("iw").unwrap();
    take(
        &service,
        Step::CreateStatement {
            kind: Kind::parse("notice").unwrap(),
            source_language: hebrew(),
            owner: String::new(),
            annotations: BTreeMap::new(),
        },
    )
    .await;
    let content = Content::from_canonical(
        br#"{"bodyMediaType":"text/plain","excludedRegionCodes":["XX"],"languageCode":"iw","regionCodes":["276"],"salt":"AAAAAAAAAAAAAAAAAAAAAA==","statement":"statements/old","title":"Old"}"#,
    );
    let save = SaveDraft { content: content.unwrap(), etag: String::new(), base: None, faults: Vec::new() };
    let Answer::Draft(_, draft) = take(&service, Step::SaveDraft(Box::new(save))).await else { panic!("a draft") };
    take(
        &service,
        Step::PublishDrafts(PublishDrafts {
            drafts: vec![(hebrew(), etag(draft.version))],
            when: When::Now,
            lateness_seconds_max: 60,
            force: Some("A test.".to_owned()),
        }),
    )
    .await;
    let service = service.stop().await.start(0).await;
    let mut reader = service.person("reader");
    for asked in ["he", "iw", "he-IL"] {
        let live = reader.read("old", asked).await.unwrap().live.unwrap();
        let edition = live.edition.unwrap();
        assert_eq!((live.language_code.as_str(), edition.name.as_str()), ("iw", "statements/old/editions/iw.1"));
        assert_eq!(edition.content.unwrap().region_codes, ["276"]);
        let name = format!("statements/old/editions/{asked}.1");
        reader.statements.get_edition(v1::GetEditionRequest { name, ..Default::default() }).await.unwrap();
    }
    service.person("author").create("last", "he").await;
    publish(&service, "last", "he", words("For everybody")).await;
    for (filter, due) in [
        (in_languages("he"), true),
        (in_languages("iw"), true),
        (in_regions("DE"), true),
        (in_regions("150"), true),
        (in_regions("FR"), false),
    ] {
        let request = v1::SubscribeRequest { filter, ..from(Start::Beginning) };
        let found = sent(&mut reader.follow(request).await.unwrap(), "last").await;
        assert_eq!(!found.is_empty(), due, "{found:?}");
    }
    let mut author = service.person("author");
    let draft = v1::Draft {
        name: "statements/old/drafts/he".to_owned(),
        content: Some(v1::Content {
            change_kind: v1::ChangeKind::Correction.into(),
            correction: Some(v1::Correction {
                text: "It was wrong.".to_owned(),
                corrected_edition: "statements/old/editions/he.1".to_owned(),
                ..Default::default()
            }),
            ..words("New")
        }),
        ..Default::default()
    };
    let saved = author.try_save(draft).await.unwrap();
    assert_eq!(saved.name, "statements/old/drafts/iw");
    let content = saved.content.unwrap();
    assert_eq!(content.correction.unwrap().corrected_edition, "statements/old/editions/iw.1");
    let withdrawn = service.person("publisher").withdraw("old", &["he"]).await.unwrap();
    assert_eq!(withdrawn.live[0].language_code, "iw");
}

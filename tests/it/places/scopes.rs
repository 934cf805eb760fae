//! What a policy's regions and languages let a caller write, see and be sent.

use onrecord::{
    access::Role,
    api::v1::{self, Start},
};
use tonic::Code;

use super::{codes, placed, sent};
use crate::{
    access::{Policy, holder},
    harness::{Person, from, refused, words},
};

/// A caller with one role, limited by a line.
fn limited(policy: &mut Policy, name: &str, role: &str, limit: &str) -> String {
    policy.grant(name, &format!("roles = [\"{role}\"]\n{limit}"));
    policy.token(name, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_for_a_grouping_writes_for_what_it_contains() {
    let mut policy = Policy::new();
    let anywhere = policy.role(Role::Author);
    let europe = limited(&mut policy, "europe", "author", "regions = [\"150\"]");
    let germany = limited(&mut policy, "germany", "author", "regions = [\"276\"]");
    let (service, _access) = policy.serve().await;
    let (mut europe, mut germany) = (holder(&service, &europe), holder(&service, &germany));
    // regions and excluded regions of a text; whether either may write it
    for (number, (regions, excluded, by_europe, by_germany)) in [
        ("DE", "", true, true),
        ("276", "", true, true),
        ("155", "", true, false),
        ("150", "", true, false),
        ("GB FR", "", true, false),
        ("EU", "", false, false),
        ("EU", "CY", true, false),
        ("001", "", false, false),
        ("", "", false, false),
        ("150", "DE", true, false),
        ("155", "AT BE CH FR LI LU MC NL", true, true),
        ("DE BR", "", false, false),
        ("DE BR", "419", true, true),
        ("DE", "DE", false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("t{number}");
        holder(&service, &anywhere).create(&id, "en").await;
        let draft = |language: &str| v1::Draft {
            name: format!("statements/{id}/drafts/{language}"),
            content: Some(placed(words("A text"), regions, excluded)),
            ..Default::default()
        };
        for (person, language, may) in [(&mut europe, "en", by_europe), (&mut germany, "de", by_germany)] {
            let saved = person.try_save(draft(language)).await;
            assert_eq!(saved.is_ok(), may, "{regions} / {excluded}: {saved:?}");
            if may {
                // What somebody may write, it may read.
                let name = draft(language).name;
                person.editorial.get_draft(v1::GetDraftRequest { name, ..Default::default() }).await.unwrap();
            } else {
                refused(saved, Code::PermissionDenied, "OUT_OF_SCOPE");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_in_a_language_writes_in_its_equals() {
    let mut policy = Policy::new();
    let anywhere = policy.role(Role::Author);
    let limited = limited(&mut policy, "limited", "author", "languages = [\"nb\", \"iw\", \"zh-TW\"]");
    let (service, _access) = policy.serve().await;
    let mut limited = holder(&service, &limited);
    holder(&service, &anywhere).create("fire", "en").await;
    for (language, may) in
        [("no", true), ("he", true), ("zh-Hant", true), ("nn", false), ("zh", false), ("en", false), ("zh-HK", false)]
    {
        let name = format!("statements/fire/drafts/{language}");
        let saved = limited.try_save(v1::Draft { name, content: Some(words("A text")), ..Default::default() }).await;
        assert_eq!(saved.is_ok(), may, "{language}: {saved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_sent_what_applies_in_its_scope() {
    let mut policy = Policy::new();
    let desk = [Role::Author, Role::Reviewer, Role::Publisher].map(|role| policy.role(role));
    let scopes = [
        ("\"DE\"", "t0 t1 t2 t6 t8"),
        ("\"276\", \"UK\"", "t0 t1 t2 t3 t5 t6 t8"),
        ("\"150\"", "t0 t1 t2 t3 t5 t6 t8"),
        ("\"419\"", "t2 t4 t5 t6"),
        ("\"001\"", "t0 t1 t2 t3 t4 t5 t6 t8"),
    ];
    let tokens: Vec<_> = (0..)
        .zip(scopes)
        .map(|(at, (regions, _))| {
            limited(&mut policy, &format!("site-{at}"), "subscriber", &format!("regions = [{regions}]"))
        })
        .collect();
    let (service, _access) = policy.serve().await;
    let mut streams = Vec::new();
    for token in &tokens {
        streams.push(holder(&service, token).follow(from(Start::Now)).await.unwrap());
    }
    let [author, reviewer, publisher] = desk.map(|token| holder(&service, &token));
    for (number, (regions, excluded)) in [
        ("DE", ""),
        ("EU", ""),
        ("001", ""),
        ("GB", ""),
        ("", "150"),
        ("", "DE"),
        ("", "FR"),
        ("DE", "150"),
        ("155", "FR"),
        ("", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let id = if number == 9 { "last".to_owned() } else { format!("t{number}") };
        let (mut author, mut reviewer) = (author.clone(), reviewer.clone());
        author.create(&id, "en").await;
        let draft = author.save(&id, "en", placed(words(&id), regions, excluded)).await;
        let draft = author.submit(&draft).await.unwrap();
        let draft = reviewer.approve(&draft).await.unwrap();
        publisher.clone().publish(Person::publication(&[&draft])).await.unwrap();
    }
    for (((scope, due), stream), token) in scopes.iter().zip(&mut streams).zip(&tokens) {
        assert_eq!(sent(stream, "last").await, codes(due), "live, {scope}");
        let mut replayed = holder(&service, token).follow(from(Start::Beginning)).await.unwrap();
        assert_eq!(sent(&mut replayed, "last").await, codes(due), "replayed, {scope}");
        // A filter says what the site shows as one, whatever its scope.
        let filter = super::in_regions("150");
        let request = v1::SubscribeRequest { filter, ..from(Start::Beginning) };
        let shown = sent(&mut holder(&service, token).follow(request).await.unwrap(), "last").await;
        assert!(!shown.iter().any(|id| ["t4", "t5", "t6", "t7", "t8"].contains(&id.as_str())), "{scope}: {shown:?}");
    }
}

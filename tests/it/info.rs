//! What the service says of itself and of its caller.

use onrecord::api::v1::{self, info_service_client::InfoServiceClient};
use tonic::Request;

use crate::{
    access::Policy,
    harness::{Service, refused},
};

fn bearer<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_its_version_formats_and_effective_limits() {
    let service = Service::start_with(|config| config.limits.lower("title", 120).unwrap()).await;
    let mut request = Request::new(v1::GetServiceInfoRequest {});
    request.metadata_mut().insert("onrecord-caller", "site".parse().unwrap());
    let info = InfoServiceClient::new(service.channel.clone()).get_service_info(request).await.unwrap();
    let info = info.into_inner().info.unwrap();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert!(info.commit.is_empty() || info.commit.len() == 40, "{}", info.commit);
    assert_eq!((info.feed_id.len(), info.storage_format), (32, onrecord::journal::STORAGE_FORMAT));
    let texts = info.text_limits.unwrap();
    assert_eq!((texts.title_graphemes, texts.body_bytes, texts.content_bytes), (120, 524_288, 655_360));
    assert_eq!(texts.rendition_graphemes["push"], 178);
    let requests = info.request_limits.unwrap();
    assert_eq!((requests.editorial_bytes, requests.bytes, requests.fields), (4 << 20, 256 << 10, 16_384));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_learns_its_grants_and_limits() {
    let mut policy = Policy::new();
    policy.grant("paris", "roles = [\"subscriber\"]\ntopics = [\"energy\"]\nsubscriptions = [\"paris\"]");
    policy.grant("paris", "roles = [\"auditor\", \"author\"]\nlanguages = [\"fr\"]");
    let token = policy.token("paris", "");
    let (service, _access) = policy.serve().await;
    let mut client = InfoServiceClient::new(service.channel.clone());
    let me = client.who_am_i(bearer(v1::WhoAmIRequest {}, &token)).await.unwrap().into_inner();
    assert_eq!((me.caller.as_str(), me.expire_time), ("paris", None));
    assert!(me.credential.starts_with("token "), "{}", me.credential);
    let [follows, writes] = me.grants.as_slice() else { panic!("{:?}", me.grants) };
    assert_eq!(
        (&*follows.roles, &*follows.subscriptions),
        (&["subscriber".to_owned()][..], &["subscriptions/paris".to_owned()][..])
    );
    assert_eq!(follows.scope.as_ref().unwrap().topics, ["energy"]);
    assert_eq!(writes.roles, ["author", "auditor"]);
    assert_eq!(writes.scope.as_ref().unwrap().language_codes, ["fr"]);
    assert_eq!(me.limits.unwrap().calls_in_flight, 200);
    let unknown = client.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_name_is_believed_may_do_everything() {
    let service = Service::start().await;
    let mut request = Request::new(v1::WhoAmIRequest {});
    request.metadata_mut().insert("onrecord-caller", "anna".parse().unwrap());
    let me = InfoServiceClient::new(service.channel.clone()).who_am_i(request).await.unwrap().into_inner();
    assert_eq!((me.caller.as_str(), me.credential.as_str(), me.limits), ("anna", "word", None));
    assert_eq!((me.grants[0].roles.len(), &me.grants[0].scope, me.grants[0].embargoed), (7, &None, true));
    let unnamed = InfoServiceClient::new(service.channel.clone()).who_am_i(v1::WhoAmIRequest {}).await;
    refused(unnamed, tonic::Code::Unauthenticated, "CALLER_MISSING");
}

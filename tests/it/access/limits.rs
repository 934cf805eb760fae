//! How much one caller may take, and that the others do not feel it.

use http::uri::PathAndQuery;
use onrecord::api::v1::{self, Start};
use tonic::{Code, Request, client::Grpc, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use super::{Policy, holder};
use crate::harness::{Person, from, refused};

async fn list(person: &mut Person) -> Result<(), tonic::Status> {
    person.statements.list_statements(v1::ListStatementsRequest::default()).await.map(drop)
}

/// The limit that a refusal names, which says when to try again.
fn limit(status: &tonic::Status) -> String {
    assert!(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{status:?}");
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    status.get_details_error_info().unwrap().metadata.remove("limit").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_takes_too_much_is_told_which_limit_it_met() {
    let mut policy = Policy::new();
    policy.line("[limits]\ncalls_per_second = 1\ncalls_burst = 6\nstreams = 2");
    policy.grant("greedy", "roles = [\"subscriber\"]").grant("modest", "roles = [\"subscriber\"]");
    let (greedy, modest) = (policy.token("greedy", ""), policy.token("modest", ""));
    let (service, _access) = policy.serve().await;
    let (mut greedy, mut modest) = (holder(&service, &greedy), holder(&service, &modest));
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(greedy.follow(from(Start::Now)).await.unwrap());
    }
    let too_many = greedy.follow(from(Start::Now)).await.map(drop);
    assert_eq!(limit(&refused(too_many, Code::ResourceExhausted, "CALLER_LIMIT")), "STREAMS");
    let too_fast = loop {
        if let Err(refusal) = list(&mut greedy).await {
            break refusal;
        }
    };
    assert_eq!(limit(&refused(Err::<(), _>(too_fast), Code::ResourceExhausted, "CALLER_LIMIT")), "CALLS_PER_SECOND");
    modest.follow(from(Start::Now)).await.unwrap();
    list(&mut modest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_the_state_too_often_is_told_and_may_follow_on() {
    let mut policy = Policy::new();
    policy.line("[limits]\nsnapshots_per_minute = 2");
    policy.grant("site", "roles = [\"subscriber\"]");
    let token = policy.token("site", "");
    let (service, _access) = policy.serve().await;
    let mut site = holder(&service, &token);
    for _ in 0..2 {
        site.follow(from(Start::Snapshot)).await.unwrap();
    }
    let too_many = site.follow(from(Start::Snapshot)).await.map(drop);
    assert_eq!(limit(&refused(too_many, Code::ResourceExhausted, "CALLER_LIMIT")), "SNAPSHOTS_PER_MINUTE");
    site.follow(from(Start::Now)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_callers_together_have_a_limit() {
    let mut policy = Policy::new();
    policy.line("[limits.total]\ncalls_per_second = 1");
    policy.grant("anna", "roles = [\"subscriber\"]").grant("bea", "roles = [\"subscriber\"]");
    let (anna, bea) = (policy.token("anna", ""), policy.token("bea", ""));
    let (service, _access) = policy.serve().await;
    let (mut anna, mut bea) = (holder(&service, &anna), holder(&service, &bea));
    let refusal = loop {
        if let Err(refusal) = list(&mut anna).await.and(list(&mut bea).await) {
            break refusal;
        }
    };
    assert_eq!(limit(&refused(Err::<(), _>(refusal), Code::ResourceExhausted, "SERVICE_LIMIT")), "CALLS_PER_SECOND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ended_leaves_its_place() {
    let mut policy = Policy::new();
    policy.line("[limits]\nstreams = 1");
    policy.grant("site", "roles = [\"subscriber\"]");
    let token = policy.token("site", "");
    let (service, _access) = policy.serve().await;
    let mut site = holder(&service, &token);
    drop(site.follow(from(Start::Now)).await.unwrap());
    // The service has to hear of it first.
    while site.follow(from(Start::Now)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_our_health_takes_little() {
    let (service, _access) = Policy::new().serve().await;
    let connect = || Endpoint::from_shared(format!("http://{}", service.address)).unwrap().connect_lazy();
    let mut stranger = HealthClient::new(connect());
    let mut watching = Vec::new();
    for _ in 0..8 {
        watching.push(stranger.watch(HealthCheckRequest::default()).await.unwrap());
    }
    let refusal = stranger.watch(HealthCheckRequest::default()).await.map(drop);
    let refusal = refused(refusal, Code::ResourceExhausted, "CALLER_LIMIT");
    assert_eq!(limit(&refusal), "HEALTH_WATCHES");
    HealthClient::new(connect()).watch(HealthCheckRequest::default()).await.unwrap();
    watching.pop();
    // The service has to hear of it first.
    while stranger.watch(HealthCheckRequest::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_after_our_health_and_never_ends_takes_little() {
    let (service, _access) = Policy::new().serve().await;
    let connect = || Endpoint::from_shared(format!("http://{}", service.address)).unwrap().connect_lazy();
    let channel = connect();
    let mut stranger = HealthClient::new(channel.clone());
    let long = HealthCheckRequest { service: "x".repeat(2_000) };
    refused(stranger.check(long).await, Code::ResourceExhausted, "MESSAGE_TOO_LONG");
    // Calls whose message never comes.
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let mut client = Grpc::new(channel.clone());
            tokio::spawn(async move {
                // Until it has its place.
                loop {
                    client.ready().await.unwrap();
                    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
                    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
                    let never = tokio_stream::pending::<HealthCheckRequest>();
                    drop(client.client_streaming(Request::new(never), path, codec).await);
                }
            })
        })
        .collect();
    let refusal = loop {
        match stranger.check(HealthCheckRequest::default()).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(refusal) => break refused(Err::<(), _>(refusal), Code::ResourceExhausted, "CALLER_LIMIT"),
        }
    };
    assert_eq!(limit(&refusal), "HEALTH_CALLS_IN_FLIGHT");
    HealthClient::new(connect()).check(HealthCheckRequest::default()).await.unwrap();
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    while stranger.check(HealthCheckRequest::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

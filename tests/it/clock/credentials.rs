//! Ends of credentials, by both clocks: the first that says so ends them.

use onrecord::{access::Role, api::v1::closing::Reason};
use tonic::Code;

use crate::{
    access::{Policy, holder, revocation::closing},
    harness::{Service, from, refused},
};

use super::v1::{self, BackupRequest, Start};

/// A service, and the token of a site that ends ten minutes after the beginning.
async fn service() -> (Service, String) {
    let mut policy = Policy::new();
    policy.grant("site", "roles = [\"subscriber\", \"operator\"]");
    let token = policy.token("site", "expires = 2026-01-01T00:10:00Z");
    policy.role(Role::Author);
    (policy.serve().await.0, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_though_its_timers_stood_still() {
    // Suspended for an hour; 20 minutes and a day ahead. The timers of the process say in each case that ten minutes are left.
    for (advance, jump) in [(3_600, 0), (0, 1_200), (0, 86_400)] {
        let (service, token) = service().await;
        let stream = holder(&service, &token).follow(from(Start::Now)).await.unwrap();
        let mut copy = holder(&service, &token)
            .backups
            .backup(BackupRequest { follow: true, ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        service.clock.advance(advance);
        service.jump(jump).await;
        assert_eq!(closing(stream).await, Reason::AccessRevoked, "{advance} {jump:+}");
        let ended = loop {
            if let Err(status) = copy.message().await {
                break status;
            }
        };
        refused(Err::<(), _>(ended), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
        let again = holder(&service, &token).follow(from(Start::Now)).await;
        refused(again.map(drop), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_does_not_live_again_when_the_clock_is_set_back() {
    let (service, token) = service().await;
    service.advance(601).await;
    service.jump(-3_600).await;
    let again = holder(&service, &token).follow(from(Start::Now)).await;
    refused(again.map(drop), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_good_stays_so_when_the_clock_is_set_back() {
    let (service, token) = service().await;
    let mut site = holder(&service, &token);
    let mut stream = crate::access::revocation::follow(&mut site).await;
    service.jump(-3_600).await;
    let v1::subscribe_response::Message::Heartbeat(_) = stream.next().await else { panic!("it goes on") };
    site.follow(from(Start::Now)).await.unwrap();
}

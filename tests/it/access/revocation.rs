//! What ends a live stream: a policy that says otherwise, and the end of a token.

use std::{fs, process::Stdio, time::Duration};

use onrecord::{
    access::Role,
    api::v1::{BackupRequest, Start, SubscribeRequest, closing::Reason, subscribe_response::Message},
    client::{Credentials, FollowError, Follower, Options, channel},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, BufReader, Lines},
    process::Command,
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use super::{Policy, holder, provider::Provider};
use crate::{
    harness::{Person, Stream, at, from, refused},
    regressions::Shelf,
};

/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Streams that are open when the right to them goes.
const STREAMS: usize = 100;

/// A stream that is open, with a heartbeat every second.
pub(crate) async fn follow(site: &mut Person) -> Stream {
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let mut stream = site.follow(SubscribeRequest { heartbeat_interval, ..from(Start::Now) }).await.unwrap();
    let Message::Opened(_) = stream.next().await else { panic!("it opens") };
    stream
}

/// Why a stream ends.
pub(crate) async fn closing(mut stream: Stream) -> Reason {
    let closes = async {
        loop {
            if let Message::Closing(closing) = stream.next().await {
                return closing.reason();
            }
        }
    };
    timeout(PATIENCE, closes).await.expect("it closes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_a_hundred_streams_and_leaves_the_others() {
    let mut policy = Policy::new();
    let kept = policy.role(Role::Subscriber);
    let before = policy.clone();
    policy.grant("site", "roles = [\"subscriber\"]");
    let revoked = policy.token("site", "");
    let (service, access) = policy.serve().await;
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        // Long before the next heartbeat: a quiet stream is told at once.
        let heartbeat_interval = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let request = SubscribeRequest { heartbeat_interval, ..from(Start::Now) };
        streams.spawn(closing(holder(&service, &revoked).follow(request).await.unwrap()));
    }
    let mut other = follow(&mut holder(&service, &kept)).await;
    before.write();
    access.reload().unwrap();
    assert!(streams.join_all().await.iter().all(|reason| *reason == Reason::AccessRevoked));
    let again = holder(&service, &revoked).follow(from(Start::Now)).await;
    refused(again.map(drop), Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
    let Message::Heartbeat(_) = other.next().await else { panic!("the other goes on") };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_grant_ends_the_stream_and_its_cursor() {
    let mut policy = Policy::new();
    let mut narrow = policy.clone();
    policy.grant("site", "roles = [\"subscriber\"]");
    let token = policy.token("site", "");
    narrow.grant("site", "roles = [\"subscriber\"]\naudiences = [\"press\"]");
    narrow.known("site", &token);
    let (service, access) = policy.serve().await;
    let mut site = holder(&service, &token);
    let mut stream = site.follow_all().await;
    let Message::Opened(opened) = stream.next().await else { panic!("it opens") };
    narrow.write();
    access.reload().unwrap();
    assert_eq!(closing(stream).await, Reason::AccessRevoked);
    // What it holds may be more than it may have now: it has to begin anew.
    refused(site.follow(at(&opened.cursor)).await.map(drop), Code::FailedPrecondition, "FILTER_CHANGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_ends_its_stream() {
    let mut policy = Policy::new();
    policy.grant("site", "roles = [\"subscriber\"]");
    // The clock of the service stands at the beginning of that year.
    let token = policy.token("site", "expires = 2026-01-01T00:00:01Z");
    let (service, _access) = policy.serve().await;
    let stream = holder(&service, &token).follow_all().await;
    assert_eq!(closing(stream).await, Reason::AccessRevoked);
    service.advance(1).await;
    let again = holder(&service, &token).follow(from(Start::Now)).await;
    refused(again.map(drop), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_token_is_changed_for_a_new_one_in_time_goes_on() {
    let mut policy = Policy::new();
    policy.grant("site", "roles = [\"subscriber\"]");
    let before = policy.token("site", "expires = 2026-01-01T00:00:01Z");
    let without = policy.clone();
    let after = policy.token("site", "");
    let (service, access) = policy.serve().await;
    let file = policy.directory().join("token");
    fs::write(&file, before).unwrap();
    let options = Options { credentials: Credentials::token_file(&file).unwrap(), ..Options::all() };
    let (channel, site) = (channel(&format!("http://{}", service.address)).unwrap(), Shelf::new());
    let mut shown = site.0.subscribe();
    let following = tokio::spawn(async move { Follower::new(channel, options, site).run().await });
    let mut opened = async |times| {
        timeout(PATIENCE, shown.wait_for(|shown| shown.opened >= times)).await.expect("it opens").map(drop).unwrap();
    };
    opened(1).await;
    fs::write(&file, after).unwrap();
    opened(2).await;
    // That one is taken out, and there is no other.
    policy.replace(&without);
    access.reload().unwrap();
    let ended = timeout(PATIENCE, following).await.expect("it ends").unwrap();
    let Err(FollowError::Refused(status)) = ended else { panic!("{ended:?}") };
    refused::<()>(Err(status), Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
}

/// Reads up to a line with these words.
async fn until(lines: &mut Lines<impl AsyncBufRead + Unpin>, words: &str) {
    let comes = async { while !lines.next_line().await.unwrap().expect("it goes on").contains(words) {} };
    timeout(PATIENCE, comes).await.unwrap_or_else(|_| panic!("it says {words}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_token_is_changed_for_a_new_one_in_time_goes_on() {
    let mut policy = Policy::new();
    policy.grant("otto", "roles = [\"operator\"]");
    let before = policy.token("otto", "expires = 2026-01-01T00:00:01Z");
    let after = policy.token("otto", "");
    let anna = policy.role(Role::Author);
    let (service, _access) = policy.serve().await;
    let (token, copy) = (policy.directory().join("token"), policy.directory().join("record.backup"));
    fs::write(&token, before).unwrap();
    let mut copying = Command::new(env!("CARGO_BIN_EXE_onrecord"))
        .args(["--server", &format!("http://{}", service.address), "--token-file"])
        .arg(&token)
        .args(["backup", "--follow"])
        .arg(&copy)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut copied = BufReader::new(copying.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(copying.stderr.take().unwrap()).lines();
    let mut author = holder(&service, &anna);
    author.create("fire", "en").await;
    until(&mut copied, "up to entry 1").await;
    fs::write(&token, after).unwrap();
    // The clock stands, so that the token before is let in until the new one is there: the end is that of the stream alone.
    until(&mut said, "the credential ended").await;
    author.create("flood", "en").await;
    until(&mut copied, "up to entry 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_key_is_taken_out_ends_its_streams() {
    let (mut policy, provider) = (Policy::new(), Provider::new());
    policy.grant("site", "roles = [\"subscriber\"]");
    policy.believe(&provider);
    let (service, access) = policy.serve().await;
    let token = provider.sign("site");
    let stream = holder(&service, &token).follow_all().await;
    policy.clone().believe(&Provider::new());
    access.reload().unwrap();
    assert_eq!(closing(stream).await, Reason::AccessRevoked);
    let again = holder(&service, &token).follow(from(Start::Now)).await;
    refused(again.map(drop), Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_leaves_the_one_before() {
    let mut policy = Policy::new();
    let token = policy.role(Role::Subscriber);
    let (service, access) = policy.serve().await;
    let mut stream = follow(&mut holder(&service, &token)).await;
    policy.grant("site", "roles = [\"king\"]").write();
    let fault = access.reload().unwrap_err().to_string();
    assert!(fault.contains("line 10: ") && fault.contains("king"), "{fault}");
    let Message::Heartbeat(_) = stream.next().await else { panic!("it goes on") };
    holder(&service, &token).follow_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_follows_ends_with_the_right_to_it() {
    let mut policy = Policy::new();
    let before = policy.clone();
    let operator = policy.role(Role::Operator);
    let (service, access) = policy.serve().await;
    let request = BackupRequest { follow: true, ..Default::default() };
    let mut copy = holder(&service, &operator).backups.backup(request).await.unwrap().into_inner();
    copy.message().await.unwrap();
    before.write();
    access.reload().unwrap();
    let ended = loop {
        if let Err(status) = copy.message().await {
            break status;
        }
    };
    refused(Err::<(), _>(ended), Code::Unauthenticated, "CREDENTIAL_UNKNOWN");
}

//! Every method with every role and every way to be nobody; and `docs/access.md`, which is printed from the same table.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use onrecord::{
    access::{METHODS, Method, Role, Who},
    api::v1::DESCRIPTORS,
};
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use super::{
    Policy,
    encryption::{Authority, Encrypted},
    provider::{NOW, Provider},
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md");
/// Set, the document is written anew instead of compared.
const WRITE: &str = "ONRECORD_WRITE_DOCS";

/// Calls a method with an empty request, as far as the first message of an answer.
async fn call(channel: &Channel, method: &Method, token: Option<&str>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path = format!("/{}", method.path.replace('*', "Check")).parse().unwrap();
    let answer = grpc.server_streaming(request, path, ProstCodec::<(), ()>::default()).await?;
    answer.into_inner().message().await.map(drop)
}

fn told(answer: &Result<(), Status>) -> (Code, String) {
    match answer {
        Ok(()) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_open_to_whom_the_table_says_and_to_nobody_else() {
    let mut policy = Policy::new();
    let tokens = Role::ALL.map(|role| (role, policy.role(role)));
    let roles = Role::ALL.map(|role| format!("\"{}\"", role.as_str())).join(", ");
    policy.grant("chief", &format!("roles = [{roles}]"));
    let everything = policy.token("chief", "");
    let expired = policy.token("author", "expires = 2025-12-31T23:59:59Z");
    let (provider, stranger) = (Provider::new(), Provider::new());
    policy.believe(&provider);
    let unauthenticated = [
        (None, "CREDENTIAL_MISSING"),
        (Some("onrecord_guessed".to_owned()), "CREDENTIAL_UNKNOWN"),
        (Some(expired), "CREDENTIAL_EXPIRED"),
        (Some(provider.sign_with("author", "exp", json!(NOW - 61))), "CREDENTIAL_EXPIRED"),
        (Some(provider.sign_with("author", "nbf", json!(NOW + 61))), "CREDENTIAL_NOT_YET_VALID"),
        (Some(provider.sign_with("author", "aud", json!("other"))), "CREDENTIAL_UNKNOWN"),
        (Some(provider.sign_with("author", "iss", json!("https://other.example.org"))), "CREDENTIAL_UNKNOWN"),
        (Some(stranger.sign("author")), "CREDENTIAL_UNKNOWN"),
    ];
    let (service, _access) = policy.serve().await;
    // What who is let in is told of an empty request, by each method: no other than who may do everything.
    let everything = &everything;
    for method in &METHODS {
        let expected = told(&call(&service.channel, method, Some(everything)).await);
        let is_answer = [Code::Ok, Code::InvalidArgument, Code::NotFound].contains(&expected.0);
        assert!(is_answer, "{}: {expected:?}", method.path);
        let refused = async |token: Option<&str>, code: Code, reason: &str| {
            let told = told(&call(&service.channel, method, token).await);
            assert_eq!(told, (code, reason.to_owned()), "{} with {token:?}", method.path);
        };
        let open = matches!(method.who, Who::Anybody);
        if !open {
            for (token, reason) in &unauthenticated {
                refused(token.as_deref(), Code::Unauthenticated, reason).await;
            }
        }
        let signed = Role::ALL.map(|role| (role, provider.sign(role.as_str())));
        for (role, token) in tokens.iter().chain(&signed) {
            let may = match method.who {
                Who::Anybody | Who::AnyRole => true,
                Who::Roles(roles) => roles.contains(role),
            };
            if may {
                let answer = told(&call(&service.channel, method, Some(token)).await);
                assert_eq!(answer, expected, "{} as {}", method.path, role.as_str());
            } else {
                refused(Some(token), Code::PermissionDenied, "ROLE_MISSING").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_open_to_certificates_as_the_table_says_and_to_those_of_no_other_authority() {
    let (ours, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let name = |role: &str| format!("spiffe://example.org/{role}");
    let mut policy = Policy::new();
    for role in Role::ALL {
        policy.grant(&name(role.as_str()), &format!("roles = [\"{}\"]", role.as_str()));
    }
    let encrypted = Encrypted::start(&ours.server(), &clients, policy).await;
    let channel = |by: &Authority, role: Role| encrypted.channel(&ours, Some(&by.client(&name(role.as_str()))));
    let known = Role::ALL.map(|role| (role, channel(&clients, role)));
    for method in &METHODS {
        let mut answers = Vec::new();
        for (role, channel) in &known {
            let answer = told(&call(channel, method, None).await);
            if matches!(method.who, Who::Roles(roles) if !roles.contains(role)) {
                let refused = (Code::PermissionDenied, "ROLE_MISSING".to_owned());
                assert_eq!(answer, refused, "{} as {}", method.path, role.as_str());
            } else {
                answers.push(answer);
            }
        }
        let is_answer = [Code::Ok, Code::InvalidArgument, Code::NotFound].contains(&answers[0].0);
        assert!(is_answer && answers.iter().all(|answer| *answer == answers[0]), "{}: {answers:?}", method.path);
        // There is no connection with who comes with another's certificate, not even to ask after our health.
        let (code, reason) = told(&call(&channel(&strangers, Role::Author), method, None).await);
        assert!(matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled) && reason.is_empty(), "{code:?}");
    }
}

#[tokio::test]
async fn a_name_alone_opens_nothing_where_a_policy_holds() {
    let mut policy = Policy::new();
    policy.role(Role::Author);
    let (service, _access) = policy.serve().await;
    let refused = service
        .person("author")
        .editorial
        .get_statement_overview(onrecord::api::v1::GetStatementOverviewRequest::default())
        .await;
    assert_eq!(told(&refused.map(drop)), (Code::Unauthenticated, "CREDENTIAL_MISSING".to_owned()));
}

#[tokio::test]
async fn reflection_is_for_those_who_have_a_role() {
    let mut policy = Policy::new();
    let token = policy.role(Role::Subscriber);
    let (service, _access) = policy.serve().await;
    let method = Method { path: "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", who: Who::AnyRole };
    assert_eq!(told(&call(&service.channel, &method, None).await).0, Code::Unauthenticated);
    // Let in, it is told that an empty request asks nothing.
    assert_eq!(told(&call(&service.channel, &method, Some(&token)).await).0, Code::InvalidArgument);
}

#[test]
fn the_table_has_every_method_there_is() {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut there = BTreeSet::new();
    for file in files.file.iter().filter(|file| file.package().starts_with("onrecord.")) {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            there.extend(service.method.iter().map(|method| format!("{name}/{}", method.name())));
        }
    }
    let listed: BTreeSet<_> =
        METHODS.iter().map(|method| method.path.to_owned()).filter(|path| path.starts_with("onrecord.")).collect();
    assert_eq!(there, listed);
    assert!(there.len() > 30);
}

/// The table as people read it.
fn document() -> String {
    let mut text = String::from(
        "# Which role may call what\n\nPrinted from the table in `src/access/method.rs`, which every call is checked against; \
         `tests/it/access/matrix.rs` calls every\nmethod with every role. `ONRECORD_WRITE_DOCS=1 cargo test --test it access` \
         prints it anew.\n\n| method |",
    );
    for role in Role::ALL {
        write!(text, " {} |", role.as_str()).unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&":-:|".repeat(Role::ALL.len()));
    text.push('\n');
    for method in &METHODS {
        write!(text, "| {} |", method.path.trim_start_matches("onrecord.v1.")).unwrap();
        for role in Role::ALL {
            let mark = match method.who {
                Who::Anybody => "anybody",
                Who::AnyRole => "x",
                Who::Roles(roles) => {
                    if roles.contains(&role) {
                        "x"
                    } else {
                        ""
                    }
                }
            };
            write!(text, " {mark} |").unwrap();
        }
        text.push('\n');
    }
    text.push_str("\nReflection is open to whoever has a role.\n");
    text
}

#[test]
fn the_document_says_what_the_table_says() {
    if std::env::var_os(WRITE).is_some() {
        fs::write(DOCUMENT, document()).unwrap();
    }
    assert_eq!(fs::read_to_string(DOCUMENT).unwrap_or_default(), document(), "print it anew with {WRITE}=1");
}

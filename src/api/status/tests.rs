use std::convert::Infallible;

use prost::Message as _;
use tonic::body::Body;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanic;

use super::*;
use crate::domain::{
    id::{Caller, LanguageTag},
    rejection::Conflict,
    time::Timestamp,
};

#[tokio::test]
async fn a_handler_that_panics_is_answered_for_and_counted() {
    let panicked = Panicked::default();
    let falls = tower::service_fn(async |_: http::Request<()>| -> Result<http::Response<Body>, Infallible> {
        panic!("as a handler may");
    });
    let caught = CatchPanic::custom(falls, panicked.clone());
    let answer = caught.oneshot(http::Request::new(())).await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!((status.code(), panicked.count()), (Code::Internal, 1));
    assert!(!status.message().contains("as a handler may"), "what fell is for the log");
}

#[expect(clippy::needless_pass_by_value, reason = "a table reads better with values")]
fn check(status: Status, code: Code, reason: &str) {
    let info = status.get_details_error_info().unwrap();
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, DOMAIN));
    assert!(!status.message().is_empty());
    let said = documented();
    let said = said.get(reason).unwrap_or_else(|| panic!("{reason} is no value of ErrorReason"));
    assert!(said.starts_with(&format!("{}. ", code_name(code))), "{reason}: {said}");
    for key in info.metadata.keys() {
        let says = said.contains(&format!("`{key}`")) || reason == "SERVICE_LIMIT" && said.contains("as CALLER_LIMIT");
        assert!(says, "{reason}: {key} is not documented: {said}");
    }
}

/// The comments on the values of `ErrorReason`, by their names.
fn documented() -> HashMap<String, String> {
    let files = prost_types::FileDescriptorSet::decode(crate::api::v1::DESCRIPTORS).unwrap();
    let file = files.file.into_iter().find(|file| file.name().ends_with("error_reason.proto")).unwrap();
    let values = &file.enum_type[0].value;
    let comments = file.source_code_info.unwrap().location.into_iter();
    // Path of a value: enum_type (5), the first, value (2), its place.
    let comments = comments.filter_map(|location| match location.path[..] {
        [5, 0, 2, place] => Some((place, location.leading_comments().replace('\n', " ").trim().to_owned())),
        _ => None,
    });
    comments.map(|(place, words)| (values[usize::try_from(place).unwrap()].name().to_owned(), words)).collect()
}

#[test]
fn every_refusal_has_its_code_and_reason() {
    let de = || LanguageTag::parse("de").unwrap();
    let conflict = Conflict { etag: "\"1\"".into(), revision: 1, editor: None, time: Timestamp::MIN };
    let fault = || vec![FieldFault::new("title", "must not be empty")];
    let precondition = Code::FailedPrecondition;
    for (rejection, code, reason) in [
        (Rejection::Invalid(fault()), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (Rejection::RequestIdReused, Code::InvalidArgument, "REQUEST_ID_REUSED"),
        (Rejection::StatementExists, Code::AlreadyExists, "STATEMENT_EXISTS"),
        (Rejection::StatementNotFound, Code::NotFound, "STATEMENT_NOT_FOUND"),
        (Rejection::SubscriptionExists, Code::AlreadyExists, "SUBSCRIPTION_EXISTS"),
        (Rejection::SubscriptionNotFound, Code::NotFound, "SUBSCRIPTION_NOT_FOUND"),
        (Rejection::SubscriptionSuperseded { generation: 2 }, Code::Aborted, "SUBSCRIPTION_SUPERSEDED"),
        (Rejection::AlreadyApplied { next: 2 }, precondition, "ALREADY_APPLIED"),
        (Rejection::DraftNotFound(de()), Code::NotFound, "DRAFT_NOT_FOUND"),
        (Rejection::ReleaseNotFound(de()), Code::NotFound, "RELEASE_NOT_FOUND"),
        (Rejection::RevisionNotFound, Code::NotFound, "REVISION_NOT_FOUND"),
        (Rejection::EditionNotFound, Code::NotFound, "EDITION_NOT_FOUND"),
        (Rejection::ProposalNotFound, Code::NotFound, "PROPOSAL_NOT_FOUND"),
        (Rejection::EtagMismatch(Box::new(conflict)), Code::Aborted, "ETAG_MISMATCH"),
        (Rejection::BaseNotLive { newest: 2 }, precondition, "BASE_NOT_LIVE"),
        (
            Rejection::DraftNotInState { language: de(), actual: "DRAFT", needed: "IN_REVIEW" },
            precondition,
            "DRAFT_NOT_IN_STATE",
        ),
        (Rejection::DraftIncomplete(fault()), precondition, "DRAFT_INCOMPLETE"),
        (Rejection::DraftNotApproved(de()), precondition, "DRAFT_NOT_APPROVED"),
        (Rejection::BaseSuperseded { language: de(), newest: 2 }, precondition, "BASE_SUPERSEDED"),
        (Rejection::ReleaseSlotFull(de()), precondition, "RELEASE_SLOT_FULL"),
        (Rejection::OutOfMandate, Code::PermissionDenied, "OUT_OF_SCOPE"),
        (Rejection::BackupLimited, Code::PermissionDenied, "OUT_OF_SCOPE"),
        (Rejection::OwnText, Code::PermissionDenied, "OWN_TEXT"),
        (Rejection::SecondPersonRequired, Code::PermissionDenied, "SECOND_PERSON_REQUIRED"),
        (Rejection::ApprovalNotPending, precondition, "APPROVAL_NOT_PENDING"),
        (Rejection::NothingLive(vec![]), precondition, "NOTHING_LIVE"),
        (Rejection::NotWithdrawn(vec![de()]), precondition, "NOT_WITHDRAWN"),
        (Rejection::LegalHold, precondition, "LEGAL_HOLD"),
        (Rejection::Expunged, precondition, "EXPUNGED"),
        (Rejection::RedirectTargetNotPublic, precondition, "REDIRECT_TARGET_NOT_PUBLIC"),
        (Rejection::TextNotPublic, precondition, "TEXT_NOT_PUBLIC"),
    ] {
        check(rejection.into(), code, reason);
    }
    for (error, code, reason) in [
        (JournalError::Closed(String::new()), Code::Unavailable, "JOURNAL_CLOSED"),
        (JournalError::Busy, Code::ResourceExhausted, "JOURNAL_BUSY"),
        (JournalError::Full { mib: 9, mib_max: 10 }, Code::ResourceExhausted, "STORE_FULL"),
        (
            JournalError::ClockInDoubt { moved_seconds: -3_600, since: Timestamp::MIN },
            Code::Unavailable,
            "CLOCK_IN_DOUBT",
        ),
        (JournalError::Store(String::new()), Code::Internal, "STORE_FAILED"),
        (JournalError::Unwritable(String::new()), Code::Internal, "STORE_FAILED"),
        (JournalError::Damaged(String::new()), Code::DataLoss, "STORE_DAMAGED"),
    ] {
        check(error.into(), code, reason);
    }
    for (refusal, code, reason) in [
        (FeedRefusal::CursorInvalid("it is too short"), Code::InvalidArgument, "CURSOR_INVALID"),
        (FeedRefusal::CursorTrimmed { earliest: 7 }, Code::OutOfRange, "CURSOR_TRIMMED"),
        (FeedRefusal::CursorDiverged, precondition, "CURSOR_DIVERGED"),
        (FeedRefusal::ReplicaBehind, Code::Unavailable, "REPLICA_BEHIND"),
        (FeedRefusal::FilterChanged, precondition, "FILTER_CHANGED"),
        (FeedRefusal::Draining, Code::Unavailable, "DRAINING"),
        (FeedRefusal::TooManyStreams { most: 9 }, Code::ResourceExhausted, "TOO_MANY_STREAMS"),
        (FeedRefusal::TooManySnapshots { most: 9 }, Code::ResourceExhausted, "TOO_MANY_SNAPSHOTS"),
    ] {
        check(refusal.into(), code, reason);
    }
    let caller = Caller::parse("anna").unwrap();
    for (refusal, code, reason) in [
        (AccessRefusal::CallerMissing("who?".into()), Code::Unauthenticated, "CALLER_MISSING"),
        (AccessRefusal::CredentialMissing, Code::Unauthenticated, "CREDENTIAL_MISSING"),
        (AccessRefusal::CredentialUnknown, Code::Unauthenticated, "CREDENTIAL_UNKNOWN"),
        (
            AccessRefusal::CredentialEarly(Timestamp::MIN, caller.clone()),
            Code::Unauthenticated,
            "CREDENTIAL_NOT_YET_VALID",
        ),
        (AccessRefusal::CredentialExpired(Timestamp::MIN, caller.clone()), Code::Unauthenticated, "CREDENTIAL_EXPIRED"),
        (
            AccessRefusal::TooMany { limit: Limit::Streams, most: 1, wait: Duration::ZERO },
            Code::ResourceExhausted,
            "CALLER_LIMIT",
        ),
        (
            AccessRefusal::TooManyInAll { limit: Limit::CallsInFlight, most: 1, wait: Duration::ZERO },
            Code::ResourceExhausted,
            "SERVICE_LIMIT",
        ),
        (AccessRefusal::RoleMissing { caller, roles: &[] }, Code::PermissionDenied, "ROLE_MISSING"),
    ] {
        check(ApiRefusal::NotAdmitted(refusal).into(), code, reason);
    }
    check(ApiRefusal::BackupDiverged.into(), precondition, "BACKUP_DIVERGED");
    check(ApiRefusal::InvalidPageToken.into(), Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = vec![FieldFault::new("a", "must be x"), FieldFault::new("b", "must be y")];
    let status = Status::from(Rejection::Invalid(faults));
    let fields: Vec<_> =
        status.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
    assert_eq!(fields, ["a", "b"]);
    assert!(status.message().contains("a must be x; b must be y"), "{}", status.message());
}

#[test]
fn an_answer_with_many_faults_still_reaches_its_caller() {
    let words = "must be 1 to 63 characters of a-z, 0-9 and inner hyphens";
    let fault = |place| FieldFault::new(format!("draft.content.topics[{place}]"), words);
    let faults: Vec<_> = (0..100).map(fault).collect();
    let status = Status::from(Rejection::Invalid(faults));
    let bytes: usize =
        status.clone().into_http::<()>().headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!((4_000..8_000).contains(&bytes), "{bytes}");
    assert!(status.message().ends_with("; and 94 more"), "{}", status.message());
}

#[test]
fn who_may_try_again_is_told_when() {
    let status = Status::from(FeedRefusal::TooManyStreams { most: 9 });
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((RETRY_AFTER..=RETRY_AFTER + RETRY_SPREAD).contains(&delay));
    let pushback = status.metadata().get(PUSHBACK).unwrap().to_str().unwrap();
    assert_eq!(pushback, delay.as_millis().to_string());
    assert!(Status::from(FeedRefusal::CursorDiverged).metadata().get(PUSHBACK).is_none());
    // Of a code that clients retry.
    let full = Status::from(JournalError::Full { mib: 9, mib_max: 10 });
    assert_eq!(full.metadata().get(PUSHBACK).unwrap(), "-1");
    assert!(full.get_details_retry_info().is_none());
    // Where it is known when there may be another, it is not said to be sooner.
    let wait = Duration::from_secs(30);
    let status = Status::from(AccessRefusal::TooMany { limit: Limit::SnapshotsPerMinute, most: 2, wait });
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((wait..=wait + RETRY_SPREAD).contains(&delay));
}

//! The only place that builds a `Status`: every failure to its code, reason and details.

mod wire;

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use tower_http::catch_panic::ResponseForPanic;

pub use wire::{RequestFault, complete_head, complete_trailers};

use super::v1::ErrorReason as Reason;
use crate::{
    access::{AccessRefusal, Limit},
    domain::{draft::FieldFault, rejection::Rejection},
    feed::FeedRefusal,
    jitter,
    journal::{JournalError, Refusal},
};

/// Domain of every `ErrorInfo`.
const DOMAIN: &str = "onrecord";
/// Bytes of faults in the details of one answer. It tells them in its message too, and the details are in base64 and have the message
/// once more: all of it has to fit the 8 KiB of metadata that a gRPC client takes (gRPC's own soft limit).
const FAULTS_BYTES_MAX: usize = 3 * 1024;
/// Bytes of faults in the message, about.
const WORDS_BYTES_MAX: usize = 512;
/// How long a caller is asked to wait where a retry helps, at the least.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// By how much more, at most.
const RETRY_SPREAD: Duration = Duration::from_secs(1);
/// Metadata that says the delay in milliseconds to clients that retry by a service config, or -1 if they must not (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What the api itself refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiRefusal {
    /// The caller is not let in.
    NotAdmitted(AccessRefusal),
    /// The page token belongs to another call, or is none.
    InvalidPageToken,
    /// The copy to go on with is of another history.
    BackupDiverged,
}

/// A status under construction.
struct Answer {
    code: Code,
    reason: Reason,
    message: String,
    faults: Vec<FieldFault>,
    metadata: HashMap<String, String>,
    /// How long to wait before a retry, if one helps; nothing if that is not known.
    retry: Option<Duration>,
}

impl Answer {
    fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, faults: Vec::new(), metadata: HashMap::new(), retry: None }
    }

    fn with_faults(mut self, faults: &[FieldFault]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    fn on_field(self, field: &str) -> Self {
        let fault = FieldFault::new(field, self.message.clone());
        self.with_faults(&[fault])
    }

    fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Says which limit was reached, and its value.
    fn with_limit(self, limit: Limit, most: &impl ToString) -> Self {
        self.with("limit", limit.code()).with("most", most.to_string())
    }

    fn and_retry(self) -> Self {
        self.and_retry_in(Duration::ZERO)
    }

    fn and_retry_in(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    fn into_status(self) -> Status {
        let mut details = ErrorDetails::with_error_info(self.reason.as_str_name(), DOMAIN, self.metadata);
        if !self.faults.is_empty() {
            let violations: Vec<_> =
                self.faults.into_iter().map(|fault| FieldViolation::new(fault.field, fault.description)).collect();
            details.set_bad_request(violations);
        }
        let mut metadata = MetadataMap::new();
        if let Some(wait) = self.retry {
            // Spread, so that those who were refused together do not come back together.
            let delay = wait.max(RETRY_AFTER).saturating_add(jitter::up_to(RETRY_SPREAD));
            details.set_retry_info(Some(delay));
            metadata.insert(PUSHBACK, u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).into());
        } else if matches!(self.code, Code::Unavailable | Code::ResourceExhausted) {
            metadata.insert(PUSHBACK, MetadataValue::from_static("-1"));
        }
        Status::with_error_details_and_metadata(self.code, self.message, details, metadata)
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        rejected(&rejection).into_status()
    }
}

impl From<JournalError> for Status {
    fn from(error: JournalError) -> Self {
        failed(&error).into_status()
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => rejection.into(),
            Refusal::Journal(error) => error.into(),
        }
    }
}

impl From<FeedRefusal> for Status {
    fn from(refusal: FeedRefusal) -> Self {
        not_followed(&refusal).into_status()
    }
}

impl From<ApiRefusal> for Status {
    fn from(refusal: ApiRefusal) -> Self {
        match refusal {
            ApiRefusal::NotAdmitted(refusal) => not_admitted(&refusal),
            ApiRefusal::BackupDiverged => Answer::new(
                Code::FailedPrecondition,
                Reason::BackupDiverged,
                "the copy is of another record, or of a future that was lost: begin a new one",
            ),
            ApiRefusal::InvalidPageToken => Answer::new(
                Code::InvalidArgument,
                Reason::InvalidPageToken,
                "page_token must be the next_page_token of the same call with the same other fields",
            )
            .on_field("page_token"),
        }
        .into_status()
    }
}

impl From<AccessRefusal> for Status {
    fn from(refusal: AccessRefusal) -> Self {
        not_admitted(&refusal).into_status()
    }
}

fn not_admitted(refusal: &AccessRefusal) -> Answer {
    let (code, reason) = match refusal {
        AccessRefusal::CallerMissing(_) => (Code::Unauthenticated, Reason::CallerMissing),
        AccessRefusal::CredentialMissing => (Code::Unauthenticated, Reason::CredentialMissing),
        AccessRefusal::CredentialUnknown => (Code::Unauthenticated, Reason::CredentialUnknown),
        AccessRefusal::CredentialEarly(..) => (Code::Unauthenticated, Reason::CredentialNotYetValid),
        AccessRefusal::CredentialExpired(..) => (Code::Unauthenticated, Reason::CredentialExpired),
        AccessRefusal::RoleMissing { .. } => (Code::PermissionDenied, Reason::RoleMissing),
        AccessRefusal::TooMany { .. } => (Code::ResourceExhausted, Reason::CallerLimit),
        AccessRefusal::TooManyInAll { .. } => (Code::ResourceExhausted, Reason::ServiceLimit),
    };
    let answer = Answer::new(code, reason, refusal.to_string());
    match refusal {
        AccessRefusal::TooMany { limit, most, wait } | AccessRefusal::TooManyInAll { limit, most, wait } => {
            answer.with_limit(*limit, most).and_retry_in(*wait)
        }
        AccessRefusal::CallerMissing(_)
        | AccessRefusal::CredentialMissing
        | AccessRefusal::CredentialUnknown
        | AccessRefusal::CredentialEarly(..)
        | AccessRefusal::CredentialExpired(..)
        | AccessRefusal::RoleMissing { .. } => answer,
    }
}

fn rejected(rejection: &Rejection) -> Answer {
    let (code, reason) = code_of(rejection);
    let answer = Answer::new(code, reason, rejection.to_string());
    if let Rejection::Invalid(faults) | Rejection::DraftIncomplete(faults) = rejection {
        let message = format!("{}: {}", answer.message, in_words(faults));
        return Answer { message, ..answer }.with_faults(told(faults));
    }
    if let Rejection::EtagMismatch(conflict) = rejection {
        let editor = conflict.editor.as_ref().map(ToString::to_string).unwrap_or_default();
        let answer = answer.with("etag", &conflict.etag).with("revision", conflict.revision.to_string());
        return answer.with("editor", editor).with("updateTime", conflict.time.to_string());
    }
    if *rejection == Rejection::RequestIdReused { answer.on_field("request_id") } else { answer }
}

/// The faults that the details tell.
fn told(faults: &[FieldFault]) -> &[FieldFault] {
    let mut bytes = 0;
    let fits = |fault: &&FieldFault| {
        bytes += fault.field.len() + fault.description.len();
        bytes <= FAULTS_BYTES_MAX
    };
    let count = faults.iter().take_while(fits).count();
    faults.get(..count.max(1)).unwrap_or(faults)
}

/// The first faults, and how many more there are.
fn in_words(faults: &[FieldFault]) -> String {
    let mut words = String::new();
    for (place, fault) in faults.iter().enumerate() {
        if place > 0 && words.len() + fault.field.len() + fault.description.len() > WORDS_BYTES_MAX {
            return format!("{words}; and {} more", faults.len() - place);
        }
        let separator = if place > 0 { "; " } else { "" };
        words.extend([separator, &fault.field, " ", &fault.description]);
    }
    words
}

fn code_of(rejection: &Rejection) -> (Code, Reason) {
    match rejection {
        Rejection::Invalid(_) => (Code::InvalidArgument, Reason::InvalidArgument),
        Rejection::RequestIdReused => (Code::InvalidArgument, Reason::RequestIdReused),
        Rejection::StatementExists => (Code::AlreadyExists, Reason::StatementExists),
        Rejection::StatementNotFound => (Code::NotFound, Reason::StatementNotFound),
        Rejection::SubscriptionExists => (Code::AlreadyExists, Reason::SubscriptionExists),
        Rejection::SubscriptionNotFound => (Code::NotFound, Reason::SubscriptionNotFound),
        Rejection::SubscriptionSuperseded { .. } => (Code::Aborted, Reason::SubscriptionSuperseded),
        Rejection::AlreadyApplied { .. } => (Code::FailedPrecondition, Reason::AlreadyApplied),
        Rejection::DraftNotFound(_) => (Code::NotFound, Reason::DraftNotFound),
        Rejection::RevisionNotFound => (Code::NotFound, Reason::RevisionNotFound),
        Rejection::ReleaseNotFound(_) => (Code::NotFound, Reason::ReleaseNotFound),
        Rejection::EditionNotFound => (Code::NotFound, Reason::EditionNotFound),
        Rejection::ProposalNotFound => (Code::NotFound, Reason::ProposalNotFound),
        Rejection::EtagMismatch(_) => (Code::Aborted, Reason::EtagMismatch),
        Rejection::BaseNotLive { .. } => (Code::FailedPrecondition, Reason::BaseNotLive),
        Rejection::DraftNotInState { .. } => (Code::FailedPrecondition, Reason::DraftNotInState),
        Rejection::DraftIncomplete(_) => (Code::FailedPrecondition, Reason::DraftIncomplete),
        Rejection::DraftNotApproved(_) => (Code::FailedPrecondition, Reason::DraftNotApproved),
        Rejection::BaseSuperseded { .. } => (Code::FailedPrecondition, Reason::BaseSuperseded),
        Rejection::ReleaseSlotFull(_) => (Code::FailedPrecondition, Reason::ReleaseSlotFull),
        Rejection::OutOfMandate | Rejection::BackupLimited => (Code::PermissionDenied, Reason::OutOfScope),
        Rejection::OwnText => (Code::PermissionDenied, Reason::OwnText),
        Rejection::SecondPersonRequired => (Code::PermissionDenied, Reason::SecondPersonRequired),
        Rejection::ApprovalNotPending => (Code::FailedPrecondition, Reason::ApprovalNotPending),
        Rejection::NothingLive(_) => (Code::FailedPrecondition, Reason::NothingLive),
        Rejection::NotWithdrawn(_) => (Code::FailedPrecondition, Reason::NotWithdrawn),
        Rejection::LegalHold => (Code::FailedPrecondition, Reason::LegalHold),
        Rejection::Expunged => (Code::FailedPrecondition, Reason::Expunged),
        Rejection::RedirectTargetNotPublic => (Code::FailedPrecondition, Reason::RedirectTargetNotPublic),
        Rejection::TextNotPublic => (Code::FailedPrecondition, Reason::TextNotPublic),
    }
}

/// The diagnostics learn why; the caller learns what to do.
fn failed(error: &JournalError) -> Answer {
    match error {
        JournalError::Closed(_) => Answer::new(
            Code::Unavailable,
            Reason::JournalClosed,
            "the service takes no writes: try again, elsewhere if you can",
        )
        .and_retry(),
        JournalError::Busy => Answer::new(Code::ResourceExhausted, Reason::JournalBusy, error.to_string()).and_retry(),
        JournalError::ClockInDoubt { moved_seconds, .. } => {
            let answer = Answer::new(Code::Unavailable, Reason::ClockInDoubt, error.to_string());
            answer.with("movedSeconds", moved_seconds.to_string()).and_retry()
        }
        JournalError::Full { .. } => Answer::new(Code::ResourceExhausted, Reason::StoreFull, error.to_string()),
        JournalError::Store(_) | JournalError::Unwritable(_) | JournalError::Format(_) => {
            tracing::error!(%error, "the store failed");
            Answer::new(Code::Internal, Reason::StoreFailed, "the service cannot read its store")
        }
        JournalError::Damaged(words) => {
            tracing::error!(%words, "the store is damaged");
            Answer::new(
                Code::DataLoss,
                Reason::StoreDamaged,
                "what is stored is not what was written: it is not served",
            )
        }
    }
}

fn not_followed(refusal: &FeedRefusal) -> Answer {
    let words = refusal.to_string();
    match refusal {
        FeedRefusal::CursorInvalid(_) => {
            Answer::new(Code::InvalidArgument, Reason::CursorInvalid, words).on_field("cursor")
        }
        FeedRefusal::FilterChanged => Answer::new(Code::FailedPrecondition, Reason::FilterChanged, words),
        FeedRefusal::CursorTrimmed { earliest } => {
            Answer::new(Code::OutOfRange, Reason::CursorTrimmed, words).with("earliestSequence", earliest.to_string())
        }
        FeedRefusal::CursorDiverged => Answer::new(Code::FailedPrecondition, Reason::CursorDiverged, words),
        FeedRefusal::ReplicaBehind => Answer::new(Code::Unavailable, Reason::ReplicaBehind, words).and_retry(),
        FeedRefusal::TooManyStreams { .. } => {
            Answer::new(Code::ResourceExhausted, Reason::TooManyStreams, words).and_retry()
        }
        FeedRefusal::TooManySnapshots { .. } => {
            Answer::new(Code::ResourceExhausted, Reason::TooManySnapshots, words).and_retry()
        }
        FeedRefusal::Draining => Answer::new(Code::Unavailable, Reason::Draining, words).and_retry(),
        FeedRefusal::Rejected(rejection) => rejected(rejection),
        FeedRefusal::Journal(error) => failed(error),
    }
}

/// What a caller is answered when a handler panicked: INTERNAL, and a person has to look. It counts them.
#[derive(Clone, Debug, Default)]
pub struct Panicked(Arc<AtomicU64>);

impl Panicked {
    /// How many did.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl ResponseForPanic for Panicked {
    type ResponseBody = tonic::body::Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> http::Response<Self::ResponseBody> {
        self.0.fetch_add(1, Relaxed);
        // What it says may be of a text.
        drop(panic);
        tracing::error!("a handler panicked: where, is in the line before");
        Answer::new(Code::Internal, Reason::Internal, "the service met a fault of its own").into_status().into_http()
    }
}

/// What a caller is answered whose deadline has passed.
#[must_use]
pub fn deadline_passed() -> http::Response<tonic::body::Body> {
    let words = "the deadline passed before there was an answer: what was asked may have been done, and may be asked again under the same \
                 request_id";
    Answer::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, words).into_status().into_http()
}

/// What a caller is answered who takes more than one may, or than there is.
#[must_use]
pub fn limit_reached(refusal: AccessRefusal) -> http::Response<tonic::body::Body> {
    Status::from(refusal).into_http()
}

/// The name of a code, as gRPC writes it: `NOT_FOUND`.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;

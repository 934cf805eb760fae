//! Requests and page tokens, as anybody may send them.

#![expect(clippy::unwrap_used, reason = "a fuzzer finds what must not be by a panic")]

use std::sync::LazyLock;

use prost::Message as _;
use tonic::{Status, body::Body};

use super::{
    from_proto::{self, Envelope},
    page_token::Page,
    statement_service::batch,
    status::ApiRefusal,
    to_proto, v1,
};
use crate::{
    domain::{
        command::{Call, Command, Step},
        content::{Content, canonical_json},
        id::{Caller, EditionName, EditionRef, LanguageTag},
        limits::Limits,
        mandate::Mandate,
        rejection::Rejection,
        subscription::SubscriptionCall,
        time::Timestamp,
    },
    feed::Right,
};

/// Bytes of metadata that a gRPC client takes, unless it is told to take more.
const METADATA_BYTES_MAX: usize = 8 * 1024;
static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

type Taken = Result<(), Rejection>;

macro_rules! requests {
    ($($request:ident: $take:expr,)*) => {
        &[$(|message| {
            let take: fn(&v1::$request) -> Taken = $take;
            v1::$request::decode(message).map_or(Ok(()), |request| take(&request))
        }),*]
    };
}

/// Requests, and how each is read.
const REQUESTS: &[fn(&[u8]) -> Taken] = requests! {
    CreateStatementRequest: |r| call(from_proto::create(envelope(&r.request_id), r)),
    UpdateStatementRequest: |r| call(from_proto::update(envelope(&r.request_id), r)),
    SaveDraftRequest: |r| saved(from_proto::save(envelope(&r.request_id), r)),
    RejectDraftRequest: |r| call(from_proto::on_draft(envelope(&r.request_id), &r.name, &r.etag, &r.comment, |language, etag, comment| {
        Step::RejectDraft { language, etag, comment }
    })),
    PublishDraftsRequest: |r| call(from_proto::publish(envelope(&r.request_id), r)),
    ApproveEditionRequest: |r| call(from_proto::approve_edition(envelope(&r.request_id), r)),
    CancelReleaseRequest: |r| call(from_proto::cancel(envelope(&r.request_id), r)),
    WithdrawStatementRequest: |r| call(from_proto::withdraw(envelope(&r.request_id), r)),
    ReinstateStatementRequest: |r| call(from_proto::reinstate(envelope(&r.request_id), r)),
    RemoveStatementRequest: |r| call(from_proto::remove(envelope(&r.request_id), r)),
    ExpungeStatementRequest: |r| call(from_proto::expunge(envelope(&r.request_id), r)),
    CancelProposalRequest: |r| call(from_proto::cancel_proposal(envelope(&r.request_id), r)),
    SetLegalHoldRequest: |r| call(from_proto::legal_hold(envelope(&r.request_id), r)),
    CreateSubscriptionRequest: |r| enrolled(from_proto::create_subscription(envelope(&r.request_id), r)),
    UpdateSubscriptionRequest: |r| enrolled(from_proto::update_subscription(envelope(&r.request_id), r)),
    DeleteSubscriptionRequest: |r| enrolled(from_proto::delete_subscription(envelope(&r.request_id), r)),
    AcknowledgeRequest: |r| from_proto::acknowledge(r).map(drop),
    RejectRequest: |r| from_proto::reject(r, Timestamp::MIN).map(drop),
    SubscribeRequest: |r| from_proto::subscription(r, Right::to_everything()).map(drop),
    ReadFeedRequest: |r| from_proto::read_feed(r).map(drop),
    BackupRequest: |r| from_proto::backup(r).map(drop),
    BackupHeader: |r| { from_proto::backup_identity(r).ok(); Ok(()) },
    BackupEntry: |r| { from_proto::backup_entry(r.clone()).ok(); Ok(()) },
    ListStatementsRequest: |r| from_proto::filter(r.filter.as_ref()).map(drop),
    BatchGetStatementsRequest: |r| batch(&r.names).map(drop),
    ListDeliveriesRequest: |r| from_proto::target(&r.parent).map(drop),
    GetStatementRequest: |r| { names(&r.name); names(&r.language_code); from_proto::statement_name("name", &r.name).map(drop) },
    ConfirmClockRequest: |r| from_proto::confirmed_time(r).map(drop),
};

/// The first byte says which request, the others are its message.
///
/// # Panics
/// If a request that is taken is another one once it was written down, or a refusal is too long for its caller.
pub fn request(input: &[u8]) {
    let Some((which, message)) = input.split_first() else { return };
    let Some(take) = REQUESTS.get(usize::from(*which) % REQUESTS.len()) else { return };
    if let Err(refusal) = take(message) {
        let answer = Status::from(refusal).into_http::<Body>();
        let bytes: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(bytes < METADATA_BYTES_MAX, "a refusal of {bytes} bytes");
    }
}

fn envelope(request_id: &str) -> Envelope<'_> {
    Envelope {
        caller: Caller::service(),
        origin: None,
        mandate: Mandate::of_everybody(),
        request_id,
        validate_only: false,
        limits: &LIMITS,
    }
}

/// What is remembered of a call is its canonical JSON.
fn call(taken: Result<Call, Rejection>) -> Taken {
    let command = taken?.command;
    let written = canonical_json(&command);
    let read: Command = serde_json::from_slice(&written).unwrap();
    assert_eq!(read, command);
    Ok(())
}

/// What was saved is shown in full, and can be saved again.
fn saved(taken: Result<Call, Rejection>) -> Taken {
    if let Ok(Call { command: Command { statement, step: Step::SaveDraft(saved) }, .. }) = &taken {
        let content: &Content = &saved.content;
        let name = format!("statements/{statement}/drafts/{}", content.language_code);
        let base_edition =
            saved.base.map(|number| EditionName::new(statement, &content.language_code, number).to_string());
        let draft = v1::Draft {
            name,
            content: Some(to_proto::content(content)),
            etag: saved.etag.clone(),
            base_edition: base_edition.unwrap_or_default(),
            ..v1::Draft::default()
        };
        let again = from_proto::save(envelope(""), &v1::SaveDraftRequest { draft: Some(draft), ..Default::default() });
        assert_eq!(&again.unwrap().command.step, &Step::SaveDraft(saved.clone()));
    }
    call(taken)
}

fn enrolled(taken: Result<SubscriptionCall, Rejection>) -> Taken {
    // It is remembered by the digest of its canonical JSON.
    assert!(!canonical_json(&taken?.step).is_empty());
    Ok(())
}

/// A name that is read is written the same way.
fn names(text: &str) {
    if let Ok(name) = EditionName::parse(text) {
        assert_eq!(EditionName::parse(&name.to_string()), Ok(name));
    }
    EditionRef::parse(text).ok();
    if let Ok(tag) = LanguageTag::parse(text) {
        assert_eq!(LanguageTag::parse(tag.as_str()), Ok(tag.clone()));
        let shortest = LanguageTag::parse(tag.key());
        assert!(shortest.is_ok_and(|shortest| shortest.matches(&tag) && shortest.key() == tag.key()));
    }
    from_proto::parent(text).ok();
    from_proto::optional_language("language_code", text).ok();
}

/// A token as it came, and a place as somebody may have sealed it who knows how.
///
/// # Panics
/// If a place that is read is another one once it was sealed again.
pub fn page_token(input: &[u8]) {
    let page = |page_token: String| {
        Page::of(&mut v1::ListDraftsRequest { page_token, ..Default::default() })
            .unwrap_or_else(|_| unreachable!("no page size is given"))
    };
    let text = String::from_utf8_lossy(input);
    assert!(text.is_empty() || page(text.into_owned()).place() == Err(ApiRefusal::InvalidPageToken));
    let sealed = page(String::new()).sealed(input);
    if let Ok(place) = page(sealed).place() {
        assert_eq!(page(page(String::new()).token_after(Some(&place))).place(), Ok(place));
    }
}

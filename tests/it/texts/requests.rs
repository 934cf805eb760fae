//! A request of every RPC that is right, and the class of every string in one.

use onrecord::domain::limits::{
    ANNOTATION_BYTES_MAX, BODY_BYTES_MAX, ID_CHARS_MAX, NOTE, NOTICE, RENDITION, SHORT_BYTES_MAX, SHORT_RENDITION,
    TITLE, TextLimit,
};
use serde_json::{Value, json};

use super::fields::KEY;

/// What a string has to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    /// Words of any number of lines.
    Text(Need, TextLimit),
    /// Words of one line.
    Line(Need, TextLimit),
    /// A name, code, tag, digest, URI, media type or id: none of them has anything but ASCII.
    Token,
    /// What the service made; refused with a reason of its own.
    Sealed(&'static str),
    /// Not looked at.
    Ignored,
}

/// Whether there have to be words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

use Class::{Ignored, Line, Sealed, Text, Token};
use Need::{Optional, Required};

/// The class of every string that is not output only. A new field without a class fails the test: say what it may hold.
const CLASSES: &[(&str, Class)] = &[
    ("AcknowledgeRequest.cursor", Sealed("CURSOR_INVALID")),
    ("AcknowledgeRequest.name", Token),
    ("ApproveDraftRequest.comment", Text(Optional, NOTE)),
    ("ApproveDraftRequest.etag", Token),
    ("ApproveDraftRequest.name", Token),
    ("ApproveDraftRequest.request_id", Token),
    ("ApproveEditionRequest.comment", Text(Optional, NOTE)),
    ("ApproveEditionRequest.content_digest", Token),
    ("ApproveEditionRequest.name", Token),
    ("ApproveEditionRequest.request_id", Token),
    ("Attachment.media_type", Token),
    ("Attachment.sha256", Token),
    ("Attachment.title", Line(Required, TITLE)),
    ("Attachment.uri", Token),
    ("BackupRequest.after_hash", Token),
    ("CancelProposalRequest.name", Token),
    ("CancelProposalRequest.proposal_id", Token),
    ("CancelProposalRequest.reason", Text(Optional, NOTE)),
    ("CancelProposalRequest.request_id", Token),
    ("BatchGetStatementsRequest.language_code", Token),
    ("BatchGetStatementsRequest.names", Token),
    ("CancelReleaseRequest.etag", Token),
    ("CancelReleaseRequest.name", Token),
    ("CancelReleaseRequest.reason", Text(Optional, NOTE)),
    ("CancelReleaseRequest.request_id", Token),
    ("ClaimReview.claim", Text(Required, NOTE)),
    ("ClaimReview.claimant", Line(Optional, TITLE)),
    ("ClaimReview.first_appearance_uri", Token),
    ("ClaimReview.verdict_text", Text(Optional, NOTE)),
    ("Contact.email", Line(Optional, SHORT)),
    ("Contact.name", Line(Required, TITLE)),
    ("Contact.phone", Line(Optional, SHORT)),
    ("Contact.uri", Token),
    ("Content.audiences", Token),
    ("Content.body", Text(Optional, TextLimit::bytes(BODY_BYTES_MAX))),
    ("Content.body_media_type", Token),
    ("Content.change_note", Text(Optional, NOTE)),
    ("Content.channels", Token),
    ("Content.excluded_region_codes", Token),
    ("Content.region_codes", Token),
    ("Content.source_edition", Token),
    ("Content.summary", Text(Optional, NOTE)),
    ("Content.title", Line(Required, TITLE)),
    ("Content.topics", Token),
    ("Correction.corrected_edition", Token),
    ("Correction.text", Text(Required, NOTE)),
    ("CreateStatementRequest.request_id", Token),
    ("CreateStatementRequest.statement_id", Token),
    ("CreateSubscriptionRequest.request_id", Token),
    ("CreateSubscriptionRequest.subscription_id", Token),
    ("DeleteSubscriptionRequest.etag", Token),
    ("DeleteSubscriptionRequest.name", Token),
    ("DeleteSubscriptionRequest.request_id", Token),
    ("DiffDraftRequest.from_edition", Token),
    ("DiffDraftRequest.name", Token),
    ("DiffEditionsRequest.from_edition", Token),
    ("DiffEditionsRequest.to_edition", Token),
    ("DiscardDraftRequest.etag", Token),
    ("DiscardDraftRequest.name", Token),
    ("DiscardDraftRequest.request_id", Token),
    ("Draft.base_edition", Token),
    ("Draft.etag", Token),
    ("Draft.name", Token),
    ("DraftToPublish.etag", Token),
    ("DraftToPublish.language_code", Token),
    ("Evidence.title", Line(Optional, TITLE)),
    ("Evidence.uri", Token),
    ("ExpungeStatementRequest.name", Token),
    ("ExpungeStatementRequest.proposal_id", Token),
    ("ExpungeStatementRequest.reason_code", Token),
    ("ExpungeStatementRequest.request_id", Token),
    ("FieldMask.paths", Token),
    ("Filter.audiences", Token),
    ("Filter.channels", Token),
    ("Filter.kinds", Token),
    ("Filter.language_codes", Token),
    ("Filter.region_codes", Token),
    ("Filter.statements", Token),
    ("Filter.topics", Token),
    ("GetDraftRequest.name", Token),
    ("GetDraftRevisionRequest.name", Token),
    ("GetEditionRequest.name", Token),
    ("GetReleaseRequest.name", Token),
    ("GetStatementOverviewRequest.name", Token),
    ("GetStatementRequest.language_code", Token),
    ("GetStatementRequest.name", Token),
    ("GetSubscriptionRequest.name", Token),
    ("ListDeliveriesRequest.parent", Token),
    ("ListDeliveriesRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListDraftRevisionsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListDraftRevisionsRequest.parent", Token),
    ("ListDraftsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListDraftsRequest.parent", Token),
    ("ListEditionsRequest.language_code", Token),
    ("ListEditionsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListEditionsRequest.parent", Token),
    ("ListEntriesRequest.caller", Token),
    ("ListEntriesRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListEntriesRequest.statement", Token),
    ("ListPendingApprovalsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListReleasesRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListReleasesRequest.parent", Token),
    ("ListStatementOverviewsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListStatementsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("ListSubscriptionsRequest.page_token", Sealed("INVALID_PAGE_TOKEN")),
    ("Notice.text", Text(Required, NOTICE)),
    ("Notice.text_media_type", Token),
    ("PublishDraftsRequest.parent", Token),
    ("PublishDraftsRequest.reason", Text(Required, NOTE)),
    ("PublishDraftsRequest.request_id", Token),
    ("ReadFeedRequest.cursor", Sealed("CURSOR_INVALID")),
    ("ReinstateStatementRequest.language_codes", Token),
    ("ReinstateStatementRequest.name", Token),
    ("ReinstateStatementRequest.proposal_id", Token),
    ("ReinstateStatementRequest.reason", Text(Required, NOTE)),
    ("ReinstateStatementRequest.request_id", Token),
    ("RejectDraftRequest.comment", Text(Required, NOTE)),
    ("RejectDraftRequest.etag", Token),
    ("RejectDraftRequest.name", Token),
    ("RejectDraftRequest.request_id", Token),
    ("RejectRequest.detail", Text(Optional, NOTE)),
    ("RejectRequest.name", Token),
    ("RejectRequest.reason_code", Token),
    ("RemoveStatementRequest.language_codes", Token),
    ("RemoveStatementRequest.name", Token),
    ("RemoveStatementRequest.proposal_id", Token),
    ("RemoveStatementRequest.reason", Text(Required, NOTE)),
    ("RemoveStatementRequest.redirect_statement", Token),
    ("RemoveStatementRequest.request_id", Token),
    ("Rendition.channel", Token),
    ("Rendition.text", Text(Required, RENDITION)),
    ("SaveDraftRequest.request_id", Token),
    ("SetLegalHoldRequest.name", Token),
    ("SetLegalHoldRequest.reason", Text(Required, NOTE)),
    ("SetLegalHoldRequest.request_id", Token),
    ("Statement.annotations.key", Line(Required, TextLimit::bytes(ID_CHARS_MAX))),
    ("Statement.annotations.value", Text(Optional, TextLimit::bytes(ANNOTATION_BYTES_MAX))),
    ("Statement.etag", Token),
    ("Statement.kind", Token),
    ("Statement.name", Token),
    ("Statement.owner", Line(Optional, SHORT)),
    ("Statement.source_language_code", Token),
    ("SubmitDraftRequest.etag", Token),
    ("SubmitDraftRequest.name", Token),
    ("SubmitDraftRequest.request_id", Token),
    ("SubscribeRequest.cursor", Sealed("CURSOR_INVALID")),
    ("SubscribeRequest.subscription", Token),
    ("Subscription.annotations.key", Line(Required, TextLimit::bytes(ID_CHARS_MAX))),
    ("Subscription.annotations.value", Text(Optional, TextLimit::bytes(ANNOTATION_BYTES_MAX))),
    ("Subscription.etag", Token),
    ("Subscription.name", Token),
    ("UpdateStatementRequest.request_id", Token),
    ("UpdateSubscriptionRequest.request_id", Token),
    ("WithdrawStatementRequest.language_codes", Token),
    ("WithdrawStatementRequest.name", Token),
    ("WithdrawStatementRequest.request_id", Token),
];

const SHORT: TextLimit = TextLimit::bytes(SHORT_BYTES_MAX);

/// Names of fields that have a class.
pub(super) fn classified() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(name, _)| *name)
}

/// The class of a string of an RPC's request.
pub(super) fn class(rpc: &str, name: &str, route: &str) -> Option<Class> {
    match (rpc, name) {
        (_, "Rendition.text") if route.contains("correction") || route.contains("notice") => {
            Some(Text(Required, SHORT_RENDITION))
        }
        ("CreateStatement", "Statement.name" | "Statement.etag")
        | ("UpdateStatement", "Statement.kind" | "Statement.source_language_code")
        | ("CreateSubscription", "Subscription.name" | "Subscription.etag") => Some(Ignored),
        _ => CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class),
    }
}

/// What a stream of the subscription `site` said when it was opened.
pub(super) struct Site {
    pub generation: u64,
    pub cursor: String,
    /// Where a page of the whole feed ended.
    pub read: String,
}

/// A request of an RPC that has every field, but for those that go with another than the one at `route`.
pub(super) fn right(rpc: &str, route: &str, site: &Site) -> Value {
    let statement = "statements/fire";
    let draft = "statements/fire/drafts/en";
    let etag = "\"1\"";
    let notice = json!({
        "text": "Over.", "text_media_type": "text/plain", "renditions": [{"channel": "mail", "text": "Over"}],
    });
    let filter = json!({
        "kinds": ["notice"], "topics": ["tax"], "language_codes": ["en"], "region_codes": ["DE"], "audiences": ["press"],
        "channels": ["web"], "statements": [statement],
    });
    let subscription = json!({"name": "subscriptions/site", "filter": filter, "annotations": {KEY: "v"}, "etag": etag});
    let second = json!({"name": statement, "proposal_id": "p1", "validate_only": true});
    match rpc {
        "CreateStatement" => json!({
            "statement_id": "flood",
            "statement": {"kind": "notice", "source_language_code": "en", "owner": "Press", "annotations": {KEY: "v"}},
            "validate_only": true,
        }),
        "UpdateStatement" => json!({
            "statement": {"name": statement, "owner": "Press", "annotations": {KEY: "v"}, "etag": etag},
            "update_mask": "owner", "validate_only": true,
        }),
        "SaveDraft" => json!({
            "draft": {"name": "statements/fire/drafts/de", "content": content(), "base_edition": "statements/fire/editions/de.1"},
            "validate_only": true,
        }),
        "SubmitDraft" | "ApproveDraft" | "RejectDraft" | "DiscardDraft" => {
            let mut request = json!({"name": draft, "etag": etag, "validate_only": true});
            if matches!(rpc, "ApproveDraft" | "RejectDraft") {
                request["comment"] = json!("No.");
            }
            request
        }
        "PublishDrafts" => json!({
            "parent": statement, "drafts": [{"language_code": "en", "etag": etag}], "force": true, "reason": "Danger.",
            "validate_only": true,
        }),
        "ApproveEdition" => json!({
            "name": "statements/fire/editions/en.1", "content_digest": "0".repeat(64), "comment": "Yes.", "validate_only": true,
        }),
        "CancelRelease" => {
            json!({"name": "statements/fire/releases/en", "etag": etag, "reason": "No.", "validate_only": true})
        }
        "WithdrawStatement" => {
            json!({"name": statement, "language_codes": ["en"], "notice": notice, "validate_only": true})
        }
        "ReinstateStatement" | "RemoveStatement" | "ExpungeStatement" if route == "proposal_id" => second,
        "ReinstateStatement" => {
            json!({"name": statement, "language_codes": ["en"], "reason": "Right.", "validate_only": true})
        }
        "RemoveStatement" if route == "redirect_statement" => json!({
            "name": statement, "mode": "REMOVAL_MODE_REDIRECT", "redirect_statement": "statements/flood", "reason": "Merged.",
            "validate_only": true,
        }),
        "RemoveStatement" => json!({
            "name": statement, "language_codes": ["en"], "mode": "REMOVAL_MODE_GONE", "notice": notice, "reason": "Wrong.",
            "validate_only": true,
        }),
        "ExpungeStatement" => json!({"name": statement, "reason_code": "court-order", "validate_only": true}),
        "CancelProposal" => json!({"name": statement, "proposal_id": "p1", "reason": "No.", "validate_only": true}),
        "GetDraftRevision" => json!({"name": draft, "revision": 1}),
        "ListDraftRevisions" => json!({"parent": draft}),
        "SetLegalHold" => json!({"name": statement, "legal_hold": true, "reason": "Claim.", "validate_only": true}),
        "GetStatementOverview" => json!({"name": statement}),
        "GetDraft" | "DiffDraft" => json!({"name": draft}),
        "GetRelease" => json!({"name": "statements/fire/releases/en"}),
        "GetEdition" => json!({"name": "statements/fire/editions/en.1"}),
        "GetStatement" => json!({"name": statement, "language_code": "en"}),
        "BatchGetStatements" => json!({"names": [statement], "language_code": "en"}),
        "ListStatements" => json!({"filter": filter}),
        "ListDrafts" | "ListReleases" | "ListEditions" | "ListDeliveries" => json!({"parent": statement}),
        "ListEntries" => json!({"statement": statement}),
        "GetServiceInfo"
        | "WhoAmI"
        | "ListStatementOverviews"
        | "ListPendingApprovals"
        | "ListSubscriptions"
        | "Backup" => json!({}),
        "DiffEditions" => {
            json!({"from_edition": "statements/fire/editions/en.1", "to_edition": "statements/fire/editions/en.1"})
        }
        "Subscribe" if route == "subscription" => {
            json!({"start": "START_ACKNOWLEDGED", "subscription": "subscriptions/none"})
        }
        "Subscribe" | "ReadFeed" if route == "cursor" => json!({"start": "START_CURSOR", "cursor": site.read}),
        "Subscribe" | "ReadFeed" => json!({"start": "START_NOW", "filter": filter}),
        "CreateSubscription" => {
            json!({"subscription_id": "other", "subscription": subscription, "validate_only": true})
        }
        "UpdateSubscription" => {
            json!({"subscription": subscription, "update_mask": "annotations", "validate_only": true})
        }
        "GetSubscription" => json!({"name": "subscriptions/site"}),
        "DeleteSubscription" => json!({"name": "subscriptions/site", "etag": etag, "validate_only": true}),
        "Acknowledge" => {
            json!({"name": "subscriptions/site", "generation": site.generation, "cursor": site.cursor})
        }
        "Reject" => json!({
            "name": "subscriptions/site", "generation": site.generation, "sequence": 1, "reason_code": "too-long", "detail": "No.",
        }),
        _ => panic!("no request of {rpc}: add one"),
    }
}

fn content() -> Value {
    json!({
        "title": "Fire", "summary": "A fire.", "body": "It burns.", "body_media_type": "text/plain",
        "renditions": [{"channel": "push", "text": "Fire"}],
        "attachments": [{"title": "Map", "uri": "https://example.org/a", "media_type": "image/png", "sha256": "0".repeat(64)}],
        "topics": ["tax"], "region_codes": ["DE"], "excluded_region_codes": ["CH"], "audiences": ["press"], "channels": ["web"],
        "claim_reviews": [{
            "claim": "It rains.", "claimant": "A video", "first_appearance_uri": "https://example.org/f",
            "verdict": "VERDICT_FALSE", "verdict_text": "It does not.",
            "evidence": [{"title": "Radar", "uri": "https://example.org/e"}],
        }],
        "contacts": [{"name": "Press", "email": "a@example.org", "phone": "+49 1", "uri": "https://example.org/c"}],
        "change_kind": "CHANGE_KIND_MAJOR", "change_note": "More.",
        "correction": {"text": "It was wrong.", "corrected_edition": "statements/fire/editions/de.1",
                       "renditions": [{"channel": "push", "text": "Wrong"}]},
        "source_edition": "statements/fire/editions/en.1",
    })
}

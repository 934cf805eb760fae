//! Messages as canonical JSON (the JSON mapping of proto3).

use std::{fmt::Write as _, sync::LazyLock};

use anyhow::Context as _;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::{api::v1, domain::text::is_hidden};

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(v1::DESCRIPTORS).ok());

/// A message of the API that a command answers with.
pub(super) trait Answer: Message {
    /// Its name in the package `onrecord.v1`.
    const NAME: &'static str;
}

macro_rules! answers {
    ($($message:ident),+ $(,)?) => {
        $(impl Answer for v1::$message { const NAME: &'static str = stringify!($message); })+
        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($message)),+];
    };
}

answers!(
    ApproveDraftResponse,
    ApproveEditionResponse,
    CancelReleaseResponse,
    CancelProposalResponse,
    ConfirmClockResponse,
    CreateStatementResponse,
    CreateSubscriptionResponse,
    DeleteSubscriptionResponse,
    DiffDraftResponse,
    DiffEditionsResponse,
    DiscardDraftResponse,
    GetClockResponse,
    GetStatementOverviewResponse,
    GetDraftResponse,
    GetDraftRevisionResponse,
    GetEditionResponse,
    GetReleaseResponse,
    GetServiceInfoResponse,
    GetStatementResponse,
    GetSubscriptionResponse,
    ListDeliveriesResponse,
    ListDraftsResponse,
    ListDraftRevisionsResponse,
    ListEditionsResponse,
    ListEntriesResponse,
    ListPendingApprovalsResponse,
    ListReleasesResponse,
    ListStatementOverviewsResponse,
    ListStatementsResponse,
    ListSubscriptionsResponse,
    PublishDraftsResponse,
    RejectDraftResponse,
    SaveDraftResponse,
    SubmitDraftResponse,
    SubscribeResponse,
    WhoAmIResponse,
    WithdrawStatementResponse,
);

/// The message as a JSON document, on one line or on many.
pub(super) fn text<A: Answer>(answer: &A, one_line: bool) -> anyhow::Result<String> {
    let pool = POOL.as_ref().context("the embedded descriptors do not decode")?;
    let name = format!("onrecord.v1.{}", A::NAME);
    let descriptor = pool.get_message_by_name(&name).with_context(|| format!("no descriptor of {name}"))?;
    let mut message = DynamicMessage::new(descriptor);
    message.transcode_from(answer)?;
    let written = if one_line { serde_json::to_string(&message) } else { serde_json::to_string_pretty(&message) };
    Ok(visible(&written?))
}

/// JSON with its hidden characters written as escapes (RFC 8259, section 7): it means the same, and a terminal shows them.
pub(super) fn visible(json: &str) -> String {
    let mut visible = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(c);
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::{NAMES, POOL, text, v1, visible};

    #[test]
    fn what_is_hidden_in_json_is_escaped_and_means_the_same() {
        let json = "{\n  \"a\": \"\u{202e}\u{9b}\u{200d}\u{e0067}\u{2028}é\"\n}";
        assert_eq!(visible(json), "{\n  \"a\": \"\\u202e\\u009b\\u200d\\udb40\\udc67\\u2028é\"\n}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&visible(json)), value(json));
    }

    #[test]
    fn every_answer_has_a_descriptor() {
        for name in NAMES {
            assert!(POOL.as_ref().unwrap().get_message_by_name(&format!("onrecord.v1.{name}")).is_some(), "{name}");
        }
    }

    #[test]
    fn a_message_is_written_as_proto_json() {
        let live = v1::Live { sequence: 7, state: v1::live::State::Withdrawn.into(), ..v1::Live::default() };
        let answer = v1::PublishDraftsResponse { live: vec![live], releases: Vec::new() };
        assert_eq!(text(&answer, true).unwrap(), r#"{"live":[{"state":"STATE_WITHDRAWN","sequence":"7"}]}"#);
    }
}

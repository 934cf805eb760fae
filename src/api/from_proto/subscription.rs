//! What is asked of named subscriptions.

use super::{
    Envelope, Faults,
    editorial::{annotations, etag},
    feed::filter_in,
    text::{opaque, text},
};
use crate::{
    api::v1,
    domain::{
        id::{Code, EditionName, Malformed, StatementId, SubscriptionId},
        limits::NOTE,
        rejection::Rejection,
        subscription::{Refused, Step, SubscriptionCall},
        time::Timestamp,
    },
    feed::Target,
};

const FIELDS: [&str; 3] = ["filter", "include_embargoed", "annotations"];

pub(in crate::api) fn create_subscription(
    envelope: Envelope<'_>,
    given: &v1::CreateSubscriptionRequest,
) -> Result<SubscriptionCall, Rejection> {
    let mut faults = Faults::default();
    let id = faults.take("subscription_id", SubscriptionId::parse(&given.subscription_id));
    let subscription = given.subscription.clone().unwrap_or_default();
    let step = Step::Create {
        filter: filter_in(&mut faults, "subscription.filter", subscription.filter.as_ref()),
        include_embargoed: subscription.include_embargoed,
        annotations: annotations(&mut faults, "subscription.annotations", &subscription.annotations),
    };
    envelope.enrol(faults, id, step)
}

pub(in crate::api) fn update_subscription(
    envelope: Envelope<'_>,
    given: &v1::UpdateSubscriptionRequest,
) -> Result<SubscriptionCall, Rejection> {
    let mut faults = Faults::default();
    let subscription = given.subscription.clone().unwrap_or_default();
    let id = faults.take("subscription.name", SubscriptionId::parse_name(&subscription.name));
    let named = faults.mask(given.update_mask.as_ref(), &FIELDS);
    let filter = filter_in(&mut faults, "subscription.filter", subscription.filter.as_ref());
    let annotations = annotations(&mut faults, "subscription.annotations", &subscription.annotations);
    let step = Step::Update {
        etag: etag(&mut faults, "subscription.etag", &subscription.etag),
        filter: named("filter").then_some(filter),
        include_embargoed: named("include_embargoed").then_some(subscription.include_embargoed),
        annotations: named("annotations").then_some(annotations),
    };
    envelope.enrol(faults, id, step)
}

pub(in crate::api) fn delete_subscription(
    envelope: Envelope<'_>,
    given: &v1::DeleteSubscriptionRequest,
) -> Result<SubscriptionCall, Rejection> {
    let mut faults = Faults::default();
    let id = faults.take("name", SubscriptionId::parse_name(&given.name));
    let etag = opaque(&mut faults, "etag", &given.etag);
    envelope.enrol(faults, id, Step::Delete { etag })
}

/// `subscriptions/{subscription}`.
pub(in crate::api) fn subscription_name(name: &str) -> Result<SubscriptionId, Rejection> {
    let mut faults = Faults::default();
    let id = faults.take("name", SubscriptionId::parse_name(name));
    faults.finish_some(id)
}

/// Who acknowledges: the name and the generation of the stream.
pub(in crate::api) fn acknowledge(given: &v1::AcknowledgeRequest) -> Result<(SubscriptionId, u64), Rejection> {
    let mut faults = Faults::default();
    if given.cursor.is_empty() {
        faults.add("cursor", "is required: send the cursor of what was applied");
    }
    holder(faults, &given.name, given.generation)
}

/// Who rejects, and what.
pub(in crate::api) fn reject(
    given: &v1::RejectRequest,
    now: Timestamp,
) -> Result<(SubscriptionId, u64, Refused), Rejection> {
    let mut faults = Faults::default();
    let reason = faults.take("reason_code", Code::parse(&given.reason_code));
    let detail = text(&mut faults, "detail", &given.detail, NOTE);
    let (id, generation) = holder(faults, &given.name, given.generation)?;
    let refused = reason.map(|reason| Refused { sequence: given.sequence, reason, detail, time: now });
    Faults::default().finish_some(refused.map(|refused| (id, generation, refused)))
}

fn holder(mut faults: Faults, name: &str, generation: u64) -> Result<(SubscriptionId, u64), Rejection> {
    let id = faults.take("name", SubscriptionId::parse_name(name));
    if generation == 0 {
        faults.add("generation", "is required: send that of the stream's `opened`");
    }
    faults.finish_some(id.map(|id| (id, generation)))
}

/// What sites may have applied: `statements/{statement}`, or the name of an edition.
pub(in crate::api) fn target(name: &str) -> Result<Target, Rejection> {
    let mut faults = Faults::default();
    let statement = StatementId::parse_name(name).map(Target::Statement);
    let target = statement.or_else(|_| EditionName::parse(name).map(Target::Edition));
    let words = "must be statements/{statement} or statements/{statement}/editions/{language}.{number}";
    let target = faults.take("parent", target.map_err(|_| Malformed::new(words)));
    faults.finish_some(target)
}

//! Named subscriptions, and what became of events at sites.

use std::time::Duration;

use super::time;
use crate::{
    api::v1::{self, delivery_report, subscription::State},
    domain::{
        filter::Filter,
        id::StatementId,
        rejection::etag,
        subscription::{Refused, Subscription},
        time::Timestamp,
    },
    feed::{Outcome, Standing, StandingState, Told},
};

/// A named subscription, and how it stands.
pub(in crate::api) fn subscription(
    subscription: &Subscription,
    standing: &Standing,
    now: Timestamp,
) -> v1::Subscription {
    let progress = &standing.progress;
    v1::Subscription {
        name: subscription.id.name(),
        filter: Some(filter(&subscription.filter)),
        include_embargoed: subscription.include_embargoed,
        annotations: subscription.annotations.clone().into_iter().collect(),
        etag: etag(subscription.version),
        creator: subscription.creator.to_string(),
        create_time: time(subscription.create_time),
        update_time: time(subscription.update_time),
        state: match standing.state {
            StandingState::Active => State::Active,
            StandingState::Idle => State::Idle,
            StandingState::Stalled => State::Stalled,
            StandingState::Rejecting => State::Rejecting,
        }
        .into(),
        generation: progress.generation,
        cursor: standing.cursor.clone(),
        acknowledged_sequence: progress.next().saturating_sub(1),
        lag_events: standing.lag_events,
        lag: prost_types::Duration::try_from(standing.lags_since.map_or(Duration::ZERO, |since| {
            Duration::from_micros(u64::try_from(now.micros_since(since)).unwrap_or_default())
        }))
        .ok(),
        last_contact_time: progress.contact_time.and_then(time),
        rejection: progress.refused.as_ref().map(rejection),
    }
}

pub(in crate::api) fn filter(filter: &Filter) -> v1::Filter {
    fn words<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }
    v1::Filter {
        kinds: words(&filter.kinds),
        topics: words(&filter.topics),
        language_codes: words(&filter.languages),
        region_codes: filter.regions.iter().map(|region| region.as_str().to_owned()).collect(),
        audiences: words(&filter.audiences),
        channels: words(&filter.channels),
        statements: filter.statements.iter().map(StatementId::name).collect(),
    }
}

fn rejection(refused: &Refused) -> v1::EventRejection {
    v1::EventRejection {
        sequence: refused.sequence,
        reason_code: refused.reason.to_string(),
        detail: refused.detail.clone(),
        reject_time: time(refused.time),
    }
}

/// What became of an event at a site.
pub(in crate::api) fn delivery_report(told: &Told) -> v1::DeliveryReport {
    let (outcome, apply_time, refused) = match &told.outcome {
        Outcome::Applied(since) => (delivery_report::Outcome::Applied, since.and_then(time), None),
        Outcome::Waiting => (delivery_report::Outcome::Waiting, None, None),
        Outcome::Refused(refused) => (delivery_report::Outcome::Rejected, None, Some(rejection(refused))),
    };
    v1::DeliveryReport {
        subscription: told.subscription.name(),
        sequence: told.event.sequence,
        language_code: told.event.language_code.to_string(),
        edition: told.event.edition.as_ref().map(ToString::to_string).unwrap_or_default(),
        event_time: time(told.event.event_time),
        outcome: outcome.into(),
        apply_time,
        rejection: refused,
    }
}

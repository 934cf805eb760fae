//! What subscribers and readers ask for.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    Faults,
    text::{codes, language_list},
};
use crate::{
    api::v1,
    domain::{
        filter::Filter,
        id::{Code, Region, StatementId, SubscriptionId},
        rejection::Rejection,
    },
    feed::{Right, Start, StreamRequest, Wanted},
    journal::Form,
};

/// Values in one field of a filter.
const FILTER_VALUES_MAX: usize = 100;
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(10);
/// The shortest and the longest heartbeat interval.
const HEARTBEAT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);
/// Events on a page of the feed, when the call does not say and at most.
const EVENTS_DEFAULT: i32 = 100;
const EVENTS_MAX: i32 = 1_000;

/// Follows the feed.
pub(in crate::api) fn subscription(given: &v1::SubscribeRequest, right: Right) -> Result<StreamRequest, Rejection> {
    let mut faults = Faults::default();
    let start = start(&mut faults, given.start(), &given.cursor, true);
    let wanted = wanted(&mut faults, given);
    if start == Some(Start::Applied) && given.subscription.is_empty() {
        faults.add("subscription", "is required for START_ACKNOWLEDGED");
    }
    let heartbeat = heartbeat(&mut faults, given.heartbeat_interval);
    let form = form_in(&mut faults, given.content_view);
    let request = |(start, wanted)| StreamRequest { start, wanted, form, heartbeat, right };
    faults.finish_some(start.zip(wanted).map(request))
}

/// How texts are sent.
/// Reads the form of texts in a read; `None` if they are left out.
pub(in crate::api) fn view(given: i32) -> Result<Option<Form>, Rejection> {
    let mut faults = Faults::default();
    let form = match v1::ContentView::try_from(given) {
        Ok(v1::ContentView::Unspecified | v1::ContentView::Message) => Some(Form::Message),
        Ok(v1::ContentView::Canonical) => Some(Form::Canonical),
        Ok(v1::ContentView::None) => None,
        Err(_) => {
            faults.add(
                "content_view",
                "must be CONTENT_VIEW_MESSAGE, CONTENT_VIEW_CANONICAL or CONTENT_VIEW_NONE, or unset",
            );
            None
        }
    };
    faults.finish(form)
}

/// Reads whether the response of a call that changes something has its texts.
pub(in crate::api) fn has_texts(given: i32) -> Result<bool, Rejection> {
    let mut faults = Faults::default();
    let has_texts = match v1::ContentView::try_from(given) {
        Ok(v1::ContentView::Unspecified | v1::ContentView::None) => false,
        Ok(v1::ContentView::Message) => true,
        Ok(v1::ContentView::Canonical) | Err(_) => {
            faults.add("content_view", "must be CONTENT_VIEW_NONE or CONTENT_VIEW_MESSAGE, or unset");
            false
        }
    };
    faults.finish(has_texts)
}

/// Reads the form of texts in the feed.
fn form_in(faults: &mut Faults, given: i32) -> Form {
    match v1::ContentView::try_from(given) {
        Ok(v1::ContentView::Unspecified | v1::ContentView::Message) => Form::Message,
        Ok(v1::ContentView::Canonical) => Form::Canonical,
        Ok(v1::ContentView::None) | Err(_) => {
            faults.add("content_view", "must be CONTENT_VIEW_MESSAGE or CONTENT_VIEW_CANONICAL, or unset");
            Form::default()
        }
    }
}

fn wanted(faults: &mut Faults, given: &v1::SubscribeRequest) -> Option<Wanted> {
    let include_embargoed = given.include_embargoed;
    if given.subscription.is_empty() {
        return Some(Wanted::These { filter: filter_in(faults, "filter", given.filter.as_ref()), include_embargoed });
    }
    if given.filter.is_some() {
        faults.add("filter", "is that of the named subscription: leave it unset");
    }
    if include_embargoed {
        faults.add("include_embargoed", "is that of the named subscription: leave it unset");
    }
    faults.take("subscription", SubscriptionId::parse_name(&given.subscription)).map(Wanted::Named)
}

/// One page of the feed: where, what, and how many events.
pub(in crate::api) fn read_feed(given: &v1::ReadFeedRequest) -> Result<(Start, Filter, Form, usize), Rejection> {
    let mut faults = Faults::default();
    let start = start(&mut faults, given.start(), &given.cursor, false);
    let filter = filter_in(&mut faults, "filter", given.filter.as_ref());
    if given.max_events < 0 {
        faults.add("max_events", "must not be negative; 0 means 100");
    }
    let form = form_in(&mut faults, given.content_view);
    let max = if given.max_events == 0 { EVENTS_DEFAULT } else { given.max_events.min(EVENTS_MAX) };
    faults.finish_some(start.map(|start| (start, filter, form, usize::try_from(max).unwrap_or_default())))
}

/// A filter; absent means everything.
pub(in crate::api) fn filter(given: Option<&v1::Filter>) -> Result<Filter, Rejection> {
    let mut faults = Faults::default();
    let filter = filter_in(&mut faults, "filter", given);
    faults.finish(filter)
}

fn start(faults: &mut Faults, given: v1::Start, cursor: &str, snapshot: bool) -> Option<Start> {
    if given != v1::Start::Cursor && !cursor.is_empty() {
        faults.add("cursor", "is for START_CURSOR only");
    }
    match given {
        v1::Start::Snapshot if snapshot => Some(Start::Snapshot),
        v1::Start::Acknowledged if snapshot => Some(Start::Applied),
        v1::Start::Unspecified | v1::Start::Snapshot | v1::Start::Acknowledged => {
            let most = if snapshot { "START_SNAPSHOT, START_ACKNOWLEDGED, " } else { "" };
            faults.add("start", format!("must be {most}START_CURSOR, START_BEGINNING or START_NOW"));
            None
        }
        v1::Start::Cursor if cursor.is_empty() => {
            faults.add("cursor", "is required for START_CURSOR");
            None
        }
        v1::Start::Cursor => Some(Start::Cursor(cursor.to_owned())),
        v1::Start::Beginning => Some(Start::Beginning),
        v1::Start::Now => Some(Start::Now),
    }
}

fn heartbeat(faults: &mut Faults, given: Option<prost_types::Duration>) -> Duration {
    let Some(given) = given else { return HEARTBEAT_DEFAULT };
    let interval = Duration::try_from(given).ok().filter(|interval| HEARTBEAT.contains(interval));
    if interval.is_none() {
        faults.add("heartbeat_interval", "must be 1 to 60 s");
    }
    interval.unwrap_or(HEARTBEAT_DEFAULT)
}

pub(super) fn filter_in(faults: &mut Faults, field: &str, given: Option<&v1::Filter>) -> Filter {
    let Some(given) = given else { return Filter::default() };
    let (most, path) = (FILTER_VALUES_MAX, |name: &str| format!("{field}.{name}"));
    Filter {
        kinds: codes(faults, &path("kinds"), &given.kinds, most, Code::parse),
        topics: codes(faults, &path("topics"), &given.topics, most, Code::parse),
        languages: language_list(faults, &path("language_codes"), &given.language_codes, most),
        regions: codes(faults, &path("region_codes"), &given.region_codes, most, Region::parse),
        audiences: codes(faults, &path("audiences"), &given.audiences, most, Code::parse),
        channels: codes(faults, &path("channels"), &given.channels, most, Code::parse),
        statements: codes(faults, &path("statements"), &given.statements, most, StatementId::parse_name),
    }
}

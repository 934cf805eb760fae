//! Traces: what a call led to, as OpenTelemetry tells it, with the W3C context of who called.
//!
//! **Invariants**
//! - Where nobody takes traces ([`crate::telemetry::Traces`]), or this one is not sampled, nothing is made but the id that log lines have.
//! - No words of a text are in a span, and no names of callers.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::SystemTime,
};

use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue, global,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Who makes the spans, as they say.
const SCOPE: &str = "onrecord";

static IS_ENABLED: AtomicBool = AtomicBool::new(false);

/// From now on there is somebody who takes traces.
pub(crate) fn enable() {
    IS_ENABLED.store(true, Relaxed);
}

/// The trace of a call that is being answered.
#[derive(Clone, Debug)]
pub struct CallTrace {
    /// Of the caller, if it has one.
    pub id: TraceId,
    /// Its span; none if it is not recorded.
    context: Option<Context>,
}

impl CallTrace {
    /// A call of `method` begins: goes on in the caller's trace (`traceparent`, W3C Trace Context), or in one of its own.
    #[must_use]
    pub fn begin(headers: &HeaderMap, method: &str, peer: SocketAddr) -> Self {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let theirs = parent.span().span_context().trace_id();
        if !IS_ENABLED.load(Relaxed) {
            return Self { id: if theirs == TraceId::INVALID { random() } else { theirs }, context: None };
        }
        let attributes = vec![
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method.to_owned()),
            KeyValue::new("client.address", peer.ip().to_string()),
            KeyValue::new("client.port", i64::from(peer.port())),
        ];
        let builder = SpanBuilder::from_name(method.to_owned()).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = global::tracer(SCOPE).build_with_context(builder, &parent);
        let (id, is_recorded) = (span.span_context().trace_id(), span.is_recording());
        Self { id, context: is_recorded.then(|| parent.with_span(span)) }
    }

    /// What is done for the call is to be done in it; none if that would tell nobody anything.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.context.clone()
    }

    /// The call ended with a code (`NOT_FOUND`), which may be a fault of ours.
    pub fn end(&self, code: &'static str, is_fault: bool) {
        let Some(context) = &self.context else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new("rpc.response.status_code", code));
        if is_fault {
            span.set_attribute(KeyValue::new("error.type", code));
            span.set_status(Status::error(code));
        }
        span.end();
    }
}

/// The trace of who calls, if it has one.
pub(crate) fn of_caller(headers: &HeaderMap) -> Option<TraceId> {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    Some(parent.span().span_context().trace_id()).filter(|id| *id != TraceId::INVALID)
}

/// Where in a trace a step belongs; nowhere if nobody is told. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Context>);

impl Trace {
    /// In which this task works.
    pub(crate) fn current() -> Self {
        if !IS_ENABLED.load(Relaxed) {
            return Self(None);
        }
        let context = Context::current();
        let is_recorded = context.span().is_recording();
        Self(is_recorded.then_some(context))
    }

    /// Whether somebody is told.
    pub(crate) fn is_told(&self) -> bool {
        self.0.is_some()
    }

    /// When a step of it begins; none if nobody is told.
    pub(crate) fn begin(&self) -> Option<SystemTime> {
        self.0.as_ref().map(|_| SystemTime::now())
    }

    /// A step began then, and ends now.
    pub(crate) fn step(&self, name: &'static str, begun: SystemTime, attributes: Vec<KeyValue>) {
        let Some(context) = &self.0 else { return };
        let builder = SpanBuilder::from_name(name).with_start_time(begun).with_attributes(attributes);
        global::tracer(SCOPE).build_with_context(builder, context).end();
    }
}

fn random() -> TraceId {
    let mut bytes = [0; 16];
    // Without random numbers the lines of a call are told apart by what else they say.
    let _ = getrandom::fill(&mut bytes);
    TraceId::from_bytes(bytes)
}

/// The metadata of a call, where the context is looked for.
struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_callers_or_one_of_its_own() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 7400));
        let id = |parent: &str| {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), parent.parse().unwrap())]);
            CallTrace::begin(&headers, "onrecord.v1.StatementService/GetStatement", peer).id
        };
        let theirs = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(id(&format!("00-{theirs}-00f067aa0ba902b7-01")).to_string(), theirs);
        let (one, two) = (id("nonsense"), id("00-zz-00f067aa0ba902b7-01"));
        assert!(one != TraceId::INVALID && two != TraceId::INVALID && one != two);
    }
}

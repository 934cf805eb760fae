//! Calls, counted: how many began, how each ended, how long it took. The names are those of go-grpc-middleware, which dashboards and alerts
//! know (`grpc_server_started_total`, `grpc_server_handled_total`, `grpc_server_handling_seconds`).
//!
//! **Invariants**
//! - A call is counted once as begun and once as ended, also if its caller goes away: then as `Canceled` (`a_call_ends_once`).
//! - What is not a method of ours has one name for all (`unknown`): nobody makes us keep names that they choose.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use http::HeaderMap;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tonic::{Code, Status};

use super::{framing::Framing, under_way::Shape};
use crate::{
    access::METHODS,
    api::{code_name, complete_head, complete_trailers},
    trace::CallTrace,
};

/// Seconds. The first is a read from memory, the last the deadline that clients usually give; streams last longer.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A method, as labels name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "so the labels are called")]
struct Of {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

/// A method, and how a call of it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "so the labels are called")]
struct Ended {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

static UNKNOWN: Of = Of { grpc_type: "unknown", grpc_service: "unknown", grpc_method: "unknown" };
/// Methods that answer more than once, and those that are not of ours.
const STREAMS: [&str; 3] =
    ["onrecord.v1.FeedService/Subscribe", "onrecord.v1.BackupService/Backup", "grpc.health.v1.Health/Watch"];
const OTHERS: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

static KNOWN: LazyLock<HashMap<&'static str, Of>> = LazyLock::new(|| {
    let paths = METHODS.iter().map(|method| method.path).chain(OTHERS);
    paths.filter_map(|path| Some((path, of(path, path.split_once('/')?)))).collect()
});

fn of(path: &'static str, (grpc_service, grpc_method): (&'static str, &'static str)) -> Of {
    let grpc_type = match path {
        path if STREAMS.contains(&path) => "server_stream",
        path if path.contains("Reflection/") => "bidi_stream",
        _ => "unary",
    };
    Of { grpc_type, grpc_service, grpc_method }
}

/// What is counted. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct CallCounts(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    started: Family<Of, Counter>,
    handled: Family<Ended, Counter>,
    seconds: Family<Of, Histogram, fn() -> Histogram>,
    begun: AtomicU64,
    faults: AtomicU64,
}

impl CallCounts {
    pub(super) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self(Arc::new(Counts {
            started: Family::default(),
            handled: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            begun: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("grpc_server_started", "Calls that began", self.0.started.clone());
        registry.register("grpc_server_handled", "Calls that ended, and how", self.0.handled.clone());
        registry.register(
            "grpc_server_handling_seconds",
            "Seconds from the first of a call to its end",
            self.0.seconds.clone(),
        );
    }

    /// How many began, and how many ended with a fault of ours.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.0.begun.load(Relaxed), self.0.faults.load(Relaxed))
    }

    /// A call of this path begins.
    pub(super) fn begin(&self, path: &str) -> Counted {
        let of = KNOWN.get(path.strip_prefix('/').unwrap_or(path)).unwrap_or(&UNKNOWN);
        self.0.started.get_or_create(of).inc();
        self.0.begun.fetch_add(1, Relaxed);
        Counted { calls: self.clone(), of, begun: Instant::now(), ended: false, trace: None, framing: None }
    }
}

/// A call that is under way. Dropped before it ended, its caller went away.
#[derive(Debug)]
pub(super) struct Counted {
    calls: CallCounts,
    of: &'static Of,
    begun: Instant,
    ended: bool,
    /// What is told of it, once it was let in.
    pub(super) trace: Option<CallTrace>,
    /// What was found in its request, once that is read.
    pub(super) framing: Option<Framing>,
}

impl Counted {
    /// Completes the head of an answer, whose status gets its code, reason and details, and counts the end if it is one.
    pub(super) fn head(&mut self, headers: &mut HeaderMap) {
        if let Some(framing) = &self.framing {
            complete_head(headers, framing.fault(), framing.message_bytes_max());
        }
        // A refusal has its code in the head.
        if let Some(status) = Status::from_header_map(headers) {
            self.end(status.code());
        }
    }

    /// Completes the trailers of an answer, and counts its end.
    pub(super) fn trailers(&mut self, trailers: &mut HeaderMap) {
        if let Some(framing) = &self.framing {
            complete_trailers(trailers, framing.fault(), framing.has_ended());
        }
        self.end(Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code()));
    }

    /// Its shape. What is not a method of ours is refused, as one answer.
    pub(super) fn shape(&self) -> Shape {
        match self.of.grpc_type {
            "server_stream" => Shape::ServerStream,
            "bidi_stream" => Shape::BidiStream,
            _ => Shape::Unary,
        }
    }

    /// It ended so; counted once.
    pub(super) fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            let Of { grpc_type, grpc_service, grpc_method } = *self.of;
            let ended = Ended { grpc_type, grpc_service, grpc_method, grpc_code: named(code) };
            self.calls.0.handled.get_or_create(&ended).inc();
            if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) {
                self.calls.0.faults.fetch_add(1, Relaxed);
            }
            if let Some(trace) = &self.trace {
                trace.end(code_name(code), is_fault(code));
            }
            self.calls.0.seconds.get_or_create(self.of).observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// As go-grpc-middleware names them.
fn named(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// Whether the span of a server says that it failed (OpenTelemetry, semantic conventions for gRPC).
fn is_fault(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::server::answer::Answer;

    fn lines(calls: &CallCounts) -> Vec<String> {
        let (mut registry, mut text) = (Registry::default(), String::new());
        calls.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| line.starts_with("grpc_server_handled_total")).map(str::to_owned).collect()
    }

    fn handled(kind: &str, service: &str, method: &str, code: &str) -> String {
        let labels =
            format!("grpc_type=\"{kind}\",grpc_service=\"{service}\",grpc_method=\"{method}\",grpc_code=\"{code}\"");
        format!("grpc_server_handled_total{{{labels}}} 1")
    }

    #[test]
    fn a_call_ends_once() {
        let calls = CallCounts::new();
        let refused = Status::not_found("it is not there").into_http();
        drop(Answer::refused(refused, calls.begin("/onrecord.v1.StatementService/GetStatement")));
        drop(calls.begin("/onrecord.v1.FeedService/Subscribe"));
        drop(calls.begin("/Robert/DropTables"));
        let mut told = lines(&calls);
        told.sort_unstable();
        let expected = [
            handled("server_stream", "onrecord.v1.FeedService", "Subscribe", "Canceled"),
            handled("unary", "onrecord.v1.StatementService", "GetStatement", "NotFound"),
            handled("unknown", "unknown", "unknown", "Canceled"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn every_method_has_its_own_name() {
        let own = METHODS.iter().filter(|method| !method.path.ends_with('*'));
        assert!(own.clone().count() > 30 && own.into_iter().all(|method| KNOWN.contains_key(method.path)));
    }
}

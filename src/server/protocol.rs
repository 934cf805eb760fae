//! Refuses requests that are no gRPC calls, before anything else of them is read ("gRPC over HTTP2", section "Requests").
//!
//! **Invariants**
//! - Only POST with a content type of [`CONTENT_TYPES`] reaches access control, limits or a handler
//!   (`only_post_with_a_grpc_content_type_runs_a_call`); from a listed origin also one of gRPC-Web, see [`web`]. A browser sends such a request to
//!   another site only after a preflight (OPTIONS), which is answered 405 and allows nothing, but for listed origins: no other web page
//!   can make a call.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;
use tracing::info;

use super::web;
use crate::{access, api::Peer, config::Origin, lines::Lines};

/// Content types of the protocols that are served, in lower case and without parameters.
const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];
/// Characters of what a caller sent that one line of the log shows.
const SHOWN_CHARS_MAX: usize = 64;

/// Why a request is no gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotGrpc {
    /// Its method is not POST.
    Method,
    /// Its content type is missing, given twice, or none of [`CONTENT_TYPES`].
    ContentType,
}

/// All of them, with their names in metrics.
const REASONS: [(NotGrpc, &str); 2] = [(NotGrpc::Method, "method"), (NotGrpc::ContentType, "content_type")];

impl NotGrpc {
    fn of<B>(request: &Request<B>) -> Option<Self> {
        if request.method() != Method::POST {
            return Some(Self::Method);
        }
        (!has_content_type(request.headers(), &CONTENT_TYPES)).then_some(Self::ContentType)
    }

    fn answer(self) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        match self {
            Self::Method => {
                *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::ContentType => *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
        answer
    }
}

/// Counts and logs the requests that it refuses. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Protocol(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lines: Arc<Lines>,
    /// Origins whose pages may call by gRPC-Web.
    origins: Vec<Origin>,
    refused: [AtomicU64; REASONS.len()],
}

impl Protocol {
    pub(super) fn new(lines: Arc<Lines>, origins: Vec<Origin>) -> Self {
        Self(Arc::new(Inner { lines, origins, refused: Default::default() }))
    }

    /// Lets a gRPC call pass, and makes one of gRPC-Web a gRPC call: then it returns the origin of its page.
    ///
    /// # Errors
    /// The response to a request that is no call: HTTP 405 or 415, or what a browser asks before a page may call.
    pub(super) fn pass<B>(&self, request: &mut Request<B>, peer: &Peer) -> Result<Option<Origin>, Box<Response<Body>>> {
        if let Some(origin) = web::listed(&self.0.origins, request) {
            if let Some(response) = web::preflight(request, origin) {
                return Err(Box::new(response));
            }
            if web::translate(request) {
                return Ok(Some(origin.clone()));
            }
        }
        self.refuse(request, peer).map_or(Ok(None), |refused| Err(Box::new(refused)))
    }

    fn refuse<B>(&self, request: &Request<B>, peer: &Peer) -> Option<Response<Body>> {
        let why = NotGrpc::of(request)?;
        let count = REASONS.iter().zip(&self.0.refused).find(|((reason, _), _)| *reason == why);
        if let Some((_, count)) = count {
            count.fetch_add(1, Relaxed);
        }
        let answer = why.answer();
        self.log(request, peer, answer.status());
        Some(answer)
    }

    /// Number of refused requests since the start, by reason.
    pub(super) fn all_refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.iter().zip(&self.0.refused).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    fn log<B>(&self, request: &Request<B>, peer: &Peer, status: StatusCode) {
        let Some(unwritten) = self.0.lines.one_more(peer.address()) else { return };
        let path = request.uri().path();
        let method = if access::is_known(path) { path } else { "unknown" };
        let http_method = shown(request.method().as_str().as_bytes());
        let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| shown(value.as_bytes()));
        let status = status.as_u16();
        info!(target: "audit", %peer, method, http_method, content_type, status, unwritten, "refused: no gRPC call");
    }
}

/// Returns whether the content type is one of these. Its parameters do not matter (RFC 9110, section 8.3.1).
pub(super) fn has_content_type(headers: &HeaderMap, types: &[&str]) -> bool {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (given.next(), given.next()) else { return false };
    let Ok(text) = one.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim();
    types.iter().any(|served| served.eq_ignore_ascii_case(essence))
}

/// The start of what a caller sent, escaped.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_compared_without_case_and_parameters() {
        let served = |types: &[&'static str]| {
            let headers = types.iter().map(|text| (header::CONTENT_TYPE, HeaderValue::from_static(text))).collect();
            has_content_type(&headers, &CONTENT_TYPES)
        };
        for right in
            ["application/grpc", "Application/gRPC+Proto", "application/grpc ; charset=utf-8", "application/grpc;"]
        {
            assert!(served(&[right]), "{right}");
        }
        let wrong = [
            "",
            "text/plain",
            "application/grpc-web",
            "application/grpc+json",
            "application/grpcx",
            "a;application/grpc",
        ];
        for wrong in wrong {
            assert!(!served(&[wrong]), "{wrong}");
        }
        assert!(!served(&[]) && !served(&["application/grpc", "text/plain"]));
    }
}

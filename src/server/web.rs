//! gRPC-Web for the pages of listed origins ("PROTOCOL-WEB.md" of gRPC; CORS as in the Fetch standard).
//!
//! A request has the same frames as gRPC, and other content types. Of a response the trailers come as a last frame of the body. It is translated here,
//! and not by tonic-web, because the bytes of a response are counted until they have left, as pieces that are not copied.
//!
//! **Invariants**
//! - Only a page of a listed origin is answered: others get what any request that is no gRPC call gets (`only_listed_origins_are_served`).
//! - No response allows credentials: a page cannot use the certificate that its visitor's browser holds.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;

use crate::config::Origin;

/// Content types of requests, in lower case and without parameters.
const CONTENT_TYPES: [&str; 2] = ["application/grpc-web", "application/grpc-web+proto"];
/// Content type of responses.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
/// Flag of the frame with the trailers.
const TRAILERS: u8 = 0x80;
/// Metadata that a page may send: those of gRPC-Web clients, credentials, the caller's name, and the context of traces.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, grpc-timeout, onrecord-caller, traceparent, tracestate, x-grpc-web, x-user-agent",
);
/// Metadata of a response without a body that a page may read: how the call ended, with the details of an error.
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("grpc-message, grpc-retry-pushback-ms, grpc-status, grpc-status-details-bin");
/// Seconds for which a browser remembers a preflight: the most that Chromium takes.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// Returns the origin of a request, if it is listed.
pub(super) fn listed<'o, B>(origins: &'o [Origin], request: &Request<B>) -> Option<&'o Origin> {
    let mut given = request.headers().get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (given.next(), given.next()) else { return None };
    origins.iter().find(|listed| listed.header() == origin)
}

/// Answers the question of a browser whether a page of this origin may call. `None` if the request is no such question.
pub(super) fn preflight<B>(request: &Request<B>, origin: &Origin) -> Option<Response<Body>> {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() != Method::OPTIONS || asked.is_none_or(|method| method != Method::POST.as_str()) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    allow(headers, origin);
    Some(response)
}

/// Makes a call of gRPC-Web one of gRPC. Returns false, and changes nothing, if it is no such call.
pub(super) fn translate<B>(request: &mut Request<B>) -> bool {
    if request.method() != Method::POST || !super::protocol::has_content_type(request.headers(), &CONTENT_TYPES) {
        return false;
    }
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    true
}

/// Makes the head of a response one of gRPC-Web that a page of this origin may read.
pub(super) fn complete(headers: &mut HeaderMap, origin: &Origin) {
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    allow(headers, origin);
}

fn allow(headers: &mut HeaderMap, origin: &Origin) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.header().clone());
    headers.insert(header::VARY, HeaderValue::from(header::ORIGIN));
}

/// Writes trailers as the last frame of a body: a header block of HTTP/1.1.
pub(super) fn frame(trailers: &HeaderMap) -> Bytes {
    let mut block = BytesMut::new();
    for (name, value) in trailers {
        let name: &HeaderName = name;
        block.put_slice(name.as_str().as_bytes());
        block.put_slice(b":");
        block.put_slice(value.as_bytes());
        block.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(5 + block.len());
    frame.put_u8(TRAILERS);
    // Metadata is far shorter than 4 GiB.
    frame.put_u32(u32::try_from(block.len()).unwrap_or(u32::MAX));
    frame.put_slice(&block);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_a_frame_of_their_own() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        assert_eq!(&frame(&trailers)[..], b"\x80\0\0\0\x0fgrpc-status:0\r\n");
    }
}

//! Bodies that a handler makes itself, instead of having tonic encode messages into one.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body as HttpBody;
use tonic::{Status, body::Body, server::NamedService};
use tower::{
    Service,
    util::{MapResponse, future::MapResponseFuture},
};

/// A body of our own, in the extensions of a response.
#[derive(Clone)]
pub(super) struct OwnBody(Arc<Mutex<Option<Body>>>);

impl OwnBody {
    pub(super) fn new(body: impl HttpBody<Data = Bytes, Error = Status> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Body::new(body)))))
    }

    fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

type Swap = fn(Response<Body>) -> Response<Body>;

/// Puts the body that a handler made itself in the place of the one that tonic made.
fn swap(mut response: Response<Body>) -> Response<Body> {
    match response.extensions_mut().remove::<OwnBody>().and_then(|own| own.take()) {
        Some(own) => response.map(|_| own),
        None => response,
    }
}

/// A service whose handlers may make bodies themselves.
#[derive(Clone)]
pub struct OwnBodies<S>(MapResponse<S, Swap>);

impl<S> fmt::Debug for OwnBodies<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnBodies").finish_non_exhaustive()
    }
}

impl<S> OwnBodies<S> {
    /// Has the bodies of `service` swapped.
    pub fn new(service: S) -> Self {
        Self(MapResponse::new(service, swap))
    }
}

impl<S, B> Service<Request<B>> for OwnBodies<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MapResponseFuture<S::Future, Swap>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request)
    }
}

impl<S: NamedService> NamedService for OwnBodies<S> {
    const NAME: &'static str = S::NAME;
}

//! Lets calls in, or not, before anything of them is read: who calls, and whether the method is open to them.
//!
//! **Invariants**
//! - Every refusal of authority is a line of the audit log (target `audit`): who, from where, by what, which method. No token is in it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::{Status, body::Body};
use tracing::{Span, debug, field::Empty, info, info_span};

use crate::{
    access::{Access, AccessRefusal, Admitted, Credential, Place, STATED},
    domain::id::Caller,
    journal::Journal,
    trace::CallTrace,
};

/// The other side of a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer(Arc<PeerParts>);

#[derive(Debug)]
struct PeerParts {
    address: SocketAddr,
    names: Vec<Caller>,
    watching: AtomicU32,
}

/// Streams of one connection that watch our health, at most: one of each service, and some to spare.
const WATCHING_MAX: u32 = 8;

impl Peer {
    /// Who connected from there, with these names in its certificate, if it has one.
    #[must_use]
    pub fn new(address: SocketAddr, names: Vec<Caller>) -> Self {
        Self(Arc::new(PeerParts { address, names, watching: AtomicU32::new(0) }))
    }

    /// Lets it watch our health, until that is dropped. Nobody has to be known for that, so there is no caller whose limits count.
    ///
    /// # Errors
    /// If it watches as much as one connection may.
    pub fn watch(&self) -> Result<Watching, AccessRefusal> {
        let watching = Watching(self.clone());
        if self.0.watching.fetch_add(1, Relaxed) < WATCHING_MAX {
            return Ok(watching);
        }
        Err(AccessRefusal::TooMany { what: "watchers of health on one connection", most: WATCHING_MAX })
    }
}

/// A place among those of a connection that watch our health.
#[derive(Debug)]
pub struct Watching(Peer);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.0.watching.fetch_sub(1, Relaxed);
    }
}

/// A call that was let in.
#[derive(Debug)]
pub struct Pass {
    /// In which it is to be answered, so that what is logged says who called.
    pub span: Span,
    /// What the caller takes until then.
    pub place: Option<Place>,
    /// Whether it is known who calls.
    pub is_known: bool,
    /// What is told of it.
    pub trace: Option<CallTrace>,
}

/// Lets calls in, or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    access: Access,
    /// Whose clock says when a credential has ended.
    journal: Journal,
}

impl Gate {
    /// A gate that asks `access`.
    #[must_use]
    pub fn new(access: Access, journal: Journal) -> Self {
        Self { access, journal }
    }

    /// Notes with a request who calls.
    ///
    /// # Errors
    /// What the caller is answered instead.
    pub fn admit<B>(&self, request: &mut Request<B>, peer: &Peer) -> Result<Pass, Box<Response<Body>>> {
        let path = request.uri().path();
        let admitted = match self.access.admit(path, credential(request.headers(), peer), self.journal.now()) {
            Ok(None) => {
                request.extensions_mut().insert(peer.clone());
                return Ok(Pass { span: Span::none(), place: None, is_known: false, trace: None });
            }
            Ok(Some(admitted)) => admitted,
            Err(refusal) => {
                let caller =
                    if let AccessRefusal::RoleMissing { caller, .. } = &refusal { caller.as_str() } else { "" };
                info!(target: "audit", peer = %peer.0.address, method = path, caller, %refusal, "refused");
                return Err(Box::new(Status::from(refusal).into_http()));
            }
        };
        let Admitted { caller, by, .. } = &admitted;
        let trace = CallTrace::begin(request.headers(), path.trim_start_matches('/'), peer.0.address);
        let span = info_span!(
            target: "audit", "call", peer = %peer.0.address, method = path, %caller, by = by.as_str(), trace_id = %trace.id, request_id = Empty
        );
        let place = self.access.place_for_call(&admitted).map_err(|refusal| {
            span.in_scope(|| debug!(target: "audit", %refusal, "refused"));
            Box::new(Status::from(refusal).into_http())
        })?;
        request.extensions_mut().insert(admitted);
        Ok(Pass { span, place, is_known: true, trace: Some(trace) })
    }
}

fn credential<'c>(headers: &'c HeaderMap, peer: &'c Peer) -> Credential<'c> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    // The scheme is of any case (RFC 9110, 11.1).
    let bearer = text(AUTHORIZATION.as_str()).and_then(|given| given.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    Credential { bearer, names: &peer.0.names, stated: text(STATED) }
}

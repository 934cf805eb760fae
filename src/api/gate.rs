//! Lets calls in, or not, before anything of them is read: who calls, and whether the method is open to them.
//!
//! **Invariants**
//! - Every refusal of authority is a line of the audit log (target `audit`): who, from where, by what, which method. No token is in it. Of one
//!   address there are no more than [`Lines`] allow.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::{Status, body::Body};
use tracing::{
    Span, debug,
    field::{Empty, display},
    info, info_span,
};

use crate::{
    access::{self, Access, AccessRefusal, Admitted, Certificate, Credential, Limit, Place, STATED},
    domain::id::Caller,
    journal::Journal,
    lines::Lines,
    trace::{self, CallTrace},
};

/// The other side of a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer(Arc<PeerParts>);

#[derive(Debug)]
struct PeerParts {
    address: SocketAddr,
    certificate: Option<Certificate>,
    watching: AtomicU32,
    asking: AtomicU32,
}

/// Streams of one connection that watch our health, at most: one of each service, and some to spare.
const WATCHING_MAX: u32 = 8;
/// Calls of one connection that nobody has to be known for, under way: a message may take as long to come as the connection stays.
const ASKING_MAX: u32 = 16;

/// What nobody has to be known for, so that there is no caller whose limits count.
#[derive(Clone, Copy, Debug)]
enum Open {
    Watch,
    Ask,
}

impl Peer {
    /// Who connected from there, with this certificate, if it has one.
    #[must_use]
    pub fn new(address: SocketAddr, certificate: Option<Certificate>) -> Self {
        Self(Arc::new(PeerParts { address, certificate, watching: AtomicU32::new(0), asking: AtomicU32::new(0) }))
    }

    /// From where it connected.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Lets it watch our health, until that is dropped.
    ///
    /// # Errors
    /// If it watches as much as one connection may.
    pub fn watch(&self) -> Result<OpenPlace, AccessRefusal> {
        self.place(Open::Watch, Limit::HealthWatches, WATCHING_MAX)
    }

    fn ask(&self) -> Result<OpenPlace, AccessRefusal> {
        self.place(Open::Ask, Limit::HealthCallsInFlight, ASKING_MAX)
    }

    fn place(&self, open: Open, limit: Limit, most: u32) -> Result<OpenPlace, AccessRefusal> {
        let place = OpenPlace { peer: self.clone(), open };
        if place.taken().fetch_add(1, Relaxed) < most {
            return Ok(place);
        }
        Err(AccessRefusal::TooMany { limit, most, wait: Duration::ZERO })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.address)?;
        let names = self.0.certificate.iter().flat_map(|certificate| &certificate.names);
        names.into_iter().try_for_each(|name| write!(f, " {name}"))
    }
}

/// A place of a connection for what nobody has to be known for.
#[derive(Debug)]
pub struct OpenPlace {
    peer: Peer,
    open: Open,
}

impl OpenPlace {
    fn taken(&self) -> &AtomicU32 {
        match self.open {
            Open::Watch => &self.peer.0.watching,
            Open::Ask => &self.peer.0.asking,
        }
    }
}

impl Drop for OpenPlace {
    fn drop(&mut self) {
        self.taken().fetch_sub(1, Relaxed);
    }
}

/// A call that was let in.
#[derive(Debug)]
pub struct Pass {
    /// In which it is to be answered, so that what is logged says who called.
    pub span: Span,
    /// What the caller takes until then.
    pub place: Option<Place>,
    /// What its connection takes until then, where nobody has to be known.
    pub open_place: Option<OpenPlace>,
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
    lines: Arc<Lines>,
}

impl Gate {
    /// A gate that asks `access`.
    pub(crate) fn new(access: Access, journal: Journal, lines: Arc<Lines>) -> Self {
        Self { access, journal, lines }
    }

    /// Notes with a request who calls.
    ///
    /// # Errors
    /// What the caller is answered instead.
    pub fn admit<B>(&self, request: &mut Request<B>, peer: &Peer) -> Result<Pass, Box<Response<Body>>> {
        request.extensions_mut().insert(peer.clone());
        let (path, credential) = (request.uri().path(), credential(request.headers(), peer));
        let admitted = match self.access.admit(path, credential, self.journal.clock().latest()) {
            Ok(None) => {
                let place = peer.ask().map_err(|refusal| Box::new(answer(refusal)))?;
                let nobody =
                    Pass { span: Span::none(), place: None, open_place: Some(place), is_known: false, trace: None };
                return Ok(nobody);
            }
            Ok(Some(admitted)) => admitted,
            Err(refusal) => {
                log(&self.lines, &refusal, peer, request, credential);
                return Err(Box::new(answer(refusal)));
            }
        };
        let Admitted { caller, by, .. } = &admitted;
        let trace = CallTrace::begin(request.headers(), path.trim_start_matches('/'), peer.0.address);
        let span = info_span!(
            target: "audit", "call", peer = %peer.0.address, method = path, %caller, by = %by, trace_id = %trace.id, request_id = Empty
        );
        let place = self.access.place_for_call(&admitted).map_err(|refusal| {
            span.in_scope(|| debug!(target: "audit", %refusal, "refused"));
            Box::new(answer(refusal))
        })?;
        request.extensions_mut().insert(admitted);
        Ok(Pass { span, place, open_place: None, is_known: true, trace: Some(trace) })
    }
}

fn answer(refusal: AccessRefusal) -> Response<Body> {
    Status::from(refusal).into_http()
}

/// Says that somebody is not let in.
fn log<B>(lines: &Lines, refusal: &AccessRefusal, peer: &Peer, request: &Request<B>, credential: Credential<'_>) {
    let Some(unwritten) = lines.one_more(peer.0.address) else { return };
    let caller = refusal.caller().map_or("", Caller::as_str);
    let (by, trace_id) = (credential.kind(), trace::of_caller(request.headers()).map(display));
    // What is no method may be anything, and long.
    let path = request.uri().path();
    let method = if access::is_known(path) { path } else { "unknown" };
    info!(target: "audit", peer = %peer.0.address, method, caller, by, trace_id, %refusal, unwritten, "refused");
}

fn credential<'c>(headers: &'c HeaderMap, peer: &'c Peer) -> Credential<'c> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    // The scheme is of any case (RFC 9110, 11.1).
    let bearer = text(AUTHORIZATION.as_str()).and_then(|given| given.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    Credential { bearer, certificate: peer.0.certificate.as_ref(), stated: text(STATED) }
}

//! Who is calling, as the gate found out.

use tonic::Extensions;

use super::{Peer, status::ApiRefusal};
use crate::{
    access::{AccessRefusal, Admitted},
    domain::entry::Origin,
};

/// The caller of a request.
pub(super) fn admitted(extensions: &Extensions) -> Result<&Admitted, ApiRefusal> {
    extensions.get().ok_or(ApiRefusal::NotAdmitted(AccessRefusal::CredentialMissing))
}

/// From where it came, and by what its caller showed who it is.
pub(super) fn origin(extensions: &Extensions) -> Option<Origin> {
    let (peer, admitted) = (extensions.get::<Peer>()?, extensions.get::<Admitted>()?);
    Some(Origin { address: peer.address().to_string(), credential: admitted.by.to_string() })
}

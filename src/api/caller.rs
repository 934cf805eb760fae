//! Who is calling, as the gate found out.

use tonic::Extensions;

use super::status::ApiRefusal;
use crate::access::{AccessRefusal, Admitted};

/// The caller of a request.
pub(super) fn admitted(extensions: &Extensions) -> Result<&Admitted, ApiRefusal> {
    extensions.get().ok_or(ApiRefusal::NotAdmitted(AccessRefusal::CredentialMissing))
}

//! Who is calling.

use tonic::metadata::MetadataMap;

use super::status::ApiRefusal;
use crate::domain::id::Caller;

/// The metadata in which a caller says who it is, where identities are not checked.
const HEADER: &str = "onrecord-caller";

/// The caller of a request.
pub(super) fn caller(metadata: &MetadataMap) -> Result<Caller, ApiRefusal> {
    let given = metadata.get(HEADER).and_then(|value| value.to_str().ok());
    let given = given.ok_or_else(|| ApiRefusal::CallerMissing(format!("say who calls in the metadata {HEADER}")))?;
    Caller::parse(given).map_err(|fault| ApiRefusal::CallerMissing(format!("{HEADER} {fault}")))
}

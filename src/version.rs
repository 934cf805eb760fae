//! Which onrecord this is.

use std::sync::LazyLock;

/// As Cargo.toml has it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from: of the clone, or as `deploy/build` says by `ONRECORD_REVISION`.
pub(crate) const REVISION: &str = match option_env!("ONRECORD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The commit; empty if it is unknown.
pub(crate) fn commit() -> &'static str {
    if REVISION == "unknown" { "" } else { REVISION }
}

/// Both, for people.
pub(crate) fn both() -> &'static str {
    static BOTH: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({REVISION:.12})"));
    &BOTH
}

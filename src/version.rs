//! Which onrecord this is.

use std::sync::LazyLock;

/// As Cargo.toml has it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built of, as who built it said (`ONRECORD_REVISION`): `deploy/build` does.
pub(crate) const REVISION: &str = match option_env!("ONRECORD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Both, for people.
pub(crate) fn both() -> &'static str {
    static BOTH: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({REVISION:.12})"));
    &BOTH
}

//! The acts, one a file.

pub(super) mod audit;
pub(super) mod correction;
pub(super) mod embargo;
pub(super) mod order;
pub(super) mod withdrawal;

/// The statement that most of it is about.
const ORDER: &str = "lumeo-order";

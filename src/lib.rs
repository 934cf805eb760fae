//! See `ARCHITECTURE.md`.
pub mod domain;
pub mod journal;

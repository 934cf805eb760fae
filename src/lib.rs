//! See `ARCHITECTURE.md`.
pub mod api;
pub mod cli;
pub mod domain;

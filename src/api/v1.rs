//! The wire types and services of `onrecord.v1`, generated from `proto/`.
#![allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]

tonic::include_proto!("onrecord.v1");

pub use super::{delivery::Delivery, snapshot::Snapshot};

/// Nested message and enum types in `Delivery`.
pub mod delivery {
    /// How an event stands to a filter.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum Scope {
        /// Not stated.
        Unspecified = 0,
        /// The state did not match before and does now: add it.
        Entered = 1,
        /// It matched before and does now: replace it.
        Within = 2,
        /// It matched before and no longer does, or is no longer there: remove it.
        Left = 3,
    }
}

/// The compiled proto files, a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

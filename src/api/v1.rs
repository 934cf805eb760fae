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
    /// Change of a (statement, language) in relation to a filter.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum FilterChange {
        /// Not stated.
        Unspecified = 0,
        /// The state matches now and did not before: add it.
        Entered = 1,
        /// The state matches as it did before: replace it.
        Stayed = 2,
        /// The state matched before and no longer does, or is no longer public: remove it.
        Left = 3,
    }
}

/// The compiled proto files, a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

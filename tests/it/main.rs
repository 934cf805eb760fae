//! Tests at the boundary: real gRPC, a real store, a clock that is set by hand.
//! The architecture test alone reads the source.

mod architecture;
mod awkward_cases;
mod bad_input;
mod following;
mod harness;
mod model;

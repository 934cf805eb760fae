//! Tests at the boundary: real gRPC, a real store, a clock that is set by hand.

mod awkward_cases;
mod harness;

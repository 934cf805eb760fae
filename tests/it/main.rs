//! Tests at the boundary: real gRPC, a real store, a clock that is set by hand.
//! The architecture test alone reads the source.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::missing_panics_doc,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    clippy::unnecessary_wraps,
    clippy::semicolon_if_nothing_returned,
    clippy::assigning_clones,
    clippy::large_futures,
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    unused_qualifications,
    reason = "a test that fails has to stop, and says where"
)]

mod access;
mod answers;
mod architecture;
mod awkward_cases;
mod backup_file;
mod bad_input;
mod clock;
mod command_line;
mod connecting;
mod copying;
mod crowd;
mod differences;
mod editors_day;
mod feed_loop;
mod following;
mod forgery;
mod formats;
mod grpc_web;
mod harness;
mod info;
mod interruptions;
mod kills;
mod metrics;
mod model;
mod operating;
mod places;
mod protocol;
mod raw;
mod refusals;
mod regressions;
mod retention;
mod rpc;
mod subscriptions;
mod survival;
mod texts;
mod traces;
mod way;

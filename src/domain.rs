//! The rule book: words, states, and [`decide()`], which is pure.
//!
//! Nothing here knows of gRPC, of sled, of the clock or of randomness: times, ids and salts are inputs.

pub mod answer;
pub mod command;
pub mod content;
pub mod decide;
pub mod diff;
pub mod digest;
pub mod draft;
pub mod entry;
pub mod event;
pub mod filter;
pub mod id;
pub mod language;
pub mod limits;
pub mod live;
pub mod mandate;
pub mod region;
pub mod rejection;
pub mod state;
pub mod subscription;
pub mod text;
pub mod time;

pub use decide::decide;

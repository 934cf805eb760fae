#![cfg_attr(feature = "server", doc = include_str!("ARCHITECTURE.md"))]
#![cfg_attr(
    not(feature = "server"),
    doc = "The client of onrecord: [`client`], and the API that it speaks: [`api::v1`]."
)]

#[cfg(feature = "server")]
pub mod cli;

#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod telemetry;

pub mod client;

pub mod api;

#[cfg(feature = "server")]
pub mod feed;

#[cfg(feature = "server")]
pub mod journal;

#[cfg(feature = "server")]
pub mod access;

#[cfg(feature = "server")]
pub mod domain;

#[cfg(all(feature = "server", any(test, fuzzing)))]
pub mod fuzz;

#[cfg(feature = "server")]
mod cores;
mod jitter;

#[cfg(feature = "server")]
mod lines;

#[cfg(feature = "server")]
mod pace;

#[cfg(feature = "server")]
mod panics;

#[cfg(feature = "server")]
mod prefix;

#[cfg(feature = "server")]
pub mod trace;

#[cfg(feature = "server")]
mod version;

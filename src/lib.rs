#![doc = include_str!("ARCHITECTURE.md")]

pub mod cli;

pub mod server;

pub mod config;
pub mod telemetry;

pub mod client;

pub mod api;

pub mod feed;

pub mod journal;

pub mod domain;

//! The `onrecord` binary: the server, the demo, and a client for people.

use std::process::ExitCode;

use clap::Parser as _;
use onrecord::cli::Cli;
use tikv_jemallocator::Jemalloc;

/// glibc's takes a third more for each quiet stream: see `docs/benchmarks/feed.md`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => onrecord::cli::report(&error),
    }
}

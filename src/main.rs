//! The `onrecord` binary: the server, the demo, and a client for people.

use std::process::ExitCode;

use onrecord::cli::Cli;
use tikv_jemallocator::Jemalloc;

/// glibc's takes a third more for each quiet stream: see `docs/benchmarks/feed.md`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::read() {
        Ok(cli) => cli.run().await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => onrecord::cli::report(&error),
    }
}

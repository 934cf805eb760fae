//! The `onrecord` binary: the server, the demo, and a client for people.

use std::process::ExitCode;

use clap::Parser as _;
use onrecord::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => onrecord::cli::report(&error),
    }
}

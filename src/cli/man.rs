//! `onrecord man`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::{Cli, output::note};

const EXAMPLES: &str = "\
Examples:
  onrecord man /usr/local/share/man/man1
  onrecord man ./man && man ./man/onrecord-publish.1";

/// Write the manual pages, one for each command.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<()> {
        let directory = &self.directory;
        let told = || format!("no pages can be written to {}", directory.display());
        std::fs::create_dir_all(directory).with_context(told)?;
        clap_mangen::generate_to(Cli::command(), directory).with_context(told)?;
        note(format_args!("pages written to {}", directory.display()));
        Ok(())
    }
}

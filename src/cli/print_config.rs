//! `onrecord print-config`: the settings a service would be started with, and where each is from.

use anyhow::Result;

use super::{
    output::{note, say},
    serve,
};

const EXAMPLES: &str = "\
Examples:
  onrecord print-config --config onrecord.toml
  onrecord print-config > onrecord.toml              all that can be set, to begin a file with

It takes what `serve` takes. What it prints is a file that `--config` reads: where a value is from stands behind it. No secret is a setting:
they are files that settings name.";

/// Show the settings of the service, and where each is from.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    settings: serve::Args,
    /// What is printed: known once the command line is read.
    #[arg(skip)]
    printed: String,
}

impl Args {
    /// Takes what is to be printed.
    pub(super) fn print(&mut self, printed: String) {
        self.printed = printed;
    }

    pub(super) fn run(&self) -> Result<()> {
        say(&self.printed)?;
        // It is printed all the same: to see what is wrong, and to begin a file with.
        if let Err(fault) = self.settings.checked() {
            note(format_args!("not yet what a service starts with: {fault}"));
        }
        Ok(())
    }
}

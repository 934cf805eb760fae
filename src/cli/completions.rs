//! `onrecord completions`.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, output::say};

const EXAMPLES: &str = "\
Examples:
  onrecord completions bash > /etc/bash_completion.d/onrecord
  onrecord completions zsh > \"${fpath[1]}/_onrecord\"
  onrecord completions fish > ~/.config/fish/completions/onrecord.fish";

/// Write the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

impl Args {
    pub(super) fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "onrecord", &mut script);
        Ok(say(String::from_utf8_lossy(&script).trim_end())?)
    }
}

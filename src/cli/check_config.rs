//! `onrecord check-config`: what a service would say of its files, before it is started.

use std::path::PathBuf;

use anyhow::Result;

use super::{failure::Refusal, output::say};
use crate::access::Policy;

const EXAMPLES: &str = "\
Examples:
  onrecord check-config --policy policy.toml

It says all that is wrong, each with its line, and exits with 2; or how much was read, and exits with 0.";

/// See whether a policy can be used.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The policy that `serve --policy` would be given
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<()> {
        let policy = Policy::read(&self.policy).map_err(|fault| Refusal::Usage(fault.to_string()))?;
        let (callers, tokens) = policy.size();
        Ok(say(format_args!("{}: {callers} callers with grants, {tokens} tokens", self.policy.display()))?)
    }
}

//! `onrecord token`: a new token to standard output, and to standard error what the policy is to know of it.

use anyhow::{Context as _, Result};

use super::{
    failure::Refusal,
    output::{note, say},
};
use crate::{access::Token, domain::id::Caller};

const EXAMPLES: &str = "\
Examples:
  onrecord token site-paris > token.txt              the token to a file; the lines for the policy are shown
  onrecord --token-file token.txt watch              how its holder uses it

The token is shown this once: the policy keeps its SHA-256 alone.";

/// Make a token for a caller.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Whose it will be
    #[arg(value_name = "CALLER")]
    caller: String,
}

impl Args {
    pub(super) fn run(&self) -> Result<()> {
        let caller = Caller::parse(&self.caller);
        let caller = caller.map_err(|fault| Refusal::Usage(format!("the caller's name `{}` {fault}", self.caller)))?;
        let token = Token::random().context("no random numbers")?;
        note(format_args!("# for the policy\n[[tokens]]\ncaller = \"{caller}\"\nsha256 = \"{}\"", token.digest()));
        Ok(say(token.secret())?)
    }
}

//! `onrecord check-config`: what a service would say of its settings and files, before it is started.

use anyhow::Result;

use super::{
    failure::Refusal,
    output::{note, say},
    serve,
};
use crate::{access::Policy, server};

const EXAMPLES: &str = "\
Examples:
  onrecord check-config --config onrecord.toml
  onrecord check-config --policy policy.toml

It takes what `serve` takes. It says what is wrong with the settings or the policy, with its line, and exits with 2; or what was read, and exits with 0.
Of a policy it also says what nobody can do by it, such as a step that takes two people where one has the role.";

/// See whether settings, a policy and the files of TLS can be used.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    settings: serve::Args,
}

impl Args {
    pub(super) fn run(&self) -> Result<()> {
        self.settings.checked()?;
        serve::Args::strange_variables().iter().for_each(note);
        if let Some(file) = self.settings.config_file() {
            say(format_args!("{}: the settings are right", file.display()))?;
            if self.settings.data_dir().is_none() {
                note("`data_dir` is not set: `serve` needs it");
            }
        }
        if let Some(file) = self.settings.policy() {
            let policy = Policy::read(file).map_err(|fault| Refusal::Usage(fault.to_string()))?;
            for doubt in policy.doubts() {
                note(format_args!("{}, {doubt}", file.display()));
            }
            let files = self.settings.tls_files();
            for gap in policy.gaps(files.is_some_and(|files| files.client_ca.is_some())) {
                note(format_args!("{}: {gap}", file.display()));
            }
            let (callers, tokens) = policy.size();
            say(format_args!("{}: {callers} callers with grants, {tokens} tokens", file.display()))?;
        }
        if let Some(files) = self.settings.tls_files() {
            let certificate = files.certificate.display().to_string();
            server::check_tls(files).map_err(|fault| Refusal::Usage(format!("TLS: {fault}")))?;
            say(format_args!("{certificate}: it can be served with"))?;
        }
        Ok(())
    }
}

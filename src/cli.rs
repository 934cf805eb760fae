//! The command line: the server, the demo, and a client for people.
//!
//! Everything but `serve` and `demo` is a client of the public API like any other: this module knows the generated client
//! and nothing of the server's insides.
//!
//! One file for each command; `session` calls the service, `output` is the only place that writes to the terminal,
//! `failure` the only place that turns an error into words and an exit code.

mod approvals;
mod args;
mod backup;
mod check_config;
mod clock;
mod compact;
mod completions;
mod correct;
mod demo;
mod draft;
mod draft_file;
mod entries;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod healthcheck;
mod import;
mod info;
mod json;
mod man;
mod names;
mod operator;
mod output;
mod pages;
mod print_config;
mod publish;
mod release;
mod restore;
mod serve;
mod session;
mod settings;
mod show;
mod statement;
mod status;
mod subscription;
mod times;
mod token;
mod verify;
mod watch;
mod withdraw;

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::{args::Global, session::Session};

pub use self::failure::report;

const EXAMPLES: &str = "\
Examples:
  onrecord demo                                      thirty days under fire, in thirty seconds
  onrecord serve --data-dir ./data --insecure        a server for development, on loopback
  onrecord statement create recall-7 --kind notice --source-language en
  onrecord draft save recall-7.en.md                 write
  onrecord draft submit recall-7/en                  ask for review
  onrecord --caller bea draft approve recall-7/en    somebody else approves
  onrecord publish recall-7 en                       say it
  onrecord watch --mirror site.json                  what a site does

Exit codes:
  0 done        1 other failure     3 not found
  2 wrong usage, or a file that cannot be read or is not what it should be
  4 refused: invalid argument, failed precondition, aborted or already exists
  5 unavailable or out of time      6 no permission";

/// The command line, parsed.
#[derive(Debug, Parser)]
#[command(
    name = "onrecord",
    version = crate::version::both(),
    about = "Stores official statements, every version for ever, and streams each change."
)]
#[command(after_help = EXAMPLES, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Demo(demo::Args),
    /// Create, read and compare statements.
    #[command(subcommand)]
    Statement(statement::Command),
    /// Write, review and approve drafts.
    #[command(subcommand)]
    Draft(draft::Command),
    Publish(publish::Args),
    Correct(correct::Args),
    Withdraw(withdraw::Args),
    /// See and call off what waits for its time.
    #[command(subcommand)]
    Release(release::Command),
    Approvals(approvals::ListArgs),
    ApproveEdition(approvals::ApproveArgs),
    Entries(entries::Args),
    Watch(watch::Args),
    /// Name the sites that follow, and see how far they are.
    #[command(subcommand)]
    Subscription(subscription::Command),
    Deliveries(subscription::DeliveriesArgs),
    Import(import::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Verify(verify::Args),
    Healthcheck(healthcheck::Args),
    Status(status::StatusArgs),
    Top(status::TopArgs),
    /// See the service's clock, and confirm it where it is in doubt.
    #[command(subcommand)]
    Clock(clock::Command),
    Info(info::InfoArgs),
    #[command(name = "whoami")]
    WhoAmI(info::WhoAmIArgs),
    Compact(compact::Args),
    CheckConfig(check_config::Args),
    PrintConfig(print_config::Args),
    Token(token::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Reads the command line of this process, and the file of settings that it names. What is wrong with the command line is said at once,
    /// and ends the process.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read() -> anyhow::Result<Self> {
        let mut command = Self::command();
        // What is wrong with it the second look tells.
        let first = command.clone().ignore_errors(true).get_matches();
        let asked =
            first.subcommand().and_then(|(name, given)| Some((name, command.find_subcommand(name)?.clone(), given)));
        let Some((name, before, given)) = asked.filter(|(_, before, _)| settings::are_of(before)) else {
            return Ok(Self::parse());
        };
        let file = given.get_one::<PathBuf>(settings::FILE);
        let after = file.map_or_else(|| Ok(before.clone()), |file| settings::with_file(before.clone(), file))?;
        command = command.mut_subcommand(name, |_| after.clone());
        let matches = command.get_matches_mut();
        let mut read = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let (Command::PrintConfig(args), Some((_, given))) = (&mut read.command, matches.subcommand()) {
            args.print(settings::print(&before, &after, given));
        }
        Ok(read)
    }

    /// Does what the arguments say.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; [`report`] says it and gives the exit code.
    pub async fn run(self) -> anyhow::Result<()> {
        self.global.color.apply();
        let session = || Session::new(&self.global);
        match self.command {
            Command::Serve(args) => args.run().await,
            Command::Demo(args) => args.run().await,
            Command::Statement(command) => command.run(&session()?).await,
            Command::Draft(command) => command.run(&session()?).await,
            Command::Publish(args) => args.run(&session()?).await,
            Command::Correct(args) => args.run(&session()?).await,
            Command::Withdraw(args) => args.run(&session()?).await,
            Command::Release(command) => command.run(&session()?).await,
            Command::Subscription(command) => command.run(&session()?).await,
            Command::Deliveries(args) => args.run(&session()?).await,
            Command::Approvals(args) => args.run(&session()?).await,
            Command::ApproveEdition(args) => args.run(&session()?).await,
            Command::Entries(args) => args.run(&session()?).await,
            Command::Watch(args) => args.run(&session()?).await,
            Command::Import(args) => args.run(&session()?).await,
            Command::Backup(args) => args.run(&session()?).await,
            Command::Restore(args) => args.run(self.global.output).await,
            Command::Clock(command) => command.run(&session()?).await,
            Command::Info(args) => args.run(&session()?).await,
            Command::WhoAmI(args) => args.run(&session()?).await,
            Command::Compact(args) => args.run(self.global.output).await,
            Command::Healthcheck(args) => args.run(session).await,
            Command::Status(args) => args.run(self.global.output).await,
            Command::Top(args) => args.run(self.global.output).await,
            Command::Verify(args) => args.run(self.global.output).await,
            Command::CheckConfig(args) => args.run(),
            Command::PrintConfig(args) => args.run(),
            Command::Token(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_example() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                if sub.has_subcommands() {
                    check(sub);
                } else {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains("onrecord "), "`{}` has no example", sub.get_name());
                }
            }
        }
        check(&Cli::command());
    }
}

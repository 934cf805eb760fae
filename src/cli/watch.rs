//! `onrecord watch`: follows the feed as a site does.
//!
//! [`crate::client`] keeps the stream open; `site` shows what comes, `fold` keeps the state, `keep` keeps it on disk, `line` says it.

mod fold;
mod keep;
mod line;
mod site;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::ValueEnum;

pub(super) use self::{
    fold::{Mirror, Shown, slot},
    line::told as told_line,
};
use self::{
    keep::Keep,
    site::{Watcher, told},
};
use super::{args::FilterArgs, failure::Refusal, names, session::Session};
use crate::client::{Begin, Follower, Options, Wanted};

const EXAMPLES: &str = "\
Examples:
  onrecord watch                                        what is live now, then what follows
  onrecord watch --from now --kind press-release --language de,fr
  onrecord watch --from beginning --output json | jq -c '.eventBatch.deliveries[]?.event.type'
  onrecord watch --cursor-file bot.cursor               a crash may repeat the last lines
  onrecord watch --mirror site.json                     a crash repeats and loses nothing
  onrecord watch --mirror site.json --until-current     catches up and ends
  onrecord watch --as press-site --mirror site.json     and says what it has applied

It connects again by itself: after 0 to 100 ms, then up to twice as long each time, at most 30 s.

--mirror FILE keeps one JSON document, replaced whole (write, fsync, rename):
  cursor, feed_id, epoch            where to go on
  state, embargoes                  `statement/language` to what is shown
  first_sequence, last_sequence     of the deliveries applied since the newest snapshot
  applied                           how many they are: without a filter, last - first + 1
The effect and the cursor are kept together: each delivery is applied exactly once, also across
kill -9.";

/// Follow the feed: one line for each event.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    /// Where to start, if there is no cursor to go on from
    #[arg(long, value_enum, default_value_t = From::Snapshot)]
    from: From,
    /// Go on from this cursor, with the same filter as then
    #[arg(long, value_name = "CURSOR", conflicts_with = "from")]
    cursor: Option<String>,
    /// Keep the newest cursor here, and go on from it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cursor", "mirror"])]
    cursor_file: Option<PathBuf>,
    /// Keep the state and the cursor here, and go on from them
    #[arg(long, value_name = "FILE", conflicts_with = "cursor")]
    mirror: Option<PathBuf>,
    /// Texts under embargo too; needs embargo clearance
    #[arg(long)]
    embargoed: bool,
    /// Follow under this name, as `onrecord subscription create` gave it, and acknowledge what was shown and kept
    #[arg(long = "as", value_name = "ID", conflicts_with_all = ["FilterArgs", "embargoed", "from", "cursor"])]
    name: Option<String>,
    /// End once there is nothing new
    #[arg(long)]
    until_current: bool,
}

/// Where to start.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    /// What is live now, then what follows
    Snapshot,
    /// Everything that is still there
    Beginning,
    /// What happens from now on
    Now,
}

impl Args {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        if self.mirror.is_some() && self.begin() == Begin::Now {
            let words = "a mirror has to begin with everything: --from snapshot, or --from beginning";
            return Err(Refusal::Usage(words.to_owned()).into());
        }
        let keep = match (&self.mirror, &self.cursor_file) {
            (Some(path), _) => Keep::mirror(path)?,
            (None, Some(path)) => Keep::cursor(path)?,
            (None, None) => Keep::nothing(self.cursor.clone().unwrap_or_default()),
        };
        let wanted = match &self.name {
            Some(name) => Wanted::Named(names::subscription(name)),
            None => {
                Wanted::These { filter: self.filter.filter().unwrap_or_default(), include_embargoed: self.embargoed }
            }
        };
        let mut options = Options::wanting(wanted);
        options.begin = self.begin();
        options.credentials = session.credentials();
        options.until_current = self.until_current;
        if self.until_current {
            options.heartbeat = Duration::from_secs(1);
        }
        let site = Watcher { session: session.clone(), keep };
        let mut follower = Follower::new(session.channel(), options, site);
        follower.run().await.map_err(|error| told(session, error))
    }

    fn begin(&self) -> Begin {
        // A mirror that has nothing yet needs the whole state.
        if self.name.is_some() && self.mirror.is_none() {
            return Begin::Acknowledged;
        }
        match self.from {
            From::Snapshot => Begin::Snapshot,
            From::Beginning => Begin::Beginning,
            From::Now => Begin::Now,
        }
    }
}

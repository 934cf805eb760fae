//! `onrecord clock`: the clock that the service goes by.

use anyhow::Result;
use clap::Subcommand;
use owo_colors::OwoColorize as _;

use super::{output::say, session::Session, times};
use crate::api::v1::{Clock, ConfirmClockRequest, GetClockRequest};

const SHOW_EXAMPLES: &str = "\
Examples:
  onrecord clock show
  onrecord clock show --output json | jq .clock.inDoubt";

const CONFIRM_EXAMPLES: &str = "\
Examples:
  date --utc                            is the clock of this machine right?
  onrecord clock confirm                then so is the service's, if both show the same
  onrecord clock confirm --time 2026-12-01T09:00:00Z     by another clock than this machine's";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the service's clock, and whether it is in doubt.
    #[command(after_help = SHOW_EXAMPLES)]
    Show,
    /// Confirm that the service's wall clock is right, so that writes are taken again.
    #[command(after_help = CONFIRM_EXAMPLES)]
    Confirm {
        /// The time now [default: that of this machine's clock]
        #[arg(long, value_name = "TIME")]
        time: Option<times::Moment>,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Show => {
                let answer = session.clock(GetClockRequest {}, async |mut api, q| api.get_clock(q).await).await?;
                session.format.answer(&answer, |answer| people(answer.clock.as_ref()))
            }
            Self::Confirm { time } => {
                let time = Some(time.unwrap_or_else(times::Moment::now).timestamp());
                let request = ConfirmClockRequest { time };
                let answer = session.clock(request, async |mut api, q| api.confirm_clock(q).await).await?;
                session.format.answer(&answer, |answer| people(answer.clock.as_ref()))
            }
        }
    }
}

fn people(clock: Option<&Clock>) -> Result<()> {
    let Some(Clock { time, wall_time, in_doubt, wall_clock_offset, doubt_begin_time, record_offset }) = clock else {
        return Ok(());
    };
    if *in_doubt {
        say("IN DOUBT: only withdrawals and the like are taken".red().bold())?;
        // Rounded: a reading is a few microseconds off.
        let moved = wall_clock_offset.as_ref().map_or(0, |moved| moved.seconds + i64::from(moved.nanos) / 500_000_000);
        say(format_args!(
            "the wall clock reads {}: it moved by {moved:+} s at {}",
            times::text(wall_time.as_ref()),
            times::text(doubt_begin_time.as_ref())
        ))?;
        say(format_args!("the trusted time is {}", times::text(time.as_ref())))?;
    } else {
        say(format_args!("{}, trusted", times::text(time.as_ref())))?;
    }
    if let Some(behind) = record_offset {
        say(format_args!("an entry of the record is dated {} s later", behind.seconds))?;
    }
    Ok(())
}

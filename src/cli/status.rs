//! `onrecord status` and `onrecord top`: how a service is, on one screen.

mod screen;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::StatusCode;
use tokio::time::{sleep, timeout};

use self::screen::Screen;
use super::{
    failure::Refusal,
    operator::Operator,
    output::{Format, clear, say},
};
use crate::server::Vitals;

const STATUS_EXAMPLES: &str = "\
Examples:
  onrecord status --metrics-listen 127.0.0.1:9464
  onrecord status --metrics-listen 127.0.0.1:9464 --output json

It exits with 0 if the service is ready, and with 5 if it is not, or cannot be reached.";

const TOP_EXAMPLES: &str = "\
Examples:
  onrecord top --metrics-listen 127.0.0.1:9464
  onrecord top --metrics-listen 127.0.0.1:9464 --every 5 --times 12 > minute.txt";

/// How long the service may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// See how a service is: health, tail, subscribers, lag, what waits for a person, disk, copies.
#[derive(Debug, clap::Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    place: Place,
}

/// The same again and again, with what happened a second.
#[derive(Debug, clap::Args)]
#[command(after_help = TOP_EXAMPLES)]
pub(super) struct TopArgs {
    #[command(flatten)]
    place: Place,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// How many looks; until ctrl-c if not given
    #[arg(long, value_name = "N")]
    times: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Address and port of the operator's port, as `serve` was given it
    #[arg(long, value_name = "ADDRESS", env = "ONRECORD_METRICS_LISTEN", default_value = "127.0.0.1:9464")]
    metrics_listen: String,
}

impl StatusArgs {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let (vitals, text) = vitals(&Operator::at(&self.place.metrics_listen)?).await?;
        match format {
            Format::Json => say(text.trim_end())?,
            Format::Table => say(Screen { now: &vitals, before: None })?,
        }
        match vitals.not_ready {
            Some(why) => Err(Refusal::Unavailable(format!("it is not ready: {why}")).into()),
            None => Ok(()),
        }
    }
}

impl TopArgs {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let operator = Operator::at(&self.place.metrics_listen)?;
        let is_screen = std::io::stdout().is_terminal();
        let (mut before, mut looks) = (None::<Vitals>, 0);
        loop {
            let (vitals, text) = vitals(&operator).await?;
            match format {
                Format::Json => say(text.trim_end())?,
                Format::Table => {
                    let screen = Screen { now: &vitals, before: before.as_ref() };
                    if is_screen {
                        clear()?;
                    }
                    say(screen)?;
                }
            }
            looks += 1;
            if self.times.is_some_and(|times| looks >= times) {
                return Ok(());
            }
            before = Some(vitals);
            sleep(Duration::from_secs(self.every)).await;
        }
    }
}

/// How the service is, and the same as it was said.
async fn vitals(operator: &Operator) -> Result<(Vitals, String)> {
    let answer = timeout(ANSWER_MAX, operator.get("/status")).await;
    let (status, text) =
        answer.unwrap_or_else(|_| Err(Refusal::Unavailable(format!("no answer in {ANSWER_MAX:?}")).into()))?;
    if status == StatusCode::NOT_FOUND {
        let words = "what answers there does not say how it is: it is no onrecord, or an older one";
        return Err(Refusal::Unavailable(words.to_owned()).into());
    }
    if !status.is_success() {
        return Err(Refusal::Unavailable(text.trim_end().to_owned()).into());
    }
    let vitals = serde_json::from_str(&text).context("what answers there is no onrecord of this version")?;
    Ok((vitals, text))
}

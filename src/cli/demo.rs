//! `onrecord demo`: thirty days under fire, in thirty seconds, on a real server.
//!
//! `story` has the words, `acts` what happens, `stage` who acts and what is printed, `audience` the subscribers. Nothing is
//! faked: everything goes over gRPC through the public API, and what is told is checked. What is not as told is an error.

mod acts;
mod audience;
mod desk;
mod stage;
mod story;

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use self::stage::Stage;
use crate::{config::Config, server};

const EXAMPLES: &str = "\
Examples:
  onrecord demo                to read along
  onrecord demo --fast         without pauses, as a test: exits with 0 if everything was as told
  onrecord demo --port 7400    and look in from another terminal, with `onrecord watch`";

/// A crisis of an invented company, played on a real server.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Listen on this port of 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Without pauses to read
    #[arg(long)]
    fast: bool,
}

impl Args {
    pub(super) async fn run(self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let listener = server::listen((Ipv4Addr::LOCALHOST, self.port).into())?;
        let address = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        let config = Config::insecure(folder.path().to_owned());
        let server = tokio::spawn(server::run(listener, config, shutdown.clone()));
        let played = play(&format!("http://{address}"), self.fast).await;
        shutdown.cancel();
        // Where the server failed, that is the cause of what went wrong on the stage.
        server.await?.context("the server failed")?;
        played
    }
}

async fn play(server: &str, fast: bool) -> Result<()> {
    let mut stage = Stage::open(server, fast).await?;
    acts::order::play(&mut stage).await?;
    let day_12 = acts::correction::play(&mut stage).await?;
    acts::embargo::play(&mut stage).await?;
    acts::withdrawal::play(&mut stage).await?;
    acts::audit::play(&mut stage, day_12).await?;
    stage.close().await
}

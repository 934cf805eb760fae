//! `onrecord healthcheck`: whether a service can be called, as an exit code.

use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{failure::Refusal, operator::Operator, output::say, session::Session};

const EXAMPLES: &str = "\
Examples:
  onrecord healthcheck                                        by grpc.health.v1
  onrecord healthcheck --service onrecord.v1.EditorialService one of the services
  onrecord healthcheck --metrics-listen 127.0.0.1:9464        by /readyz of the operator's port

It exits with 0 if the service is ready, and with 5 if it is not, or cannot be reached.";

/// How long the service may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// See whether a service can be called.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Address and port of the operator's port, as `serve` was given it: ask there, over plain HTTP
    #[arg(long, value_name = "ADDRESS", env = "ONRECORD_METRICS_LISTEN")]
    metrics_listen: Option<String>,
    /// Which service, by grpc.health.v1; the whole if not given
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

impl Args {
    /// Needs a session only to ask by gRPC.
    pub(super) async fn run(self, session: impl FnOnce() -> Result<Session>) -> Result<()> {
        let asked = async {
            match self.metrics_listen.as_deref().filter(|_| self.service.is_none()) {
                Some(address) => ready(address).await,
                None => serving(&session()?, self.service.unwrap_or_default()).await,
            }
        };
        let answer = timeout(ANSWER_MAX, asked).await;
        let said =
            answer.unwrap_or_else(|_| Err(Refusal::Unavailable(format!("no answer in {ANSWER_MAX:?}")).into()))?;
        Ok(say(said)?)
    }
}

async fn ready(address: &str) -> Result<String> {
    let (status, words) = Operator::at(address)?.get("/readyz").await?;
    let words = words.trim_end().to_owned();
    if status.is_success() { Ok(words) } else { Err(Refusal::Unavailable(words).into()) }
}

async fn serving(session: &Session, service: String) -> Result<String> {
    let mut health = HealthClient::new(session.channel());
    let answer =
        health.check(HealthCheckRequest { service }).await.map_err(|status| session.explained(status))?.into_inner();
    let status = answer.status();
    if status != ServingStatus::Serving {
        return Err(Refusal::Unavailable(format!("it is {}", status.as_str_name())).into());
    }
    Ok("it is ready".to_owned())
}

//! Asks a service's operator's port, over plain HTTP.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use reqwest::{Client, StatusCode};

use super::failure::{self, Refusal};

/// Where a service tells how it is.
pub(super) struct Operator {
    client: Client,
    address: String,
}

impl Operator {
    /// The operator's port (`HOST:PORT`) as `serve` was given it, or from elsewhere: where it listens everywhere it is here too.
    pub(super) fn at(address: &str) -> Result<Self> {
        let mut address = address.to_owned();
        if let Ok(mut known) = address.parse::<SocketAddr>()
            && known.ip().is_unspecified()
        {
            known.set_ip(if known.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
            address = known.to_string();
        }
        Ok(Self { client: Client::builder().no_proxy().tls_certs_only([]).build()?, address })
    }

    /// What it answers at a path: a status and words.
    pub(super) async fn get(&self, path: &str) -> Result<(StatusCode, String)> {
        let address = &self.address;
        let away = |error: reqwest::Error| {
            let cause = failure::deepest(&error);
            Refusal::Unavailable(format!(
                "cannot reach the operator's port at {address}: {cause}\n  a service has one if it is started with `--metrics-listen \
                 {address}` (`metrics_listen` in the settings); give the same address here"
            ))
        };
        let answer = self.client.get(format!("http://{address}{path}")).send().await.map_err(away)?;
        Ok((answer.status(), answer.text().await.context("the answer ended early")?))
    }
}

//! Asks a service's operator's port, over plain HTTP.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use reqwest::{Client, StatusCode};

use super::failure::Refusal;

/// Where a service tells how it is.
pub(super) struct Operator {
    client: Client,
    address: SocketAddr,
}

impl Operator {
    /// The operator's port as `serve` was given it: where it listens everywhere it is here too.
    pub(super) fn at(mut address: SocketAddr) -> Result<Self> {
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        Ok(Self { client: Client::builder().no_proxy().tls_certs_only([]).build()?, address })
    }

    /// What it answers at a path: a status and words.
    pub(super) async fn get(&self, path: &str) -> Result<(StatusCode, String)> {
        let address = self.address;
        let away = |error: reqwest::Error| Refusal::Unavailable(format!("{address} cannot be asked: {error}"));
        let answer = self.client.get(format!("http://{address}{path}")).send().await.map_err(away)?;
        Ok((answer.status(), answer.text().await.context("the answer ended early")?))
    }
}

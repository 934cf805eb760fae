//! How a site reaches the service.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Error as TransportError};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIME_MAX: Duration = Duration::from_secs(10);

/// A channel for one follower alone: a stream that waits must not hold up other calls.
///
/// # Errors
/// If it is no URL such as `http://127.0.0.1:7400`. Nothing is connected yet.
pub fn channel(url: &str) -> Result<Channel, TransportError> {
    Ok(endpoint(url)?.connect_lazy())
}

/// The same over TLS, to a service whose certificate one of these authorities (PEM) has signed.
///
/// # Errors
/// If it is no URL such as `https://records.example.org:7400`, or TLS cannot be used so. Nothing is connected yet.
#[cfg(feature = "tls")]
pub fn tls_channel(url: &str, authorities: &[u8]) -> Result<Channel, TransportError> {
    use tonic::transport::{Certificate, ClientTlsConfig};

    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities));
    Ok(endpoint(url)?.tls_config(tls)?.connect_lazy())
}

fn endpoint(url: &str) -> Result<Endpoint, TransportError> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIME_MAX)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

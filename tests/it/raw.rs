//! A client that says what a well-behaved one would not: HTTP/2 as it is, without a gRPC library.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, request::Builder};
use tokio::{net::TcpStream, time::timeout};
use tonic::Status;

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Clone)]
pub(crate) struct Raw(h2::client::SendRequest<Bytes>);

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub head: HeaderMap,
    pub trailers: Option<HeaderMap>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The status of gRPC, in the trailers or in a head that is all there is.
    pub(crate) fn grpc_status(&self) -> Option<Status> {
        Status::from_header_map(self.trailers.as_ref().unwrap_or(&self.head))
    }
}

/// A message of gRPC that is not compressed.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    flagged(0, message)
}

/// A message of gRPC with a flag.
pub(crate) fn flagged(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message].concat()
}

/// A POST as gRPC has it, by a caller whose word is believed.
pub(crate) fn post(path: &str) -> Builder {
    let request = Request::post(format!("http://onrecord{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").header("onrecord-caller", "anna")
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    /// Sends a request with this body, and reads the whole answer.
    pub(crate) async fn send(&self, request: Builder, body: Vec<u8>) -> Answer {
        let client = self.0.clone().ready().await.unwrap();
        timeout(PATIENCE, sent(client, request, body)).await.expect("it is answered in time")
    }

    /// Sends a request and part of its body, and then resets it.
    pub(crate) async fn reset(&self, request: Builder, body: Vec<u8>, reason: h2::Reason) {
        let mut client = self.0.clone().ready().await.unwrap();
        let (_, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
        sending.send_data(body.into(), false).unwrap();
        // Once the other side has it.
        while sending.capacity() == 0 {
            sending.reserve_capacity(1);
            std::future::poll_fn(|context| sending.poll_capacity(context)).await.unwrap().unwrap();
        }
        sending.send_reset(reason);
    }
}

async fn sent(mut client: h2::client::SendRequest<Bytes>, request: Builder, body: Vec<u8>) -> Answer {
    let (answer, mut sending) = client.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
    if !body.is_empty() {
        // It may be refused before all of it was sent.
        let _ = sending.send_data(body.into(), true);
    }
    let (head, mut receiving) = answer.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(data) = receiving.data().await {
        let Ok(data) = data else { break };
        let _ = receiving.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let trailers = receiving.trailers().await.ok().flatten();
    Answer { status: head.status.as_u16(), head: head.headers, trailers, body }
}

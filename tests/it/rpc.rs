//! Calls by the name of the method, with `ProtoJSON`: for tests that go over all methods there are.

use std::sync::LazyLock;

use bytes::{Buf as _, BufMut as _};
use onrecord::api::v1::DESCRIPTORS;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap());

/// Every method of ours, from the descriptors.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let ours = POOL.services().filter(|service| service.full_name().starts_with("onrecord."));
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Its name without the package: `EditorialService/SaveDraft`.
pub(crate) fn short(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

fn method(short: &str) -> MethodDescriptor {
    let found = methods().into_iter().find(|method| self::short(method) == short);
    found.unwrap_or_else(|| panic!("there is no method {short}"))
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct By {
    channel: Channel,
    header: (&'static str, String),
}

impl By {
    pub(crate) fn name(channel: &Channel, name: &str) -> Self {
        Self { channel: channel.clone(), header: ("onrecord-caller", name.to_owned()) }
    }

    pub(crate) fn token(channel: &Channel, token: &str) -> Self {
        Self { channel: channel.clone(), header: ("authorization", format!("Bearer {token}")) }
    }

    /// The answer, or the first message of a stream of them.
    pub(crate) async fn call(&self, short: &str, request: &Value) -> Result<DynamicMessage, Status> {
        Ok(self.messages(short, request, |_| true).await?.swap_remove(0))
    }

    /// The messages of a stream of answers, up to the last that is wanted.
    pub(crate) async fn messages(
        &self,
        short: &str,
        request: &Value,
        is_last: impl Fn(&DynamicMessage) -> bool,
    ) -> Result<Vec<DynamicMessage>, Status> {
        let method = method(short);
        let given =
            DynamicMessage::deserialize(method.input(), request).unwrap_or_else(|fault| panic!("{request}: {fault}"));
        let mut request = Request::new(given.encode_to_vec());
        request.metadata_mut().insert(self.header.0, self.header.1.parse().unwrap());
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap();
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(16 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut stream = grpc.server_streaming(request, path, Raw).await?.into_inner();
        let mut messages = Vec::new();
        while let Some(bytes) = stream.message().await? {
            messages.push(decoded(method.output(), &bytes));
            if is_last(messages.last().unwrap()) {
                break;
            }
        }
        Ok(messages)
    }
}

fn decoded(descriptor: MessageDescriptor, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(descriptor, bytes).unwrap()
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length).to_vec()))
    }
}

//! How messages are put on the wire: as tonic does it, with buffers that suit thousands of quiet streams.

use std::marker::PhantomData;

use prost::{Message, Name};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Bytes that a stream's buffer has at first; it grows with what is sent. tonic begins with 8 KiB, which most streams never need.
const BUFFER_BYTES: usize = 512;
/// Bytes of messages after which they are handed to HTTP/2: each is, by itself. What belongs together is in one message already, and a
/// follower must not be asked for the next one while there is no room for this: it would begin a read, and count as one who takes.
const YIELD_BYTES: usize = 1;

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub(crate) struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Exact<T>;
    type Decoder = Counted<U>;

    fn encoder(&mut self) -> Self::Encoder {
        Exact(ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)))
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counted(ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)))
    }
}

/// Encodes into a buffer that is as large as the message: one that grows would be up to twice that, for as long as a subscriber takes
/// nothing.
#[derive(Debug)]
pub(crate) struct Exact<T>(ProstEncoder<T>);

impl<T: Message> Encoder for Exact<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        self.0.encode(message, buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Decodes messages; a request only if it has no more fields than it may.
#[derive(Debug)]
pub(crate) struct Counted<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> Decoder for Counted<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A client decodes responses, of a service that it trusts.
        #[cfg(feature = "server")]
        if U::NAME.ends_with("Request") {
            super::fields::check(&U::full_name(), bytes::Buf::chunk(buffer))?;
        }
        self.0.decode(buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

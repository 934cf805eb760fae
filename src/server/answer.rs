//! The answer to a call, as HTTP/2 takes it: in pieces, with the end once all of them have left.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, response::Parts};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::oneshot, time::Instant};
use tonic::{Code, Status, body::Body};

use super::{
    calls::Counted,
    under_way::{Call, PIECE_BYTES, Piece, Shape},
    web,
};

/// What a handler has answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) head: Parts,
    /// A unary answer, encoded.
    message: Bytes,
    trailers: Option<HeaderMap>,
    /// What is still to come of a stream.
    body: Option<Body>,
}

impl Reply {
    /// A stream, or a refusal, which has no body.
    pub(super) fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, message: Bytes::new(), trailers: None, body: Some(body) }
    }

    /// A unary answer. tonic encodes it when its body is polled: now, so that its size is known.
    ///
    /// # Errors
    /// If the body fails.
    pub(super) async fn whole(response: Response<Body>) -> Result<Self, Status> {
        let mut reply = Self::of(response);
        let Some(mut body) = reply.body.take() else { return Ok(reply) };
        while let Some(frame) = next_frame(&mut body).await {
            match frame?.into_data() {
                Ok(data) if reply.message.is_empty() => reply.message = data,
                Ok(data) => reply.message = [&*reply.message, &*data].concat().into(),
                Err(frame) => reply.trailers = frame.into_trailers().ok(),
            }
        }
        Ok(reply)
    }

    /// Bytes of the answer, if it is unary.
    pub(super) fn len(&self) -> usize {
        self.message.len()
    }

    /// Lets HTTP/2 take it; a unary answer must have left by `deadline`.
    pub(super) fn send(self, call: Arc<Call>, mut counted: Counted, deadline: Option<Instant>) -> Response<Answer> {
        call.answer(deadline);
        let Self { mut head, message: rest, trailers, body } = self;
        counted.head(&mut head.headers);
        let body = body.filter(|body| !body.is_end_stream());
        let sending = Some((call, counted));
        Response::from_parts(head, Answer { rest, turn: None, handed: 0, trailers, body, sending, is_web: false })
    }
}

async fn next_frame<B: HttpBody + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// What HTTP/2 was not given yet, of the message that it is given.
    rest: Bytes,
    /// The turn to begin a long message, until it has come.
    turn: Option<oneshot::Receiver<()>>,
    handed: usize,
    trailers: Option<HeaderMap>,
    /// More messages, and the trailers after them.
    body: Option<Body>,
    /// None where the call was refused before it began.
    sending: Option<(Arc<Call>, Counted)>,
    /// Whether the trailers are a frame of the body: gRPC-Web.
    is_web: bool,
}

impl Answer {
    /// What a call is answered that was not let in.
    pub(super) fn refused(mut response: Response<Body>, mut counted: Counted) -> Response<Self> {
        counted.head(response.headers_mut());
        response.map(|_| Self::empty())
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { rest: Bytes::new(), turn: None, handed: 0, trailers: None, body: None, sending: None, is_web: false }
    }

    /// The same for gRPC-Web.
    pub(super) fn for_web(mut self) -> Self {
        self.is_web = true;
        self
    }

    /// The end of it, once all of it has left: what has ended cannot be reset any more. What fits one piece does not wait.
    fn end(&mut self, context: &Context<'_>) -> Poll<Option<HeaderMap>> {
        if let Some((call, counted)) = &mut self.sending
            && let Some(trailers) = &mut self.trailers
        {
            if self.handed > PIECE_BYTES || call.shape() != Shape::Unary {
                ready!(call.poll_left(context));
            }
            counted.trailers(trailers);
        }
        Poll::Ready(self.trailers.take())
    }
}

impl HttpBody for Answer {
    type Data = Piece;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Status>>> {
        loop {
            if let Some(turn) = &mut self.turn {
                // Turns are given until the last connection has ended.
                ready!(Pin::new(turn).poll(context)).ok();
                self.turn = None;
            }
            if !self.rest.is_empty()
                && let Some((call, _)) = &self.sending
            {
                let call = Arc::clone(call);
                let length = self.rest.len().min(PIECE_BYTES);
                self.handed = self.handed.saturating_add(length);
                return Poll::Ready(Some(Ok(Frame::data(call.piece(self.rest.split_to(length))))));
            }
            let Some(body) = &mut self.body else {
                let Some(trailers) = ready!(self.end(context)) else { return Poll::Ready(None) };
                let last = self.sending.as_ref().filter(|_| self.is_web);
                let frame = match last {
                    Some((call, _)) => Frame::data(call.piece(web::frame(&trailers))),
                    None => Frame::trailers(trailers),
                };
                return Poll::Ready(Some(Ok(frame)));
            };
            match ready!(Pin::new(body).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    self.turn =
                        self.sending.as_ref().filter(|_| data.len() > PIECE_BYTES).and_then(|(call, _)| call.turn());
                    self.rest = data;
                }
                Some(Err(frame)) => {
                    self.trailers = frame.into_trailers().ok();
                    self.body = None;
                }
                None => self.body = None,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.trailers.is_none() && self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some((call, counted)) = &mut self.sending
            && call.shape() == Shape::Unary
            && call.is_cut()
        {
            counted.end(Code::DeadlineExceeded);
        }
    }
}

/// A request that has come as far as it was waited for.
#[derive(Debug)]
pub(super) struct Arrived<B: HttpBody> {
    frames: VecDeque<Result<Frame<B::Data>, B::Error>>,
    body: B,
}

impl<B: HttpBody<Data = Bytes> + Unpin> Arrived<B> {
    /// Waits until all of a request has come, or more than `bytes` of it: so that nothing is taken for a call whose request trickles.
    pub(super) async fn wait(mut body: B, bytes: usize) -> Self {
        let (mut frames, mut came) = (VecDeque::new(), 0);
        while came <= bytes
            && let Some(frame) = next_frame(&mut body).await
        {
            came += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            let has_failed = frame.is_err();
            frames.push_back(frame);
            if has_failed {
                break;
            }
        }
        Self { frames, body }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Arrived<B>
where
    B::Data: Unpin,
    B::Error: Unpin,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.body.is_end_stream()
    }
}

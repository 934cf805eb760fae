//! `FeedService`: parse, follow, show.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::{caller::caller, from_proto, to_proto, v1};
use crate::feed::Feed;

/// The subscribers' service.
#[derive(Clone, Debug)]
pub struct Follow {
    pub(super) feed: Feed,
}

#[tonic::async_trait]
impl v1::feed_service_server::FeedService for Follow {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        caller(request.metadata())?;
        let subscription = from_proto::subscription(request.get_ref())?;
        let messages = self.feed.subscribe(subscription).await?;
        Ok(Response::new(Box::pin(messages.map(|message| Ok(to_proto::message(message))))))
    }

    async fn read_feed(&self, request: Request<v1::ReadFeedRequest>) -> Result<Response<v1::ReadFeedResponse>, Status> {
        caller(request.metadata())?;
        let (start, filter, max_events) = from_proto::read_feed(request.get_ref())?;
        let page = self.feed.read(start, filter, request.get_ref().include_embargoed, max_events).await?;
        Ok(Response::new(v1::ReadFeedResponse {
            deliveries: page.deliveries.iter().map(to_proto::delivery).collect(),
            cursor: page.cursor,
            tail: page.tail,
        }))
    }
}

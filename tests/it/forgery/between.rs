//! Somebody between a service and its subscribers: a gRPC proxy that alters one thing.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use onrecord::api::v1::{
    self,
    feed_service_client::FeedServiceClient,
    feed_service_server::{FeedService, FeedServiceServer},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server},
};

use super::alter::{self, Alteration, Item};

/// What passed, and what is altered of what passes.
#[derive(Clone, Default)]
struct Shared {
    alteration: Arc<Mutex<Option<Alteration>>>,
    passed: Arc<Mutex<Vec<(Item, DynamicMessage)>>>,
}

#[derive(Clone)]
struct Proxy {
    service: FeedServiceClient<Channel>,
    shared: Shared,
}

/// A proxy that runs.
pub(super) struct Between {
    pub(super) channel: Channel,
    shared: Shared,
}

impl Between {
    pub(super) async fn to(service: &Channel) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (service, shared) = (FeedServiceClient::new(service.clone()), Shared::default());
        let service = service.max_decoding_message_size(16 << 20);
        let proxy = FeedServiceServer::new(Proxy { service, shared: shared.clone() });
        tokio::spawn(Server::builder().add_service(proxy).serve_with_incoming(TcpListenerStream::new(listener)));
        Self { channel: Channel::from_shared(url).unwrap().connect_lazy(), shared }
    }

    pub(super) fn alter(&self, alteration: Option<Alteration>) {
        *self.shared.alteration.lock().unwrap() = alteration;
    }

    /// The events that passed so far.
    pub(super) fn sent_events(&self) -> Vec<DynamicMessage> {
        self.sent_items().into_iter().filter(|(item, _)| matches!(item, Item::Event(_))).map(|(_, sent)| sent).collect()
    }

    /// All that passed so far.
    pub(super) fn sent_items(&self) -> Vec<(Item, DynamicMessage)> {
        self.shared.passed.lock().unwrap().clone()
    }
}

impl Shared {
    /// Passes a message on, altered or noted.
    fn pass(&self, sent: &v1::SubscribeResponse) -> v1::SubscribeResponse {
        let described = alter::message("onrecord.v1.SubscribeResponse");
        let mut message = DynamicMessage::decode(described, sent.encode_to_vec().as_slice()).unwrap();
        let alteration = self.alteration.lock().unwrap().clone();
        each_item(&mut message, &mut |item, it| match &alteration {
            Some(alteration) if alteration.item == item => alteration.apply(it),
            Some(_) => {}
            None => self.passed.lock().unwrap().push((item, it.clone())),
        });
        v1::SubscribeResponse::decode(message.encode_to_vec().as_slice()).unwrap()
    }
}

/// Goes through the items of a message.
fn each_item(message: &mut DynamicMessage, take: &mut impl FnMut(Item, &mut DynamicMessage)) {
    if message.descriptor().name() == "Event" {
        return take(Item::Event(sequence(message)), message);
    }
    for field in message.descriptor().fields().collect::<Vec<_>>() {
        if !message.has_field(&field) {
            continue;
        }
        match message.get_field_mut(&field) {
            Value::Message(inner) => each_item(inner, take),
            Value::List(values) => {
                for inner in values.iter_mut().filter_map(Value::as_message_mut) {
                    match inner.descriptor().name() {
                        "Live" => take(Item::Live(sequence(inner)), inner),
                        "Embargo" => take(Item::Embargo(sequence(inner)), inner),
                        _ => each_item(inner, take),
                    }
                }
            }
            _ => {}
        }
    }
}

fn sequence(item: &DynamicMessage) -> u64 {
    item.get_field_by_name("sequence").unwrap().as_u64().unwrap()
}

macro_rules! proxied {
    ($($other:ident $request:ident $response:ident,)*) => {
        #[tonic::async_trait]
        impl FeedService for Proxy {
            type SubscribeStream = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

            async fn subscribe(
                &self,
                request: Request<v1::SubscribeRequest>,
            ) -> Result<Response<Self::SubscribeStream>, Status> {
                let shared = self.shared.clone();
                let mut onward = Request::new(request.get_ref().clone());
                onward.metadata_mut().insert("onrecord-caller", "site".parse().unwrap());
                let sent = self.service.clone().subscribe(onward).await?.into_inner();
                Ok(Response::new(Box::pin(sent.map(move |sent| sent.map(|sent| shared.pass(&sent))))))
            }

            $(async fn $other(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                Err(Status::unimplemented(""))
            })*
        }
    };
}

proxied! {
    acknowledge AcknowledgeRequest AcknowledgeResponse,
    read_feed ReadFeedRequest ReadFeedResponse,
    create_subscription CreateSubscriptionRequest CreateSubscriptionResponse,
    get_subscription GetSubscriptionRequest GetSubscriptionResponse,
    list_subscriptions ListSubscriptionsRequest ListSubscriptionsResponse,
    update_subscription UpdateSubscriptionRequest UpdateSubscriptionResponse,
    delete_subscription DeleteSubscriptionRequest DeleteSubscriptionResponse,
    reject RejectRequest RejectResponse,
    list_deliveries ListDeliveriesRequest ListDeliveriesResponse,
}

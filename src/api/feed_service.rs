//! `FeedService`: parse, follow, show.

use std::sync::Arc;

use tokio_stream::Empty;
use tonic::{Request, Response, Status};
use tracing::debug;

use super::{
    audit::{self, Asked},
    caller::admitted,
    from_proto::{self, Envelope, both},
    own_body::OwnBody,
    page_token::{self, Page},
    status::ApiRefusal,
    subscribe_body::SubscribeBody,
    to_proto,
    trial::settled,
    v1,
};
use crate::{
    access::{Access, AccessRefusal, Admitted, Place},
    domain::{
        answer::Answer,
        id::SubscriptionId,
        limits::Limits,
        mandate::Mandate,
        rejection::Rejection,
        subscription::{Subscription, SubscriptionCall},
    },
    feed::{Ends, Feed, Ground, Right, Start, Wanted},
    journal::{Journal, View},
};

/// The subscribers' service.
#[derive(Clone, Debug)]
pub struct Follow {
    pub(super) feed: Feed,
    pub(super) journal: Journal,
    pub(super) access: Access,
    pub(super) limits: Arc<Limits>,
}

/// The method whose callers keep their right only as long as they would be let in anew.
const SUBSCRIBE: &str = "onrecord.v1.FeedService/Subscribe";

impl Follow {
    /// The right to follow of who was let in.
    fn right(&self, admitted: &Admitted) -> Result<Right, AccessRefusal> {
        let Some(place) = self.access.place_for_stream(admitted)? else { return Ok(Right::to_everything()) };
        Ok(Right {
            mandate: Arc::clone(&admitted.mandate),
            ends: admitted.expire_time.map(|end| Ends::at(end, self.journal.clock().latest())),
            ground: Arc::new(Admission { access: self.access.clone(), admitted: admitted.clone(), _place: place }),
        })
    }

    /// Takes a step on a named subscription, and shows it as it then stands.
    async fn enrol(&self, call: Result<SubscriptionCall, Rejection>) -> Result<v1::Subscription, Status> {
        let call = call.map_err(audit::refused)?;
        let changes = !call.validate_only;
        let asked = Asked::new(call.step.action().as_str(), &call.id, call.request_id, call.validate_only);
        let answered = asked.tell(self.journal.enrol(call).await.map_err(Status::from))?;
        let subscription = subscription_of(answered.answer)?;
        if changes {
            self.feed.release(&subscription);
        }
        let shown = self.show(vec![subscription]).await?.swap_remove(0);
        let Some(other) = answered.in_another_commit else { return Ok(shown) };
        Ok(settled(&shown, &self.show(vec![subscription_of(other)?]).await?.swap_remove(0)))
    }

    async fn show(&self, subscriptions: Vec<Subscription>) -> Result<Vec<v1::Subscription>, Status> {
        let (standings, now) = (self.feed.standings(subscriptions.clone()).await?, self.journal.now());
        let both = subscriptions.iter().zip(&standings);
        Ok(both.map(|(subscription, standing)| to_proto::subscription(subscription, standing, now)).collect())
    }

    /// A page of the named subscriptions that the mandate admits, and the place of the next. Of others there is no trace in either.
    async fn page(
        &self,
        page: &Page,
        mandate: &Arc<Mandate>,
    ) -> Result<(Vec<Subscription>, Option<page_token::Place>), Status> {
        let after = page.place()?.after.first().map(|id| SubscriptionId::parse(id)).transpose();
        let (after, size) = (after.map_err(|_| ApiRefusal::InvalidPageToken)?, page.size);
        let mandate = Arc::clone(mandate);
        let found =
            move |view: &View<'_>| view.subscriptions(after.as_ref(), size + 1, |id| mandate.admits_subscription(id));
        let mut found = self.journal.read(found).await?;
        let more = found.len() > size;
        found.truncate(size);
        let last =
            found.last().filter(|_| more).map(|last| page_token::Place { after: vec![last.id.to_string()], tail: 0 });
        Ok((found, last))
    }
}

/// What the right to a stream rests on: that who asked for it was let in, and would be again.
struct Admission {
    access: Access,
    admitted: Admitted,
    _place: Place,
}

impl Ground for Admission {
    fn holds(&self) -> bool {
        self.access.stands(SUBSCRIBE, &self.admitted)
    }

    fn lost(&self) {
        audit::lost(&self.admitted, SUBSCRIBE);
    }
}

fn subscription_of(answer: Answer) -> Result<Subscription, Rejection> {
    let Answer::Subscription(subscription) = answer else { return Err(Rejection::RequestIdReused) };
    Ok(*subscription)
}

/// A step on a subscription, unless it is another's.
fn held(mandate: &Mandate, call: Result<SubscriptionCall, Rejection>) -> Result<SubscriptionCall, Rejection> {
    let call = call?;
    may_hold(mandate, &call.id)?;
    Ok(call)
}

/// A subscription that is another's is as if it were not there.
fn may_hold(mandate: &Mandate, id: &SubscriptionId) -> Result<(), Rejection> {
    if mandate.admits_subscription(id) { Ok(()) } else { Err(Rejection::SubscriptionNotFound) }
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::feed_service_server::FeedService for Follow {
    /// Nothing: the messages are in a body of our own, which [`super::own_body::OwnBodies`] puts in its place.
    type SubscribeStream = Empty<Result<v1::SubscribeResponse, Status>>;

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Reply<Self::SubscribeStream> {
        let right = self.right(admitted(request.extensions())?)?;
        let subscription = from_proto::subscription(request.get_ref(), right)?;
        if let Wanted::Named(id) = &subscription.wanted {
            may_hold(&subscription.right.mandate, id).map_err(audit::refused)?;
        }
        // Whoever has applied nothing yet gets the state too.
        if matches!(subscription.start, Start::Snapshot | Start::Applied) {
            self.access.pace_snapshot(admitted(request.extensions())?).map_err(ApiRefusal::NotAdmitted)?;
        }
        let name = if let Wanted::Named(id) = &subscription.wanted { Some(id.clone()) } else { None };
        let messages = self.feed.subscribe(subscription).await?;
        audit::follows(name.as_ref());
        let mut response = Response::new(tokio_stream::empty());
        response.extensions_mut().insert(OwnBody::new(SubscribeBody::new(messages)));
        Ok(response)
    }

    async fn read_feed(&self, request: Request<v1::ReadFeedRequest>) -> Reply<v1::ReadFeedResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let (start, filter, form, max_events) = from_proto::read_feed(request.get_ref())?;
        let embargoed = request.get_ref().include_embargoed;
        let page = self.feed.read(start, filter, embargoed, form, &mandate, max_events).await?;
        Ok(Response::new(v1::ReadFeedResponse {
            deliveries: page.deliveries.iter().map(to_proto::delivery).collect(),
            cursor: page.cursor,
            tail: page.tail,
        }))
    }

    async fn create_subscription(
        &self,
        request: Request<v1::CreateSubscriptionRequest>,
    ) -> Reply<v1::CreateSubscriptionResponse> {
        let call = from_proto::create_subscription(envelope!(self, request), request.get_ref());
        let call = held(&admitted(request.extensions())?.mandate, call);
        let subscription = Some(self.enrol(call).await?);
        Ok(Response::new(v1::CreateSubscriptionResponse { subscription }))
    }

    async fn get_subscription(
        &self,
        request: Request<v1::GetSubscriptionRequest>,
    ) -> Reply<v1::GetSubscriptionResponse> {
        let id = from_proto::subscription_name(&request.get_ref().name)?;
        may_hold(&admitted(request.extensions())?.mandate, &id).map_err(audit::refused)?;
        let found = self.journal.read(move |view| view.subscription(&id)).await?;
        let subscription = self.show(vec![found.ok_or(Rejection::SubscriptionNotFound)?]).await?.pop();
        Ok(Response::new(v1::GetSubscriptionResponse { subscription }))
    }

    async fn list_subscriptions(
        &self,
        request: Request<v1::ListSubscriptionsRequest>,
    ) -> Reply<v1::ListSubscriptionsResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let page = Page::of(&mut request.into_inner())?;
        let (found, last) = self.page(&page, &mandate).await?;
        let subscriptions = self.show(found).await?;
        let next_page_token = page.token_after(last.as_ref());
        Ok(Response::new(v1::ListSubscriptionsResponse { subscriptions, next_page_token }))
    }

    async fn update_subscription(
        &self,
        request: Request<v1::UpdateSubscriptionRequest>,
    ) -> Reply<v1::UpdateSubscriptionResponse> {
        let call = from_proto::update_subscription(envelope!(self, request), request.get_ref());
        let call = held(&admitted(request.extensions())?.mandate, call);
        let subscription = Some(self.enrol(call).await?);
        Ok(Response::new(v1::UpdateSubscriptionResponse { subscription }))
    }

    async fn delete_subscription(
        &self,
        request: Request<v1::DeleteSubscriptionRequest>,
    ) -> Reply<v1::DeleteSubscriptionResponse> {
        let call = from_proto::delete_subscription(envelope!(self, request), request.get_ref());
        self.enrol(held(&admitted(request.extensions())?.mandate, call)).await?;
        Ok(Response::new(v1::DeleteSubscriptionResponse {}))
    }

    async fn acknowledge(&self, request: Request<v1::AcknowledgeRequest>) -> Reply<v1::AcknowledgeResponse> {
        let (id, generation) = from_proto::acknowledge(request.get_ref())?;
        may_hold(&admitted(request.extensions())?.mandate, &id).map_err(audit::refused)?;
        debug!(target: "audit", on = %id, generation, "acknowledges");
        let acknowledged_sequence = self.feed.acknowledge(id, generation, &request.get_ref().cursor).await?;
        Ok(Response::new(v1::AcknowledgeResponse { acknowledged_sequence }))
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Reply<v1::RejectResponse> {
        let rejected = from_proto::reject(request.get_ref(), self.journal.now());
        let (id, generation, refused) = rejected.map_err(audit::refused)?;
        may_hold(&admitted(request.extensions())?.mandate, &id).map_err(audit::refused)?;
        let asked = Asked::new("Reject", &id, None, false);
        asked.tell(self.feed.refuse(id, generation, refused).await.map_err(Status::from))?;
        Ok(Response::new(v1::RejectResponse {}))
    }

    async fn list_deliveries(&self, request: Request<v1::ListDeliveriesRequest>) -> Reply<v1::ListDeliveriesResponse> {
        let mandate = Arc::clone(&admitted(request.extensions())?.mandate);
        let mut given = request.into_inner();
        let (target, page) = both(from_proto::target(&given.parent), Page::of(&mut given))?;
        let (found, last) = self.page(&page, &mandate).await?;
        let told = self.feed.deliveries(target, mandate, found).await?;
        Ok(Response::new(v1::ListDeliveriesResponse {
            deliveries: told.iter().map(to_proto::delivery_report).collect(),
            next_page_token: page.token_after(last.as_ref()),
        }))
    }
}

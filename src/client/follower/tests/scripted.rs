//! A feed that says what it is told to say, and a site that remembers what came of it.

use super::*;

pub(super) type Script = Vec<Result<SubscribeResponse, Status>>;

/// One script for each Subscribe; what was asked for, and what was acknowledged.
#[derive(Clone, Default)]
pub(super) struct Scripted {
    pub(super) scripts: Arc<Mutex<VecDeque<Script>>>,
    pub(super) requests: Arc<Mutex<Vec<SubscribeRequest>>>,
    pub(super) acknowledged: Arc<Mutex<Vec<AcknowledgeRequest>>>,
    /// Whether a stream stays open at the end of its script.
    pub(super) stays_open: bool,
}

/// A service that has a script for Subscribe, hears acknowledgements, and does nothing else.
macro_rules! scripted {
    ($($other:ident $request:ident $response:ident,)*) => {
        #[tonic::async_trait]
        impl FeedService for Scripted {
            type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

            async fn subscribe(
                &self,
                request: Request<SubscribeRequest>,
            ) -> Result<Response<Self::SubscribeStream>, Status> {
                self.requests.lock().unwrap().push(request.into_inner());
                let script = self.scripts.lock().unwrap().pop_front();
                let script = script.ok_or_else(|| Status::permission_denied("no more"))?;
                let script = tokio_stream::iter(script);
                if self.stays_open {
                    return Ok(Response::new(Box::pin(script.chain(tokio_stream::pending()))));
                }
                Ok(Response::new(Box::pin(script)))
            }

            async fn acknowledge(
                &self,
                request: Request<v1::AcknowledgeRequest>,
            ) -> Result<Response<v1::AcknowledgeResponse>, Status> {
                self.acknowledged.lock().unwrap().push(request.into_inner());
                Ok(Response::new(v1::AcknowledgeResponse::default()))
            }

            $(async fn $other(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                Err(Status::unimplemented(""))
            })*
        }
    };
}

scripted! {
    read_feed ReadFeedRequest ReadFeedResponse,
    create_subscription CreateSubscriptionRequest CreateSubscriptionResponse,
    get_subscription GetSubscriptionRequest GetSubscriptionResponse,
    list_subscriptions ListSubscriptionsRequest ListSubscriptionsResponse,
    update_subscription UpdateSubscriptionRequest UpdateSubscriptionResponse,
    delete_subscription DeleteSubscriptionRequest DeleteSubscriptionResponse,
    reject RejectRequest RejectResponse,
    list_deliveries ListDeliveriesRequest ListDeliveriesResponse,
}

/// A site that remembers the sequences it applied. What it holds is lost unless it was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shelf {
    pub(super) held: Shown,
    pub(super) kept: Shown,
    pub(super) notes: Vec<Note>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) applied: Vec<u64>,
    pub(super) snapshots: usize,
    pub(super) position: Option<Position>,
}

impl Shelf {
    /// Another process, which has what was kept.
    pub(super) fn restarted(self) -> Self {
        Self { held: self.kept.clone(), kept: self.kept, notes: Vec::new() }
    }

    pub(super) fn cursor(&self) -> &str {
        self.kept.position.as_ref().map_or("", |position| &position.cursor)
    }
}

impl Site for Shelf {
    type Error = &'static str;

    fn position(&self) -> Option<Position> {
        self.held.position.clone()
    }

    async fn replace(&mut self, snapshot: Snapshot, position: Position) -> Result<(), Self::Error> {
        let applied = snapshot.live.iter().map(|live| live.sequence).collect();
        self.held = Shown { applied, snapshots: self.held.snapshots + 1, position: Some(position) };
        Ok(())
    }

    async fn apply(&mut self, deliveries: Vec<Delivery>, position: Position) -> Result<(), Self::Error> {
        for delivery in deliveries {
            let sequence = delivery.event.unwrap().sequence;
            if sequence == 666 {
                return Err("no room");
            }
            self.held.applied.push(sequence);
        }
        self.held.position = Some(position);
        Ok(())
    }

    async fn advance(&mut self, position: Position) -> Result<(), Self::Error> {
        self.held.position = Some(position);
        Ok(())
    }

    async fn keep(&mut self) -> Result<(), Self::Error> {
        self.kept = self.held.clone();
        Ok(())
    }

    fn note(&mut self, note: &Note) {
        self.notes.push(note.clone());
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a line of a script")]
pub(super) fn says(message: Message) -> Result<SubscribeResponse, Status> {
    Ok(SubscribeResponse { message: Some(message) })
}

pub(super) fn opened() -> Result<SubscribeResponse, Status> {
    says(Message::Opened(Opened { feed_id: "feed".to_owned(), ..Opened::default() }))
}

pub(super) fn batch(sequences: &[u64], cursor: &str, tail: u64) -> Result<SubscribeResponse, Status> {
    let delivery = |sequence: &u64| Delivery::new(FilterChange::Left, fixture::event(*sequence));
    let deliveries = sequences.iter().map(delivery).collect();
    says(Message::EventBatch(EventBatch { deliveries, cursor: cursor.to_owned(), tail, more: cursor.is_empty() }))
}

pub(super) fn refusal(code: Code, reason: &str) -> Result<SubscribeResponse, Status> {
    let details =
        ErrorDetails::with_error_info(reason, "onrecord", [("k", "v")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    Err(Status::with_error_details(code, "no", details))
}

/// Serves the script.
pub(super) async fn serve(feed: &Scripted) -> (String, JoinHandle<Result<(), tonic::transport::Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(FeedServiceServer::new(feed.clone()));
    (url, tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener))))
}

/// Follows these scripts until it is current, or as the options say. Returns how it ended, the site, and what was asked for.
pub(super) async fn follow_with(
    site: Shelf,
    scripts: Vec<Script>,
    change: impl FnOnce(&mut Options),
) -> (Result<(), FollowError<&'static str>>, Shelf, Scripted) {
    let feed = Scripted { scripts: Arc::new(Mutex::new(scripts.into())), ..Scripted::default() };
    let (url, server) = serve(&feed).await;
    let mut options = Options { begin: Begin::Beginning, until_current: true, ..Options::all() };
    change(&mut options);
    let mut follower = Follower::new(channel(&url).unwrap(), options, site);
    let ended = follower.run().await;
    assert_eq!(*follower.state().borrow(), State::Ended);
    server.abort();
    (ended, follower.into_site(), feed)
}

pub(super) async fn follow(
    site: Shelf,
    scripts: Vec<Script>,
) -> (Result<(), FollowError<&'static str>>, Shelf, Vec<SubscribeRequest>) {
    let (ended, site, feed) = follow_with(site, scripts, |_| {}).await;
    let requests = feed.requests.lock().unwrap().clone();
    (ended, site, requests)
}

pub(super) fn reset() -> Result<SubscribeResponse, Status> {
    Err(Status::unknown("reset"))
}

//! Says what was kept, for a site that follows under a name: beside the stream, so that nothing waits for it.

use std::time::Duration;

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::{Request, transport::Channel};
use tracing::debug;

use super::{
    Credentials,
    backoff::Backoff,
    ending::{Lost, Remedy},
};
use crate::api::v1::{AcknowledgeRequest, feed_service_client::FeedServiceClient};

/// Between two acknowledgements.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the last one may take before the follower ends without it.
const LAST_TIME_MAX: Duration = Duration::from_secs(5);

/// Acknowledges the newest cursor it was given, again and again until that worked.
#[derive(Debug)]
pub(super) struct Acknowledger {
    newest: watch::Sender<Option<AcknowledgeRequest>>,
    task: JoinHandle<()>,
}

impl Acknowledger {
    pub(super) fn start(channel: Channel, credentials: Credentials) -> Self {
        let newest = watch::Sender::new(None);
        let task = tokio::spawn(acknowledge(channel, credentials, newest.subscribe()));
        Self { newest, task }
    }

    /// Everything before this was kept.
    pub(super) fn tell(&self, request: AcknowledgeRequest) {
        self.newest.send_if_modified(|newest| {
            let is_new = newest.as_ref() != Some(&request);
            *newest = Some(request);
            is_new
        });
    }

    /// Ends once the newest was acknowledged, or that takes too long.
    pub(super) async fn finish(self) {
        let Self { newest, mut task } = self;
        drop(newest);
        if timeout(LAST_TIME_MAX, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn acknowledge(
    channel: Channel,
    credentials: Credentials,
    mut newest: watch::Receiver<Option<AcknowledgeRequest>>,
) {
    let (mut client, mut backoff) = (FeedServiceClient::new(channel), Backoff::default());
    while newest.changed().await.is_ok() {
        loop {
            let Some(request) = newest.borrow_and_update().clone() else { break };
            let mut call = Request::from_parts(credentials.metadata(), tonic::Extensions::default(), request);
            call.set_timeout(CALL_TIME_MAX);
            match client.acknowledge(call).await {
                Ok(_) => {
                    backoff.reset();
                    break;
                }
                Err(status) => match Lost::Status(status.clone()).remedy::<()>() {
                    // The stream learns of it too, and is closed.
                    Remedy::End(_) | Remedy::Trimmed | Remedy::Diverged(_) => {
                        debug!(%status, "an acknowledgement was refused");
                        break;
                    }
                    Remedy::Again(asked) if status.code() == tonic::Code::Aborted => {
                        debug!(%status, ?asked, "somebody else follows under this name");
                        break;
                    }
                    Remedy::Again(asked) => sleep(backoff.delay().max(asked)).await,
                },
            }
        }
        sleep(PAUSE).await;
    }
}

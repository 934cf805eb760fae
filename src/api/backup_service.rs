//! `BackupService`: the journal, entry by entry.

use std::{future::pending, mem, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    audit::{self, Asked},
    caller::admitted,
    from_proto,
    status::ApiRefusal,
    to_proto, v1,
};
use crate::{
    access::{Access, AccessRefusal, Admitted, Limit},
    domain::{digest::Digest, rejection::Rejection},
    feed::FeedRefusal,
    journal::{Journal, JournalError, TrustedClock},
};

/// Bytes of rows in one message, about.
const PART_BYTES: usize = 1024 * 1024;

/// Backups under way at a time: each takes up to 6 MiB while it waits for its peer.
const BACKUPS_MAX: u32 = 8;

/// Turns of backups.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(BACKUPS_MAX).unwrap_or(1))))
    }
}

/// The operators' service for copies.
#[derive(Clone, Debug)]
pub struct Backups {
    pub(super) turns: Turns,
    pub(super) journal: Journal,
    pub(super) access: Access,
    pub(super) shutdown: CancellationToken,
}

/// The method whose callers keep their right only as long as they would be let in anew.
const BACKUP: &str = "onrecord.v1.BackupService/Backup";

/// Returns once who was admitted would be no more, and why.
async fn revoked(access: Access, admitted: Admitted, clock: TrustedClock) -> AccessRefusal {
    let mut changes = access.changes();
    let ends = async {
        let Some(end) = admitted.expire_time else { return pending().await };
        clock.until(end).await;
        AccessRefusal::CredentialExpired(end, admitted.caller.clone())
    };
    // Not by `wait_for`: it would hold the policy while `stands` looks at it.
    let stands = async { while access.stands(BACKUP, &admitted) && changes.changed().await.is_ok() {} };
    let refusal = tokio::select! {
        ended = ends => ended,
        () = stands => AccessRefusal::CredentialUnknown,
    };
    audit::lost(&admitted, BACKUP);
    refusal
}

#[tonic::async_trait]
impl v1::backup_service_server::BackupService for Backups {
    type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let admitted = admitted(request.extensions())?.clone();
        if !admitted.mandate.is_whole_record() {
            return Err(audit::refused(Rejection::BackupLimited));
        }
        let place = self.access.place_for_stream(&admitted)?;
        let too_many = AccessRefusal::TooManyInAll { limit: Limit::Backups, most: BACKUPS_MAX, wait: Duration::ZERO };
        let turn = Arc::clone(&self.turns.0).try_acquire_owned().map_err(|_| too_many)?;
        let follow = request.get_ref().follow;
        let (after, hash) = from_proto::backup(request.get_ref())?;
        let ours = self.journal.read(move |view| view.entry_hash(after)).await?;
        if ours != Some(hash) {
            return Err(ApiRefusal::BackupDiverged.into());
        }
        Asked::new("Backup", &format_args!("entries after {after}"), None, false).tell(Ok(()))?;
        let (messages, stream) = mpsc::channel(1);
        let copy = Copy { journal: self.journal.clone(), after, messages: messages.clone(), is_whole: false };
        let stopped = messages;
        let shutdown = self.shutdown.clone();
        let revoked = revoked(self.access.clone(), admitted, self.journal.clock().clone());
        tokio::spawn(async move {
            let _until_ended = (place, turn);
            tokio::select! {
                () = copy.run(follow) => {}
                refusal = revoked => drop(stopped.send(Err(refusal.into())).await),
                () = shutdown.cancelled() => drop(stopped.send(Err(FeedRefusal::Draining.into())).await),
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// The caller left.
struct Gone;

/// A copy under way.
struct Copy {
    journal: Journal,
    /// The newest entry that was sent.
    after: u64,
    messages: mpsc::Sender<Result<v1::BackupResponse, Status>>,
    /// Whether it was whole, once.
    is_whole: bool,
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.is_whole {
            self.journal.copy_failed();
        }
    }
}

impl Copy {
    async fn run(mut self, follow: bool) {
        // Whoever left is told nothing.
        let _ = self.send_all(follow).await;
    }

    async fn send_all(&mut self, follow: bool) -> Result<(), Gone> {
        let mut newest = self.journal.newest_entry();
        self.send(Ok(to_proto::backup_header(self.journal.identity()))).await?;
        loop {
            let upto = *newest.borrow_and_update();
            if let Err(failure) = self.send_up_to(upto).await? {
                return self.send(Err(failure.into())).await;
            }
            if !follow {
                return Ok(());
            }
            if newest.changed().await.is_err() {
                return self.send(Err(JournalError::Closed("nothing follows".to_owned()).into())).await;
            }
        }
    }

    /// Sends entries until they are whole, and says so. Of what is erased meanwhile the entry that erases it has to come too, though it
    /// is newer, and perhaps not durable yet.
    async fn send_up_to(&mut self, mut upto: u64) -> Result<Result<(), JournalError>, Gone> {
        let mut newest = self.journal.newest_entry();
        while self.after < upto {
            let after = self.after;
            if newest.wait_for(|newest| *newest > after).await.is_err() {
                return Ok(Err(JournalError::Closed("what the copy lacks is not durable".to_owned())));
            }
            let part = match self.journal.read(move |view| view.backup_part(after, PART_BYTES)).await {
                Ok(part) => part,
                Err(failure) => return Ok(Err(failure)),
            };
            upto = upto.max(part.whole_from);
            self.after = part.entries.last().map_or(after, |entry| entry.number);
            self.send(Ok(to_proto::backup_part(part.entries))).await?;
        }
        let entry = self.after;
        let hash = match self.journal.read(move |view| view.entry_hash(entry)).await {
            Ok(hash) => hash.unwrap_or(Digest::ZERO),
            Err(failure) => return Ok(Err(failure)),
        };
        self.send(Ok(to_proto::backup_end(entry, hash))).await?;
        // There is room again once that was taken.
        drop(self.messages.reserve().await.map_err(|_| Gone)?);
        self.journal.copied(entry, !mem::replace(&mut self.is_whole, true)).await;
        Ok(Ok(()))
    }

    async fn send(&self, message: Result<v1::BackupResponse, Status>) -> Result<(), Gone> {
        self.messages.send(message).await.map_err(|_| Gone)
    }
}

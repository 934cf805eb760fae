//! How a stream ends, and what comes after it.

use std::time::Duration;

use anyhow::Result;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::follow::{End, Follow};
use crate::{
    api::v1::{Closing, Start, closing},
    cli::{
        failure::{Refusal, reason, told},
        output::note,
        times,
    },
};

/// With `--until-current` somebody waits for the end.
const ATTEMPTS_UNTIL_CURRENT_MAX: u32 = 5;

const DIVERGED: &str = "\
the feed is not the one that was followed before: it was restored, or this is another service.
Find out why. To go on with what it says now, remove the mirror or the cursor.
The service says";

const ANOTHER_FILTER: &str = "\
this was followed with another filter, or another choice of --embargoed. Use that one, or remove the mirror or the cursor
to begin anew. The service says";

impl Follow {
    /// The service closed the stream.
    pub(super) fn closing(&mut self, closing: &Closing) -> Result<End> {
        self.keep.advance(&closing.cursor);
        let name = closing.reason().as_str_name();
        match closing.reason() {
            closing::Reason::AccessRevoked => {
                return Err(Refusal::Permission("the caller lost the right to follow".to_owned()).into());
            }
            closing::Reason::Superseded => {
                let words = "somebody else follows under this name by now, or it was changed or deleted";
                return Err(Refusal::Refused(words.to_owned()).into());
            }
            closing::Reason::Trimmed => self.start_anew("what comes next is no longer there"),
            closing::Reason::Lifetime
            | closing::Reason::Drain
            | closing::Reason::Stalled
            | closing::Reason::StoreFailed
            | closing::Reason::Unspecified => note(format_args!("the service closed the stream: {name}")),
        }
        Ok(End::Again(times::std(closing.reconnect_after.as_ref()).max(self.backoff.next())))
    }

    fn start_anew(&mut self, why: &str) {
        note(format_args!("{why}: taking a new snapshot"));
        self.keep.forget_cursor();
        self.request.start = Start::Snapshot.into();
    }

    /// The stream could not be opened, or broke.
    pub(super) fn lost(&mut self, error: anyhow::Error) -> Result<End> {
        match error.downcast_ref::<Status>().and_then(reason).as_deref() {
            Some("CURSOR_TRIMMED") => self.start_anew("what comes next is no longer there"),
            Some("FILTER_CHANGED") => return Err(error.context(ANOTHER_FILTER)),
            Some("CURSOR_DIVERGED") => return Err(error.context(DIVERGED)),
            // It waits for what this cursor has seen already: never a reason to start anew.
            Some("REPLICA_BEHIND") => {}
            Some(_) | None if is_final(&error) => return Err(error),
            Some(_) | None => {}
        }
        if self.until_current && self.backoff.attempts() >= ATTEMPTS_UNTIL_CURRENT_MAX {
            return Err(error);
        }
        let delay = self.backoff.next().max(asked_delay(&error));
        note(format_args!("{}\nconnecting again in {:.1} s", told(&error), delay.as_secs_f32()));
        Ok(End::Again(delay))
    }
}

fn asked_delay(error: &anyhow::Error) -> Duration {
    let details = error.downcast_ref().map(Status::get_error_details);
    details.and_then(|details| details.retry_info()?.retry_delay).unwrap_or_default()
}

/// True if trying again cannot help.
fn is_final(error: &anyhow::Error) -> bool {
    let Some(status) = error.downcast_ref::<Status>() else { return false };
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => true,
        // A broken connection comes as any of these.
        Code::Unavailable
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unknown
        | Code::Internal
        | Code::Ok => false,
    }
}

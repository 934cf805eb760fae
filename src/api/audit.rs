//! The audit log (target `audit`): a line for each step that was asked for, whatever became of it. Who asked, from where, and by what is
//! in the span of the call, see `gate`, and so is the request id. What changed something is in the journal too.

use std::fmt::Display;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::{Span, field::display, info};
use uuid::Uuid;

use crate::{
    access::Admitted,
    domain::{id::SubscriptionId, rejection::Rejection},
};

/// A step that somebody asked for was not understood, or is none that they may take. The words may be of a text.
pub(super) fn refused(rejection: Rejection) -> Status {
    let status = Status::from(rejection);
    info!(target: "audit", result = ?status.code(), reason = reason(&status), "refused");
    status
}

/// A stream is open. If it has a name, whoever followed under that before does no more.
pub(super) fn follows(on: Option<&SubscriptionId>) {
    info!(target: "audit", on = on.map(display), "follows");
}

/// A stream or a copy ends, as who asked for it would not be let in any more.
pub(super) fn lost(admitted: &Admitted, method: &str) {
    let Admitted { caller, by, .. } = admitted;
    info!(target: "audit", %caller, %by, method, "lost its right");
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// A step that somebody asks for. If nobody waits for what becomes of it any more, that is said.
pub(super) struct Asked {
    action: &'static str,
    on: String,
    validate_only: bool,
    told: bool,
}

impl Asked {
    pub(super) fn new(action: &'static str, on: &impl Display, request_id: Option<Uuid>, validate_only: bool) -> Self {
        if let Some(id) = request_id {
            Span::current().record("request_id", display(id));
        }
        Self { action, on: on.to_string(), validate_only, told: false }
    }

    /// Says what became of it. No words of a text are in it.
    pub(super) fn tell<T>(mut self, answer: Result<T, Status>) -> Result<T, Status> {
        match &answer {
            Ok(_) => self.say(&format!("{:?}", Code::Ok), ""),
            Err(status) => {
                self.say(&format!("{:?}", status.code()), &reason(status));
            }
        }
        answer
    }

    fn say(&mut self, result: &str, reason: &str) {
        self.told = true;
        let Self { action, on, validate_only, .. } = self;
        info!(target: "audit", action, on, validate_only, result, reason, "asked");
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.told {
            self.say("NOT AWAITED: IT MAY HAVE BEEN DONE", "");
        }
    }
}

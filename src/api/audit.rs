//! The audit log (target `audit`): a line for each step that was asked for, whatever became of it. Who asked, from where, and by what is
//! in the span of the call, see `gate`. What changed something is in the journal too.

use std::fmt::Display;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::info;
use uuid::Uuid;

use crate::domain::entry::Action;

/// A step that somebody asks for.
pub(super) struct Asked {
    action: Action,
    on: String,
    request_id: Option<Uuid>,
    validate_only: bool,
}

impl Asked {
    pub(super) fn new(action: Action, on: &impl Display, request_id: Option<Uuid>, validate_only: bool) -> Self {
        Self { action, on: on.to_string(), request_id, validate_only }
    }

    /// Says what became of it. No words of a text are in it.
    pub(super) fn tell<T>(self, answer: Result<T, Status>) -> Result<T, Status> {
        let Self { action, on, request_id, validate_only } = self;
        let (code, reason) = match &answer {
            Ok(_) => (Code::Ok, String::new()),
            Err(status) => (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default()),
        };
        let request_id = request_id.map(|id| id.to_string());
        info!(target: "audit", ?action, on, request_id, validate_only, ?code, reason, "asked");
        answer
    }
}

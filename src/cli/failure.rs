//! Errors, said to people; and the exit codes, said to programs.

use std::{io, path::Path, process::ExitCode};

use owo_colors::OwoColorize as _;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    backup::Fault,
    output::{note, plain},
};
use crate::{server::ServeError, telemetry};

const OTHER: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const REFUSED: u8 = 4;
const UNAVAILABLE: u8 = 5;
const PERMISSION: u8 = 6;

/// What the command line itself refuses.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// The arguments make no sense, or a file that they name cannot be read or is not what it should be.
    #[error("{0}")]
    Usage(String),
    /// It is not there.
    #[error("{0}")]
    NotFound(String),
    /// It could do harm, or cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// The service was not to be reached, or its answer did not come.
    #[error("{0}")]
    Unavailable(String),
}

/// A file that the command line names and that cannot be read, whatever it is for: exit code 2.
pub(super) fn unreadable(path: &Path) -> Refusal {
    Refusal::Usage(format!("cannot read {}", path.display()))
}

/// Says what went wrong on standard error, and gives the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Who closes the pipe, as `head` does, has read enough: not a failure.
    if find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    if telemetry::is_for_machines() {
        tracing::error!(failure = %told(error), "ended");
    } else {
        note(format_args!("{} {}", "error:".red().bold(), told(error)));
    }
    ExitCode::from(code(error))
}

/// An error in words: what was being done, and what stood against it.
pub(super) fn told(error: &anyhow::Error) -> String {
    match find::<Status>(error) {
        Some(status) => format!("{}{}", context(error), described(status)),
        None => plain(&format!("{error:#}")),
    }
}

/// What lies at the bottom of an error: of a connection, why there is none.
pub(super) fn deepest<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut deepest = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    deepest
}

fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    // The first finds what was given as context, the second what lies below.
    error.downcast_ref().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(status) = find::<Status>(error) {
        return code_of(status.code());
    }
    match find::<Refusal>(error) {
        Some(Refusal::Usage(_)) => USAGE,
        Some(Refusal::NotFound(_)) => NOT_FOUND,
        Some(Refusal::Refused(_)) => REFUSED,
        Some(Refusal::Unavailable(_)) => UNAVAILABLE,
        None if is_of_a_file(error) => USAGE,
        None => OTHER,
    }
}

/// True if a copy, or a file of TLS, is not what it should be.
fn is_of_a_file(error: &anyhow::Error) -> bool {
    find::<Fault>(error).is_some() || matches!(find(error), Some(ServeError::Tls(_)))
}

/// True if the service is not there now.
pub(super) fn is_unavailable(error: &anyhow::Error) -> bool {
    code(error) == UNAVAILABLE
}

/// True if the service is not there, or will not have this caller: what comes next would fail too.
pub(super) fn is_away(error: &anyhow::Error) -> bool {
    matches!(code(error), UNAVAILABLE | PERMISSION)
}

fn code_of(code: Code) -> u8 {
    match code {
        Code::NotFound => NOT_FOUND,
        Code::InvalidArgument | Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists | Code::OutOfRange => {
            REFUSED
        }
        // A call whose time is up on this side ends as CANCELLED.
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => UNAVAILABLE,
        Code::PermissionDenied | Code::Unauthenticated => PERMISSION,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => OTHER,
    }
}

/// What was being done, without the causes that are a `Status` or below one.
fn context(error: &anyhow::Error) -> String {
    let steps = error.chain().take_while(|cause| cause.downcast_ref::<Status>().is_none());
    steps.map(|step| plain(&step.to_string()) + ": ").collect()
}

/// A refusal of the service: message, reason, then each violation on a line.
fn described(status: &Status) -> String {
    let details = status.get_error_details();
    let message =
        if status.message().is_empty() { status.code().to_string() } else { plain(sentence(status, &details)) };
    let head = match reason(status) {
        Some(reason) => format!("{message} ({})", plain(&reason).bold()),
        None => message,
    };
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    let again = delay.map(|delay| format!("try again in {delay:?}"));
    let shown = reason(status).filter(|reason| reason == "CREDENTIAL_MISSING");
    let shown = shown.map(|_| "here: `--token-file FILE`, or `--certificate-file FILE --key-file FILE`".to_owned());
    let lines: Vec<_> = violations(&details).into_iter().chain(metadata(&details)).chain(again).chain(shown).collect();
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n  ")
}

/// The message, without the violations that are told below it.
fn sentence<'s>(status: &'s Status, details: &ErrorDetails) -> &'s str {
    let first = details.bad_request().and_then(|bad| bad.field_violations.first());
    let repeated = first.and_then(|one| status.message().find(&format!(": {} {}", one.field, one.description)));
    repeated.and_then(|at| status.message().get(..at)).unwrap_or(status.message())
}

/// `ErrorInfo.reason`.
pub(super) fn reason(status: &Status) -> Option<String> {
    Some(status.get_error_details().error_info()?.reason.clone())
}

fn violations(details: &ErrorDetails) -> Vec<String> {
    let bad = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    bad.iter().map(|one| format!("{}: {}", plain(&one.field).yellow(), plain(&one.description))).collect()
}

fn metadata(details: &ErrorDetails) -> Vec<String> {
    let Some(info) = details.error_info() else { return Vec::new() };
    let mut lines: Vec<_> =
        info.metadata.iter().map(|(key, value)| format!("{}: {}", plain(key), plain(value))).collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::{Refusal, code, context, described};

    #[test]
    fn a_refusal_gives_its_exit_code_through_any_context() {
        let error = anyhow!(Status::aborted("stale")).context("cannot submit recall-7/de");
        assert_eq!(code(&error), 4);
        assert_eq!(context(&error), "cannot submit recall-7/de: ");
        assert_eq!(code(&anyhow!(Status::not_found("no"))), 3);
        assert_eq!(code(&anyhow!(Status::unavailable("down"))), 5);
        assert_eq!(code(&anyhow!(Status::unauthenticated("who"))), 6);
        assert_eq!(code(&anyhow!(Refusal::Usage("what".to_owned()))), 2);
        let wrapped = anyhow!("deep").context(Refusal::Usage("what".to_owned())).context("outer");
        assert_eq!(code(&wrapped), 2);
        assert_eq!(code(&std::fs::read("/none/such").context("cannot read").unwrap_err()), 1);
    }

    #[test]
    fn a_refusal_names_reason_and_fields() {
        let mut details = ErrorDetails::new();
        details.set_error_info("CONTENT_INVALID", "onrecord", [("editor".to_owned(), "anna".to_owned())]);
        details.add_bad_request_violation("draft.content.title", "must not be empty");
        let status = Status::with_error_details(Code::InvalidArgument, "the draft is not right", details);
        let text = anstream::adapter::strip_str(&described(&status)).to_string();
        let wanted =
            "the draft is not right (CONTENT_INVALID)\n  draft.content.title: must not be empty\n  editor: anna";
        assert_eq!(text, wanted);
    }
}

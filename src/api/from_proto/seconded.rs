//! What takes two people, and the legal hold.

use super::{
    Faults,
    content::notice,
    editorial::{Envelope, languages},
    text::{opaque, required, text},
};
use crate::{
    api::v1,
    domain::{
        command::{Call, Expunge, Reinstate, Remove, Seconded, Step},
        id::{Code, StatementId},
        limits::{Limits, NOTE},
        rejection::Rejection,
        state::Removal,
    },
};

pub(in crate::api) fn reinstate(
    envelope: Envelope<'_>,
    given: &v1::ReinstateStatementRequest,
) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("name", StatementId::parse_name(&given.name));
    let step = if given.proposal_id.is_empty() {
        let languages = languages(&mut faults, &given.language_codes);
        let reason = required(&mut faults, "reason", &given.reason, NOTE);
        Seconded::Propose(Reinstate { languages, reason })
    } else {
        second(
            &mut faults,
            &given.proposal_id,
            &[("language_codes", given.language_codes.is_empty()), ("reason", given.reason.is_empty())],
        )
    };
    envelope.call(faults, statement, Some(Step::Reinstate(step)))
}

/// Whoever is second names the proposal and nothing else: it is what was proposed that happens.
fn second<T>(faults: &mut Faults, proposal_id: &str, empty: &[(&str, bool)]) -> Seconded<T> {
    for (field, _) in empty.iter().filter(|(_, empty)| !empty) {
        faults.add(*field, "must be empty with proposal_id: what was proposed is what happens");
    }
    Seconded::Second(opaque(faults, "proposal_id", proposal_id))
}

pub(in crate::api) fn remove(envelope: Envelope<'_>, given: &v1::RemoveStatementRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("name", StatementId::parse_name(&given.name));
    let step = if given.proposal_id.is_empty() {
        let languages = languages(&mut faults, &given.language_codes);
        let removal = removal(&mut faults, envelope.limits, given, statement.as_ref());
        let reason = required(&mut faults, "reason", &given.reason, NOTE);
        removal.map(|removal| Seconded::Propose(Remove { languages, removal, reason }))
    } else {
        let empty = [
            ("language_codes", given.language_codes.is_empty()),
            ("mode", given.mode == 0),
            ("notice", given.notice.is_none()),
            ("redirect_statement", given.redirect_statement.is_empty()),
            ("reason", given.reason.is_empty()),
        ];
        Some(second(&mut faults, &given.proposal_id, &empty))
    };
    envelope.call(faults, statement, step.map(Step::Remove))
}

fn removal(
    faults: &mut Faults,
    limits: &Limits,
    given: &v1::RemoveStatementRequest,
    statement: Option<&StatementId>,
) -> Option<Removal> {
    if given.mode() != v1::RemovalMode::Redirect && !given.redirect_statement.is_empty() {
        faults.add("redirect_statement", "is for REDIRECT only");
    }
    match given.mode() {
        v1::RemovalMode::Gone => Some(Removal::Gone(notice(faults, limits, &given.notice.clone().unwrap_or_default()))),
        v1::RemovalMode::Hidden => {
            if given.notice.is_some() {
                faults.add("notice", "is not shown with HIDDEN");
            }
            Some(Removal::Hidden)
        }
        v1::RemovalMode::Redirect => {
            let words = given.notice.as_ref().map(|given| notice(faults, limits, given));
            let target = faults.take("redirect_statement", StatementId::parse_name(&given.redirect_statement))?;
            if statement == Some(&target) {
                faults.add("redirect_statement", "must be another statement");
            }
            Some(Removal::Redirect(target, words))
        }
        v1::RemovalMode::Unspecified => {
            faults.add("mode", "must be GONE, REDIRECT or HIDDEN");
            None
        }
    }
}

pub(in crate::api) fn expunge(envelope: Envelope<'_>, given: &v1::ExpungeStatementRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("name", StatementId::parse_name(&given.name));
    let step = if given.proposal_id.is_empty() {
        let code = faults.take("reason_code", Code::parse(&given.reason_code));
        code.map(|reason_code| Seconded::Propose(Expunge { reason_code }))
    } else {
        Some(second(&mut faults, &given.proposal_id, &[("reason_code", given.reason_code.is_empty())]))
    };
    envelope.call(faults, statement, step.map(Step::Expunge))
}

pub(in crate::api) fn cancel_proposal(
    envelope: Envelope<'_>,
    given: &v1::CancelProposalRequest,
) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("name", StatementId::parse_name(&given.name));
    if given.proposal_id.is_empty() {
        faults.add("proposal_id", "is required: GetStatementOverview shows the proposal");
    }
    let proposal_id = opaque(&mut faults, "proposal_id", &given.proposal_id);
    let reason = text(&mut faults, "reason", &given.reason, NOTE);
    envelope.call(faults, statement, Some(Step::CancelProposal { proposal_id, reason }))
}

pub(in crate::api) fn legal_hold(envelope: Envelope<'_>, given: &v1::SetLegalHoldRequest) -> Result<Call, Rejection> {
    let mut faults = Faults::default();
    let statement = faults.take("name", StatementId::parse_name(&given.name));
    let reason = required(&mut faults, "reason", &given.reason, NOTE);
    envelope.call(faults, statement, Some(Step::SetLegalHold { legal_hold: given.legal_hold, reason }))
}

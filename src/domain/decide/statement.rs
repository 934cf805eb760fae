//! A statement itself: created, changed, held.

use std::collections::BTreeMap;

use super::{Context, Decision, work::Work};
use crate::domain::{
    answer::Answer,
    command::Command,
    id::{Code, LanguageTag},
    rejection::{Conflict, Rejection, etag},
    state::{State, Statement},
};

pub(super) fn create(
    state: Option<&State>,
    command: &Command,
    context: Context<'_>,
    kind: &Code,
    source_language: &LanguageTag,
    owner: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Decision, Rejection> {
    if state.is_some() {
        return Err(Rejection::StatementExists);
    }
    let statement = Statement {
        id: command.statement.clone(),
        kind: kind.clone(),
        source_language: source_language.clone(),
        owner: owner.to_owned(),
        annotations: annotations.clone(),
        legal_hold: false,
        creator: context.caller.clone(),
        create_time: context.now,
        update_time: context.now,
        version: context.entry,
        proposal: None,
        expunge_time: None,
    };
    let state = State { statement, languages: BTreeMap::new() };
    let answer = Answer::Statement(Box::new(state.statement.clone()));
    Ok(Work::new(&state, context).finish(answer))
}

pub(super) fn update(
    work: &mut Work<'_>,
    given: &str,
    owner: Option<&String>,
    annotations: Option<&BTreeMap<String, String>>,
) -> Result<Answer, Rejection> {
    work.refuse_if_expunged()?;
    let statement = &mut work.state.statement;
    if etag(statement.version) != given {
        let conflict =
            Conflict { etag: etag(statement.version), revision: 0, editor: None, time: statement.update_time };
        return Err(Rejection::EtagMismatch(Box::new(conflict)));
    }
    if let Some(owner) = owner {
        statement.owner.clone_from(owner);
    }
    if let Some(annotations) = annotations {
        statement.annotations.clone_from(annotations);
    }
    Ok(touched(work))
}

pub(super) fn set_legal_hold(work: &mut Work<'_>, legal_hold: bool, reason: &str) -> Answer {
    work.state.statement.legal_hold = legal_hold;
    reason.clone_into(&mut work.reason);
    touched(work)
}

pub(super) fn cancel_proposal(work: &mut Work<'_>, id: &str, reason: &str) -> Result<Answer, Rejection> {
    let now = work.context.now;
    let proposal = work.state.statement.proposal.take();
    proposal.filter(|proposal| proposal.id == id && now <= proposal.expire_time).ok_or(Rejection::ProposalNotFound)?;
    reason.clone_into(&mut work.reason);
    Ok(Answer::Discarded)
}

fn touched(work: &mut Work<'_>) -> Answer {
    let statement = &mut work.state.statement;
    statement.update_time = work.context.now;
    statement.version = work.context.entry;
    Answer::Statement(Box::new(statement.clone()))
}

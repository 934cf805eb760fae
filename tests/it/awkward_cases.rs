//! The cases that cost others years, each by its name.

mod editing;
mod public;
mod removal;
mod time;

use onrecord::api::v1::{self, RemovalMode, event};
use tonic::Status;

use crate::harness::Service;

const REQUEST: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

fn title(live: &v1::Live) -> &str {
    &live.edition.as_ref().unwrap().content.as_ref().expect("a text").title
}

/// What a reader is shown.
async fn shown(service: &Service, id: &str, language: &str) -> v1::Live {
    service.person("reader").read(id, language).await.unwrap().live.unwrap()
}

/// Every event so far, those about embargoes too.
pub(crate) async fn events(service: &Service) -> Vec<v1::Event> {
    let start = v1::Start::Beginning.into();
    let request = v1::ReadFeedRequest { start, include_embargoed: true, max_events: 1_000, ..Default::default() };
    let page = service.person("site").feed.read_feed(request).await.unwrap().into_inner();
    page.deliveries.into_iter().map(|delivery| delivery.event.unwrap()).collect()
}

async fn types(service: &Service) -> Vec<event::Type> {
    events(service).await.iter().map(v1::Event::r#type).collect()
}

/// Removed by two people.
pub(crate) async fn take_down(service: &Service, id: &str, mode: RemovalMode, target: &str) -> Result<(), Status> {
    let name = format!("statements/{id}");
    let notice = v1::Notice { text: "It is gone.".to_owned(), ..Default::default() };
    let first = v1::RemoveStatementRequest {
        name: name.clone(),
        mode: mode.into(),
        notice: (mode == RemovalMode::Gone).then_some(notice),
        redirect_statement: target.to_owned(),
        reason: "A court said so.".to_owned(),
        ..Default::default()
    };
    let proposed = service.person("publisher").editorial.remove_statement(first).await?.into_inner();
    let proposal_id = proposed.proposal.unwrap().proposal_id;
    let second = v1::RemoveStatementRequest { name, proposal_id, ..Default::default() };
    service.person("reviewer").editorial.remove_statement(second).await?;
    Ok(())
}

/// Erased by two people.
pub(crate) async fn expunge(service: &Service, id: &str) -> Result<(), Status> {
    let name = format!("statements/{id}");
    let reason_code = "court-order".to_owned();
    let first = v1::ExpungeStatementRequest { name: name.clone(), reason_code, ..Default::default() };
    let proposed = service.person("lawyer").editorial.expunge_statement(first).await?.into_inner();
    let proposal_id = proposed.proposal.unwrap().proposal_id;
    let second = v1::ExpungeStatementRequest { name, proposal_id, ..Default::default() };
    service.person("judge").editorial.expunge_statement(second).await?;
    Ok(())
}

pub(crate) async fn hold(service: &Service, id: &str, legal_hold: bool) {
    let (name, reason) = (format!("statements/{id}"), "A trial.".to_owned());
    let request = v1::SetLegalHoldRequest { name, legal_hold, reason, ..Default::default() };
    service.person("lawyer").editorial.set_legal_hold(request).await.unwrap();
}

async fn owed(service: &Service) -> Vec<v1::PendingApproval> {
    let request = v1::ListPendingApprovalsRequest::default();
    service.person("reviewer").editorial.list_pending_approvals(request).await.unwrap().into_inner().pending_approvals
}

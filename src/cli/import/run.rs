//! Brings what was planned to the service: save, submit, approve, publish.

use anyhow::{Context as _, Result};
use tonic::Status;
use uuid::Uuid;

use super::plan::Planned;
use crate::{
    api::v1::{
        ApproveDraftRequest, Content, CreateStatementRequest, Draft, DraftToPublish, PublishDraftsRequest,
        SaveDraftRequest, Statement, SubmitDraftRequest, WithdrawStatementRequest,
    },
    cli::{args::notice, failure, names::Slot, session::Session},
};

const NAMESPACE_NAME: &[u8] = b"https://onrecord.invalid/import";

/// Two callers: nobody approves what they wrote.
#[derive(Debug)]
pub(super) struct Importer {
    pub(super) author: Session,
    pub(super) reviewer: Session,
}

impl Importer {
    /// Everything that a line asks for.
    pub(super) async fn statement(&self, planned: &Planned) -> Result<()> {
        self.create(planned).await.context("create")?;
        for (at, content) in planned.editions.iter().enumerate() {
            let index = planned.first_index + at;
            let step = Step { slot: &planned.slot, index };
            self.edition(&step, content).await.with_context(|| format!("edition {}", index + 1))?;
        }
        if let Some(explanation) = &planned.withdrawal {
            let step = Step { slot: &planned.slot, index: planned.first_index + planned.editions.len() };
            self.withdraw(&step, explanation).await.context("withdraw")?;
        }
        Ok(())
    }

    async fn create(&self, planned: &Planned) -> Result<()> {
        let id = &planned.slot.statement;
        let head = planned.head.clone();
        let statement = Statement {
            kind: head.kind,
            source_language_code: head.source_language,
            owner: head.owner,
            ..Statement::default()
        };
        let request = CreateStatementRequest {
            statement_id: id.to_string(),
            statement: Some(statement),
            request_id: Step { slot: &id.slot(""), index: 0 }.request_id("create"),
            validate_only: false,
        };
        match self.author.editorial(request, async |mut api, q| api.create_statement(q).await).await {
            // Another line, an earlier run or somebody else made it.
            Err(error) if matches!(refusal(&error).as_deref(), Some("STATEMENT_EXISTS" | "REQUEST_ID_REUSED")) => {
                Ok(())
            }
            made => made.map(drop),
        }
    }

    async fn edition(&self, step: &Step<'_>, content: &Content) -> Result<()> {
        let etag = self.save(step, content).await.map_err(|error| match refusal(&error).as_deref() {
            Some("REQUEST_ID_REUSED") => error.context(
                "this edition was imported before, in other words or by another author; change it by hand, as a draft",
            ),
            _ => error.context("save"),
        })?;
        let etag = self.submit(step, etag).await.context("submit")?;
        let etag = self.approve(step, etag).await.context("approve")?;
        self.publish(step, etag).await.context("publish")
    }

    async fn save(&self, step: &Step<'_>, content: &Content) -> Result<String> {
        let draft = Draft { name: step.slot.draft(), content: Some(content.clone()), ..Draft::default() };
        let request =
            SaveDraftRequest { draft: Some(draft), request_id: step.request_id("save"), ..Default::default() };
        let answer = self.author.editorial(request, async |mut api, q| api.save_draft(q).await).await?;
        Ok(answer.draft.unwrap_or_default().etag)
    }

    async fn submit(&self, step: &Step<'_>, etag: String) -> Result<String> {
        let (name, request_id) = (step.slot.draft(), step.request_id("submit"));
        let request = SubmitDraftRequest { name, etag, request_id, ..Default::default() };
        let answer = self.author.editorial(request, async |mut api, q| api.submit_draft(q).await).await?;
        Ok(answer.draft.unwrap_or_default().etag)
    }

    async fn approve(&self, step: &Step<'_>, etag: String) -> Result<String> {
        let request = ApproveDraftRequest {
            name: step.slot.draft(),
            etag,
            comment: "Imported.".to_owned(),
            request_id: step.request_id("approve"),
            ..Default::default()
        };
        let answer = self.reviewer.editorial(request, async |mut api, q| api.approve_draft(q).await).await?;
        Ok(answer.draft.unwrap_or_default().etag)
    }

    async fn publish(&self, step: &Step<'_>, etag: String) -> Result<()> {
        let request = PublishDraftsRequest {
            parent: step.slot.statement.name(),
            drafts: vec![DraftToPublish { language_code: step.slot.language.clone(), etag }],
            request_id: step.request_id("publish"),
            ..PublishDraftsRequest::default()
        };
        self.reviewer.editorial(request, async |mut api, q| api.publish_drafts(q).await).await?;
        Ok(())
    }

    async fn withdraw(&self, step: &Step<'_>, explanation: &str) -> Result<()> {
        let request = WithdrawStatementRequest {
            name: step.slot.statement.name(),
            language_codes: vec![step.slot.language.clone()],
            notice: Some(notice(explanation, "text/html")),
            request_id: step.request_id("withdraw"),
            ..Default::default()
        };
        self.reviewer.editorial(request, async |mut api, q| api.withdraw_statement(q).await).await?;
        Ok(())
    }
}

/// Why the service refused.
fn refusal(error: &anyhow::Error) -> Option<String> {
    error.downcast_ref::<Status>().and_then(failure::reason)
}

/// A place in the import.
struct Step<'a> {
    slot: &'a Slot,
    index: usize,
}

impl Step<'_> {
    /// The same for the same place, today and in a year.
    fn request_id(&self, step: &str) -> String {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, NAMESPACE_NAME);
        let Slot { statement, language } = self.slot;
        Uuid::new_v5(&namespace, format!("{statement}\n{language}\n{}\n{step}", self.index).as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn request_ids_depend_on_place_alone() {
        let slot = "recall-7/de".parse().unwrap();
        let id = |index, step| Step { slot: &slot, index }.request_id(step);
        assert_eq!(id(0, "save"), "986ec931-0a5a-58fe-91d2-908c351f3926");
        assert_ne!(id(0, "save"), id(1, "save"));
        assert_ne!(id(0, "save"), id(0, "submit"));
    }
}

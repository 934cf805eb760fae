//! What the people at the crisis desk do: each a call, told as it is made.

use anyhow::{Context as _, Result, bail};
use owo_colors::OwoColorize as _;
use tonic::Status;

use super::{stage::Stage, story};
use crate::{
    api::v1::{
        ApproveDraftRequest, CreateStatementRequest, Draft, DraftToPublish, GetStatementRequest, Live,
        PublishDraftsRequest, PublishDraftsResponse, SaveDraftRequest, Statement, SubmitDraftRequest,
    },
    cli::{
        draft_file::{self, DraftFile},
        failure::reason,
        names::short,
        output::{line, quoted},
        session::{Session, request_id},
    },
};

const TITLE_WIDTH: usize = 56;

/// When a text goes out.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Now,
    /// Now, without an approval.
    Forced,
    At(jiff::Timestamp),
    EmbargoedUntil(jiff::Timestamp),
}

impl Stage {
    pub(super) async fn create(&mut self, who: &str, id: &str) -> Result<()> {
        let session = self.call(who, "CreateStatement", id)?;
        let statement = Statement {
            kind: "press-statement".to_owned(),
            source_language_code: "en".to_owned(),
            owner: "crisis-desk".to_owned(),
            ..Statement::default()
        };
        let request = CreateStatementRequest {
            statement_id: id.to_owned(),
            statement: Some(statement),
            request_id: request_id(),
            validate_only: false,
        };
        session.editorial(request, async |mut api, q| api.create_statement(q).await).await?;
        Ok(())
    }

    /// Saves a text as a new draft, and asks for review.
    pub(super) async fn write(&mut self, who: &str, text: &str) -> Result<Draft> {
        let file = draft_file::parse(text)?;
        let (slot, title) = (file.slot.to_string(), quoted(&line(&file.content.title, TITLE_WIDTH)));
        let session = self.call(who, "SaveDraft + Submit", format_args!("{}  {title}", slot.bold()))?;
        save_and_submit(&session, file, String::new()).await
    }

    /// Saves a text over a draft, on top of the newest edition.
    pub(super) async fn rewrite(&mut self, who: &str, text: &str, draft: &Draft, base: &str) -> Result<Draft> {
        let file = DraftFile { base_edition: base.to_owned(), ..draft_file::parse(text)? };
        let what = format!("{}  on top of {}", short(&draft.name).bold(), short(base));
        let session = self.call(who, "SaveDraft + Submit", what)?;
        save_and_submit(&session, file, draft.etag.clone()).await
    }

    pub(super) async fn approve(&mut self, who: &str, drafts: Vec<Draft>) -> Result<Vec<Draft>> {
        let names: Vec<_> = drafts.iter().map(|draft| short(&draft.name)).collect();
        let session = self.call(who, "ApproveDraft", names.join(", "))?;
        let mut approved = Vec::new();
        for draft in drafts {
            let request = ApproveDraftRequest {
                name: draft.name,
                etag: draft.etag,
                request_id: request_id(),
                ..Default::default()
            };
            let answer = session.editorial(request, async |mut api, q| api.approve_draft(q).await).await?;
            approved.extend(answer.draft);
        }
        Ok(approved)
    }

    /// Publishes drafts of one statement in one step.
    pub(super) async fn publish(&mut self, who: &str, drafts: &[Draft], when: When) -> Result<PublishDraftsResponse> {
        let names: Vec<_> = drafts.iter().map(|draft| short(&draft.name)).collect();
        let session = self.call(who, "PublishDrafts", format_args!("{}{}", names.join(", ").bold(), told(when)))?;
        let request = publish_request(drafts, when)?;
        session.editorial(request, async |mut api, q| api.publish_drafts(q).await).await
    }

    /// What any reader is shown.
    pub(super) async fn read(
        &mut self,
        who: &str,
        id: &str,
        language: &str,
        as_of: Option<jiff::Timestamp>,
    ) -> Result<Live> {
        let then = as_of.map(|time| format!("  as of {time:.3}")).unwrap_or_default();
        let session = self.call(who, "GetStatement", format_args!("{}{then}", format!("{id}/{language}").bold()))?;
        let request = GetStatementRequest {
            name: format!("statements/{id}"),
            language_code: language.to_owned(),
            as_of_time: as_of.map(wire),
            ..GetStatementRequest::default()
        };
        let answer = session.statements(request, async |mut api, q| api.get_statement(q).await).await?;
        answer.statement.and_then(|statement| statement.live).context("not as told: a reading without anything to read")
    }

    /// Something has to be refused, for this reason.
    pub(super) fn refused<A>(&self, answer: Result<A>, wanted: &str) -> Result<Status> {
        let Err(error) = answer else { bail!("not as told: this had to be refused with {wanted}") };
        let status = error.downcast::<Status>()?;
        if reason(&status).as_deref() != Some(wanted) {
            bail!("not as told: this had to be refused with {wanted}, and was with {status}");
        }
        self.result(format_args!("{} {wanted}: {}", "refused".red(), line(status.message(), TITLE_WIDTH + 32)))?;
        Ok(status)
    }
}

async fn save_and_submit(session: &Session, file: DraftFile, etag: String) -> Result<Draft> {
    let DraftFile { slot, content, base_edition } = file;
    let draft = Draft { name: slot.draft(), content: Some(content), base_edition, etag, ..Draft::default() };
    let request = SaveDraftRequest { draft: Some(draft), request_id: request_id(), ..Default::default() };
    let saved = session.editorial(request, async |mut api, q| api.save_draft(q).await).await?;
    let etag = saved.draft.context("not as told: nothing was saved")?.etag;
    let request = SubmitDraftRequest { name: slot.draft(), etag, request_id: request_id(), ..Default::default() };
    let submitted = session.editorial(request, async |mut api, q| api.submit_draft(q).await).await?;
    submitted.draft.context("not as told: nothing was submitted")
}

fn publish_request(drafts: &[Draft], when: When) -> Result<PublishDraftsRequest> {
    let first = drafts.first().context("nothing to publish")?;
    let (name, _) = first.name.split_once("/drafts/").context("not the name of a draft")?;
    let one = |draft: &Draft| DraftToPublish {
        language_code: draft.name.rsplit('/').next().unwrap_or_default().to_owned(),
        etag: draft.etag.clone(),
    };
    let mut request = PublishDraftsRequest {
        parent: name.to_owned(),
        drafts: drafts.iter().map(one).collect(),
        request_id: request_id(),
        ..PublishDraftsRequest::default()
    };
    match when {
        When::Now => {}
        When::Forced => {
            request.force = true;
            story::FORCE_REASON.clone_into(&mut request.reason);
        }
        When::At(time) => request.release_time = Some(wire(time)),
        When::EmbargoedUntil(time) => request.embargo_end_time = Some(wire(time)),
    }
    Ok(request)
}

fn told(when: When) -> String {
    match when {
        When::Now => String::new(),
        When::Forced => format!("  {} “{}”", "force:".red(), story::FORCE_REASON),
        When::At(time) => format!("  in {}", ahead(time)),
        When::EmbargoedUntil(time) => format!("  under embargo, for {}", ahead(time)),
    }
}

fn ahead(time: jiff::Timestamp) -> String {
    format!("{:.1} s", time.duration_since(jiff::Timestamp::now()).as_secs_f64())
}

/// A time as the wire has it.
pub(super) fn wire(time: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

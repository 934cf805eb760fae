//! Begins a draft, or replaces one: never somebody else's by accident.

use anyhow::{Context as _, Result};
use tonic::{Code, Status};

use super::current;
use crate::{
    api::v1::{Draft, SaveDraftRequest, SaveDraftResponse},
    cli::{
        draft_file::DraftFile,
        failure::Refusal,
        session::{Session, request_id},
        show,
    },
};

/// What may be replaced.
#[derive(Debug)]
pub(in crate::cli) enum Current {
    /// Nothing: the draft has to be new.
    Nothing,
    /// The draft with this etag.
    Etag(String),
    /// Whatever is there.
    Anything,
}

impl Current {
    pub(in crate::cli) fn chosen(etag: Option<String>, overwrite: bool) -> Self {
        match etag {
            Some(etag) => Self::Etag(etag),
            None if overwrite => Self::Anything,
            None => Self::Nothing,
        }
    }
}

/// Saves a file as the draft it names.
pub(in crate::cli) async fn save(session: &Session, file: DraftFile, replace: Current) -> Result<SaveDraftResponse> {
    let DraftFile { slot, content, base_edition } = file;
    let etag = match replace {
        Current::Etag(etag) => etag,
        Current::Anything => existing(session, &slot).await?.map(|draft| draft.etag).unwrap_or_default(),
        Current::Nothing => match existing(session, &slot).await? {
            None => String::new(),
            Some(draft) => return Err(taken(&slot.to_string(), &draft).into()),
        },
    };
    let draft = Draft { name: slot.draft(), content: Some(content), base_edition, etag, ..Draft::default() };
    let request = SaveDraftRequest { draft: Some(draft), request_id: request_id(), ..Default::default() };
    let answer = session.editorial(request, async |mut api, q| api.save_draft(q).await).await;
    answer.with_context(|| format!("cannot save {slot}"))
}

fn taken(slot: &str, draft: &Draft) -> Refusal {
    let saved = crate::cli::times::brief(draft.update_time.as_ref());
    Refusal::Refused(format!(
        "{slot} has a draft already: {}, saved {saved}\n  \
         to read it                    onrecord draft get {slot}\n  \
         to replace exactly that one   --etag '{}'\n  \
         to replace whatever is there  --overwrite",
        show::draft_state(draft),
        draft.etag,
    ))
}

async fn existing(session: &Session, slot: &crate::cli::names::Slot) -> Result<Option<Draft>> {
    match current(session, slot).await {
        Ok(draft) => Ok(Some(draft)),
        // Also where there is no such statement: saving says so.
        Err(error) if error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

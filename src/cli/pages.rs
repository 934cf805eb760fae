//! Lists that come in pages.

use anyhow::Result;

use super::{
    args::Limit,
    json::Answer,
    output::{Format, note, say},
};
use crate::api::v1::{
    ListDraftsResponse, ListEditionsResponse, ListEntriesResponse, ListOwedApprovalsResponse, ListReleasesResponse,
    ListStatementsResponse,
};

const PAGE_MAX: u32 = 1000;

/// One page of a list.
pub(super) trait Page: Answer {
    /// How many rows it has.
    fn rows(&self) -> usize;
    /// Where the next page is; empty on the last.
    fn next(&self) -> &str;
}

macro_rules! pages {
    ($($page:ident: $rows:ident),+ $(,)?) => {
        $(impl Page for $page {
            fn rows(&self) -> usize { self.$rows.len() }
            fn next(&self) -> &str { &self.next_page_token }
        })+
    };
}

pages!(
    ListDraftsResponse: drafts,
    ListEditionsResponse: editions,
    ListEntriesResponse: entries,
    ListOwedApprovalsResponse: owed_approvals,
    ListReleasesResponse: releases,
    ListStatementsResponse: live,
);

/// Fetches page after page, and says on standard error if there is more than was asked for.
pub(super) async fn all<P: Page>(limit: Limit, fetch: impl AsyncFn(i32, String) -> Result<P>) -> Result<Vec<P>> {
    let mut pages = Vec::new();
    let mut left = limit.limit;
    let mut token = String::new();
    loop {
        let page = fetch(i32::try_from(left.min(PAGE_MAX))?, std::mem::take(&mut token)).await?;
        left = left.saturating_sub(u32::try_from(page.rows())?);
        page.next().clone_into(&mut token);
        pages.push(page);
        if token.is_empty() {
            return Ok(pages);
        }
        if left == 0 {
            note(format_args!("There is more: raise --limit above {}.", limit.limit));
            return Ok(pages);
        }
    }
}

/// Writes a list: a JSON document a page, or one table of all of them.
pub(super) fn answer<P: Page>(format: Format, pages: &[P], people: impl FnOnce() -> Result<()>) -> Result<()> {
    match format {
        Format::Table => people(),
        Format::Json => {
            for page in pages {
                say(super::json::text(page, false)?)?;
            }
            Ok(())
        }
    }
}

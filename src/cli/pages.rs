//! Lists that come in pages.

use anyhow::Result;

use super::{args::Limit, json::Answer, output::note};
use crate::api::v1::{
    ListDeliveriesResponse, ListDraftRevisionsResponse, ListDraftsResponse, ListEditionsResponse, ListEntriesResponse,
    ListPendingApprovalsResponse, ListReleasesResponse, ListStatementOverviewsResponse, ListStatementsResponse,
    ListSubscriptionsResponse,
};

const PAGE_MAX: u32 = 1000;

/// One page of a list.
pub(super) trait Page: Answer {
    /// How many rows it has.
    fn rows(&self) -> usize;
    /// Where the next page is; empty on the last.
    fn next(&self) -> &str;
    /// Takes on the next page.
    fn append(&mut self, next: Self);
}

macro_rules! pages {
    ($($page:ident: $rows:ident),+ $(,)?) => {
        $(impl Page for $page {
            fn rows(&self) -> usize { self.$rows.len() }
            fn next(&self) -> &str { &self.next_page_token }
            fn append(&mut self, mut next: Self) {
                self.$rows.append(&mut next.$rows);
                self.next_page_token = next.next_page_token;
            }
        })+
    };
}

pages!(
    ListDraftsResponse: drafts,
    ListDraftRevisionsResponse: revisions,
    ListEditionsResponse: editions,
    ListEntriesResponse: entries,
    ListPendingApprovalsResponse: pending_approvals,
    ListReleasesResponse: releases,
    ListStatementOverviewsResponse: overviews,
    ListStatementsResponse: live,
    ListSubscriptionsResponse: subscriptions,
    ListDeliveriesResponse: deliveries,
);

/// Fetches page after page into one, and says on standard error if there is more than was asked for.
pub(super) async fn all<P: Page>(limit: Limit, fetch: impl AsyncFn(i32, String) -> Result<P>) -> Result<P> {
    let size = |have: u32| i32::try_from(limit.limit.saturating_sub(have).min(PAGE_MAX));
    let mut list = fetch(size(0)?, String::new()).await?;
    while !list.next().is_empty() {
        let have = u32::try_from(list.rows())?;
        if have >= limit.limit {
            note(format_args!("There is more: raise --limit above {}.", limit.limit));
            break;
        }
        list.append(fetch(size(have)?, list.next().to_owned()).await?);
    }
    Ok(list)
}

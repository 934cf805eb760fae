//! Listings, page by page (AIP-158). A token is opaque, and bound to the call it came from.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{from_proto::Faults, status::ApiRefusal, v1};
use crate::domain::{digest::Digest, rejection::Rejection};

/// Items on a page when the call does not say.
const PAGE_SIZE_DEFAULT: i32 = 50;
/// Items on a page at most; more is cut to this.
pub(super) const PAGE_SIZE_MAX: i32 = 1_000;
const VERSION: u8 = 1;

/// Where a listing goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The last item of the page before, as its listing names it.
    pub(super) after: Vec<String>,
    /// The moment that all pages show; 0 for the first page, or where they do not show one.
    pub(super) tail: u64,
}

/// A request that lists.
pub(super) trait Lists: Message {
    /// Its name.
    const NAME: &'static str;

    /// How many items it asks for, and the token of the page before.
    fn page(&mut self) -> (&mut i32, &mut String);
}

macro_rules! lists {
    ($($request:ident)*) => {
        $(impl Lists for v1::$request {
            const NAME: &'static str = stringify!($request);

            fn page(&mut self) -> (&mut i32, &mut String) {
                (&mut self.page_size, &mut self.page_token)
            }
        })*
    };
}

lists! {
    ListDraftsRequest ListDraftRevisionsRequest ListReleasesRequest ListPendingApprovalsRequest ListEntriesRequest ListStatementOverviewsRequest ListStatementsRequest ListEditionsRequest
    ListSubscriptionsRequest ListDeliveriesRequest
}

/// The page that a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// How many items it has at most.
    pub(super) size: usize,
    token: String,
    /// Which call it is, and what it asks for beside the page.
    listing: [u8; 8],
}

impl Page {
    /// Takes the page fields out of a request.
    pub(super) fn of<R: Lists>(request: &mut R) -> Result<Self, Rejection> {
        let (size, token) = request.page();
        let (given, token) = (std::mem::take(size), std::mem::take(token));
        let digest = Digest::of(&[R::NAME.as_bytes(), b"\0", &request.encode_to_vec()]);
        let listing = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        Ok(Self { size: page_size(given)?, token, listing })
    }

    /// The token of the page that goes on from `last`; empty if none does.
    pub(super) fn token_after(&self, last: Option<&Place>) -> String {
        last.map(|last| self.token(last)).unwrap_or_default()
    }

    fn token(&self, place: &Place) -> String {
        self.sealed(&serde_json::to_vec(place).unwrap_or_default())
    }

    /// The token of a place that is written already.
    pub(super) fn sealed(&self, place: &[u8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.listing);
        bytes.extend_from_slice(place);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Result<Place, ApiRefusal> {
        if self.token.is_empty() {
            return Ok(Place::default());
        }
        self.read().ok_or(ApiRefusal::InvalidPageToken)
    }

    fn read(&self) -> Option<Place> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&self.token).ok()?;
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        let place = covered.strip_prefix(&[VERSION])?.strip_prefix(&self.listing)?;
        (crc32c::crc32c(covered) == u32::from_be_bytes(*crc)).then(|| serde_json::from_slice(place).ok())?
    }
}

/// How many items a page has.
fn page_size(given: i32) -> Result<usize, Rejection> {
    let mut faults = Faults::default();
    if given < 0 {
        faults.add("page_size", "must not be negative; 0 means 50");
    }
    let size = if given == 0 { PAGE_SIZE_DEFAULT } else { given.min(PAGE_SIZE_MAX) };
    faults.finish(usize::try_from(size).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts(parent: &str, page_token: &str) -> v1::ListDraftsRequest {
        v1::ListDraftsRequest { parent: parent.to_owned(), page_token: page_token.to_owned(), ..Default::default() }
    }

    #[test]
    fn a_token_belongs_to_one_call() {
        let place = Place { after: vec!["fire".to_owned()], tail: 7 };
        let token = Page::of(&mut drafts("statements/-", "")).unwrap().token_after(Some(&place));
        let read = |mut request: v1::ListDraftsRequest| Page::of(&mut request).unwrap().place();
        assert_eq!(read(drafts("statements/-", &token)), Ok(place));
        assert_eq!(read(drafts("statements/-", "")), Ok(Place::default()));
        assert_eq!(read(drafts("statements/a", &token)), Err(ApiRefusal::InvalidPageToken));
        assert_eq!(read(drafts("statements/-", "nonsense")), Err(ApiRefusal::InvalidPageToken));
        let parent = "statements/-".to_owned();
        let mut other = v1::ListReleasesRequest { parent, page_token: token, ..Default::default() };
        assert_eq!(Page::of(&mut other).unwrap().place(), Err(ApiRefusal::InvalidPageToken));
    }
}

//! Page tokens (AIP-158): opaque, and bound to the call they came from.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{from_proto::Faults, status::ApiRefusal};
use crate::domain::{digest::Digest, rejection::Rejection};

/// Items on a page when the call does not say.
const PAGE_SIZE_DEFAULT: i32 = 50;
/// Items on a page at most; more is cut to this.
const PAGE_SIZE_MAX: i32 = 1_000;
const VERSION: u8 = 1;

/// Where a listing goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The last item of the page before, as its listing names it.
    pub(super) after: Vec<String>,
    /// The moment that all pages show; 0 for the first page, or where they do not show one.
    pub(super) tail: u64,
}

/// A call that lists: which one, and what it asks for beside the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing([u8; 8]);

impl Listing {
    /// `request` without its page fields.
    pub(super) fn of(method: &str, request: &impl Message) -> Self {
        let digest = Digest::of(&[method.as_bytes(), b"\0", &request.encode_to_vec()]);
        Self(digest.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    pub(super) fn token(self, place: &Place) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.0);
        bytes.extend(serde_json::to_vec(place).unwrap_or_default());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn place(self, token: &str) -> Result<Place, ApiRefusal> {
        if token.is_empty() {
            return Ok(Place::default());
        }
        self.read(token).ok_or(ApiRefusal::InvalidPageToken)
    }

    fn read(self, token: &str) -> Option<Place> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        let place = covered.strip_prefix(&[VERSION])?.strip_prefix(&self.0)?;
        (crc32c::crc32c(covered) == u32::from_be_bytes(*crc)).then(|| serde_json::from_slice(place).ok())?
    }
}

/// How many items a page has.
pub(super) fn page_size(given: i32) -> Result<usize, Rejection> {
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
    use crate::api::v1::ListDraftsRequest;

    #[test]
    fn a_token_belongs_to_one_call() {
        let request = |parent: &str| ListDraftsRequest { parent: parent.to_owned(), ..Default::default() };
        let listing = Listing::of("ListDrafts", &request("statements/-"));
        let place = Place { after: vec!["fire".to_owned()], tail: 7 };
        let token = listing.token(&place);
        assert_eq!(listing.place(&token), Ok(place));
        for other in
            [Listing::of("ListReleases", &request("statements/-")), Listing::of("ListDrafts", &request("statements/a"))]
        {
            assert_eq!(other.place(&token), Err(ApiRefusal::InvalidPageToken));
        }
        assert_eq!(listing.place("nonsense"), Err(ApiRefusal::InvalidPageToken));
    }
}

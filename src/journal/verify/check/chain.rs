//! Following a chain of hashes.

use crate::domain::digest::Digest;

/// A chain of hashes that is followed. After something that could not be read it is taken up again.
#[derive(Default)]
pub(super) struct Chain(Link);

#[derive(Default)]
enum Link {
    #[default]
    Start,
    After(Digest),
    Lost,
}

impl Chain {
    /// Whether this comes next; none if it could not be read, which was noted.
    pub(super) fn goes_on(&mut self, read: Option<(Digest, Digest)>) -> bool {
        let Some((previous, hash)) = read else {
            self.0 = Link::Lost;
            return true;
        };
        let follows = match &self.0 {
            Link::Start => previous == Digest::ZERO,
            Link::After(last) => previous == *last,
            Link::Lost => true,
        };
        self.0 = Link::After(hash);
        follows
    }

    /// Whether the newest is this.
    pub(super) fn ends_in(&self, hash: Digest) -> bool {
        match &self.0 {
            Link::Start => hash == Digest::ZERO,
            Link::After(last) => *last == hash,
            Link::Lost => true,
        }
    }
}

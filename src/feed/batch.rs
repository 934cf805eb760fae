//! What goes into one message: whole commits, or one part of a large one.
//!
//! **Invariants**
//! - What a filter leaves of a commit goes in one batch, or in parts that follow one another, of which only the last has an
//!   `end` (`every_commit_arrives_whole_and_in_order`). A part is cut only once more of its commit is at hand, so the last is
//!   never empty (`filtered_out_ends_do_not_leave_a_commit_open`).
//! - The place after a batch is the end of a commit: whoever resumes there misses nothing.
//! - What waits here is at most one part (1 MiB and one event).

use super::{
    item::{Delivery, Weighed},
    selection::Selection,
};
use crate::domain::subscription::Point;

/// Bytes after which a batch of whole commits is sent: 40 KiB. HTTP/2 keeps two of them for a subscriber that takes nothing.
const BATCH_BYTES: usize = 31 * 1024;
/// Bytes of a commit that are sent in one part, at most: 1 MiB, and never less than one event.
const PART_BYTES_MAX: usize = 1024 * 1024;

/// What one message carries.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// At least one.
    pub(super) deliveries: Vec<Delivery>,
    /// The place after the last commit; none while more of it follows.
    pub(super) end: Option<Point>,
}

/// Deliveries that wait to be sent together.
#[derive(Debug, Default)]
struct Pile {
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Pile {
    fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    fn push(&mut self, delivery: Delivery, bytes: usize) {
        self.deliveries.push(delivery);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn append(&mut self, mut other: Self) {
        self.deliveries.append(&mut other.deliveries);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// Packs events into batches. It stands at the next event to be looked at.
#[derive(Debug)]
pub(super) struct Packer {
    next: u64,
    boundary: Point,
    /// Whole commits, the last of which ends at the boundary.
    whole: Pile,
    /// The commit that is being looked at.
    open: Pile,
    /// Whether parts of it are out already.
    parted: bool,
    filtered: u64,
}

impl Packer {
    /// Begins between two commits.
    pub(super) fn new(start: Point) -> Self {
        Self {
            next: start.next,
            boundary: start,
            whole: Pile::default(),
            open: Pile::default(),
            parted: false,
            filtered: 0,
        }
    }

    /// The next event to be looked at.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The place after the last commit that was looked at to its end.
    pub(super) fn boundary(&self) -> Point {
        self.boundary
    }

    /// How many events in a row the filter left out.
    pub(super) fn filtered(&self) -> u64 {
        self.filtered
    }

    /// Counts anew.
    pub(super) fn reset_filtered(&mut self) {
        self.filtered = 0;
    }

    /// Takes the next events and gives the batches to be sent. Only what is known of an unfinished commit waits.
    pub(super) fn pack(&mut self, selection: &Selection, items: Vec<Weighed>) -> Vec<Batch> {
        let mut batches = Vec::new();
        for item in items {
            assert_eq!(item.head().sequence, self.next, "events are looked at in order and without gaps");
            let (end, more) = (item.end(), item.head().more);
            match selection.filter_change(&item.item.record) {
                Some(filter_change) => self.admit(item.deliver(filter_change, selection.form()), &mut batches),
                None => self.filtered = self.filtered.saturating_add(1),
            }
            self.next = end.next;
            if !more {
                self.end_commit(end, &mut batches);
            }
        }
        self.flush(&mut batches);
        batches
    }

    fn admit(&mut self, delivery: Delivery, batches: &mut Vec<Batch>) {
        let bytes = delivery.bytes().len();
        if !self.open.is_empty() && self.open.bytes.saturating_add(bytes) > PART_BYTES_MAX {
            self.flush(batches);
            batches.push(Batch { deliveries: self.open.take().deliveries, end: None });
            self.parted = true;
        }
        self.open.push(delivery, bytes);
        self.filtered = 0;
    }

    fn end_commit(&mut self, end: Point, batches: &mut Vec<Batch>) {
        if self.whole.bytes.saturating_add(self.open.bytes) > BATCH_BYTES {
            self.flush(batches);
        }
        let open = self.open.take();
        self.whole.append(open);
        self.boundary = end;
        if self.parted {
            self.parted = false;
            self.flush(batches);
        }
    }

    fn flush(&mut self, batches: &mut Vec<Batch>) {
        if !self.whole.is_empty() {
            batches.push(Batch { deliveries: self.whole.take().deliveries, end: Some(self.boundary) });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::{digest::Digest, filter::Filter, id::Code},
        feed::item::fixture::item,
    };

    const MIB: usize = 1024 * 1024;

    fn energy() -> Selection {
        Selection::new(Filter { topics: vec![Code::parse("energy").unwrap()], ..Filter::default() }, false)
    }

    fn packer() -> Packer {
        Packer::new(Point { next: 1, hash: Digest::ZERO })
    }

    /// Sequences and end of each batch of a feed in which event n is `(more, admitted, bytes)`, read in pages of `page`.
    fn pack(events: &[(bool, bool, usize)], page: usize) -> Vec<(Vec<u64>, Option<u64>)> {
        let items: Vec<_> =
            (1..).zip(events).map(|(n, (more, admitted, bytes))| item(n, *more, *admitted, *bytes)).collect();
        let (mut packer, selection) = (packer(), energy());
        let batches = items.chunks(page).flat_map(|items| packer.pack(&selection, items.to_vec()));
        let sequence = |delivery: &Delivery| delivery.item.record.event.head.sequence;
        batches.map(|b| (b.deliveries.iter().map(sequence).collect(), b.end.map(|end| end.next))).collect()
    }

    #[test]
    fn small_commits_share_a_batch_and_large_ones_do_not() {
        let events = [(false, true, 10), (true, true, 10), (false, true, 10), (false, true, 70_000), (false, true, 10)];
        assert_eq!(pack(&events, 64), [(vec![1, 2, 3], Some(4)), (vec![4], Some(5)), (vec![5], Some(6))]);
    }

    #[test]
    fn a_commit_that_ends_on_another_page_waits_for_its_end() {
        let events = [(false, true, 10), (true, true, 10), (true, true, 10), (false, true, 10)];
        assert_eq!(pack(&events, 2), [(vec![1], Some(2)), (vec![2, 3, 4], Some(5))]);
    }

    #[test]
    fn filtered_out_ends_do_not_leave_a_commit_open() {
        let large = (true, true, 600 * 1024);
        let events = [(false, true, 10), large, large, (true, false, 10), (false, false, 10), (false, false, 10)];
        let expected = [(vec![1], Some(2)), (vec![2], None), (vec![3], Some(6))];
        assert_eq!(pack(&events, 64), expected);
        assert_eq!(pack(&events, 1), expected);
    }

    #[test]
    fn what_is_left_out_moves_the_boundary_and_is_counted() {
        let items: Vec<_> = (1..=10).map(|n| item(n, false, n == 3, 10)).collect();
        let (mut packer, selection) = (packer(), energy());
        assert_eq!(packer.pack(&selection, items).len(), 1);
        assert_eq!((packer.next(), packer.boundary().next, packer.filtered()), (11, 11, 7));
    }

    proptest! {
        #[test]
        fn every_commit_arrives_whole_and_in_order(
            mut events in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..MIB), 1..60),
            page in 1_usize..70,
        ) {
            events.last_mut().unwrap().0 = false;
            let batches = pack(&events, page);
            let sent: Vec<u64> = batches.iter().flat_map(|(sequences, _)| sequences.clone()).collect();
            let admitted: Vec<u64> = (1..).zip(&events).filter(|(_, event)| event.1).map(|(n, _)| n).collect();
            prop_assert_eq!(&sent, &admitted);
            let commit = |n: u64| events.iter().zip(1..n).filter(|((more, ..), _)| !more).count();
            let mut open = None;
            for (sequences, end) in batches {
                prop_assert!(!sequences.is_empty());
                let (first, last) = (sequences[0], sequences[sequences.len() - 1]);
                prop_assert!(open.is_none_or(|open| open == commit(last)), "parts follow one another");
                open = end.is_none().then(|| commit(first));
                match end {
                    None => prop_assert_eq!(commit(first), commit(last), "a part is of one commit"),
                    Some(end) => {
                        prop_assert!(!events[usize::try_from(end).unwrap() - 2].0, "an end is the end of a commit");
                        prop_assert!(!admitted.iter().any(|n| *n > last && *n < end), "nothing before it is missing");
                    }
                }
            }
            prop_assert_eq!(open, None, "the last part has an end");
        }
    }
}

//! One page of the feed, for callers that poll.
//!
//! **Invariants**
//! - A page ends between commits, unless one commit alone is more than a page may hold (`a_page_ends_between_commits`).
//! - A page that is not at the tail brings the caller further (`a_page_always_goes_on`).

use std::sync::Arc;

use super::{
    Shared,
    item::{Delivery, Weighed},
    message::Page,
    refusal::FeedRefusal,
    selection::Selection,
};
use crate::domain::subscription::Point;

/// Events on a page, at most, whatever is asked for.
const PAGE_EVENTS_MAX: usize = 1_000;
/// Bytes of a page, at most; never less than one event.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Events that one page looks at, about: it goes on to the end of the commit, and of what was read with it.
const SCAN_EVENTS_MAX: u64 = 10_000;

/// The page that begins at `start`.
pub(super) async fn read(
    shared: &Arc<Shared>,
    selection: &Selection,
    start: Point,
    max_events: usize,
) -> Result<Page, FeedRefusal> {
    let tail = shared.window.tail();
    let scan_end = start.next.saturating_add(SCAN_EVENTS_MAX);
    let mut sheet = Sheet::new(start, max_events);
    while sheet.at.next < tail && (sheet.at.next < scan_end || sheet.is_inside_commit()) {
        let items = shared.items(sheet.at.next, tail).await?;
        if !items.into_iter().all(|item| sheet.take(selection, item)) {
            break;
        }
    }
    sheet.cut();
    Ok(Page { deliveries: sheet.deliveries, cursor: shared.cursor(sheet.at, selection), tail })
}

/// A page being filled.
#[derive(Debug)]
struct Sheet {
    max_events: usize,
    deliveries: Vec<Delivery>,
    bytes: usize,
    /// The place after the last event that was taken.
    at: Point,
    /// The place after the last whole commit, and how many of the deliveries are before it.
    boundary: Point,
    whole: usize,
}

impl Sheet {
    fn new(start: Point, max_events: usize) -> Self {
        let max_events = max_events.clamp(1, PAGE_EVENTS_MAX);
        Self { max_events, deliveries: Vec::new(), bytes: 0, at: start, boundary: start, whole: 0 }
    }

    /// Takes an event; false once the page is full, in which case it may not have taken it.
    fn take(&mut self, selection: &Selection, item: Weighed) -> bool {
        let (end, more) = (item.end(), item.head().more);
        if let Some(filter_change) = selection.filter_change(&item.item.record) {
            let delivery = item.deliver(filter_change, selection.form());
            let bytes = delivery.bytes().len();
            if !self.has_room(bytes) {
                return false;
            }
            self.deliveries.push(delivery);
            self.bytes = self.bytes.saturating_add(bytes);
        }
        self.at = end;
        if more {
            return true;
        }
        self.boundary = self.at;
        self.whole = self.deliveries.len();
        self.whole < self.max_events
    }

    fn is_inside_commit(&self) -> bool {
        self.at != self.boundary
    }

    /// The first commit may be larger than the caller asked for, so that it comes whole if it can.
    fn has_room(&self, bytes: usize) -> bool {
        let count = self.deliveries.len();
        let most = if self.whole == 0 { PAGE_EVENTS_MAX } else { self.max_events };
        count == 0 || (count < most && self.bytes.saturating_add(bytes) <= PAGE_BYTES_MAX)
    }

    /// Gives back the beginning of a commit that does not fit any more, if there is something before it.
    fn cut(&mut self) {
        if self.whole > 0 {
            self.deliveries.truncate(self.whole);
            self.at = self.boundary;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{digest::Digest, filter::Filter, id::Code},
        feed::item::fixture::item,
    };

    /// Sequences and end of the page that begins at `from` in a feed in which event n is `(more, admitted, bytes)`.
    fn page(events: &[(bool, bool, usize)], from: u64, max_events: usize) -> (Vec<u64>, u64) {
        let filter = Filter { topics: vec![Code::parse("energy").unwrap()], ..Filter::default() };
        let selection = Selection::new(filter, false);
        let mut sheet = Sheet::new(Point { next: from, hash: Digest::ZERO }, max_events);
        let items = (1..).zip(events).map(|(n, (more, admitted, bytes))| item(n, *more, *admitted, *bytes));
        let _ = items.filter(|item| item.head().sequence >= from).all(|item| sheet.take(&selection, item));
        sheet.cut();
        (sheet.deliveries.iter().map(|delivery| delivery.item.record.event.head.sequence).collect(), sheet.at.next)
    }

    #[test]
    fn a_page_ends_between_commits() {
        let events = [(false, true, 9), (true, true, 9), (false, true, 9), (false, false, 9), (false, true, 9)];
        assert_eq!(page(&events, 1, 1), (vec![1], 2));
        assert_eq!(page(&events, 1, 2), (vec![1], 2));
        assert_eq!(page(&events, 1, 3), (vec![1, 2, 3], 4));
        assert_eq!(page(&events, 2, 1), (vec![2, 3], 4), "the first commit comes whole");
        assert_eq!(page(&events, 1, 100), (vec![1, 2, 3, 5], 6));
        assert_eq!(page(&events, 4, 100), (vec![5], 6));
    }

    #[test]
    fn a_commit_larger_than_a_page_goes_on_in_the_next() {
        let large = (true, true, 700 * 1024);
        let events = [(false, true, 9), large, large, (false, true, 9)];
        assert_eq!(page(&events, 1, 100), (vec![1], 2));
        assert_eq!(page(&events, 2, 100), (vec![2], 3));
        assert_eq!(page(&events, 3, 100), (vec![3, 4], 5));
        let many = vec![(true, true, 1); 1_500];
        assert_eq!(page(&many, 1, 1).0.len(), PAGE_EVENTS_MAX);
    }

    #[test]
    fn a_page_always_goes_on() {
        let events = [(true, false, 9), (true, true, 2 * PAGE_BYTES_MAX), (true, true, 9), (false, false, 9)];
        let mut at = 1;
        while at < 5 {
            let (_, next) = page(&events, at, 1);
            assert!(next > at, "{at}");
            at = next;
        }
    }
}

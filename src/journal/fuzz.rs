//! Stored rows, as a damaged device or another program may leave them.

#![expect(clippy::unwrap_used, reason = "a fuzzer finds what must not be by a panic")]

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    key,
    retention::Kept,
    row::{EntryBody, EntryRow, EventRow, Meta, RequestRow, decode, encode, fault, from_seal},
    store,
};
use crate::domain::{
    content::{Content, canonical_json},
    entry::EntryHead,
    event::EventHead,
    live::Edition,
    state::{Slots, Statement},
    subscription::{Progress, Subscription},
};

/// The first byte says of which kind, the others are what is stored.
///
/// # Panics
/// If a row that is read is another one once it was written again.
pub fn row(input: &[u8]) {
    let Some((which, value)) = input.split_first() else { return };
    match which % 14 {
        0 => same::<Meta>(value),
        1 => same::<EntryBody>(value),
        2 => {
            same::<EntryRow>(value);
            decode::<EntryRow>(value).and_then(EntryRow::into_record).ok();
        }
        3 => {
            same::<EventRow>(value);
            decode::<EventRow>(value).and_then(EventRow::into_record).ok();
        }
        4 => same::<RequestRow>(value),
        5 => same::<Statement>(value),
        6 => same::<Slots>(value),
        7 => same::<Edition>(value),
        8 => same::<Subscription>(value),
        9 => same::<Progress>(value),
        10 => sealed::<EntryHead>(value),
        11 => sealed::<EventHead>(value),
        12 => sealed::<Content>(value),
        _ => keys(value),
    }
    decode::<Kept>(value).ok();
    for space in [b"t".as_slice(), b"j", b"e"] {
        fault(space, value);
    }
    store::fuzz(value);
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &[u8]) {
    if let Ok(read) = decode::<T>(value) {
        assert_eq!(decode::<T>(&encode(&read)).unwrap(), read);
    }
}

fn sealed<T: Serialize + DeserializeOwned + PartialEq + Debug>(seal: &[u8]) {
    if let Ok(read) = from_seal::<T>(seal) {
        assert_eq!(from_seal::<T>(&canonical_json(&read)).unwrap(), read);
    }
}

fn keys(stored: &[u8]) {
    if let Some((id, due)) = key::due_parts(stored) {
        assert_eq!(key::due_parts(&key::due(&id, &due)), Some((id, due)));
    }
    key::owed_parts(stored);
    key::indexed(stored);
    key::number_at_end(stored);
    key::text_after(&key::statements(), stored);
}

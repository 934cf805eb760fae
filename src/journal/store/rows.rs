//! A walk over all that is stored, readable or not.

use super::{
    Store, StoreError,
    envelope::{self, Row, chunk_of},
};

/// Every row of a store, readable or not.
pub(in crate::journal) struct Rows<'s> {
    store: &'s Store,
    stored: sled::Iter,
    fault: Option<StoreError>,
}

impl<'s> Rows<'s> {
    /// Those that are stored there.
    pub(super) fn new(store: &'s Store, stored: sled::Iter) -> Self {
        Self { store, stored, fault: None }
    }

    /// Why it ended, if not because there are no more.
    pub(in crate::journal) fn ended_early(&self) -> Option<&StoreError> {
        self.fault.as_ref()
    }

    /// Whether a part of a long row still belongs to one.
    fn belongs(&self, head: &[u8], number: u32) -> Result<bool, StoreError> {
        let Some(stored) = self.store.db.get(head)? else { return Ok(false) };
        Ok(envelope::open(head, &stored)?.chunks >= number)
    }
}

impl Iterator for Rows<'_> {
    type Item = (Vec<u8>, Result<Row, StoreError>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, stored) = match self.stored.next()? {
                Ok(item) => item,
                Err(error) => {
                    self.fault = Some(error.into());
                    return None;
                }
            };
            let Some((head, number)) = chunk_of(&key) else {
                match self.store.unwrap(&key, stored).transpose() {
                    Some(row) => return Some((key.to_vec(), row)),
                    None => continue,
                }
            };
            // A part is read with its row; here it only has to have one.
            if !matches!(self.belongs(head, number), Ok(true)) {
                return Some((key.to_vec(), Err(StoreError::Damaged("a part without its row".to_owned()))));
            }
        }
    }
}

//! Counts the fields of a request before it is decoded, so that a short request cannot become a large value: two bytes of an empty message become up
//! to 200 bytes of memory.
//!
//! **Invariants**
//! - A request with more than [`FIELDS_MAX`] fields, those of its messages included, is refused before anything is allocated for it
//!   (`fields_of_nested_messages_are_counted`, `a_request_that_is_no_message_is_refused_with_code_reason_and_details`).
//! - Bytes that are no protobuf of the type are left to the decoder, which refuses them.

use std::{collections::HashMap, sync::LazyLock};

use prost::{
    Message as _,
    bytes::Buf as _,
    encoding::{WireType, decode_key, decode_varint},
};
use prost_types::{DescriptorProto, FileDescriptorSet};

use super::{RequestFault, v1::DESCRIPTORS};

/// Fields that a request may have. A draft with every list at its limit has about 8,000.
pub(super) const FIELDS_MAX: usize = 16 * 1024;

/// Message types by full name (`.onrecord.v1.Draft`), each with its fields of a message type, by number.
struct Types(HashMap<String, HashMap<u32, String>>);

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    // Written by the build from what it compiled.
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
    let mut types = HashMap::new();
    for file in &files.file {
        file.message_type.iter().for_each(|message| add(&mut types, &format!(".{}", file.package()), message));
    }
    Types(types)
});

fn add(types: &mut HashMap<String, HashMap<u32, String>>, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    message.nested_type.iter().for_each(|nested| add(types, &name, nested));
    let of_messages = message.field.iter().filter(|field| field.type_name().starts_with('.'));
    let fields =
        of_messages.filter_map(|field| Some((u32::try_from(field.number()).ok()?, field.type_name().to_owned())));
    types.insert(name, fields.collect());
}

/// Checks a request of the type with this full name.
///
/// # Errors
/// If it has too many fields.
pub(super) fn check(name: &str, request: &[u8]) -> Result<(), RequestFault> {
    // Each field has two bytes or more.
    if request.len() / 2 <= FIELDS_MAX {
        return Ok(());
    }
    let mut left = FIELDS_MAX;
    TYPES.count(&format!(".{name}"), request, &mut left)
}

impl Types {
    /// Subtracts the fields of a message from those that are `left`. A group, which proto3 lacks, counts as its contents.
    fn count(&self, name: &str, mut bytes: &[u8], left: &mut usize) -> Result<(), RequestFault> {
        let fields = self.0.get(name);
        while bytes.has_remaining() {
            let Ok((number, wire)) = decode_key(&mut bytes) else { return Ok(()) };
            *left = left.checked_sub(1).ok_or(RequestFault::TooManyFields { most: FIELDS_MAX })?;
            let length = match wire {
                WireType::Varint => decode_varint(&mut bytes).map(|_| 0),
                WireType::LengthDelimited => decode_varint(&mut bytes),
                WireType::SixtyFourBit => Ok(8),
                WireType::ThirtyTwoBit => Ok(4),
                WireType::StartGroup | WireType::EndGroup => Ok(0),
            };
            let length = length.ok().and_then(|length| usize::try_from(length).ok());
            let Some((value, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { return Ok(()) };
            bytes = rest;
            if wire == WireType::LengthDelimited
                && let Some(kind) = fields.and_then(|fields| fields.get(&number))
            {
                self.count(kind, value, left)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Name as _;

    use super::*;
    use crate::api::v1;

    fn checked(request: &v1::SaveDraftRequest) -> Result<(), RequestFault> {
        check(&v1::SaveDraftRequest::full_name(), &request.encode_to_vec())
    }

    fn with_attachments(count: usize) -> v1::SaveDraftRequest {
        let content = v1::Content { attachments: vec![v1::Attachment::default(); count], ..Default::default() };
        v1::SaveDraftRequest {
            draft: Some(v1::Draft { content: Some(content), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn fields_of_nested_messages_are_counted() {
        // The draft and its content are fields too.
        assert_eq!(checked(&with_attachments(FIELDS_MAX - 2)), Ok(()));
        let too_many = Err(RequestFault::TooManyFields { most: FIELDS_MAX });
        assert_eq!(checked(&with_attachments(FIELDS_MAX - 1)), too_many);
    }

    #[test]
    fn a_long_text_is_one_field() {
        // Its bytes would be fields of a message: number 1, of length 10.
        let body = "\n\n".repeat(300_000);
        let content = v1::Content { body, ..Default::default() };
        let draft = v1::Draft { content: Some(content), ..Default::default() };
        assert_eq!(checked(&v1::SaveDraftRequest { draft: Some(draft), ..Default::default() }), Ok(()));
    }

    #[test]
    fn what_cannot_be_decoded_is_left_to_the_decoder() {
        for bytes in [vec![0xff; 100_000], [vec![0x0a, 0xff, 0xff, 0x7f], vec![0; 100_000]].concat()] {
            assert_eq!(check(&v1::SaveDraftRequest::full_name(), &bytes), Ok(()));
        }
    }
}

//! The answer to a call that changes nothing: what is known of it before the commit.
//!
//! **Invariants**
//! - No field of such an answer has a value that the same call would not have once it changes something
//!   (`every_answer_is_what_a_get_shows`, in the tests at the boundary).

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

use super::v1;

const PACKAGE: &str = "onrecord.v1";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| match DescriptorPool::decode(v1::DESCRIPTORS) {
    Ok(pool) => pool,
    Err(fault) => unreachable!("the descriptors were compiled with this code: {fault}"),
});

/// A message in an answer.
pub(super) trait Answer: Message + Default {
    /// Its full name.
    const NAME: &'static str;
}

macro_rules! answers {
    ($($message:ident)*) => {
        $(impl Answer for v1::$message { const NAME: &'static str = concat!("onrecord.v1.", stringify!($message)); })*
    };
}

answers! { Approval Draft Live Proposal Release Statement Subscription }

/// A message as two commits would make it, without the fields in which they differ.
pub(super) fn settled<M: Answer>(one: &M, other: &M) -> M {
    let (mut one, other) = (reflected(one), reflected(other));
    keep_equal(&mut one, &other);
    match one.transcode_to() {
        Ok(message) => message,
        Err(fault) => unreachable!("it was of this type: {fault}"),
    }
}

/// The same for messages that come in the same order.
pub(super) fn all_settled<M: Answer>(ones: &[M], others: &[M]) -> Vec<M> {
    ones.iter().zip(others).map(|(one, other)| settled(one, other)).collect()
}

fn reflected<M: Answer>(message: &M) -> DynamicMessage {
    let Some(descriptor) = POOL.get_message_by_name(M::NAME) else { unreachable!("{} is in the descriptors", M::NAME) };
    let mut reflected = DynamicMessage::new(descriptor);
    match reflected.transcode_from(message) {
        Ok(()) => reflected,
        Err(fault) => unreachable!("it is of this type: {fault}"),
    }
}

/// Clears each field that is not equal in both, in our messages inside too; a time or a duration is one value.
fn keep_equal(one: &mut DynamicMessage, other: &DynamicMessage) {
    let fields: Vec<_> = one.descriptor().fields().collect();
    for field in fields {
        let theirs = other.get_field(&field);
        if one.get_field(&field) == theirs {
            continue;
        }
        if !keep_inside(one.get_field_mut(&field), &theirs) {
            one.clear_field(&field);
        }
    }
}

/// The same inside of messages; says whether that is what both are.
fn keep_inside(one: &mut Value, other: &Value) -> bool {
    if let (Value::Message(one), Value::Message(other)) = (&mut *one, other) {
        if one.descriptor().package_name() != PACKAGE {
            return false;
        }
        keep_equal(one, other);
        return one.fields().next().is_some();
    }
    if let (Value::List(ones), Value::List(others)) = (one, other)
        && ones.len() == others.len()
    {
        return ones.iter_mut().zip(others).all(|(one, other)| keep_inside(one, other));
    }
    false
}

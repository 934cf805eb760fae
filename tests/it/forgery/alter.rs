//! Alterations of a message, one for each thing that may be altered, from its descriptors.

use std::{collections::BTreeSet, fmt, sync::LazyLock};

use onrecord::api::v1;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
    Value,
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(v1::DESCRIPTORS).unwrap());

pub(super) fn message(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).unwrap()
}

pub(super) fn described(name: &str) -> EnumDescriptor {
    POOL.get_enum_by_name(name).unwrap()
}

/// Something that is sent and verified as a whole, by its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Event(u64),
    Live(u64),
    Embargo(u64),
}

/// A field, by the fields that lead to it, and what it becomes; none if it is taken out.
#[derive(Clone, Debug)]
pub(super) struct Alteration {
    pub(super) item: Item,
    path: Vec<FieldDescriptor>,
    value: Option<Value>,
    /// The field that a refusal has to name.
    pub(super) name: String,
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<_> = self.path.iter().map(FieldDescriptor::name).collect();
        let value = match &self.value {
            Some(Value::Message(_)) => "there, and empty".to_owned(),
            value => format!("{value:?}"),
        };
        write!(f, "{:?}: {} as {value}", self.item, path.join("."))
    }
}

impl Alteration {
    /// Which field, and whether it is taken out or becomes a number that is not known.
    pub(super) fn what(&self) -> String {
        let path: Vec<_> = self.path.iter().map(FieldDescriptor::name).collect();
        let is_unknown = self.value == Some(Value::EnumNumber(UNKNOWN));
        format!("{} {} {is_unknown}", path.join("."), self.value.is_none())
    }

    pub(super) fn apply(&self, message: &mut DynamicMessage) {
        let (last, before) = self.path.split_last().unwrap();
        let mut at = message;
        for field in before {
            let Value::Message(inner) = at.get_field_mut(field) else { panic!("{self}") };
            at = inner;
        }
        match &self.value {
            Some(value) => at.set_field(last, value.clone()),
            None => at.clear_field(last),
        }
    }
}

/// Messages whose fields are named when one is altered. What is altered inside of another is named by the field that holds it.
const NAMED: [&str; 5] = ["Event", "Live", "Edition", "Embargo", "EventSeal"];

/// All alterations of a message. Adds the fields that are set in it.
pub(super) fn alterations(item: Item, sent: &DynamicMessage, seen: &mut BTreeSet<String>) -> Vec<Alteration> {
    note_set(sent, seen);
    let mut found = Vec::new();
    walk(sent, &mut Vec::new(), &mut |path, value| {
        let inner = path.iter().rev().find(|field| NAMED.contains(&field.parent_message().name()));
        found.push(Alteration { item, name: inner.unwrap().name().to_owned(), path: path.to_vec(), value });
    });
    found
}

fn walk(
    message: &DynamicMessage,
    path: &mut Vec<FieldDescriptor>,
    found: &mut impl FnMut(&[FieldDescriptor], Option<Value>),
) {
    for field in message.descriptor().fields() {
        path.push(field.clone());
        let is_set = message.has_field(&field);
        let value = message.get_field(&field).into_owned();
        if is_set {
            found(path, None);
        }
        match value {
            Value::Message(inner) if is_set => walk(&inner, path, found),
            // There, and empty.
            Value::Message(inner) => found(path, Some(Value::Message(inner))),
            Value::List(mut values) => {
                values.push(Value::default_value(&field.kind()));
                found(path, Some(Value::List(values)));
            }
            value => others(&value, &field.kind()).into_iter().for_each(|other| found(path, Some(other))),
        }
        path.pop();
    }
}

/// A number that no enum has.
const UNKNOWN: i32 = 999;

/// Values that are not this one.
fn others(value: &Value, kind: &Kind) -> Vec<Value> {
    match value {
        Value::Bool(is) => vec![Value::Bool(!is)],
        Value::I32(n) => vec![Value::I32(n + 1)],
        Value::I64(n) => vec![Value::I64(n + 1)],
        Value::U32(n) => vec![Value::U32(n + 1)],
        Value::U64(n) => vec![Value::U64(n + 1)],
        Value::String(text) => vec![Value::String(format!("{text}x"))],
        Value::Bytes(bytes) => {
            let mut other = bytes.to_vec();
            match other.last_mut() {
                Some(last) => *last ^= 1,
                None => other = vec![7; 16],
            }
            vec![Value::Bytes(other.into())]
        }
        Value::EnumNumber(n) => {
            let Kind::Enum(described) = kind else { panic!("{kind:?}") };
            // One that is not known, too.
            let others = described.values().map(|it| it.number()).chain([UNKNOWN]).filter(|other| other != n);
            others.map(Value::EnumNumber).collect()
        }
        other => panic!("there was no {other:?} when this was written"),
    }
}

/// Notes the fields that are set in a message and in what it holds, as `Message.field`.
pub(super) fn note_set(message: &DynamicMessage, set: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        set.insert(format!("{}.{}", message.descriptor().name(), field.name()));
        let values = if let Value::List(values) = value { values.as_slice() } else { std::slice::from_ref(value) };
        values.iter().filter_map(Value::as_message).for_each(|inner| note_set(inner, set));
    }
}

/// Fields that are never sent together with what the tests look at.
const NEVER: [&str; 5] = [
    // Not in the canonical form.
    "Edition.content",
    "Embargo.content",
    // Of an edition in a `Live` and in an event: the seal is there once.
    "Edition.event_seal",
    "Edition.withheld_seal",
    // An erased text is in no event and no snapshot; `every_field_of_an_edition_and_of_what_is_live_is_verified` has one.
    "Edition.expunged",
];

/// Nothing is left out because the tests never had it.
pub(super) fn assert_every_field_was_set(set: &BTreeSet<String>, messages: &[&str]) {
    for name in messages {
        for field in message(&format!("onrecord.v1.{name}")).fields() {
            let field = format!("{name}.{}", field.name());
            let is_seal_in_event = field.ends_with(".event_seal") && set.contains("Event.seal");
            let is_set = set.contains(&field) || NEVER.contains(&field.as_str()) || is_seal_in_event;
            assert!(is_set, "no message of the test has {field}");
        }
    }
}

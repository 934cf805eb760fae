//! Every string that a request can carry, from the compiled proto files.

use std::sync::LazyLock;

use onrecord::{api::v1, domain::text::escaped};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(v1::DESCRIPTORS).unwrap());

/// The key of the one entry that each map of a request has.
pub(super) const KEY: &str = "k";

/// Every RPC of the package.
pub(super) fn methods() -> Vec<MethodDescriptor> {
    let services: Vec<_> = POOL.services().filter(|service| service.package_name() == "onrecord.v1").collect();
    services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// What of a field a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Key,
    Value,
}

/// A string in a request: the fields that lead to it.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub fields: Vec<FieldDescriptor>,
    pub part: Part,
}

/// The strings of a request.
pub(super) fn leaves(message: &MessageDescriptor) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk(message, &[], &mut found);
    found
}

fn walk(message: &MessageDescriptor, before: &[FieldDescriptor], found: &mut Vec<Leaf>) {
    assert!(before.len() < 10, "{} contains itself", message.full_name());
    for field in message.fields() {
        let fields = [before, std::slice::from_ref(&field)].concat();
        match field.kind() {
            Kind::String => found.push(Leaf { fields, part: Part::Whole }),
            Kind::Message(_) if field.is_map() => {
                found.extend([Part::Key, Part::Value].map(|part| Leaf { fields: fields.clone(), part }));
            }
            Kind::Message(inner) if !inner.full_name().contains("protobuf.Timestamp") => walk(&inner, &fields, found),
            _ => {}
        }
    }
}

/// The fields of a request that are times.
pub(super) fn times(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let mut found = Vec::new();
    for field in message.fields().filter(|field| !comment(field).starts_with("Output only")) {
        match field.kind() {
            Kind::Message(inner) if inner.full_name() == "google.protobuf.Timestamp" => found.push(field),
            Kind::Message(inner) if !field.is_map() => found.extend(times(&inner)),
            _ => {}
        }
    }
    found
}

impl Leaf {
    /// `Content.title`, by which the table of classes knows it.
    pub(super) fn name(&self) -> String {
        let last = self.fields.last().unwrap();
        let name = format!("{}.{}", last.parent_message().name(), last.name());
        match self.part {
            Part::Whole => name,
            Part::Key => format!("{name}.key"),
            Part::Value => format!("{name}.value"),
        }
    }

    /// `draft.content.title`, without places in lists.
    pub(super) fn route(&self) -> String {
        self.fields.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// The path that a refusal of `text` names.
    pub(super) fn path(&self, text: &str) -> String {
        if self.fields.iter().any(|field| field.parent_message().name() == "FieldMask") {
            return "update_mask".to_owned();
        }
        let steps = self.fields.iter().map(|field| match (field.is_map(), field.is_list()) {
            (true, _) if self.part == Part::Key => format!("{}[{}]", field.name(), escaped(text)),
            (true, _) => format!("{}[{KEY}]", field.name()),
            (_, true) => format!("{}[0]", field.name()),
            _ => field.name().to_owned(),
        });
        steps.collect::<Vec<_>>().join(".")
    }

    /// True if the service writes it and reads it from nobody.
    pub(super) fn is_output(&self) -> bool {
        self.fields.iter().any(|field| comment(field).starts_with("Output only"))
    }

    pub(super) fn comment(&self) -> String {
        comment(self.fields.last().unwrap())
    }

    /// Puts a text there. Lists and maps on the way have one item.
    pub(super) fn set(&self, request: &mut DynamicMessage, text: &str) {
        set(request, &self.fields, self.part, text);
    }
}

fn set(message: &mut DynamicMessage, fields: &[FieldDescriptor], part: Part, text: &str) {
    let (field, rest) = fields.split_first().unwrap();
    let value = match message.get_field_mut(field) {
        Value::List(items) => items.first_mut().unwrap_or_else(|| panic!("no item of {}", field.full_name())),
        Value::Map(entries) => {
            let value = entries.remove(&MapKey::String(KEY.to_owned()));
            let value = value.unwrap_or_else(|| panic!("no entry of {}", field.full_name()));
            match part {
                Part::Key => entries.insert(MapKey::String(text.to_owned()), value),
                _ => entries.insert(MapKey::String(KEY.to_owned()), Value::String(text.to_owned())),
            };
            return;
        }
        value => value,
    };
    match value {
        Value::Message(inner) => set(inner, rest, part, text),
        Value::String(there) => *there = text.to_owned(),
        other => panic!("{} is {other:?}", field.full_name()),
    }
}

/// The comment of a field in its proto file, on one line.
pub(super) fn comment(field: &FieldDescriptor) -> String {
    let file = field.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let mut all = info.into_iter().flat_map(|info| &info.location);
    let location = all.find(|location| location.path == field.path());
    let words = location.and_then(|location| location.leading_comments.clone()).unwrap_or_default();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

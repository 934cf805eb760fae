//! Compiles `proto/` without a system `protoc`, and keeps the compiled files for reflection.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;
use tonic_prost_build::{Builder, Config};

const FILES: [&str; 7] = [
    // No service imports it: `ErrorInfo.reason` has the names of its values.
    "onrecord/v1/error_reason.proto",
    "onrecord/v1/editorial_service.proto",
    "onrecord/v1/statement_service.proto",
    "onrecord/v1/feed_service.proto",
    "onrecord/v1/backup_service.proto",
    "onrecord/v1/clock_service.proto",
    "onrecord/v1/info_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    name_commit();
    let files = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    let mut config = Config::new();
    // `api/fields.rs` finds the type of a request by its name.
    config.enable_type_names();
    read_from_json(tonic_prost_build::configure())
        .extern_path(".onrecord.v1.Delivery", "crate::api::v1::Delivery")
        .extern_path(".onrecord.v1.Snapshot", "crate::api::v1::Snapshot")
        // Shared with the buffer that it is decoded from, or the row that it is read from.
        .bytes(".onrecord.v1.Edition.canonical_content")
        .bytes(".onrecord.v1.Embargo.canonical_content")
        .bytes(".onrecord.v1.Draft.canonical_content")
        .bytes(".onrecord.v1.DraftRevision.canonical_content")
        .bytes(".onrecord.v1.Release.canonical_content")
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .codec_path("crate::api::codec::SmallBuffers")
        .compile_fds_with_config(files, config)?;
    Ok(())
}

/// Sets `ONRECORD_REVISION` to the commit of a clone, unless the environment has it (`deploy/build` sets it: its context is no clone).
fn name_commit() {
    println!("cargo:rerun-if-env-changed=ONRECORD_REVISION");
    if env::var_os("ONRECORD_REVISION").is_some() {
        return;
    }
    let read = |file: &Path| {
        println!("cargo:rerun-if-changed={}", file.display());
        fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
    };
    let git = Path::new(".git");
    if !git.is_dir() {
        return;
    }
    let commit = read(&git.join("HEAD")).and_then(|head| match head.strip_prefix("ref: ") {
        Some(name) => read(&git.join(name)).or_else(|| packed(&read(&git.join("packed-refs"))?, name)),
        None => Some(head),
    });
    if let Some(commit) = commit {
        println!("cargo:rustc-env=ONRECORD_REVISION={commit}");
    }
}

/// Finds the commit of a reference in `.git/packed-refs`, whose lines have a commit and a name.
fn packed(references: &str, name: &str) -> Option<String> {
    let commit = |line: &str| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned);
    references.lines().find_map(commit)
}

/// Messages that a client reads from canonical content, and their fields that JSON writes otherwise than serde. A field that is missing here
/// does not compile, or fails `every_field_of_a_content_is_read_from_canonical_json`.
fn read_from_json(mut builder: Builder) -> Builder {
    const MESSAGES: [&str; 7] =
        ["Content", "Correction", "Rendition", "Attachment", "ClaimReview", "Evidence", "Contact"];
    const FIELDS: [(&str, &str); 11] = [
        ("Content.salt", "base64"),
        ("Content.change_kind", "change_kind"),
        ("Content.expire_time", "time"),
        ("Content.review_due_time", "time"),
        ("Content.as_of_time", "time"),
        ("Content.original_time", "time"),
        ("Attachment.size_bytes", "decimal"),
        ("ClaimReview.first_appearance_time", "time"),
        ("ClaimReview.verdict", "verdict"),
        ("ClaimReview.as_of_time", "time"),
        ("Evidence.retrieve_time", "time"),
    ];
    for message in MESSAGES {
        let attribute = "#[derive(serde::Deserialize)] #[serde(rename_all = \"camelCase\", default)]";
        builder = builder.message_attribute(format!(".onrecord.v1.{message}"), attribute);
    }
    for (field, reader) in FIELDS {
        let attribute = format!("#[serde(deserialize_with = \"crate::api::json::{reader}\")]");
        builder = builder.field_attribute(format!(".onrecord.v1.{field}"), attribute);
    }
    builder
}

//! Compiles `proto/` without a system `protoc`, and keeps the compiled files for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 5] = [
    "onrecord/v1/editorial_service.proto",
    "onrecord/v1/statement_service.proto",
    "onrecord/v1/feed_service.proto",
    "onrecord/v1/backup_service.proto",
    "onrecord/v1/clock_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        .extern_path(".onrecord.v1.Delivery", "crate::api::v1::Delivery")
        .extern_path(".onrecord.v1.Snapshot", "crate::api::v1::Snapshot")
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .codec_path("crate::api::codec::SmallBuffers")
        .compile_fds(files)?;
    Ok(())
}

//! What a fuzzer drives: everything that reads what comes from outside. `fuzz/` has the programs, and a corpus for each.
//!
//! A decoder takes any bytes. It may refuse them; it must not panic, and what it reads must mean the same when it is written again.

pub use crate::{
    access::fuzz::{policy, token},
    api::fuzz::{page_token, request},
    cli::fuzz::{backup_file, draft_file, import_file},
    feed::fuzz::cursor,
    journal::fuzz::row,
    server::fuzz_framing as framing,
};

/// Takes any bytes.
pub type Decode = fn(&[u8]);

/// By the name of its program.
pub const DECODERS: [(&str, Decode); 10] = [
    ("backup_file", backup_file),
    ("cursor", cursor),
    ("draft_file", draft_file),
    ("framing", framing),
    ("import_file", import_file),
    ("page_token", page_token),
    ("policy", policy),
    ("request", request),
    ("row", row),
    ("token", token),
];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::DECODERS;

    #[test]
    fn every_corpus_is_decoded_or_refused() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, decode) in DECODERS {
            let inputs = fs::read_dir(fuzz.join("corpus").join(name)).unwrap();
            let inputs: Vec<_> = inputs.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
            assert!(inputs.len() >= 3, "{name} has a corpus of {}", inputs.len());
            for input in &inputs {
                decode(input);
            }
            assert!(fuzz.join("fuzz_targets").join(name).with_extension("rs").exists(), "{name} has no program");
        }
    }
}

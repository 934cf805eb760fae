//! The layers, read from the source: what a file may import, and where sled, tonic and a Status may be named.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From top to bottom; those on one level do not import each other.
const LAYERS: [&[&str]; 12] = [
    &["fuzz"],
    &["main", "cli"],
    &["server"],
    &["config", "telemetry"],
    &["client"],
    &["api"],
    &["feed"],
    &["journal"],
    &["access"],
    &["domain"],
    &["lines"],
    &["cores", "jitter", "pace", "panics", "prefix", "trace", "version"],
];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(path) = open.pop() {
        for item in fs::read_dir(path).unwrap() {
            let path: PathBuf = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_of_tests(&path) {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "the source was found");
    found
}

/// `tests.rs`, and what is in a folder `tests` beside it.
fn is_of_tests(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

fn level(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Code without comments and without the tests at the end of a file.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules of this crate that a file names: after `crate::`, alone or in a group.
fn imports(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            modules.push(after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned());
            continue;
        };
        let (mut depth, mut name, mut names) = (0, String::new(), true);
        for c in group.chars() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => names = true,
                c if depth == 0 && names && (c.is_alphanumeric() || c == '_') => name.push(c),
                _ if depth == 0 && names && !name.is_empty() => {
                    modules.push(std::mem::take(&mut name));
                    names = false;
                }
                _ => {}
            }
        }
        if !name.is_empty() {
            modules.push(name);
        }
    }
    modules
}

#[test]
fn a_layer_imports_only_what_stands_below_it() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let own = file.split(['/', '.']).next().unwrap().to_owned();
        if own == "lib" {
            continue;
        }
        let own_level = level(&own).unwrap_or_else(|| panic!("src/{file} belongs to no layer"));
        for module in imports(&code(&text)) {
            let Some(other) = level(&module) else { continue };
            // A site has the client, the API and a little chance, and nothing of the service.
            let foreign = own == "client" && !["client", "api", "jitter"].contains(&module.as_str());
            if (module != own && other <= own_level) || foreign {
                faults.push(format!("src/{file} imports {module}, which does not stand below {own}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_library_is_named_in_its_place_only() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let code = code(&text);
        let mut only = |word: &str, places: &[&str]| {
            let is_in = |place: &&str| {
                file.strip_prefix(*place).is_some_and(|rest| rest.starts_with(['/', '.']) || rest.is_empty())
            };
            if code.contains(word) && !places.iter().any(is_in) {
                faults.push(format!("src/{file} names {word}, which belongs in {places:?}"));
            }
        };
        only("sled::", &["journal/store"]);
        only("tonic::", &["api", "server", "cli", "client"]);
        only("prost", &["api", "cli", "client"]);
        only("Status::new(", &["api/status.rs"]);
        only("Status::with_", &["api/status.rs"]);
        for code in
            ["invalid_argument", "not_found", "internal", "unavailable", "failed_precondition", "permission_denied"]
        {
            only(&format!("Status::{code}("), &["api/status.rs"]);
        }
        only("clap::", &["cli", "main.rs"]);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_imports_of_a_file_are_found() {
    let code =
        "use crate::{\n    domain::{id::A, live},\n    journal::B,\n};\nuse crate::feed::C; let x = crate::api::v1::D;";
    assert_eq!(imports(code), ["domain", "journal", "feed", "api"]);
}

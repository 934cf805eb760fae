//! The command line, by the binary: how it shows who calls, and how it says what went wrong.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Output},
};

use onrecord::access::Role;
use serde_json::Value;

use crate::access::Policy;

/// Runs the binary with nothing from the environment; needs a runtime that goes on meanwhile.
pub(crate) fn onrecord(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onrecord"));
    tokio::task::block_in_place(|| command.args(arguments).env_clear().output().unwrap())
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_takes_the_tokens_of_two_callers() {
    let mut policy = Policy::new();
    let (author, reviewer) = (policy.role(Role::Author), policy.token("chief", ""));
    policy.grant("chief", "roles = [\"reviewer\", \"publisher\"]");
    let (service, _) = policy.serve().await;
    let server = format!("http://{}", service.address);
    let file = |name: &str, text: &str| {
        let path = policy.directory().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let lines = file("lines.jsonl", r#"{"id": "flood", "kind": "NEWS", "language": "en", "title": "The river falls"}"#);
    let (author, reviewer) = (file("author", &author), file("reviewer", &reviewer));
    let import = |by: &[&str]| onrecord(&[&["--server", &server, "import", &lines], by].concat());

    let one = import(&["--token-file", &author]);
    assert_eq!(one.status.code(), Some(2));
    assert!(said(&one).contains("--author-token-file"), "{}", said(&one));
    let nobody = import(&[]);
    assert_eq!(nobody.status.code(), Some(6));
    assert!(said(&nobody).contains("--token-file FILE"), "{}", said(&nobody));
    let both = import(&["--author-token-file", &author, "--reviewer-token-file", &reviewer]);
    assert!(both.status.success(), "{}", said(&both));
    assert!(String::from_utf8_lossy(&both.stdout).contains("1 editions of 1 statements"), "{both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_are_none_are_refused_before_anybody_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        fs::write(&file, text).unwrap();
        let called = onrecord(&[
            "--server",
            "https://localhost:1",
            "--ca-file",
            file.to_str().unwrap(),
            "entries",
            "--limit",
            "1",
        ]);
        assert_eq!(called.status.code(), Some(2));
        assert!(said(&called).contains("holds no certificate"), "{}", said(&called));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_service_does_not_start_is_a_line_of_json_where_its_log_is() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, directory) = (taken.local_addr().unwrap().to_string(), tempfile::tempdir().unwrap());
    let start = |more: &[&str]| {
        let data = directory.path().to_str().unwrap();
        onrecord(&[&["serve", "--data-dir", data, "--listen", &address, "--log-format", "json"], more].concat())
    };
    for (more, code, why) in [
        (&["--insecure"][..], 1, "cannot listen"),
        (&["--policy", "/none/such"], 2, "/none/such"),
        (&[], 2, "--policy FILE"),
    ] {
        let ended = start(more);
        assert_eq!(ended.status.code(), Some(code), "{}", said(&ended));
        let lines = said(&ended);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR");
        assert!(last["fields"]["failure"].as_str().unwrap().contains(why), "{last}");
    }
}

/// A copy that is whole.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backup-2/record.backup");

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_has_one_exit_code_whatever_it_is_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (folder, empty) = (directory.path().to_str().unwrap().to_owned(), file("empty", ""));
    let (nonsense, data) = (file("nonsense", "\u{0}[["), directory.path().join("data").to_str().unwrap().to_owned());
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let authority = file("authority.pem", &signed.cert.pem());
    let serve = ["serve", "--data-dir", &data, "--listen", "127.0.0.1:0"];
    let anybody = [&serve[..], &["--insecure"]].concat();
    let https = ["--server", "https://localhost:1"];
    let entries = ["entries", "--limit", "1"];
    // Before the file, after it, and what may be wrong with it apart from not being there.
    let cases: Vec<(Vec<&str>, Vec<&str>, Vec<&String>)> = vec![
        (vec!["draft", "save"], vec![], vec![&folder, &empty, &nonsense]),
        (vec!["import"], vec![], vec![&folder]),
        (vec!["restore", "--data-dir", &data], vec![], vec![&folder, &empty, &nonsense]),
        (vec!["watch", "--cursor-file"], vec!["--until-current"], vec![&folder]),
        (vec!["watch", "--mirror"], vec!["--until-current"], vec![&folder, &nonsense]),
        (vec!["restore", "--data-dir", &data, COPY, "--erasures"], vec![], vec![&folder]),
        (vec!["correct", "--correction", "Wrong."], vec![], vec![&folder, &empty, &nonsense]),
        (vec!["--token-file"], entries.to_vec(), vec![&folder, &empty]),
        (
            vec!["import", &empty, "--reviewer-token-file", &nonsense, "--author-token-file"],
            vec![],
            vec![&folder, &empty],
        ),
        (
            [&https[..], &["--ca-file", &authority, "--key-file", &empty, "--certificate-file"]].concat(),
            entries.to_vec(),
            vec![&folder],
        ),
        ([&https[..], &["--ca-file"]].concat(), entries.to_vec(), vec![&folder, &empty, &nonsense]),
        ([&serve[..], &["--policy"]].concat(), vec![], vec![&folder, &nonsense]),
        ([&anybody[..], &["--config"]].concat(), vec![], vec![&folder, &nonsense]),
        (vec!["check-config", "--policy"], vec![], vec![&folder, &nonsense]),
        (vec!["check-config", "--config"], vec![], vec![&folder, &nonsense]),
        (
            [&serve[..], &["--policy", &empty, "--tls-key", &empty, "--tls-certificate"]].concat(),
            vec![],
            vec![&folder, &empty, &nonsense],
        ),
    ];
    for (before, after, wrong) in cases {
        // A place for what is kept may be empty at first.
        let missing = "/none/such".to_owned();
        let missing = (before[0] != "watch").then_some(&missing);
        for given in wrong.into_iter().chain(missing) {
            let called = onrecord(&[&before[..], &[given], &after[..]].concat());
            assert_eq!(called.status.code(), Some(2), "{before:?} {given}: {}", said(&called));
            assert!(said(&called).contains(given.as_str()), "{before:?} {given}: {}", said(&called));
        }
    }
    assert!(!std::path::Path::new(&data).join("db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lateness_needs_a_time() {
    let called = onrecord(&["publish", "fire", "en", "--max-lateness", "10m"]);
    assert_eq!(called.status.code(), Some(2));
    assert!(said(&called).contains("--at") && said(&called).contains("--embargo-until"), "{}", said(&called));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_is_named_with_the_reason() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (server, port) = (format!("http://{nobody}"), nobody.to_string());
    for arguments in [&["status", "--metrics-listen", &port][..], &["--server", &server, "watch", "--until-current"]] {
        let called = onrecord(arguments);
        assert_eq!(called.status.code(), Some(5));
        assert!(said(&called).contains(&port) && said(&called).contains("refused"), "{}", said(&called));
        let tells = said(&called).contains("--metrics-listen");
        assert_eq!(tells, arguments[0] == "status", "how to turn it on: {}", said(&called));
    }
}

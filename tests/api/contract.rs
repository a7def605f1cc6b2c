//! The server keeps what its OpenAPI document says: schemathesis (PyPI) makes requests from the document, and
//! checks each answer against it.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    call::Api,
    key::Key,
    support::{binary::output_of, relay::Relay, watchdog::Watchdog, wire::Wire},
};

/// How long an installation may take.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn the_document_describes_every_route() {
    let relay = Relay::start_with_admin(&[]);
    let document = Api::of(&relay).see("/openapi.json");
    let paths = document["paths"].as_object().expect("paths");
    for (path, methods) in [
        ("/api/v1/publish", vec!["post"]),
        ("/api/v1/publish/batch", vec!["post"]),
        ("/api/v1/disconnect", vec!["post"]),
        ("/api/v1/topics", vec!["get"]),
        ("/api/v1/topics/{topic}", vec!["get"]),
        ("/api/v1/connections", vec!["get"]),
        ("/api/v1/connections/{id}", vec!["delete", "get"]),
        ("/api/v1/addresses", vec!["get"]),
        ("/api/v1/server", vec!["get"]),
        ("/api/v1/config", vec!["get"]),
        ("/api/v1/log-level", vec!["get", "put"]),
        ("/api/v1/drain", vec!["post"]),
        ("/health/ready", vec!["get"]),
    ] {
        let described = paths.get(path).and_then(|path| path.as_object());
        let mut described: Vec<_> = described.into_iter().flat_map(|path| path.keys()).collect();
        described.sort();
        assert_eq!(described, methods, "{path}");
    }
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let words = operation["summary"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{method} {path} has no summary");
            assert!(
                operation["tags"][0].is_string(),
                "{method} {path} has no tag"
            );
        }
    }
}

/// How long keys are kept, and how many, is told by two texts that are written by hand.
#[test]
fn both_texts_tell_the_bounds_of_idempotency() {
    let relay = Relay::start_with_admin(&[]);
    let document = Api::of(&relay).see("/openapi.json").to_string();
    let page = fs::read_to_string("docs/api.md").expect("docs/api.md");
    let source = "crates/server/src/admin/api/idempotency.rs";
    let source = fs::read_to_string(source).expect(source);
    for (constant, told) in [
        ("KEPT: Duration = Duration::from_secs(300);", "5 minutes"),
        ("KEYS_MAX: usize = 10_000;", "10,000 keys"),
        ("BYTES_MAX: usize = 16 << 20;", "16 MiB"),
    ] {
        assert!(source.contains(constant), "{constant}");
        for (name, text) in [("/openapi.json", &document), ("docs/api.md", &page)] {
            assert!(text.contains(told), "{name} does not tell {told}");
        }
    }
}

/// `API_SEED=7 cargo test --test api schemathesis` makes other requests than each time.
#[test]
fn schemathesis_finds_nothing() {
    // With a key, so that what asks without one is refused.
    let key = Key::make("admin");
    let flags = ["--shards", "2", "--config", key.file()];
    let relay = Relay::start_with_admin(&flags);
    let mut wires: Vec<_> = (0..5).map(|_| Wire::open(relay.addr())).collect();
    wires
        .iter_mut()
        .for_each(|wire| wire.join("1", "room:lobby"));
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/schemathesis");
    let schemathesis = installed(&home);
    let api = relay.admin();
    let mut run = Command::new(schemathesis);
    run.arg("--config-file")
        .arg(home.join("schemathesis.toml"))
        .args(["run", "--no-color", "--header"])
        .arg(format!("Authorization: {}", key.bearer))
        .arg(format!("http://{api}/openapi.json"))
        .args(env::var("API_SEED").map(|seed| format!("--seed={seed}")))
        // What it keeps between runs belongs to nobody's checkout.
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    let output = output_of(&mut run);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{said}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        relay.output()
    );
    // It has really asked for everything but the stream of events and the drain.
    let headers = [("Authorization", key.bearer.as_str())];
    let document = Api::of(&relay).call("GET", "/openapi.json", &headers, None);
    let paths = document.json["paths"].as_object().expect("paths");
    let operations = paths.values().filter_map(Value::as_object);
    let count = operations.map(serde_json::Map::len).sum::<usize>() - 2;
    assert!(said.contains(&format!("Tested: {count}")), "{said}");
}

/// The program in a virtual environment of its own, installed once per version of its lock file.
fn installed(home: &Path) -> std::path::PathBuf {
    let lock = home.join("requirements.txt");
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let mark = environment.join("installed");
    let wanted = fs::read_to_string(&lock).expect("the lock file is there");
    let program = environment.join("bin/schemathesis");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return program;
    }
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&environment);
    let mut install = Command::new(environment.join("bin/python"));
    install
        .args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
        .arg(&lock);
    for command in [&mut create, &mut install] {
        let child = command.stdin(Stdio::null()).spawn();
        let mut child =
            child.expect("python3 with venv is installed (apt-get install python3-venv)");
        let watchdog = Watchdog::over(&child, PATIENCE);
        let status = child.wait().expect("it is our child");
        assert!(
            !watchdog.had_to_kill() && status.success(),
            "{command:?}: {status}"
        );
    }
    fs::write(&mark, wanted).expect("the environment was just made");
    program
}

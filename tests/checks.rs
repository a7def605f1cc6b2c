//! What must hold besides behaviour: format, lints, documentation, and what is linked in.
//!
//! Each is a cargo command, so that `cargo test` alone says whether a change may be handed in. They
//! share the target directory of the test itself, and after the first time take seconds.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Audits licences, bans and sources; installed below `target/` when the machine has none.
const CARGO_DENY: &str = "0.20.2";

#[test]
fn the_code_is_formatted() {
    passes(cargo(&["fmt", "--all", "--check"]));
}

#[test]
fn clippy_has_nothing_to_say() {
    passes(cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]));
}

/// The feature that no other command compiles; its tests are few and take a second.
#[test]
fn opentelemetry_is_linted_and_works() {
    let with = ["--package", "fourtuple-server", "--features", "otel"];
    let mut clippy = cargo(&["clippy", "--all-targets"]);
    passes(clippy.args(with).args(["--", "-D", "warnings"]));
    let mut test = cargo(&["test", "--lib"]);
    passes(test.args(with).arg("otel::"));
}

#[test]
fn the_documentation_has_no_broken_link() {
    let mut doc = cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    passes(doc.env("RUSTDOCFLAGS", "-D warnings"));
}

/// The fuzzers are a workspace of their own, which no other command looks at. Checking them needs
/// neither a nightly compiler nor the fuzzing engine, and takes half a minute the first time.
#[test]
fn the_fuzzers_compile_and_are_formatted() {
    let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
    passes(cargo(&["fmt", "--check"]).args(manifest));
    let mut check = cargo(&["check", "--locked", "--all-targets"]);
    check.args(manifest).arg("--target-dir");
    check.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz"));
    // Nothing is linked, so any file does for the engine, and no C++ compiler is needed to build it.
    check.env("CUSTOM_LIBFUZZER_PATH", root().join("fuzz/Cargo.toml"));
    passes(check);
}

/// Known vulnerabilities are looked up by `cargo deny check advisories`, which needs the advisory
/// database from the network and is therefore not part of the tests.
#[test]
fn dependencies_are_licensed_and_from_where_we_think() {
    let mut audit = Command::new(cargo_deny());
    passes(
        audit
            .args(["--workspace", "check", "bans", "licenses", "sources"])
            .current_dir(root()),
    );
}

fn passes(mut command: impl std::borrow::BorrowMut<Command>) {
    let command = command.borrow_mut();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{printed}{complaint}",
        output.status
    );
}

/// The cargo that runs this test, on this workspace.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").expect("cargo runs the tests"));
    command.args(arguments).current_dir(root());
    command
}

/// The audit tool of the version above.
fn cargo_deny() -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools");
    let installed = tools.join("bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), installed.clone()] {
        let version = Command::new(&candidate).arg("--version").output();
        let wanted = format!("cargo-deny {CARGO_DENY}");
        if version.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).trim() == wanted) {
            return candidate;
        }
    }
    // It runs for a second; the optimizer would take minutes.
    let mut install = cargo(&["install", "cargo-deny", "--locked", "--debug"]);
    install.args(["--version", CARGO_DENY, "--root"]);
    passes(install.arg(tools));
    installed
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

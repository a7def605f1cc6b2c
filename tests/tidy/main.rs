//! The laws of the house that a test can enforce, over the files of the whole workspace.
//!
//! Each test is one law, and each failure names the file, the line and the remedy. A law that needs
//! an exception lists it here with its reason, so that the list can be read and made shorter.

mod dependencies;
mod purity;
mod source;

use std::{fmt::Write as _, fs};

use dependencies::{declared_by_itself, dependency_tables};
use purity::{PURE_CRATES, impure};
use source::{files, manifest, read, root, rust_sources, words};

/// Which crates of ours a crate may depend on. The absence of a name is the law: `hub` and `engine`
/// never meet, nor do `server` and `load`.
const EDGES: [(&str, &[&str]); 6] = [
    ("proto", &[]),
    ("capacity", &[]),
    ("hub", &["proto"]),
    ("engine", &["proto", "capacity"]),
    ("server", &["proto", "capacity", "hub", "engine"]),
    ("load", &["proto", "capacity", "engine"]),
];

const UNSAFE_HOME: &str = "crates/engine/src/sys/";

/// Files that spell the word and do not mean it, and why.
const UNSAFE_SPELLED: [(&str, &str); 4] = [
    (
        "crates/load/src/page.rs",
        "the policy of a page calls inline styles so",
    ),
    ("tests/tidy/main.rs", "it is what is looked for"),
    ("tests/tidy/source.rs", "it is what is looked for"),
    (
        "crates/capacity/src/plan/recipe/kubernetes.rs",
        "Kubernetes calls some sysctls so",
    ),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 1] = [(
    "crates/capacity/src/limit/declarations.rs",
    "the table of limits, one entry after the other",
)];
/// Functions that may be longer, as `path: name`, and why.
const LONG_FUNCTIONS: [(&str, &str); 1] = [(
    "crates/capacity/src/limit/declarations.rs: declaration",
    "the table of limits",
)];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "common", "helper", "helpers", "misc", "manager", "core",
];

/// Where paths of somebody's own machine begin.
const PRIVATE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];

#[test]
fn crates_depend_only_on_the_floors_below_them() {
    let mut broken = String::new();
    for (name, allowed) in EDGES {
        let manifest = manifest(&format!("crates/{name}/Cargo.toml"));
        for (table, dependencies) in dependency_tables(&manifest) {
            for (other, _) in EDGES {
                if dependencies.contains_key(other) && !allowed.contains(&other) {
                    let _ = writeln!(
                        broken,
                        "crates/{name}/Cargo.toml: [{table}] must not name `{other}`"
                    );
                }
            }
        }
    }
    assert_lawful(
        "a crate knows only the floors below it (ARCHITECTURE.md)",
        &broken,
    );
}

#[test]
fn every_crate_of_the_house_has_its_place_among_the_floors() {
    let mut broken = String::new();
    for crate_dir in fs::read_dir(root().join("crates"))
        .expect("crates/ exists")
        .flatten()
    {
        let name = crate_dir.file_name().to_string_lossy().into_owned();
        if !EDGES.iter().any(|(known, _)| *known == name) {
            let _ = writeln!(
                broken,
                "crates/{name}: say in tests/tidy/main.rs what it may depend on"
            );
        }
    }
    assert_lawful("every crate is on a floor", &broken);
}

#[test]
fn pure_crates_touch_no_socket_clock_thread_or_file() {
    let mut broken = String::new();
    for source in rust_sources().filter(|source| !source.is_test()) {
        if !PURE_CRATES
            .iter()
            .any(|name| source.path.starts_with(&format!("crates/{name}/src/")))
        {
            continue;
        }
        for (number, line) in source.code() {
            for word in impure(line) {
                let _ = writeln!(broken, "{}:{number}: `{word}`", source.path);
            }
        }
    }
    assert_lawful("proto and hub are pure: take it as an argument", &broken);
}

#[test]
fn unsafe_lives_under_the_engines_sys_alone() {
    let mut broken = String::new();
    for source in rust_sources() {
        let home = source.path.starts_with(UNSAFE_HOME) || listed(&UNSAFE_SPELLED, &source.path);
        for (number, line) in source.lines_without_comments() {
            if !home && words(line).any(|word| word == "unsafe") {
                let _ = writeln!(broken, "{}:{number}: {}", source.path, line.trim());
            }
        }
    }
    for (name, _) in EDGES.iter().filter(|(name, _)| *name != "engine") {
        let path = format!("crates/{name}/src/lib.rs");
        if !read(&path).contains("#![forbid(unsafe_code)]") {
            let _ = writeln!(broken, "{path}: write `#![forbid(unsafe_code)]`");
        }
    }
    assert_lawful(
        "unsafe is for system calls, in crates/engine/src/sys/",
        &broken,
    );
}

#[test]
fn files_and_functions_stay_small() {
    let mut broken = String::new();
    for source in rust_sources().filter(|source| !source.is_test()) {
        let lines = source.code().count();
        if lines > FILE_LINES_MAX && !listed(&LONG_FILES, &source.path) {
            let _ = writeln!(
                broken,
                "{}: {lines} lines without its tests; find the noun hiding in it",
                source.path
            );
        }
        for (number, name, length) in source.functions() {
            if length > FUNCTION_LINES_MAX
                && !listed(&LONG_FUNCTIONS, &format!("{}: {name}", source.path))
            {
                let _ = writeln!(
                    broken,
                    "{}:{number}: `{name}` has {length} lines",
                    source.path
                );
            }
        }
    }
    let law = format!(
        "files up to {FILE_LINES_MAX} lines, functions up to {FUNCTION_LINES_MAX}, tests apart"
    );
    assert_lawful(&law, &broken);
}

#[test]
fn allowances_are_still_needed() {
    let mut broken = String::new();
    for (path, reason) in LONG_FILES.iter().chain(&LONG_FUNCTIONS) {
        let file = path.split(": ").next().unwrap_or(path);
        if !root().join(file).exists() || reason.is_empty() {
            let _ = writeln!(broken, "{path}: gone, or without a reason");
        }
    }
    assert_lawful("an exception names something that exists and why", &broken);
}

#[test]
fn names_say_what_is_inside() {
    let mut broken = String::new();
    for path in files() {
        let stem = path
            .split('/')
            .next_back()
            .and_then(|name| name.split('.').next())
            .unwrap_or_default();
        let folders = path.split('/').rev().skip(1);
        if folders
            .chain([stem])
            .any(|part| EMPTY_NAMES.contains(&part))
        {
            let _ = writeln!(broken, "{path}");
        }
    }
    assert_lawful(
        "no util, common, helpers, misc, manager, core: name the noun",
        &broken,
    );
}

#[test]
fn every_module_says_what_it_is() {
    let mut broken = String::new();
    for source in rust_sources() {
        if !source.text.starts_with("//!") {
            let _ = writeln!(broken, "{}: begin with `//!`", source.path);
        }
    }
    assert_lawful(
        "a file opens with what its concept is and may not know",
        &broken,
    );
}

#[test]
fn nothing_is_left_half_done() {
    let mut broken = String::new();
    for source in rust_sources().filter(|source| !source.path.starts_with("tests/tidy/")) {
        for (number, line) in source.text.lines().enumerate() {
            let unfinished = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"].iter();
            if unfinished.clone().any(|word| line.contains(word)) || open_todo(line) {
                let _ = writeln!(broken, "{}:{}: {}", source.path, number + 1, line.trim());
            }
        }
    }
    assert_lawful(
        "no stubs, no skipped tests, no TODO without `TODO(#issue)`",
        &broken,
    );
}

#[test]
fn only_tests_unwrap() {
    let mut broken = String::new();
    for source in rust_sources().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            if line.contains(".unwrap()") || line.contains(".unwrap_err()") {
                let _ = writeln!(broken, "{}:{number}: {}", source.path, line.trim());
            }
        }
    }
    assert_lawful(
        "`expect` with the reason, on an invariant visible in the function",
        &broken,
    );
}

#[test]
fn lints_are_silenced_with_a_reason() {
    let mut broken = String::new();
    for source in rust_sources().filter(|source| !source.path.starts_with("tests/tidy/")) {
        let lines: Vec<_> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let silences = ["#[allow(", "#![allow(", "#[expect(", "#![expect("];
            let here = line.trim_start();
            if silences.iter().any(|attribute| here.starts_with(attribute)) {
                let attribute = lines[number..].iter().take(4).copied().collect::<String>();
                if !attribute
                    .split(")]")
                    .next()
                    .unwrap_or_default()
                    .contains("reason =")
                {
                    let _ = writeln!(broken, "{}:{}: {here}", source.path, number + 1);
                }
            }
        }
    }
    assert_lawful("each allow and expect has its `reason = \"…\"`", &broken);
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = read("Cargo.toml");
    let dependencies = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .expect("the workspace declares its dependencies");
    let mut broken = String::new();
    for line in dependencies
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains('='))
    {
        let ours = line.contains("path = \"crates/");
        if !ours && !line.contains(" # ") {
            let _ = writeln!(broken, "Cargo.toml: {line}");
        }
    }
    assert_lawful("a dependency says after its line what it is for", &broken);
}

#[test]
fn members_take_dependencies_from_the_workspace() {
    let mut broken = String::new();
    // A workspace of its own cannot take anything from this one.
    let apart = ["fuzz/Cargo.toml", "bench/peers/rust/Cargo.toml"];
    let is_member = |path: &String| path.ends_with("Cargo.toml") && !apart.contains(&&**path);
    for path in files().filter(is_member) {
        for dependency in declared_by_itself(&manifest(&path)) {
            let _ = writeln!(broken, "{path}: {dependency}: write `workspace = true`");
        }
    }
    assert_lawful("versions are declared once, in the workspace", &broken);
}

#[test]
fn the_map_names_only_places_that_exist() {
    let mut broken = String::new();
    for (document, text) in [
        ("ARCHITECTURE.md", read("ARCHITECTURE.md")),
        ("README.md", read("README.md")),
    ] {
        for path in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|quoted| is_path(quoted))
        {
            if !root().join(path).exists() {
                let _ = writeln!(broken, "{document}: `{path}`");
            }
        }
    }
    assert_lawful("a path in the documents exists", &broken);
}

#[test]
fn the_readme_names_the_toolchain_that_the_workspace_asks_for() {
    let manifest = manifest("Cargo.toml");
    let version = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .expect("a rust-version");
    let wanted = format!("Rust {version}");
    assert!(
        read("README.md").contains(&wanted),
        "README.md: say `{wanted}`"
    );
}

#[test]
fn the_changelog_is_open() {
    let changelog = read("CHANGELOG.md");
    let first = changelog.lines().find(|line| line.starts_with("## "));
    assert_eq!(
        first,
        Some("## Unreleased"),
        "CHANGELOG.md: the newest part is Unreleased"
    );
}

#[test]
fn scripts_are_short() {
    let mut broken = String::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        let script =
            text.starts_with("#!") && text.lines().next().is_some_and(|line| line.ends_with("sh"));
        let real = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .count();
        if script && real > 20 {
            let _ = writeln!(
                broken,
                "{path}: {real} lines; make it a test or a subcommand"
            );
        }
    }
    assert_lawful("no shell script over 20 lines", &broken);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut broken = String::new();
    for path in files().filter(|path| !path.starts_with("tests/tidy/")) {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if PRIVATE_PATHS.iter().any(|private| line.contains(private)) {
                let _ = writeln!(broken, "{path}:{}: {}", number + 1, line.trim());
            }
        }
    }
    assert_lawful("paths are relative to the repository", &broken);
}

#[test]
fn lock_files_name_no_mirror() {
    for folder in [
        "tests/clients/node",
        "tests/dashboard/browser",
        "bench/peers/node",
    ] {
        assert!(
            !read(&format!("{folder}/package-lock.json")).contains("\"resolved\""),
            "{folder}/package-lock.json: keep omit-lockfile-registry-resolved"
        );
    }
    let lock = read("tests/clients/python/requirements.txt");
    for line in lock.lines() {
        assert!(
            !line.starts_with("--"),
            "requirements.txt: `{line}` belongs to one machine"
        );
    }
}

fn assert_lawful(law: &str, broken: &str) {
    assert!(broken.is_empty(), "{law}\n{broken}");
}

fn listed(allowances: &[(&str, &str)], name: &str) -> bool {
    allowances.iter().any(|(allowed, _)| *allowed == name)
}

/// A `TODO` or `FIXME` that names no issue.
fn open_todo(line: &str) -> bool {
    ["TODO", "FIXME", "XXX"].iter().any(|mark| {
        line.split(mark)
            .nth(1)
            .is_some_and(|rest| !rest.starts_with("(#"))
    })
}

/// Whether a quoted word of a document is a path inside the repository.
fn is_path(quoted: &str) -> bool {
    let plain = quoted
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let first = quoted.split('/').next().unwrap_or_default();
    let rooted = [
        "src", "crates", "bench", "fuzz", "tests", "docs", "examples", ".ci",
    ];
    let document =
        !quoted.contains('/') && [".md", ".toml"].iter().any(|end| quoted.ends_with(end));
    plain
        && ((quoted.contains('/') && rooted.contains(&first))
            || (document && !quoted.starts_with('.')))
}

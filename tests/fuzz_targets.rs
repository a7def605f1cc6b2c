//! Keeps `fuzz/` whole on machines that cannot run it: a target that nobody listed, or whose body no
//! test runs, would be found only when it is needed. That it compiles is in tests/checks.rs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What the corpus of a target is made of, at most: inputs are kept to be read by people, too.
const INPUT_BYTES_MAX: u64 = 4096;
const INPUTS_MAX: usize = 120;

#[test]
fn every_target_is_declared_and_runs_its_body() {
    let manifest: toml::Table = read("fuzz/Cargo.toml").parse().expect("TOML");
    let bins = manifest["bin"].as_array().expect("[[bin]]s");
    let declared: BTreeSet<_> = bins
        .iter()
        .map(|bin| bin["name"].as_str().expect("a name").to_owned())
        .collect();
    let written: BTreeSet<_> = files(&root().join("fuzz/fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().expect("a name").display().to_string())
        .collect();
    let listed: BTreeSet<_> = targets().into_keys().collect();
    assert_eq!(written, declared, "fuzz/fuzz_targets/ and fuzz/Cargo.toml");
    assert_eq!(listed, declared, "fuzz/src/lib.rs and fuzz/Cargo.toml");
    for bin in bins {
        let name = bin["name"].as_str().expect("a name");
        let path = format!("fuzz_targets/{name}.rs");
        assert_eq!(bin["path"].as_str(), Some(&*path));
        let call = format!("fuzz_target!(|data: &[u8]| fourtuple_fuzz::{name}(data));");
        assert!(read(&format!("fuzz/{path}")).contains(&call), "{path}");
    }
}

#[test]
fn every_target_has_a_body_that_a_test_runs_and_a_corpus() {
    let tests = test_files();
    let modules = modules();
    for (target, body) in targets() {
        let (module, function) = body.split_once("::").expect("module::function");
        let file = &modules[module];
        let declaration = format!("pub(crate) fn {function}(");
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{module}: {error}"));
        assert!(text.contains(&declaration), "{function} in {module}");
        let runs_it = |path: &&PathBuf| {
            let is_rust = path.extension().is_some_and(|extension| extension == "rs");
            is_rust && *path != file && text_of(path).contains(function)
        };
        assert!(
            tests.iter().any(|path| runs_it(&path)),
            "no test runs {function}"
        );
        let inputs: Vec<_> = tests
            .iter()
            .filter(|path| {
                path.parent()
                    .is_some_and(|parent| parent.ends_with(&target))
            })
            .collect();
        assert!(
            (1..=INPUTS_MAX).contains(&inputs.len()),
            "{} inputs in corpus/{target}",
            inputs.len()
        );
        for input in inputs {
            let bytes = fs::metadata(input).expect("an input").len();
            assert!(bytes <= INPUT_BYTES_MAX, "{} is too long", input.display());
        }
    }
}

#[test]
fn every_body_has_a_target() {
    let bodies: BTreeSet<_> = targets()
        .into_values()
        .filter_map(|body| Some(body.split_once("::")?.1.to_owned()))
        .collect();
    for path in test_files() {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        for line in text_of(&path).lines() {
            let Some(rest) = line.strip_prefix("pub(crate) fn fuzz_") else {
                continue;
            };
            let name = rest.split('(').next().unwrap_or_default();
            let body = format!("fuzz_{name}");
            assert!(
                bodies.contains(&body),
                "{} has {body}, which fuzz/src/lib.rs does not list",
                path.display()
            );
        }
    }
}

/// Each target of `fuzz/src/lib.rs` with its `module::function`.
fn targets() -> BTreeMap<String, String> {
    let text = read("fuzz/src/lib.rs");
    let (_, list) = text.split_once("\ntargets! {\n").expect("a list");
    let lines = list.lines().take_while(|line| *line != "}");
    lines
        .map(|line| {
            let (name, body) = line.trim().split_once(": ").expect("name: body;");
            let body = body.strip_suffix(';').expect("name: body;");
            (name.to_owned(), body.to_owned())
        })
        .collect()
}

/// Each module that `fuzz/src/lib.rs` includes, with its file, which exists.
fn modules() -> BTreeMap<String, PathBuf> {
    let text = read("fuzz/src/lib.rs");
    let mut path = None;
    let mut modules = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path = rest.strip_suffix("\"]");
        } else if let Some(name) = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        {
            let file = root().join("fuzz/src").join(path.take().expect("a path"));
            let file = file.canonicalize().unwrap_or_else(|error| {
                panic!("{name} of fuzz/src/lib.rs is not at {file:?}: {error}")
            });
            modules.insert(name.to_owned(), file);
        }
    }
    modules
}

/// Every file of the crates' tests, their corpora included.
fn test_files() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).expect("crates/");
    crates
        .map(|folder| folder.expect("a readable folder").path().join("tests"))
        .filter(|tests| tests.is_dir())
        .flat_map(|tests| files(&tests))
        .map(|path| path.canonicalize().expect("it is there"))
        .collect()
}

/// The files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries
        .map(|entry| entry.expect("a readable folder").path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn read(path: &str) -> String {
    text_of(&root().join(path))
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//! The bodies of the fuzz targets, run as ordinary tests: over the inputs in `corpus/`, over those
//! with random damage, and over random bytes.

use std::{fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::TestRunner,
};

use crate::{bodies, phoenix_bodies};

/// Runs one body.
fn check(name: &str, body: fn(&[u8])) {
    let corpus = corpus(name);
    for input in &corpus {
        body(input);
    }
    let edit = (any::<Index>(), any::<u8>(), 0..4_u8);
    let damaged = (select(corpus.clone()), select(corpus), vec(edit, 0..6)).prop_map(damage);
    let random = vec(any::<u8>(), 0..200);
    let outcome = TestRunner::new(ProptestConfig::with_source_file(file!())).run(
        &prop_oneof![7 => damaged, 1 => random],
        |input| {
            body(&input);
            Ok(())
        },
    );
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// The inputs that are kept for one body: what is typical, and what once was, or may be, a trap.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wire/corpus")
        .join(name);
    let entries = fs::read_dir(&folder).expect("each body has a corpus");
    let inputs: Vec<_> = entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// Where an input is changed, with which byte, and how.
type Edit = (Index, u8, u8);

/// Changes one input by single bytes and by pieces of another.
fn damage((mut bytes, other, edits): (Vec<u8>, Vec<u8>, Vec<Edit>)) -> Vec<u8> {
    for (index, value, kind) in edits {
        let at = index.index(bytes.len() + 1);
        match kind {
            0 => bytes.insert(at, value),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, other.iter().copied().take(usize::from(value)))),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
        }
    }
    bytes
}

#[test]
fn ws_server() {
    check("ws_server", bodies::fuzz_ws_server);
}

#[test]
fn ws_client() {
    check("ws_client", bodies::fuzz_ws_client);
}

#[test]
fn http_request() {
    check("http_request", bodies::fuzz_http_request);
}

#[test]
fn http_response() {
    check("http_response", bodies::fuzz_http_response);
}

#[test]
fn phoenix_v1() {
    check("phoenix_v1", phoenix_bodies::fuzz_phoenix_v1);
}

#[test]
fn phoenix_v2() {
    check("phoenix_v2", phoenix_bodies::fuzz_phoenix_v2);
}

#[test]
fn phoenix_binary() {
    check("phoenix_binary", phoenix_bodies::fuzz_phoenix_binary);
}

#[test]
fn phoenix_received_text() {
    check(
        "phoenix_received_text",
        phoenix_bodies::fuzz_phoenix_received_text,
    );
}

#[test]
fn phoenix_received_binary() {
    check(
        "phoenix_received_binary",
        phoenix_bodies::fuzz_phoenix_received_binary,
    );
}

#[test]
fn phoenix_params() {
    check("phoenix_params", phoenix_bodies::fuzz_phoenix_params);
}

//! The body of the fuzz target `shard`, run as an ordinary test: over the inputs in `corpus/`, over
//! those with random damage, and over random scripts.

use std::{fmt::Write as _, fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{TestError, TestRunner},
};

use crate::shard_body::fuzz_shard;

#[test]
fn any_script_is_survived() {
    let corpus = corpus();
    for (name, input) in &corpus {
        // Shown only when the input fails.
        println!("corpus/shard/{name}");
        fuzz_shard(input);
    }
    let inputs: Vec<_> = corpus.into_iter().map(|(_, input)| input).collect();
    let edits = vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..8);
    let damaged = (select(inputs), edits).prop_map(|(mut bytes, edits)| {
        for (index, value, kind) in edits {
            let at = index.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, value),
                1 => bytes.truncate(at.max(2)),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
            }
        }
        bytes
    });
    let random = vec(any::<u8>(), 0..400);
    let config = ProptestConfig {
        cases: 600,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&prop_oneof![damaged, random], |input| {
        fuzz_shard(&input);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, input)) => {
            let bytes = input.iter().fold(String::new(), |mut text, byte| {
                // Writing to a String does not fail.
                let _ = write!(text, "\\x{byte:02x}");
                text
            });
            panic!("{reason}\nkeep it: printf '{bytes}' > corpus/shard/NAME");
        }
        Err(abort) => panic!("{abort}"),
    }
}

/// The scripts that are kept, with their names: what is typical, and what once was a trap.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated/corpus/shard");
    let entries = fs::read_dir(&folder).expect("the corpus is there");
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("a readable folder");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("a readable input"))
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

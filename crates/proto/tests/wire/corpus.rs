//! Runs the body of a fuzz target as an ordinary test: over the inputs that are kept for it, over
//! those with random damage, and over random bytes. The tests of other crates include this file.

use std::{fmt::Write as _, fs, ops::Range, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{TestError, TestRunner},
};

/// A body with its inputs.
pub(crate) struct Corpus<'a> {
    /// The folder of the inputs: what is typical, and what once was, or may be, a trap.
    pub(crate) folder: &'a str,
    /// How many inputs are made up.
    pub(crate) cases: u32,
    /// How long inputs of random bytes are.
    pub(crate) random_bytes: Range<usize>,
    pub(crate) body: fn(&[u8]),
}

/// Where an input is changed, with which byte, and how.
type Edit = (Index, u8, u8);

impl Corpus<'_> {
    /// Runs the body.
    ///
    /// # Panics
    ///
    /// The body does; the input is named, or written so that it can be kept.
    pub(crate) fn check(self) {
        let inputs = self.inputs();
        for (name, input) in &inputs {
            // Shown only when the body fails.
            println!("{}/{name}", self.folder);
            (self.body)(input);
        }
        let inputs: Vec<_> = inputs.into_iter().map(|(_, input)| input).collect();
        let edit = (any::<Index>(), any::<u8>(), 0..4_u8);
        let damaged = (select(inputs.clone()), select(inputs), vec(edit, 0..6)).prop_map(damage);
        let random = vec(any::<u8>(), self.random_bytes.clone());
        let config = ProptestConfig {
            cases: self.cases,
            // What fails is kept by hand, as an input with a name.
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let outcome =
            TestRunner::new(config).run(&prop_oneof![4 => damaged, 1 => random], |input| {
                (self.body)(&input);
                Ok(())
            });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, input)) => panic!(
                "{reason}\nkeep it: printf '{}' > {}/NAME",
                escaped(&input),
                self.folder
            ),
            Err(abort) => panic!("{abort}"),
        }
    }

    fn inputs(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(Path::new(self.folder)).expect("each body has a corpus");
        let mut inputs: Vec<_> = entries
            .map(|entry| {
                let entry = entry.expect("a readable folder");
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read(entry.path()).expect("a readable input"))
            })
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} is empty", self.folder);
        inputs
    }
}

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

/// Bytes as `printf` writes them.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

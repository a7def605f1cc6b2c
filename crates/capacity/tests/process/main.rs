//! A process is read as it is, on this machine and on others, and what cannot be read says why.

mod body;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;
mod live_processes;
mod machine_body;
mod other_machines;
mod runtimes;
mod tree;

#[test]
fn any_bytes_are_the_files_of_a_process() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/process/corpus/process_files"
        ),
        cases: 2_000,
        random_bytes: 0..200,
        body: body::fuzz_process_files,
    }
    .check();
}

#[test]
fn any_bytes_are_the_files_of_a_machine() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/process/corpus/machine_files"
        ),
        cases: 2_000,
        random_bytes: 0..200,
        body: machine_body::fuzz_machine_files,
    }
    .check();
}

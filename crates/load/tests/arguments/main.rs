//! The body of the fuzz target `load_arguments`, run as an ordinary test.

mod body;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;

#[test]
fn any_text_is_an_argument_or_refused() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/arguments/corpus/load_arguments"
        ),
        cases: 2_000,
        random_bytes: 0..60,
        body: body::fuzz_arguments,
    }
    .check();
}

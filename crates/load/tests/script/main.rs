//! The body of the fuzz target `load_script`, run as an ordinary test.

mod body;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;

#[test]
fn any_text_is_a_script_or_refused() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/script/corpus/load_script"
        ),
        cases: 2_000,
        random_bytes: 0..200,
        body: body::fuzz_script,
    }
    .check();
}

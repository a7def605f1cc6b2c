//! The body of the fuzz target `server_config`, run as an ordinary test.

mod body;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;

#[test]
fn any_text_is_a_configuration_or_its_problems() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/config/corpus/server_config"
        ),
        cases: 600,
        random_bytes: 0..100,
        body: body::fuzz_config,
    }
    .check();
}

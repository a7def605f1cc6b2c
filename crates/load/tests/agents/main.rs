//! The body of the fuzz target `load_agents`, run as an ordinary test.

mod body;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;

#[test]
fn any_bytes_are_greetings_and_messages_or_refused() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/agents/corpus/load_agents"
        ),
        cases: 1_000,
        random_bytes: 0..200,
        body: body::fuzz_agents,
    }
    .check();
}

//! The body of the fuzz target `tls_client`, run as an ordinary test.

mod body;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;

#[test]
fn whatever_a_server_says_instead_of_tls_nobody_panics_and_nothing_is_left() {
    corpus::Corpus {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/corpus/tls_client"),
        cases: 1_000,
        random_bytes: 0..300,
        body: body::fuzz_tls_client,
    }
    .check();
}

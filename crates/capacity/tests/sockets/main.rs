//! Sockets of this machine through the public face of [`capacity::sockets`], and the fuzz bodies of
//! its parsers run as ordinary tests.

extern crate fourtuple_capacity as capacity;

mod bodies;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;
mod counters_move_with_what_happens;
mod loopback;
mod sockets_are_counted_exactly;
mod sources_agree;

#[test]
fn any_bytes_are_messages_or_cut() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/sockets/corpus/socket_messages"
        ),
        cases: 2_000,
        random_bytes: 0..200,
        body: bodies::fuzz_socket_messages,
    }
    .check();
}

#[test]
fn any_text_is_lines_of_sockets_or_odd() {
    corpus::Corpus {
        folder: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/sockets/corpus/socket_lines"
        ),
        cases: 2_000,
        random_bytes: 0..200,
        body: bodies::fuzz_socket_lines,
    }
    .check();
}

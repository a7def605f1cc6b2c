//! The body of the fuzz target `shard`, run as an ordinary test.

use crate::{corpus::Corpus, shard_body::fuzz_shard};

#[test]
fn any_script_is_survived() {
    Corpus {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulated/corpus/shard"),
        cases: 600,
        random_bytes: 0..400,
        body: fuzz_shard,
    }
    .check();
}

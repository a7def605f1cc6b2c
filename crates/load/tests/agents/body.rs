//! What agents and coordinators promise for any bytes at all. A fuzz target includes this file.

use fourtuple_load::probe;

/// Bytes of a greeting, from whoever has found the port.
const GREETING_BYTES_MAX: usize = 4 << 10;

/// Any bytes are frames of a greeting, or refused, however they are cut; without the key they are no frames of a
/// session; and any text is a message that reads back as it was written, or none.
pub(crate) fn fuzz_agents(data: &[u8]) {
    let whole = probe::greetings(data, usize::MAX);
    for piece in [1, 3, 100] {
        assert_eq!(probe::greetings(data, piece), whole);
    }
    let (greetings, _) = &whole;
    assert!(greetings.iter().all(|one| one.len() <= GREETING_BYTES_MAX));
    assert_eq!(probe::sealed(data), 0, "a frame without a key");
    for read in [probe::to_agent, probe::to_coordinator] {
        if let Some(written) = read(data) {
            assert_eq!(read(&written).as_ref(), Some(&written));
        }
    }
}

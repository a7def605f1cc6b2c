//! How buffers of incomplete messages grow: with what arrived, never with what was announced.

/// The bytes to reserve beyond `len` so that `more` fit: doubling, so that a trickle costs no more
/// copies than it has to, but never beyond `bytes_max`, the longest that the content can become.
pub(super) fn room(capacity: usize, len: usize, more: usize, bytes_max: u64) -> usize {
    let needed = len + more;
    if needed <= capacity {
        return more;
    }
    let doubled = usize::try_from(bytes_max).map_or(usize::MAX, |max| max.min(capacity * 2));
    needed.max(doubled) - len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_doubles_up_to_what_a_message_can_become() {
        assert_eq!(
            room(0, 0, 10, 1000),
            10,
            "the first bytes take what they need"
        );
        assert_eq!(room(10, 10, 1, 1000), 10, "twice the capacity");
        assert_eq!(room(10, 10, 50, 1000), 50, "or what is needed");
        assert_eq!(room(20, 11, 9, 1000), 9, "nothing new where there is room");
        assert_eq!(
            room(800, 800, 1, 1000),
            200,
            "never more than the message can take"
        );
        assert_eq!(room(800, 800, 1, u64::MAX), 800);
    }
}

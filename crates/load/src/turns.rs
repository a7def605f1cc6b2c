//! Whose turn it is to open connections: a few shards at a time, where there are more than cores.
//!
//! A hundred threads that open a few connections each are woken for each of them, and to open one costs
//! half as much again as on two threads. So shards take turns, in their order: as many as cores open at a
//! time, and the next begin when those have little left.

/// Connections that those in turn may still have to open when the next begin, besides the handshakes
/// under way: as many as are opened between two looks of the conductor.
const LEFT_MAX: u64 = 4_096;

/// Which shards have had their turn.
#[derive(Debug)]
pub(crate) struct Turns {
    shards: u16,
    at_a_time: u16,
    /// Shards `0..begun` have begun.
    begun: u16,
    left_max: u64,
}

impl Turns {
    /// The first `at_a_time` of `shards` have begun; there are `concurrency` handshakes at once.
    pub(crate) fn new(shards: u16, at_a_time: u16, concurrency: u32) -> Self {
        let at_a_time = at_a_time.max(1);
        Self {
            shards,
            at_a_time,
            begun: at_a_time.min(shards),
            left_max: LEFT_MAX + u64::from(concurrency),
        }
    }

    /// The shards that are to begin now, when the first have so many connections `unsettled`.
    pub(crate) fn next(&mut self, unsettled: impl Iterator<Item = u64>) -> std::ops::Range<u16> {
        let left: u64 = unsettled.take(self.begun.into()).sum();
        let first = self.begun;
        if left <= self.left_max {
            self.begun = self.shards.min(first.saturating_add(self.at_a_time));
        }
        first..self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_begin_when_little_is_left() {
        let mut turns = Turns::new(5, 2, 1_000);
        let mut next = |unsettled: [u64; 5]| turns.next(unsettled.into_iter());
        assert_eq!(next([19_800; 5]), 2..2);
        assert_eq!(next([2_000, 3_097, 19_800, 19_800, 19_800]), 2..2);
        assert_eq!(next([2_000, 3_096, 19_800, 19_800, 19_800]), 2..4);
        assert_eq!(next([0, 0, 19_800, 19_800, 19_800]), 4..4);
        assert_eq!(next([0, 0, 0, 0, 19_800]), 4..5);
        assert_eq!(next([0; 5]), 5..5);
    }

    #[test]
    fn where_cores_abound_all_begin_at_once() {
        let mut turns = Turns::new(2, 8, 1_000);
        assert_eq!(turns.next([1, 1].into_iter()), 2..2);
    }
}

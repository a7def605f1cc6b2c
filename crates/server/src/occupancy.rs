//! How many connections the whole node holds, and how many it may.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The seats of a node, shared by its shards.
///
/// The kernel spreads connections over shards by a hash, so a share of the seats for each shard would
/// refuse some while others are free. One shared count costs two atomic additions in the life of a
/// connection and none per message.
#[derive(Debug)]
pub(crate) struct Occupancy {
    taken: AtomicU32,
    max: u32,
}

impl Occupancy {
    pub(crate) const fn new(max: u32) -> Self {
        Self {
            taken: AtomicU32::new(0),
            max,
        }
    }

    /// Whether [`Occupancy::take`] would fail now.
    pub(crate) fn is_full(&self) -> bool {
        self.taken.load(Relaxed) >= self.max
    }

    /// Takes a seat; `false` when none is free.
    pub(crate) fn take(&self) -> bool {
        let taken = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }

    /// Gives a seat back.
    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_seats_as_said() {
        let occupancy = Occupancy::new(2);
        assert!(occupancy.take());
        assert!(!occupancy.is_full());
        assert!(occupancy.take());
        assert!(occupancy.is_full());
        assert!(!occupancy.take());
        occupancy.give_back();
        assert!(occupancy.take());
    }
}

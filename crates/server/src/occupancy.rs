//! How many connections the whole node holds, and how many it may.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

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

/// The seats of one shard. It has those of the node that are free, and no more than there are
/// descriptors for, when these are its own.
#[derive(Debug)]
pub(crate) struct Seats {
    node: Arc<Occupancy>,
    taken: u32,
    max: u32,
}

impl Occupancy {
    pub(crate) const fn new(max: u32) -> Self {
        Self {
            taken: AtomicU32::new(0),
            max,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.taken.load(Relaxed) >= self.max
    }

    fn take(&self) -> bool {
        let taken = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

impl Seats {
    /// Up to `max` seats of the node's.
    pub(crate) const fn new(node: Arc<Occupancy>, max: u32) -> Self {
        Self {
            node,
            taken: 0,
            max,
        }
    }

    /// Whether [`Seats::take`] would fail now.
    pub(crate) fn are_taken(&self) -> bool {
        self.taken >= self.max || self.node.is_full()
    }

    /// Takes a seat; `false` when none is free.
    pub(crate) fn take(&mut self) -> bool {
        let taken = self.taken < self.max && self.node.take();
        self.taken += u32::from(taken);
        taken
    }

    /// Gives a seat back.
    pub(crate) fn give_back(&mut self) {
        self.taken -= 1;
        self.node.give_back();
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

    #[test]
    fn a_shard_takes_no_more_than_its_own_and_leaves_the_others_to_others() {
        let node = Arc::new(Occupancy::new(5));
        let mut shards = [2, 9].map(|max| Seats::new(Arc::clone(&node), max));
        let [small, large] = &mut shards;
        assert!(small.take() && small.take());
        assert!(small.are_taken() && !small.take());
        assert!((0..3).all(|_| large.take()));
        assert!(large.are_taken() && !large.take());
        small.give_back();
        assert!(!large.are_taken() && !small.are_taken());
        assert!(large.take());
        assert!(small.are_taken() && !small.take());
    }
}

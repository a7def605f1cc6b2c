//! Which shards new connections go to, when there are more shards than cores.
//!
//! A node for two million connections has a hundred shards where a table of descriptors holds a hundredth
//! of them. Given to all of them, connections come to each one by one, and every event
//! costs the waking of a thread. So a few shards take what comes until they have their share, then the
//! next few do:
//!
//! ```text
//!  shard      0     1     2     3     4   …  105
//!  has       full  full  some  some   –        –
//!  takes                  ▲     ▲                     2 at a time
//! ```
//!
//! A node that holds few connections is then as busy as one that was made for few. The machine does the
//! steering: the listening sockets of a port are asked in the order of shards, by a program that all of
//! them share.
//!
//! A shard whose accept queue was full is *flooded* until the queue has been empty. Meanwhile it takes
//! nothing, and for each such shard twice as many others take what comes.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::ShardIndex;

/// Where new connections go, shared by the shards of a node.
#[derive(Debug)]
pub struct Steering {
    at_a_time: u16,
    share: u32,
    seats: u32,
    /// By shard, each written by that shard.
    full: Box<[AtomicBool]>,
    /// By shard, each written by that shard.
    flooded: Box<[AtomicBool]>,
    applied: Mutex<Applied>,
}

/// What the machine was told last.
#[derive(Debug)]
struct Applied {
    /// How many shards are flooded.
    floods: u16,
    shards: Vec<u16>,
}

impl Steering {
    /// Leads new connections to `at_a_time` of the node's shards, until each of these has `share`
    /// connections; those that wait to be accepted count.
    ///
    /// # Panics
    ///
    /// One of the numbers is zero.
    pub fn new(shards_count: u16, at_a_time: u16, share: u32) -> Self {
        assert!(shards_count > 0 && at_a_time > 0 && share > 0);
        let flags = || (0..shards_count).map(|_| AtomicBool::new(false)).collect();
        Self {
            at_a_time,
            share,
            seats: u32::MAX,
            full: flags(),
            flooded: flags(),
            applied: Mutex::new(Applied {
                floods: 0,
                shards: Vec::new(),
            }),
        }
    }

    /// The same for shards that have no more than `seats` for connections: no more are let wait than fit.
    #[must_use]
    pub fn with_seats(self, seats: u32) -> Self {
        Self { seats, ..self }
    }

    /// How many more fit into a shard that has so many.
    pub const fn room(&self, conns_count: u32) -> u32 {
        self.seats.saturating_sub(conns_count)
    }

    /// Takes note of how many connections a shard has and how many more wait for it, and tells the machine
    /// by `apply` when other shards are to take new ones. `apply` is given none when all shards have their
    /// share, and says whether the machine has taken it.
    pub(crate) fn handle_count(
        &self,
        shard: ShardIndex,
        conns_count: u32,
        waiting_count: u32,
        apply: impl FnOnce(&[u16]) -> bool,
    ) {
        let full = &self.full[usize::from(shard.0)];
        let was_full = full.load(Relaxed);
        let share = self.share;
        // A shard takes again when there is a good part of its share to take.
        let threshold = if was_full { share - share / 8 } else { share };
        // Who waits here cannot be sent elsewhere any more.
        let is_full = conns_count.saturating_add(waiting_count) >= threshold;
        let is_over = waiting_count == 0 && self.flooded[usize::from(shard.0)].swap(false, Relaxed);
        if is_full != was_full || is_over {
            full.store(is_full, Relaxed);
            let mut applied = self.lock();
            applied.floods -= u16::from(is_over);
            self.apply(&mut applied, apply);
        }
    }

    /// As many wait at a shard as may: others take what comes, and more of them, until nobody has waited
    /// here for once.
    pub(crate) fn handle_queue_full(&self, shard: ShardIndex, apply: impl FnOnce(&[u16]) -> bool) {
        // A queue that stays full is reported again and again, and is one flood.
        if !self.flooded[usize::from(shard.0)].swap(true, Relaxed) {
            let mut applied = self.lock();
            applied.floods += 1;
            self.apply(&mut applied, apply);
        }
    }

    /// Tells the machine for the first time.
    pub(crate) fn begin(&self, apply: impl FnOnce(&[u16]) -> bool) {
        self.apply(&mut self.lock(), apply);
    }

    fn apply(&self, applied: &mut Applied, apply: impl FnOnce(&[u16]) -> bool) {
        let shards = self.takers(applied.floods);
        // What failed is tried again with the next change.
        if shards != applied.shards && apply(&shards) {
            applied.shards = shards;
        }
    }

    /// The shards that take what comes. When all that have room are flooded, they take it all the same:
    /// who has its share has no room for a storm.
    fn takers(&self, floods: u16) -> Vec<u16> {
        let is_set = |flags: &[AtomicBool], shard: u16| flags[usize::from(shard)].load(Relaxed);
        let with_room = (0..self.full.len() as u16).filter(|&shard| !is_set(&self.full, shard));
        let calm = with_room
            .clone()
            .filter(|&shard| !is_set(&self.flooded, shard));
        let at_a_time = usize::from(self.at_a_time) << floods.min(16);
        let takers: Vec<u16> = calm.take(at_a_time).collect();
        if takers.is_empty() {
            return with_room.collect();
        }
        takers
    }

    /// Held while the machine is told, so that what it is told last is what was found last. It is not on
    /// the path of a message: a shard comes here when it has got its share or lost a part of it, and when
    /// its flood begins or ends.
    fn lock(&self) -> std::sync::MutexGuard<'_, Applied> {
        self.applied
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the machine is told when a shard has so many connections and so many wait.
    fn counts(steering: &Steering, shard: u16, conns: u32, waiting: u32) -> Option<Vec<u16>> {
        let mut told = None;
        steering.handle_count(ShardIndex(shard), conns, waiting, |shards| {
            told = Some(shards.to_vec());
            true
        });
        told
    }

    fn count(steering: &Steering, shard: u16, conns: u32) -> Option<Vec<u16>> {
        counts(steering, shard, conns, 0)
    }

    /// What the machine is told when a shard's queue is full.
    fn flood(steering: &Steering, shard: u16) -> Option<Vec<u16>> {
        let mut told = None;
        steering.handle_queue_full(ShardIndex(shard), |shards| {
            told = Some(shards.to_vec());
            true
        });
        told
    }

    #[test]
    fn shards_are_filled_a_few_at_a_time() {
        let steering = Steering::new(4, 2, 80);
        steering.begin(|shards| shards == [0, 1]);
        assert_eq!(count(&steering, 0, 79), None);
        assert_eq!(count(&steering, 0, 80), Some(vec![1, 2]));
        assert_eq!(count(&steering, 0, 90), None, "it is known");
        assert_eq!(count(&steering, 2, 80), Some(vec![1, 3]));
        assert_eq!(
            count(&steering, 0, 71),
            None,
            "a few less make no difference"
        );
        assert_eq!(count(&steering, 0, 69), Some(vec![0, 1]));
        assert_eq!(
            counts(&steering, 0, 69, 11),
            Some(vec![1, 3]),
            "who waits counts"
        );
    }

    #[test]
    fn when_all_have_their_share_all_take() {
        let steering = Steering::new(2, 1, 8);
        assert_eq!(count(&steering, 0, 8), Some(vec![1]));
        assert_eq!(count(&steering, 1, 8), Some(vec![]));
        assert_eq!(count(&steering, 1, 6), Some(vec![1]));
    }

    #[test]
    fn a_flood_is_taken_by_twice_as_many_others_and_then_by_few_again() {
        let steering = Steering::new(9, 1, 80);
        assert_eq!(flood(&steering, 0), Some(vec![1, 2]));
        for _ in 0..100 {
            assert_eq!(flood(&steering, 0), None, "it is the same flood");
        }
        assert_eq!(flood(&steering, 2), Some(vec![1, 3, 4, 5]));
        assert_eq!(counts(&steering, 0, 9, 1), None, "somebody waits yet");
        assert_eq!(count(&steering, 0, 10), Some(vec![0, 1]));
        assert_eq!(count(&steering, 0, 10), None, "it is over once");
        assert_eq!(flood(&steering, 0), Some(vec![1, 3, 4, 5]), "another flood");
        assert_eq!(count(&steering, 2, 10), Some(vec![1, 2]));
        assert_eq!(count(&steering, 0, 20), Some(vec![0]));
    }

    #[test]
    fn a_storm_for_all_is_taken_by_all_that_have_room() {
        let steering = Steering::new(4, 2, 80);
        assert_eq!(count(&steering, 3, 80), Some(vec![0, 1]));
        assert_eq!(flood(&steering, 0), Some(vec![1, 2]));
        assert_eq!(flood(&steering, 1), Some(vec![2]));
        assert_eq!(flood(&steering, 2), Some(vec![0, 1, 2]));
        assert_eq!(count(&steering, 1, 70), Some(vec![1]));
        assert_eq!(count(&steering, 1, 80), Some(vec![0, 2]));
        assert_eq!(count(&steering, 0, 60), Some(vec![0]));
        assert_eq!(count(&steering, 2, 60), Some(vec![0, 2]));
    }

    #[test]
    fn a_share_that_is_full_ends_no_flood() {
        let steering = Steering::new(8, 1, 80);
        assert_eq!(flood(&steering, 0), Some(vec![1, 2]));
        assert_eq!(counts(&steering, 1, 70, 10), Some(vec![2, 3]));
        assert_eq!(counts(&steering, 0, 70, 10), None, "nor its own");
        assert_eq!(count(&steering, 0, 80), Some(vec![2]));
    }

    #[test]
    fn floods_that_end_together_leave_nothing_behind() {
        const SHARDS: u16 = 8;
        let steering = Steering::new(SHARDS, 1, 80);
        steering.begin(|_| true);
        std::thread::scope(|scope| {
            for shard in 0..SHARDS {
                let steering = &steering;
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        flood(steering, shard);
                        count(steering, shard, 1);
                    }
                });
            }
        });
        assert_eq!(steering.lock().floods, 0);
        assert_eq!(steering.lock().shards, [0]);
    }
}

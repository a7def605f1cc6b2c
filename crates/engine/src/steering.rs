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
    /// By shard, each written by that shard.
    full: Box<[AtomicBool]>,
    applied: Mutex<Applied>,
}

/// What the machine was told last.
#[derive(Debug)]
struct Applied {
    at_a_time: u16,
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
        Self {
            at_a_time,
            share,
            full: (0..shards_count).map(|_| AtomicBool::new(false)).collect(),
            applied: Mutex::new(Applied {
                at_a_time,
                shards: Vec::new(),
            }),
        }
    }

    /// Takes note of how many connections a shard has, and tells the machine by `apply` when other
    /// shards are to take new ones. `apply` is given none when all shards have their share, and
    /// says whether the machine has taken it.
    pub(crate) fn handle_count(
        &self,
        shard: ShardIndex,
        conns_count: u32,
        apply: impl FnOnce(&[u16]) -> bool,
    ) {
        let full = &self.full[usize::from(shard.0)];
        let was_full = full.load(Relaxed);
        let share = self.share;
        // A shard takes again when there is a good part of its share to take.
        let is_full = conns_count >= if was_full { share - share / 8 } else { share };
        if is_full != was_full {
            full.store(is_full, Relaxed);
            let mut applied = self.lock();
            if is_full {
                applied.at_a_time = self.at_a_time;
            }
            self.apply(&mut applied, apply);
        }
    }

    /// More wait at a shard than may: more shards take what comes, until one has its share.
    pub(crate) fn handle_queue_full(&self, apply: impl FnOnce(&[u16]) -> bool) {
        let mut applied = self.lock();
        applied.at_a_time = applied.at_a_time.saturating_mul(2);
        self.apply(&mut applied, apply);
    }

    /// Tells the machine for the first time.
    pub(crate) fn begin(&self, apply: impl FnOnce(&[u16]) -> bool) {
        self.apply(&mut self.lock(), apply);
    }

    fn apply(&self, applied: &mut Applied, apply: impl FnOnce(&[u16]) -> bool) {
        let with_room = (0..)
            .zip(&self.full)
            .filter(|(_, full)| !full.load(Relaxed));
        let shards: Vec<u16> = with_room
            .map(|(shard, _)| shard)
            .take(applied.at_a_time.into())
            .collect();
        if shards != applied.shards {
            // What failed is tried again when the next shard has its share.
            if apply(&shards) {
                applied.shards = shards;
            }
        }
    }

    /// Held while the machine is told, so that what it is told last is what was found last. It is not on
    /// the path of a message: a shard comes here when it has got its share, or lost a part of it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Applied> {
        self.applied
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(steering: &Steering, shard: u16, conns: u32) -> Option<Vec<u16>> {
        let mut told = None;
        steering.handle_count(ShardIndex(shard), conns, |shards| {
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
    }

    #[test]
    fn when_all_have_their_share_all_take() {
        let steering = Steering::new(2, 1, 8);
        assert_eq!(count(&steering, 0, 8), Some(vec![1]));
        assert_eq!(count(&steering, 1, 8), Some(vec![]));
        assert_eq!(count(&steering, 1, 6), Some(vec![1]));
    }

    #[test]
    fn a_storm_is_taken_by_more() {
        let steering = Steering::new(8, 1, 80);
        for expected in [2, 4, 8] {
            steering.handle_queue_full(|shards| {
                assert_eq!(shards.len(), expected);
                true
            });
        }
        steering.handle_queue_full(|_| unreachable!("all take it already"));
        assert_eq!(
            count(&steering, 3, 80),
            Some(vec![0]),
            "and then by few again"
        );
    }
}

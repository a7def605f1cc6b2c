//! When each virtual user is to be woken: one entry for each that waits for a time, and none more.
//!
//! A heap of times that knows where each user's entry is, so that a time can be changed or taken back
//! without leaving the old one behind.

use engine::Time;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// The times of one shard's users, by their slots.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// A binary heap, the earliest first: 16 bytes for each user that waits.
    heap: Vec<(Time, u32)>,
    /// Where the entry of each slot is: 4 bytes for each slot.
    places: Vec<u32>,
}

impl Alarms {
    /// Wakes the user in `slot` at `time`, and at no other.
    pub(crate) fn set(&mut self, slot: u32, time: Time) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, NOWHERE);
        }
        let place = match self.places[slot as usize] {
            NOWHERE => {
                self.heap.push((time, slot));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize].0 = time;
                place as usize
            }
        };
        self.places[slot as usize] = place as u32;
        let place = self.up(place);
        self.down(place);
    }

    /// Does not wake the user in `slot`.
    pub(crate) fn clear(&mut self, slot: u32) {
        let Some(&place) = self.places.get(slot as usize) else {
            return;
        };
        if place == NOWHERE {
            return;
        }
        self.places[slot as usize] = NOWHERE;
        let place = place as usize;
        self.heap.swap_remove(place);
        if let Some(&(_, moved)) = self.heap.get(place) {
            self.places[moved as usize] = place as u32;
            let place = self.up(place);
            self.down(place);
        }
    }

    /// The earliest time.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.first().map(|&(time, _)| time)
    }

    /// Takes a user whose time has come by `now`.
    pub(crate) fn take(&mut self, now: Time) -> Option<u32> {
        let &(time, slot) = self.heap.first()?;
        if time > now {
            return None;
        }
        self.clear(slot);
        Some(slot)
    }

    fn up(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= self.heap[place] {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let right = left + 1;
            let Some(&child) = self.heap.get(left) else {
                return;
            };
            let is_right = self.heap.get(right).is_some_and(|&other| other < child);
            let least = if is_right { right } else { left };
            if self.heap[place] <= self.heap[least] {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            self.places[self.heap[place].1 as usize] = place as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn alarms_are_those_of_a_sorted_map(
            steps in prop::collection::vec((0..4_u8, 0..30_u32, 0..100_u64), 0..400)
        ) {
            let mut alarms = Alarms::default();
            let mut model = BTreeMap::new();
            for (kind, slot, time) in steps {
                let time = Time::from_nanos(time);
                match kind {
                    0 | 1 => {
                        alarms.set(slot, time);
                        model.insert(slot, time);
                    }
                    2 => {
                        alarms.clear(slot);
                        model.remove(&slot);
                    }
                    _ => {
                        let taken = alarms.take(time);
                        let least = model.iter().map(|(&slot, &at)| (at, slot)).min();
                        let least = least.filter(|&(at, _)| at <= time).map(|(_, slot)| slot);
                        prop_assert_eq!(taken, least);
                        if let Some(slot) = least {
                            model.remove(&slot);
                        }
                    }
                }
                prop_assert_eq!(alarms.next_time(), model.values().min().copied());
                prop_assert_eq!(alarms.heap.len(), model.len());
            }
        }
    }
}

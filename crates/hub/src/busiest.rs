//! Which keys come most often, without a count for every key: a Space-Saving sketch (Metwally, Agrawal,
//! El Abbadi 2005). Hubs count topics in it, and whoever runs them may count something else.
//!
//! ```text
//!  a key that is there        its count grows
//!  another, and there is room it gets a place
//!  another, and there is none it takes the place of the smallest and inherits its count as its error
//! ```
//!
//! Of `n` times, a key that came more than `n` / [`PLACES`] of them is in the list for sure, and a count is too
//! high by its error at most.

use std::{collections::HashMap, hash::Hash};

use foldhash::quality::RandomState;

/// How many keys are counted at a time.
const PLACES: usize = 128;

/// A key that comes often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequent<K> {
    /// Which.
    pub key: K,
    /// How often it came, at most.
    pub times: u64,
    /// By how much `times` may be too high.
    pub error: u64,
    /// The sum of what came with it, counted from when it got its place.
    pub weight: u64,
}

/// The keys that come most often.
#[derive(Debug)]
pub struct Busiest<K> {
    /// The place of each key in the list.
    places: HashMap<K, usize, RandomState>,
    list: Vec<Frequent<K>>,
    /// What the rarest came, and where to look for the next of these.
    rarest_times: u64,
    cursor: usize,
}

impl<K: Clone + Eq + Hash> Busiest<K> {
    /// A key came once more, with a weight.
    pub fn record(&mut self, key: &K, weight: u64) {
        if let Some(place) = self.places.get(key) {
            let known = &mut self.list[*place];
            known.times += 1;
            known.weight += weight;
            return;
        }
        let mut new = Frequent {
            key: key.clone(),
            times: 1,
            error: 0,
            weight,
        };
        if self.list.len() < PLACES {
            self.places.insert(key.clone(), self.list.len());
            self.list.push(new);
            return;
        }
        let place = self.rarest();
        let old = &self.list[place];
        new.times += old.times;
        new.error = old.times;
        self.places.remove(&old.key);
        self.places.insert(key.clone(), place);
        self.list[place] = new;
    }

    /// The place of one that came no more often than any other. The list is gone through once for each number
    /// of times that is the smallest, so finding the next costs a few steps and not all.
    fn rarest(&mut self) -> usize {
        loop {
            for _ in 0..self.list.len() {
                let place = self.cursor;
                self.cursor = (self.cursor + 1) % self.list.len();
                if self.list[place].times <= self.rarest_times {
                    return place;
                }
            }
            let times = self.list.iter().map(|known| known.times);
            self.rarest_times = times.min().unwrap_or(0);
        }
    }

    /// Returns what was counted, in no order, and begins anew.
    pub fn take(&mut self) -> Vec<Frequent<K>> {
        self.places.clear();
        (self.rarest_times, self.cursor) = (0, 0);
        std::mem::take(&mut self.list)
    }
}

impl<K> Default for Busiest<K> {
    fn default() -> Self {
        Self {
            // Seeded, because clients choose the names.
            places: HashMap::with_hasher(RandomState::default()),
            list: Vec::new(),
            rarest_times: 0,
            cursor: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_sent_to_most_is_in_the_list_among_thousands_of_others() {
        let mut busiest = Busiest::default();
        let loud: Arc<str> = "room:loud".into();
        for number in 0..10_000 {
            busiest.record(&format!("room:{number}").into(), 1);
            if number % 50 == 0 {
                busiest.record(&loud, 7);
            }
        }
        let list = busiest.take();
        assert_eq!(list.len(), PLACES);
        let found = list.iter().find(|known| known.key == loud);
        let found = found.expect("200 of 10,200 are more than one of 128");
        assert!(found.times >= 200 && found.times - found.error <= 200);
        assert!(busiest.take().is_empty());
    }

    #[test]
    fn counts_are_exact_while_there_is_room() {
        let mut busiest = Busiest::default();
        let topics: Vec<Arc<str>> = (0..PLACES).map(|n| format!("{n}").into()).collect();
        for (times, topic) in topics.iter().enumerate() {
            (0..=times).for_each(|_| busiest.record(topic, 2));
        }
        for known in busiest.take() {
            let times = known.key.parse::<u64>().expect("a number") + 1;
            assert_eq!(
                (known.times, known.error, known.weight),
                (times, 0, 2 * times)
            );
        }
    }
}

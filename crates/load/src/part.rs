//! Which of a run's connections one machine opens, where several are one crowd.
//!
//! ```text
//! the whole        0  1  2  3  4  5  6  7  8  9      by the time at which each is meant to be dialled
//! machine 0 of 2   0  1     2  3  4  5     6  7      8 connections
//! machine 1 of 2         0              1            2 connections
//! ```
//!
//! The numbers of the whole are dealt out evenly in time, so that all machines dial from the beginning to
//! the end, and the crowd as a whole is opened as one machine would open it. Everything that follows from
//! a connection's number is the same, too: its topic, and who publishes to that.

use serde::{Deserialize, Serialize};

use crate::share::Share;

/// One machine's part in the connections of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The connections of each machine.
    shares: Vec<u32>,
    /// The place of this one among them.
    own: usize,
}

impl Part {
    /// All of `connections`, on one machine.
    pub(crate) fn whole(connections: u32) -> Self {
        Self {
            shares: vec![connections],
            own: 0,
        }
    }

    /// The part of machine `own`, where each has its share; `None` where there is no such machine, or more
    /// connections than can be numbered.
    pub(crate) fn of(shares: Vec<u32>, own: usize) -> Option<Self> {
        let part = Self { shares, own };
        part.is_possible().then_some(part)
    }

    /// Whether it is a part of anything; one that was told by another machine may not be.
    pub(crate) fn is_possible(&self) -> bool {
        self.own < self.shares.len() && self.total() <= u32::MAX.into()
    }

    /// Connections of this machine.
    pub(crate) fn connections(&self) -> u32 {
        self.shares[self.own]
    }

    /// Connections of all machines.
    pub(crate) fn total(&self) -> u64 {
        self.shares.iter().copied().map(u64::from).sum()
    }

    /// Whether it is the first machine's.
    pub(crate) fn is_first(&self) -> bool {
        self.own == 0
    }

    /// Whether there is no other machine.
    pub(crate) fn is_whole(&self) -> bool {
        self.shares.len() == 1
    }

    /// The number in the whole of this machine's connection `place`.
    ///
    /// Of `c` connections, the one at `j` stands in the middle of its own `c`-th of the time, at
    /// (j + ½) / c; its number is how many of all machines stand before it.
    pub(crate) fn number(&self, place: u64) -> u64 {
        if self.is_whole() {
            return place;
        }
        let own = u128::from(self.connections());
        let mut number = place;
        for (machine, &share) in self.shares.iter().enumerate() {
            let scaled = (2 * u128::from(place) + 1) * u128::from(share);
            // Of machine i with c connections, j stands before when (2j + 1) · own < scaled, and of those
            // before this one also when both are the same.
            let before = match machine {
                _ if machine == self.own || own == 0 => continue,
                _ if machine < self.own => (scaled / own).div_ceil(2),
                _ => scaled.div_ceil(own) / 2,
            };
            number += before.min(share.into()) as u64;
        }
        number
    }

    /// The topics that this machine publishes to, of `topics`: those of its connections that are the first
    /// of their topic.
    pub(crate) fn topics(&self, topics: u32) -> impl Iterator<Item = u32> {
        let places = 0..u64::from(self.connections());
        let numbers = places.map(|place| self.number(place));
        // Numbers go up, so these are below 2^32.
        numbers
            .take_while(move |&number| number < topics.into())
            .map(|number| number as u32)
    }

    /// How many of this machine's connections are dropped when `share` of all is.
    pub(crate) fn dropped(&self, share: Share) -> u64 {
        let [before, after] = self.bounds(share.of(self.total()));
        after - before
    }

    /// Where this machine's part of `all` begins and ends, when the machines take theirs one after the other.
    pub(crate) fn bounds(&self, all: u64) -> [u64; 2] {
        let total = self.total().max(1);
        let before: u64 = self.shares[..self.own].iter().copied().map(u64::from).sum();
        let until = |connections: u64| {
            // A part is never more than its whole.
            (u128::from(all) * u128::from(connections) / u128::from(total)) as u64
        };
        [before, before + u64::from(self.connections())].map(until)
    }

    /// This machine's part of `count` places, one at least.
    pub(crate) fn of_places(&self, count: u32) -> u32 {
        let part = u64::from(count) * u64::from(self.connections()) / self.total().max(1);
        // A part is never more than its whole.
        (part as u32).max(1)
    }

    /// What decides about this machine's own accidents, of all that the run's name decides: two on one host
    /// must not try the same ports in the same order.
    pub(crate) fn seed(&self, run: u64) -> u64 {
        run ^ (self.own as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// From where on this machine numbers its clients, so that no two of a run have one number.
    pub(crate) fn first_client(&self) -> u32 {
        // A list of machines is far shorter than that.
        let machines = u32::try_from(self.shares.len()).unwrap_or(u32::MAX);
        (u32::MAX / machines.max(1)).wrapping_mul(self.own as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(shares: &[u32]) -> Vec<Part> {
        let part = |own| Part::of(shares.to_vec(), own).expect("a part");
        (0..shares.len()).map(part).collect()
    }

    fn numbers(part: &Part) -> Vec<u64> {
        let places = 0..u64::from(part.connections());
        places.map(|place| part.number(place)).collect()
    }

    #[test]
    fn the_picture_is_true() {
        let parts = parts(&[8, 2]);
        assert_eq!(numbers(&parts[0]), [0, 1, 3, 4, 5, 6, 8, 9]);
        assert_eq!(numbers(&parts[1]), [2, 7]);
        assert_eq!(numbers(&Part::whole(3)), [0, 1, 2]);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        assert_eq!(Part::of(vec![1, 2], 2), None);
        assert_eq!(Part::of(Vec::new(), 0), None);
        assert_eq!(Part::of(vec![u32::MAX, 1], 0), None);
    }

    proptest! {
        #[test]
        fn machines_together_open_every_connection_once_and_evenly(
            shares in prop::collection::vec(0..300_u32, 1..7)
        ) {
            let parts = parts(&shares);
            let total = parts[0].total();
            let mut all: Vec<u64> = Vec::new();
            for part in &parts {
                let numbers = numbers(part);
                prop_assert!(numbers.is_sorted());
                // Whenever one looks, each has opened its share, but for one connection of each machine.
                for (place, number) in numbers.iter().enumerate() {
                    let meant = (place as f64 + 0.5) * total as f64 / f64::from(part.connections());
                    prop_assert!((*number as f64 - meant).abs() <= shares.len() as f64);
                }
                all.extend(numbers);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..total).collect::<Vec<_>>());
        }

        #[test]
        fn every_topic_has_one_owner_who_has_a_member(
            shares in prop::collection::vec(0..100_u32, 1..5), topics in 1..400_u32
        ) {
            let parts = parts(&shares);
            let topics = topics.min(parts[0].total() as u32);
            let mut all: Vec<_> = parts.iter().flat_map(|part| part.topics(topics)).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..topics).collect::<Vec<_>>());
        }

        #[test]
        fn machines_together_drop_what_one_would(
            shares in prop::collection::vec(0..10_000_u32, 1..7), per_cent in 1..100_u32
        ) {
            let share: Share = format!("{per_cent}%").parse().expect("a share");
            let parts = parts(&shares);
            let dropped: u64 = parts.iter().map(|part| part.dropped(share)).sum();
            prop_assert_eq!(dropped, share.of(parts[0].total()));
            for part in &parts {
                prop_assert!(part.dropped(share) <= part.connections().into());
            }
        }
    }
}

//! Which of a script's users one machine has, where several are one crowd.
//!
//! Users are numbered in the order in which they arrive. Of every thousand and some of them each machine has
//! its share, spread evenly, so that all machines have arrivals in every phase.

use crate::part::Part;

/// Users that are dealt out alike, over and over.
pub(crate) const SLICES: u32 = 1 << 10;

/// One machine's part of a script.
#[derive(Clone, Debug)]
pub(crate) struct ScriptPart {
    /// Of [`SLICES`].
    part: Part,
    /// Of each slice of this machine's, its place among them; empty where there is no other machine.
    ranks: Box<[Option<u16>]>,
}

impl ScriptPart {
    /// All of a script.
    pub(crate) fn whole() -> Self {
        Self::of(Part::whole(SLICES))
    }

    /// A part of [`SLICES`].
    pub(crate) fn of(part: Part) -> Self {
        let mut ranks = Vec::new();
        if !part.is_whole() {
            ranks.resize(SLICES as usize, None);
            for place in 0..part.connections() {
                let slice = part.number(place.into()) as usize;
                if let Some(rank) = ranks.get_mut(slice) {
                    // Both are below SLICES.
                    *rank = Some(place as u16);
                }
            }
        }
        Self {
            part,
            ranks: ranks.into(),
        }
    }

    /// The shard of `shards` that user `number` is on, if it is this machine's.
    pub(crate) fn shard_of(&self, number: u32, shards: u16) -> Option<u16> {
        let ordinal = match self.ranks.len() {
            0 => number.into(),
            _ => {
                let rank = self.ranks[(number % SLICES) as usize]?;
                u64::from(number / SLICES) * u64::from(self.part.connections()) + u64::from(rank)
            }
        };
        Some((ordinal % u64::from(shards.max(1))) as u16)
    }

    /// This machine's part of a limit on users; those of all machines together are the limit.
    pub(crate) fn of_limit(&self, limit: u32) -> u32 {
        let [before, after] = self.part.bounds(limit.into());
        // A part is never more than its whole.
        (after - before) as u32
    }

    /// This machine's part of so many users, rounded up.
    pub(crate) fn of_users(&self, users: u64) -> u64 {
        let share = u128::from(self.part.connections());
        let part = (u128::from(users) * share).div_ceil(self.part.total().max(1).into());
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// What decides about this machine's own accidents, of all that the run's name decides.
    pub(crate) fn seed(&self, run: u64) -> u64 {
        self.part.seed(run)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::share::Share;

    #[test]
    fn what_machines_and_shards_drop_of_their_users_adds_up() {
        for (machines, shards, users, share, wanted) in [
            (4, 1, 20, "50%", 10),
            (10, 1, 400, "1%", 4),
            (10, 3, 5_000, "0.5%", 25),
            (16, 16, 10_000, "12.34%", 1_234),
            (7, 5, 30_000, "0.01%", 3),
        ] {
            let mut slices = vec![SLICES / machines; machines as usize];
            slices[0] += SLICES % machines;
            let share: Share = share.parse().expect("a share");
            let mut dropped: u64 = 0;
            for own in 0..machines as usize {
                let part = ScriptPart::of(Part::of(slices.clone(), own).expect("a part"));
                for shard in 0..shards {
                    let has = |number: &u32| part.shard_of(*number, shards) == Some(shard);
                    let mine = (0..users).filter(has);
                    dropped += mine.filter(|&number| share.has(number.into())).count() as u64;
                }
            }
            let bound = if users % 10_000 == 0 { 0 } else { 5 };
            assert!(
                dropped.abs_diff(wanted) <= bound,
                "{share} of {users}: {dropped}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_user_has_one_machine_and_one_shard(
            weights in prop::collection::vec(1..100_u32, 1..5), shards in 1..9_u16,
        ) {
            let total: u32 = weights.iter().sum();
            let mut shares: Vec<_> = weights.iter().map(|weight| weight * SLICES / total).collect();
            shares[0] += SLICES - shares.iter().sum::<u32>();
            let part = |own| Part::of(shares.clone(), own).expect("a part");
            let parts: Vec<_> = (0..shares.len()).map(|own| ScriptPart::of(part(own))).collect();
            let mut counts = vec![vec![0_u32; shards.into()]; parts.len()];
            for number in 0..4 * SLICES {
                let owners: Vec<_> = parts.iter().enumerate()
                    .filter_map(|(machine, part)| Some((machine, part.shard_of(number, shards)?)))
                    .collect();
                prop_assert_eq!(owners.len(), 1);
                let (machine, shard) = owners[0];
                counts[machine][usize::from(shard)] += 1;
            }
            for (counts, share) in counts.iter().zip(&shares) {
                prop_assert_eq!(counts.iter().sum::<u32>(), 4 * share);
                // Shards are as even as they can be.
                let (least, most) = (counts.iter().min(), counts.iter().max());
                prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1);
            }
            for limit in [0, 1, 10, 4_321] {
                let sum: u32 = parts.iter().map(|part| part.of_limit(limit)).sum();
                prop_assert_eq!(sum, limit);
            }
        }
    }

    #[test]
    fn alone_a_machine_deals_users_to_its_shards_in_turn() {
        let whole = ScriptPart::whole();
        let shards: Vec<_> = (0..5).map(|number| whole.shard_of(number, 3)).collect();
        assert_eq!(shards, [0, 1, 2, 0, 1].map(Some));
        assert_eq!(
            (whole.of_limit(7), whole.of_users(9), whole.seed(5)),
            (7, 9, 5)
        );
    }
}

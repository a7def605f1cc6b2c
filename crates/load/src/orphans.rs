//! Publishes whose publisher's connection ended before anybody had them: nobody lost those.
//!
//! Such an *orphan* has no reply when its publisher's connection ends, and no arrival on any shard
//! at the end of the run: as far as anybody can tell, it never reached the server. Yet every member
//! that expected it counts it as lost. A shard knows neither the arrivals nor the publishers of the
//! others, so which losses those are is found when the results are merged: each shard says between
//! which publishes how many members answer for losses, and an orphan that has not arrived is a loss
//! of every one of them.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::arrivals::Arrivals;

/// What one shard knows of orphans and of members that count them as lost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Orphans {
    /// Topics and numbers; at most as many as publishes are followed ([`Arrivals::follow`]).
    unanswered: Vec<(u32, u32)>,
    /// By how many more or fewer members than before it a publish counts as lost unless it arrived.
    /// At most two for each account that was closed with losses, and fewer where they agree.
    #[serde(with = "steps")]
    steps: BTreeMap<(u32, u32), i64>,
}

impl Orphans {
    /// Notes publishes of `topic` that had no reply when their publisher's connection ended.
    pub(crate) fn add(&mut self, topics: u32, topic: u32, numbers: impl Iterator<Item = u32>) {
        // Of others it is not known whether they arrived; their losses stay losses.
        let followed = numbers.filter(|&number| Arrivals::follow(topics, number));
        self.unanswered
            .extend(followed.map(|number| (topic, number)));
    }

    /// Notes that one more member of `topic` counts `numbers` as lost as far as they did not arrive.
    pub(crate) fn answer_for(&mut self, topic: u32, numbers: RangeInclusive<u32>) {
        if numbers.is_empty() {
            return;
        }
        let after = numbers.end().saturating_add(1);
        *self.steps.entry((topic, *numbers.start())).or_default() += 1;
        *self.steps.entry((topic, after)).or_default() -= 1;
    }

    /// Adds what another shard knows.
    pub(crate) fn merge(&mut self, other: Self) {
        self.unanswered.extend(other.unanswered);
        for (place, step) in other.steps {
            *self.steps.entry(place).or_default() += step;
        }
    }

    /// How many losses are those of orphans; for the merged results of all shards.
    pub(crate) fn losses(mut self, arrivals: &Arrivals) -> u64 {
        self.unanswered.sort_unstable();
        let mut steps = self.steps.into_iter().peekable();
        // What begins in a topic ends in it, so every topic begins with nobody.
        let (mut members, mut losses) = (0, 0);
        for orphan in self.unanswered {
            while let Some((_, step)) = steps.next_if(|&(place, _)| place <= orphan) {
                members += step;
            }
            if !arrivals.include(orphan.0, orphan.1) {
                losses += u64::try_from(members).unwrap_or(0);
            }
        }
        losses
    }
}

/// The steps as a list: JSON has texts alone for the keys of a map.
mod steps {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    type Steps = BTreeMap<(u32, u32), i64>;

    pub(super) fn serialize<S: Serializer>(steps: &Steps, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(steps)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Steps, D::Error> {
        let list = Vec::<((u32, u32), i64)>::deserialize(from)?;
        Ok(list.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_orphan_is_lost_by_all_that_answer_for_it() {
        let (mut one, mut two) = (Orphans::default(), Orphans::default());
        // The publisher of topic 1 was heard last with publish 5, if at all.
        one.add(2, 1, [4, 5, 6].into_iter());
        one.answer_for(1, 1..=9);
        one.answer_for(0, 1..=9);
        two.answer_for(1, 1..=9);
        two.answer_for(1, 5..=5);
        two.answer_for(1, RangeInclusive::new(6, 5));
        one.merge(two);
        assert_eq!(one.clone().losses(&Arrivals::default()), 2 + 3 + 2);
        // Who has it elsewhere shows that the server had it: its losses are losses.
        let mut arrivals = Arrivals::default();
        arrivals.record(2, 1, 5, Duration::from_millis(1));
        assert_eq!(one.losses(&arrivals), 2 + 2);
    }

    #[test]
    fn what_is_not_followed_is_no_orphan() {
        let mut orphans = Orphans::default();
        orphans.add(1 << 19, 0, [1, 2, 3].into_iter());
        assert_eq!(orphans.unanswered, [(0, 1), (0, 2)]);
    }
}

//! What shards, or machines, hand in of each period, put together.

use std::collections::BTreeMap;

use super::figures::Figures;

/// Periods that not all shards have handed in, put together.
///
/// A shard hands in every period until its last, in their order, so the first period here is whole when
/// the shards that handed it in and those that had ended before it are all there are.
#[derive(Debug)]
pub(crate) struct Periods {
    shards: u16,
    /// How many shards have handed it in, and what they counted.
    open: BTreeMap<u32, (u16, Figures)>,
    /// Shards that have handed in their last.
    ended: u16,
    /// How many of them did so in which period, as long as it is open.
    last: BTreeMap<u32, u16>,
    /// Shards whose last period is whole.
    gone: u16,
}

impl Periods {
    pub(crate) fn of(shards: u16) -> Self {
        Self {
            shards,
            open: BTreeMap::new(),
            ended: 0,
            last: BTreeMap::new(),
            gone: 0,
        }
    }

    pub(crate) fn add(&mut self, period: u32, figures: Figures, is_last: bool) {
        if is_last {
            self.ended += 1;
            *self.last.entry(period).or_default() += 1;
        }
        match self.open.get_mut(&period) {
            Some((count, all)) => {
                *count += 1;
                all.merge(figures);
            }
            None => {
                self.open.insert(period, (1, figures));
            }
        }
    }

    /// Expects no more of one whose last period was `last`; it has handed in none if that is `None`.
    pub(crate) fn give_up(&mut self, last: Option<u32>) {
        self.ended += 1;
        match last.filter(|last| self.open.contains_key(last)) {
            Some(last) => *self.last.entry(last).or_default() += 1,
            None => self.gone += 1,
        }
    }

    /// How many have handed in their last.
    pub(crate) fn ended(&self) -> u16 {
        self.ended
    }

    /// Whether nothing more will come, and everything was taken out.
    pub(crate) fn is_over(&self) -> bool {
        self.ended == self.shards && self.open.is_empty()
    }

    /// Takes out the first period if it is whole.
    pub(crate) fn take_whole(&mut self) -> Option<(u32, Figures)> {
        let (_, (count, _)) = self.open.first_key_value()?;
        (count + self.gone == self.shards).then(|| self.take_first())?
    }

    /// Takes out the first period, whole or not.
    pub(crate) fn take_first(&mut self) -> Option<(u32, Figures)> {
        let (period, (_, figures)) = self.open.pop_first()?;
        self.gone += self.last.remove(&period).unwrap_or(0);
        Some((period, figures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(count: u64) -> Figures {
        Figures {
            created: count,
            ..Figures::default()
        }
    }

    #[test]
    fn a_shard_that_has_ended_keeps_no_later_period_open() {
        let mut periods = Periods::of(3);
        let mut whole = Vec::new();
        let handed = [
            (0, false),
            (0, true),
            // One shard is ahead of another.
            (1, false),
            (2, false),
            (0, false),
            (1, false),
            (2, true),
            (3, false),
            (4, false),
            (5, true),
        ];
        for (number, (period, is_last)) in (1..).zip(handed) {
            periods.add(period, created(number), is_last);
            while let Some((period, figures)) = periods.take_whole() {
                whole.push((number, period, figures.created));
            }
        }
        // When it was whole, which it was, and the sum of what was handed in of it.
        let expected = [
            (5, 0, 1 + 2 + 5),
            (6, 1, 3 + 6),
            (7, 2, 4 + 7),
            (8, 3, 8),
            (9, 4, 9),
            (10, 5, 10),
        ];
        assert_eq!(whole, expected);
        assert_eq!(
            (periods.ended, periods.open.len(), periods.last.len()),
            (3, 0, 0)
        );
    }

    #[test]
    fn a_machine_that_is_lost_keeps_no_period_open() {
        let mut periods = Periods::of(3);
        for machine in 0..3 {
            periods.add(0, created(machine), false);
        }
        periods.add(1, created(1), false);
        periods.add(1, created(1), false);
        assert!(periods.take_whole().is_some() && periods.take_whole().is_none());
        // One that has handed in the first, and one that has handed in the second, too.
        periods.give_up(Some(0));
        assert_eq!(periods.take_whole().map(|(period, _)| period), Some(1));
        periods.give_up(Some(1));
        periods.add(2, created(1), false);
        assert!(periods.take_whole().is_some() && !periods.is_over());
        periods.give_up(Some(2));
        assert!(periods.is_over());
    }
}

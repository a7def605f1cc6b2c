//! The seconds of a run as all its machines see them, for whoever follows it: put together by the time since its
//! start, as soon as all have handed in theirs.
//!
//! What comes of the run does not depend on it: each machine hands in its whole timeline at its end.

use std::collections::BTreeMap;

use crate::timeline::Period;

/// Seconds that are open at once, at most, after which the first is shown without those that are late. A machine
/// of which nothing at all is heard for ten seconds is lost. One takes as much as a period of the timeline.
const OPEN_MAX: usize = 15;
/// A second, in milliseconds.
const SECOND: u64 = 1_000;

/// Seconds that not all machines have handed in.
#[derive(Debug)]
pub(crate) struct Seconds {
    machines: Vec<Machine>,
    /// By number.
    open: BTreeMap<u64, Second>,
    /// The first that was not shown yet.
    next: u64,
}

#[derive(Debug, Default)]
struct Second {
    period: Period,
    /// The machines that have handed it in, by place.
    of: Vec<usize>,
}

/// What is known of one machine.
#[derive(Debug, Default)]
struct Machine {
    /// It has handed in all seconds before this one; `None` when nothing more will come.
    until: Option<u64>,
    /// What was there when it was heard of last: connections and limits, nothing that happens.
    there: Period,
}

impl Seconds {
    /// Nothing yet of so many machines.
    pub(crate) fn of(machines: usize) -> Self {
        let machine = || Machine {
            until: Some(0),
            ..Machine::default()
        };
        Self {
            machines: std::iter::repeat_with(machine).take(machines).collect(),
            open: BTreeMap::new(),
            next: 0,
        }
    }

    /// Takes a period that a machine has handed in.
    pub(crate) fn add(&mut self, place: usize, start_ms: u64, mut period: Period) {
        let machine = &mut self.machines[place];
        let Some(until) = &mut machine.until else {
            return;
        };
        let second = start_ms / SECOND;
        *until = (*until).max(second.saturating_add(1));
        machine.there = Period {
            covered_ms: period.covered_ms,
            open: period.open,
            ready: period.ready,
            away: period.away,
            limits: period.limits.clone(),
            ..Period::default()
        };
        if second < self.next {
            // What happened is not lost; what was there is not there twice.
            (period.open, period.ready, period.away) = (0, 0, 0);
            period.limits.clear();
        }
        let into = self.open.entry(second.max(self.next)).or_default();
        into.period.join(period);
        if second >= self.next {
            into.of.push(place);
        }
    }

    /// Expects nothing more of a machine.
    pub(crate) fn end(&mut self, place: usize) {
        self.machines[place] = Machine::default();
    }

    /// The next second, if it is whole, and when it began in milliseconds.
    pub(crate) fn take(&mut self) -> Option<(u64, Period)> {
        let (&number, _) = self.open.first_key_value()?;
        let least = self.machines.iter().filter_map(|one| one.until).min();
        if least.is_some_and(|least| least <= number) && self.open.len() <= OPEN_MAX {
            return None;
        }
        let (_, second) = self.open.pop_first()?;
        self.next = number.saturating_add(1);
        let mut period = second.period;
        for (place, machine) in self.machines.iter().enumerate() {
            if machine.until.is_some() && !second.of.contains(&place) {
                period.join(machine.there.clone());
            }
        }
        Some((number.saturating_mul(SECOND), period))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::Used;

    fn period(ready: u64, sent: u64) -> Period {
        let mut period = Period {
            covered_ms: SECOND,
            ready,
            limits: vec![Used::new("a", "memory", 1.0, None)],
            ..Period::default()
        };
        period.counts.sent = sent;
        period
    }

    fn shown(seconds: &mut Seconds) -> Vec<(u64, u64, u64)> {
        let all = std::iter::from_fn(|| seconds.take());
        all.map(|(start, one)| (start, one.ready, one.counts.sent))
            .collect()
    }

    #[test]
    fn a_second_is_shown_when_all_have_handed_it_in_or_are_over() {
        let mut seconds = Seconds::of(3);
        seconds.add(0, 0, period(5, 1));
        seconds.add(1, 0, period(6, 2));
        seconds.add(0, 1_000, period(5, 1));
        assert_eq!(shown(&mut seconds), []);
        seconds.add(2, 0, period(7, 4));
        assert_eq!(shown(&mut seconds), [(0, 18, 7)]);
        // One is over, and another hands in two seconds as one.
        seconds.add(2, 1_000, period(7, 8));
        seconds.end(1);
        assert_eq!(shown(&mut seconds), [(1_000, 12, 9)]);
        seconds.add(0, 2_000, period(5, 1));
        seconds.add(0, 3_000, period(5, 1));
        seconds.add(2, 3_000, period(8, 3));
        // Of who has not said it for this second, what was there before is there.
        assert_eq!(shown(&mut seconds), [(2_000, 13, 1), (3_000, 13, 4)]);
        seconds.add(1, 4_000, period(9, 9));
        assert_eq!(shown(&mut seconds), [], "who is over has nothing to say");
    }

    #[test]
    fn one_that_is_late_holds_up_the_others_for_a_while_and_nothing_is_lost() {
        let mut seconds = Seconds::of(2);
        seconds.add(1, 0, period(2, 1));
        let mut all = Vec::new();
        for second in 0..20 {
            seconds.add(0, second * SECOND, period(1, 1));
            all.extend(shown(&mut seconds));
            assert!(seconds.open.len() <= OPEN_MAX);
        }
        assert_eq!(all.len(), 20 - OPEN_MAX);
        assert!(all.iter().all(|&(_, ready, _)| ready == 3), "{all:?}");
        seconds.add(1, 1_000, period(2, 100));
        seconds.end(0);
        seconds.end(1);
        let rest = shown(&mut seconds);
        let sent: u64 = all.iter().chain(&rest).map(|&(.., sent)| sent).sum();
        assert_eq!((sent, all.len() + rest.len()), (20 + 1 + 100, 20));
    }

    proptest! {
        #[test]
        fn all_that_happened_is_shown_once_and_in_its_order(
            steps in prop::collection::vec((0..4_usize, 1..4_u64, 0..9_u64), 0..200),
        ) {
            let mut seconds = Seconds::of(4);
            let mut at = [0_u64; 4];
            let mut all = Vec::new();
            for &(place, ahead, sent) in &steps {
                seconds.add(place, at[place] * SECOND, period(1, sent));
                at[place] += ahead;
                all.extend(shown(&mut seconds));
                prop_assert!(seconds.open.len() <= OPEN_MAX);
            }
            (0..4).for_each(|place| seconds.end(place));
            all.extend(shown(&mut seconds));
            let sent: u64 = all.iter().map(|&(.., sent)| sent).sum();
            prop_assert_eq!(sent, steps.iter().map(|&(.., sent)| sent).sum::<u64>());
            prop_assert!(all.is_sorted_by(|one, two| one.0 < two.0));
            prop_assert!(all.iter().all(|&(_, ready, _)| ready <= 4));
        }
    }
}

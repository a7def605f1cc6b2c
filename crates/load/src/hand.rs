//! The hand of a clock that passes every slot of a table once per round.
//!
//! Clients that must each do something once per period (a heartbeat, a push) need no timer of their
//! own: the hand walks over the table at an even pace, and who is passed is due. That also spreads
//! the work evenly over the period.
//!
//! Who looks at the hand too late either sets it back ([`Hand::set_back`]), so that nobody is passed
//! early the next time, or lets it leave out the rounds that nobody saw ([`Hand::skip_rounds`]).

use std::time::Duration;

use engine::Time;

/// The longest time for which a hand that was set back rests.
const REST_MAX: Duration = Duration::from_secs(1);

/// The hand's place and pace.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    period: Duration,
    /// Slots per round; the pace is exact for this many and the table may be smaller.
    slots: u32,
    start: Time,
    /// Slots passed since the start, over all rounds.
    passed: u64,
}

impl Hand {
    /// A hand that passes `slots` slots in every `period` from `start` on.
    pub(crate) fn new(period: Duration, slots: u32, start: Time) -> Self {
        // A round of no time would never end.
        let period = period.max(Duration::from_nanos(1));
        Self {
            period,
            slots: slots.max(1),
            start,
            passed: 0,
        }
    }

    /// The next slot that was passed by `now`, if any is left.
    pub(crate) fn next_passed(&mut self, now: Time) -> Option<u32> {
        if self.next_time() > now {
            return None;
        }
        let slot = (self.passed % u64::from(self.slots)) as u32;
        self.passed += 1;
        Some(slot)
    }

    /// Sets the hand back when it is looked at more than `late_max` late, so that two looks at the
    /// same slot are never less than a period minus `late_max` apart. It then rests for as long as
    /// nobody looked, a second at most: what has arrived meanwhile can be read first.
    pub(crate) fn set_back(&mut self, now: Time, late_max: Duration) {
        let late = now.since(self.next_time());
        if late > late_max {
            self.start = self.start.after(late).after(late.min(REST_MAX));
        }
    }

    /// Leaves out the rounds that are over by `now`, so that less than one is left to be passed.
    pub(crate) fn skip_rounds(&mut self, now: Time) {
        let late = now.since(self.next_time());
        let rounds = late.as_nanos() / self.period.as_nanos();
        let slots = u128::from(self.slots) * rounds;
        self.passed += u64::try_from(slots).unwrap_or(0);
    }

    /// Slots per round. A slot beyond them has the turns of the one that it is in the next round.
    pub(crate) const fn slots(&self) -> u32 {
        self.slots
    }

    /// When the next slot is passed.
    pub(crate) fn next_time(&self) -> Time {
        self.time_of(self.passed)
    }

    /// When `slot` is passed first.
    pub(crate) fn first_time(&self, slot: u32) -> Time {
        self.time_of(slot.into())
    }

    fn time_of(&self, pass: u64) -> Time {
        let slots = u128::from(self.slots);
        let nanos = u128::from(pass) * self.period.as_nanos() / slots;
        self.start.after(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn passes_each_slot_once_per_period() {
        let mut hand = Hand::new(Duration::from_millis(30), 3, millis(100));
        assert_eq!(hand.next_passed(millis(99)), None);
        for (slot, ms) in [(0, 100), (1, 110), (2, 120), (0, 130)] {
            assert_eq!(hand.next_time(), millis(ms));
            assert_eq!(hand.next_passed(millis(135)), Some(slot));
        }
        assert_eq!(hand.next_passed(millis(135)), None);
        assert_eq!(hand.next_time(), millis(140));
    }

    #[test]
    fn a_hand_that_was_set_back_rests_and_passes_nobody_early() {
        let late_max = Duration::from_millis(5);
        let mut hand = Hand::new(Duration::from_millis(30), 3, Time::ZERO);
        assert_eq!(hand.next_passed(Time::ZERO), Some(0));
        // Slot 1 is due at 10; five milliseconds late is in time.
        hand.set_back(millis(15), late_max);
        assert_eq!(hand.next_time(), millis(10));
        hand.set_back(millis(110), late_max);
        assert_eq!(hand.next_time(), millis(210), "late by 100, rests for 100");
        hand.set_back(millis(210 + 5_000), late_max);
        assert_eq!(hand.next_time(), millis(210 + 5_000 + 1_000));
        let now = millis(6_215);
        let slots: Vec<_> = std::iter::from_fn(|| hand.next_passed(now)).collect();
        assert_eq!(slots, [1]);
    }

    #[test]
    fn rounds_that_nobody_saw_are_left_out() {
        let mut hand = Hand::new(Duration::from_nanos(10), 3, Time::ZERO);
        assert_eq!(hand.first_time(2), Time::from_nanos(6));
        // A hundred million rounds take no longer than one.
        hand.skip_rounds(millis(1_000));
        let passes = std::iter::from_fn(|| hand.next_passed(millis(1_000))).count();
        assert_eq!(passes, 1);
        assert!(hand.next_time() > millis(1_000));
    }

    proptest! {
        /// However unevenly the hand is looked at, nobody is left out and nobody comes twice.
        #[test]
        fn nobody_is_left_out(
            slots in 1..200_u32,
            looks in proptest::collection::vec(0..40_u64, 1..50),
        ) {
            let mut hand = Hand::new(Duration::from_millis(50), slots, Time::ZERO);
            let mut now = Time::ZERO;
            let mut passes = Vec::new();
            for ms in looks {
                now = now.after(Duration::from_millis(ms));
                passes.extend(std::iter::from_fn(|| hand.next_passed(now)));
            }
            for (index, &slot) in passes.iter().enumerate() {
                prop_assert_eq!(slot, index as u32 % slots);
            }
            prop_assert!(hand.next_time() > now);
        }
    }
}

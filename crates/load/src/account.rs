//! One member's account of what it was sent: which publishes arrived, how often, and which did not.
//!
//! A publish number `s` of a topic is *expected* by a member exactly when the member's join was
//! confirmed before the publish was sent. Two facts make that exact over many threads: the
//! publisher raises the topic's shared `sent` to `s` before it sends, and a member reads `sent`
//! after it has seen its join confirmed. If it reads less than `s`, the server had the member
//! before the publish left.
//!
//! At the end of an account every expected publish is in one of three drawers:
//!
//! | drawer | meaning |
//! |---|---|
//! | received | it arrived |
//! | lost | it did not arrive, though a later one did or though the member was there to the end |
//! | dropped | it did not arrive because a connection ended first |
//!
//! so `expected = received + lost + dropped` always. Beside it are counted duplicates and *late*
//! arrivals: those of publishes that 64 or more later ones have overtaken. Nothing is remembered of
//! them, so a late arrival may be one that was given up as lost, which it stays, or a repetition.

use std::ops::RangeInclusive;

/// What one member has received of its topic; 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Bit `i`: publish `last - i` has arrived, or was never expected.
    seen: u64,
    /// The first expected publish; 0 while nothing is expected of anybody.
    first: u32,
    /// The highest publish that has arrived; the one before `first` until one has.
    last: u32,
}

const _: () = assert!(size_of::<Account>() == 16);

/// How far apart two publishes may arrive in the wrong order before the earlier counts as lost.
const WINDOW: u32 = u64::BITS;

/// The first publish of an account that waits for it.
const AWAITING: u32 = u32::MAX;

/// What the arrival of one publish means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the first of its number; `lost` earlier ones fell out of the window unseen.
    New {
        /// Publishes that are given up as lost.
        lost: u32,
    },
    /// It had arrived before.
    Duplicate,
    /// It is below the window, where nothing is remembered: lost before, or received before.
    Late,
    /// It was not expected: sent before the join was confirmed, or the account is not open.
    Extra,
}

/// The end of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// Publishes that were expected over the whole account.
    pub(crate) expected: u32,
    /// Publishes that did not arrive although a later one did, beyond those given up before.
    pub(crate) overtaken: u32,
    /// Publishes after the last one that arrived.
    pub(crate) outstanding: u32,
}

impl Account {
    /// Opens the account with the first publish that is not yet sent when `sent` is the last.
    pub(crate) fn open(sent: u32) -> Self {
        Self {
            seen: u64::MAX,
            first: sent.saturating_add(1),
            last: sent,
        }
    }

    /// The account of a member that joins while another machine publishes to its topic: nobody here knows
    /// how often, so it opens with the first publish that arrives.
    pub(crate) fn awaiting() -> Self {
        Self {
            first: AWAITING,
            ..Self::default()
        }
    }

    /// Whether it opens with the first publish that arrives.
    pub(crate) fn is_awaiting(&self) -> bool {
        self.first == AWAITING
    }

    /// Whether publishes are expected.
    pub(crate) fn is_open(&self) -> bool {
        self.first != 0 && self.first != AWAITING
    }

    /// Whether every publish up to `sent` has arrived or was given up.
    pub(crate) fn is_settled(&self, sent: u32) -> bool {
        !self.is_open() || (self.last >= sent && self.seen == u64::MAX)
    }

    /// Whether publish `number` has arrived or is not expected.
    pub(crate) fn has(&self, number: u32) -> bool {
        if !self.is_open() || number < self.first {
            return true;
        }
        let behind = self.last.checked_sub(number);
        // What is below the window was given up, if it was not there.
        behind.is_some_and(|behind| behind < WINDOW && self.seen >> behind & 1 == 1)
    }

    /// Notes that publish `number` arrived.
    pub(crate) fn record(&mut self, number: u32) -> Arrival {
        if !self.is_open() || number < self.first {
            return Arrival::Extra;
        }
        if number > self.last {
            let lost = self.move_window(number - self.last);
            self.seen |= 1;
            return Arrival::New { lost };
        }
        let behind = self.last - number;
        if behind >= WINDOW {
            return Arrival::Late;
        }
        let bit = 1_u64 << behind;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::New { lost: 0 }
    }

    /// The publishes that count as lost unless they arrived, if the account ended now: all up to
    /// `sent`, or for a member whose connection has ended, up to the last that arrived.
    pub(crate) fn answerable(&self, sent: u32, is_dropped: bool) -> RangeInclusive<u32> {
        let last = if is_dropped { self.last } else { sent };
        // An account that is not open answers for nothing.
        self.first.max(1)..=if self.is_open() { last } else { 0 }
    }

    /// Ends the account when `sent` is the last publish sent, and closes it.
    pub(crate) fn settle(&mut self, sent: u32) -> Settlement {
        let account = std::mem::take(self);
        if !account.is_open() || sent < account.first {
            return Settlement::default();
        }
        Settlement {
            expected: sent - account.first + 1,
            overtaken: account.seen.count_zeros(),
            outstanding: sent.saturating_sub(account.last),
        }
    }

    /// Moves the window `step` places up and returns how many unseen places that gives up.
    fn move_window(&mut self, step: u32) -> u32 {
        self.last += step;
        let leaving = if step >= WINDOW {
            self.seen
        } else {
            self.seen >> (WINDOW - step)
        };
        self.seen = self.seen.checked_shl(step).unwrap_or(0);
        // Beyond the old window, places are passed that were never in it.
        step.min(WINDOW) - leaving.count_ones() + step.saturating_sub(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn in_order_nothing_is_missing() {
        let mut account = Account::open(4);
        for number in 5..=300 {
            assert_eq!(account.record(number), Arrival::New { lost: 0 });
        }
        assert!(account.is_settled(300));
        let end = account.settle(300);
        assert_eq!(
            end,
            Settlement {
                expected: 296,
                overtaken: 0,
                outstanding: 0
            }
        );
        assert!(!account.is_open());
    }

    #[test]
    fn what_was_sent_before_the_join_is_extra() {
        let mut account = Account::open(4);
        assert_eq!(account.record(4), Arrival::Extra);
        assert_eq!(Account::default().record(1), Arrival::Extra);
        assert_eq!(account.settle(4), Settlement::default());
    }

    #[test]
    fn an_account_that_waits_for_its_first_publish_expects_nothing() {
        let mut account = Account::awaiting();
        assert!(account.is_awaiting() && !account.is_open());
        assert!(account.is_settled(7) && account.has(7));
        assert!(account.answerable(7, false).is_empty());
        assert_eq!(account.settle(7), Settlement::default());
        assert!(!account.is_awaiting());
    }

    #[test]
    fn twice_is_a_duplicate_within_the_window() {
        let mut account = Account::open(0);
        assert_eq!(account.record(1), Arrival::New { lost: 0 });
        assert_eq!(account.record(1), Arrival::Duplicate);
        assert_eq!(account.record(3), Arrival::New { lost: 0 });
        assert_eq!(account.record(3), Arrival::Duplicate);
        assert_eq!(account.record(2), Arrival::New { lost: 0 });
        assert_eq!(account.record(2), Arrival::Duplicate);
    }

    #[test]
    fn below_the_window_it_is_late_and_no_duplicate() {
        let mut account = Account::open(0);
        for number in 2..=64 {
            assert_eq!(account.record(number), Arrival::New { lost: 0 });
        }
        // 1 is the last place of the window, and falls out of it with 65.
        assert_eq!(account.record(65), Arrival::New { lost: 1 });
        assert_eq!(account.record(1), Arrival::Late);
        assert_eq!(account.record(2), Arrival::Duplicate);
        assert_eq!(account.settle(65).outstanding, 0);
    }

    #[test]
    fn a_member_answers_for_what_it_was_there_for() {
        let mut account = Account::open(2);
        account.record(4);
        assert_eq!(account.answerable(9, false), 3..=9);
        assert_eq!(account.answerable(9, true), 3..=4);
        assert!(Account::default().answerable(9, false).is_empty());
        assert!(Account::open(9).answerable(9, false).is_empty());
    }

    #[test]
    fn a_gap_is_lost_and_a_missing_tail_is_outstanding() {
        let mut account = Account::open(0);
        account.record(1);
        account.record(4);
        // 2 and 3 were overtaken by 4; 5 and 6 never came.
        assert!(!account.is_settled(4));
        let has: Vec<_> = (1..=5).map(|number| account.has(number)).collect();
        assert_eq!(has, [true, false, false, true, false]);
        assert!(Account::open(4).has(4) && !Account::open(4).has(5));
        assert!(Account::default().has(1));
        let end = account.settle(6);
        assert_eq!(
            end,
            Settlement {
                expected: 6,
                overtaken: 2,
                outstanding: 2
            }
        );
    }

    #[test]
    fn a_jump_over_the_whole_window_loses_what_it_passed() {
        let mut account = Account::open(0);
        account.record(2);
        // The window becomes 937..=1000; 1 and 3..=936 fall out of it unseen.
        assert_eq!(account.record(1000), Arrival::New { lost: 935 });
        let end = account.settle(1000);
        assert_eq!(
            end,
            Settlement {
                expected: 1000,
                overtaken: 63,
                outstanding: 0
            }
        );
    }

    proptest! {
        /// Any arrivals at all: every expected publish ends in exactly one drawer, and what is
        /// called a duplicate was there before.
        #[test]
        fn every_publish_ends_in_one_drawer(
            before in 0..5_u32,
            arrivals in proptest::collection::vec(1..200_u32, 0..300),
            more in 0..10_u32,
        ) {
            let mut account = Account::open(before);
            let mut set = BTreeSet::new();
            let (mut received, mut lost) = (0_u32, 0_u32);
            let (mut duplicates, mut late, mut extras) = (0_u32, 0_u32, 0_u32);
            for &number in &arrivals {
                match account.record(number) {
                    Arrival::New { lost: now } => {
                        received += 1;
                        lost += now;
                        prop_assert!(set.insert(number));
                    }
                    Arrival::Duplicate => {
                        duplicates += 1;
                        prop_assert!(set.contains(&number));
                    }
                    Arrival::Late => {
                        late += 1;
                        let highest = set.last().copied().unwrap_or_default();
                        prop_assert!(number + WINDOW <= highest);
                    }
                    Arrival::Extra => {
                        extras += 1;
                        prop_assert!(number <= before);
                    }
                }
            }
            prop_assert_eq!(received + duplicates + late + extras, arrivals.len() as u32);
            let sent = arrivals.iter().copied().max().unwrap_or(0).max(before) + more;
            let end = account.settle(sent);
            prop_assert_eq!(end.expected, sent - before);
            prop_assert_eq!(end.expected, received + lost + end.overtaken + end.outstanding);
            let highest = set.last().copied().unwrap_or(before);
            prop_assert_eq!(end.outstanding, sent - highest);
        }
    }
}

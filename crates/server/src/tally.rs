//! What a shard's app counts beside its engine and its hub: ends, refusals and how long things take.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use engine::{Histogram, Time};

/// Plain counts of one shard, which it alone reads and writes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Ends of open WebSockets by cause.
    pub(crate) closes: BTreeMap<&'static str, u64>,
    /// Refused upgrades by reason.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    /// Microseconds that joins took, of a sample.
    pub(crate) joins: Histogram,
    /// Microseconds that other messages took, of a sample.
    pub(crate) handlers: Histogram,
    /// Microseconds until all frames of the broadcasts of a turn were written.
    pub(crate) fanouts: Histogram,
    /// Members that a broadcast reached.
    pub(crate) fanout_members: Histogram,
    /// When the first broadcast was taken up that is not written yet.
    writing_since: Option<Time>,
    sample: Sample,
}

/// Which messages are timed: to read the clock twice for each would cost a busy shard a hundredth.
#[derive(Debug, Default)]
struct Sample {
    second: u64,
    messages_count: u32,
}

/// Messages of a second that are timed all, before it becomes one of [`ONE_OF`].
const ALL_OF: u32 = 256;
const ONE_OF: u32 = 16;

/// What a message came to, as far as the counts of the hub show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    joins: u64,
    deliveries: u64,
    fanouts: u64,
    began: Option<Instant>,
}

impl Tally {
    pub(crate) fn count_close(&mut self, cause: &'static str) {
        *self.closes.entry(cause).or_default() += 1;
    }

    pub(crate) fn count_refusal(&mut self, reason: &'static str) {
        *self.refusals.entry(reason).or_default() += 1;
    }

    /// Before a message of a client.
    pub(crate) fn before_message(&mut self, hub: &hub::Counters, now: Time) -> Before {
        Before {
            began: self.sample.takes(now).then(Instant::now),
            ..Self::before_mail(hub)
        }
    }

    /// Before mail, which is not timed.
    pub(crate) const fn before_mail(hub: &hub::Counters) -> Before {
        Before {
            joins: joins_count(hub),
            deliveries: hub.deliveries,
            fanouts: hub.fanouts,
            began: None,
        }
    }

    /// After either; says whether anything was broadcast whose writing is to be timed from here on.
    pub(crate) fn after(&mut self, before: Before, hub: &hub::Counters, now: Time) -> bool {
        if let Some(began) = before.began {
            let took = micros(began.elapsed());
            if joins_count(hub) > before.joins {
                self.joins.record(took);
            } else {
                self.handlers.record(took);
            }
        }
        let reached = hub.deliveries - before.deliveries;
        if reached == 0 {
            return false;
        }
        // Of several broadcasts that one input caused, their mean.
        let count = (hub.fanouts - before.fanouts).max(1);
        self.fanout_members
            .record_many(reached.div_ceil(count), count);
        self.writing_since
            .replace(self.writing_since.unwrap_or(now))
            .is_none()
    }

    /// All that was broadcast has been written.
    pub(crate) fn handle_written(&mut self, now: Time) {
        if let Some(since) = self.writing_since.take() {
            self.fanouts.record(micros(now.since(since)));
        }
    }
}

impl Sample {
    const fn takes(&mut self, now: Time) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if self.second != second {
            self.second = second;
            self.messages_count = 0;
        }
        self.messages_count = self.messages_count.wrapping_add(1);
        self.messages_count <= ALL_OF || self.messages_count.is_multiple_of(ONE_OF)
    }
}

/// Joins, granted or not.
const fn joins_count(hub: &hub::Counters) -> u64 {
    hub.joins + hub.joins_refused + hub.joins_over_limit + hub.joins_crashed
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_second_is_timed_whole_and_a_busy_one_in_part() {
        let mut sample = Sample::default();
        let at = |second: u64| Time::from_nanos(second * 1_000_000_000);
        let timed = (0..256 + 1_600).filter(|_| sample.takes(at(7))).count();
        assert_eq!(timed, 256 + 100);
        assert!(sample.takes(at(8)));
    }

    #[test]
    fn a_fan_out_lasts_from_its_first_broadcast_to_the_last_write() {
        let mut tally = Tally::default();
        let at = |micros: u64| Time::from_nanos(micros * 1_000);
        let mut hub = hub::Counters::default();
        for (now, is_first) in [(10, true), (20, false)] {
            let before = Tally::before_mail(&hub);
            hub.deliveries += 3;
            hub.fanouts += 1;
            assert_eq!(tally.after(before, &hub, at(now)), is_first);
        }
        assert!(!tally.after(Tally::before_mail(&hub), &hub, at(30)));
        tally.handle_written(at(110));
        tally.handle_written(at(120));
        let fanouts = tally.fanouts.distribution();
        assert_eq!((fanouts.count, fanouts.sum), (1, 100));
        let members = tally.fanout_members.distribution();
        assert_eq!((members.count, members.sum), (2, 6));
    }
}

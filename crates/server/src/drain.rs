//! Leaving in order: connections are closed in batches, so that their clients come back one batch
//! after the other and not all at once (Phoenix: `lib/phoenix/socket/pool_supervisor.ex`).

use std::time::Duration;

use engine::Time;

use crate::config::Config;

/// One shard's way to its end.
///
/// ```text
///  began ── batch ── interval ── batch ── … ── last_call: all that are left ── timeout: end
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// Connections closed at a time, this shard's share.
    batch: usize,
    interval: Duration,
    /// After this much time, all that are left are closed at once, so that they, too, are told.
    last_call: Duration,
    timeout: Duration,
    /// When it began; none before the first look at the clock.
    began: Option<Time>,
    next_batch: Time,
    called: bool,
}

/// How often to look whether the last goodbyes are over.
const LOOK: Duration = Duration::from_millis(20);

/// The part of the timeout that is kept for the last goodbyes, at most the close timeout.
const LAST_PART: u32 = 4;

impl Drain {
    /// The plan for each of `shards` shards.
    pub(crate) fn new(config: &Config, shards: u16) -> Self {
        let plan = &config.drain;
        let kept = config.close_timeout.min(plan.timeout / LAST_PART);
        Self {
            batch: plan.batch.div_ceil(u32::from(shards.max(1))) as usize,
            interval: plan.interval,
            last_call: plan.timeout - kept,
            timeout: plan.timeout,
            began: None,
            next_batch: Time::ZERO,
            called: false,
        }
    }

    /// How many connections to close now, if any are due.
    pub(crate) fn poll_batch(&mut self, now: Time) -> Option<usize> {
        let began = *self.began.get_or_insert(now);
        if now.since(began) >= self.last_call && !self.called {
            self.called = true;
            return Some(usize::MAX);
        }
        if now < self.next_batch {
            return None;
        }
        self.next_batch = now.after(self.interval);
        Some(self.batch)
    }

    /// Whether the time is up, and what is left is to be cut off.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.began
            .is_some_and(|began| now.since(began) >= self.timeout)
    }

    /// When to look again.
    pub(crate) fn deadline(&self, now: Time) -> Time {
        now.after(LOOK).min(self.next_batch.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_at_their_interval_and_the_end_in_time() {
        let mut config = Config {
            close_timeout: Duration::from_secs(1),
            ..Config::default()
        };
        config.drain.batch = 101;
        config.drain.interval = Duration::from_secs(2);
        config.drain.timeout = Duration::from_secs(6);
        let mut drain = Drain::new(&config, 2);
        let at = |millis: u64| Time::from_nanos(millis * 1_000_000);
        assert_eq!(drain.poll_batch(at(1000)), Some(51));
        assert_eq!(drain.poll_batch(at(2999)), None);
        assert_eq!(drain.poll_batch(at(3000)), Some(51));
        assert_eq!(drain.poll_batch(at(5000)), Some(51));
        assert_eq!(drain.poll_batch(at(5999)), None);
        assert_eq!(
            drain.poll_batch(at(6000)),
            Some(usize::MAX),
            "a second before the end"
        );
        assert_eq!(drain.poll_batch(at(6001)), None);
        assert!(!drain.is_over(at(6999)));
        assert!(drain.is_over(at(7000)));
    }

    #[test]
    fn a_long_goodbye_takes_no_more_than_a_quarter_of_a_short_drain() {
        let mut config = Config {
            close_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        config.drain.timeout = Duration::from_secs(2);
        assert_eq!(
            Drain::new(&config, 1).last_call,
            Duration::from_millis(1500)
        );
    }
}

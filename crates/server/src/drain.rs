//! Leaving in order: connections are closed in batches, so that their clients come back one batch
//! after the other and not all at once (Phoenix: `lib/phoenix/socket/pool_supervisor.ex`).

use std::time::Duration;

use engine::Time;

use crate::config;

/// One shard's way to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// Connections closed at a time, this shard's share.
    batch: usize,
    interval: Duration,
    timeout: Duration,
    /// When it began; none before the first look at the clock.
    began: Option<Time>,
    next_batch: Time,
}

/// How often to look whether the last goodbyes are over.
const LOOK: Duration = Duration::from_millis(20);

impl Drain {
    /// The plan for each of `shards` shards.
    pub(crate) fn new(plan: &config::Drain, shards: u16) -> Self {
        Self {
            batch: plan.batch.div_ceil(u32::from(shards.max(1))) as usize,
            interval: plan.interval,
            timeout: plan.timeout,
            began: None,
            next_batch: Time::ZERO,
        }
    }

    /// How many connections to close now, if a batch is due.
    pub(crate) fn poll_batch(&mut self, now: Time) -> Option<usize> {
        self.began.get_or_insert(now);
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
        let plan = config::Drain {
            batch: 101,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
        };
        let mut drain = Drain::new(&plan, 2);
        let at = |millis: u64| Time::from_nanos(millis * 1_000_000);
        assert_eq!(drain.poll_batch(at(1000)), Some(51));
        assert_eq!(drain.poll_batch(at(2999)), None);
        assert_eq!(drain.poll_batch(at(3000)), Some(51));
        assert!(!drain.is_over(at(5999)));
        assert!(drain.is_over(at(6000)));
    }
}

//! When a shard accepts: as fast as the rate allows, and not while the kernel refuses. And how many wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{Time, sys::ACCEPTS_PER_TURN};

/// How long accepting rests after a failure that would only repeat itself, for instance `EMFILE`.
const REST: Duration = Duration::from_millis(100);

/// How far a rate that was not used may be caught up.
const BURST: Duration = Duration::from_millis(100);

/// Connections that may wait at least, however little room there is: they are told so.
const BACKLOG_MIN: u32 = 64;

/// A rate at which connections are accepted, shared by the shards of a node.
///
/// It keeps the time at which the next connection is due (a leaky bucket): each accepted one moves it by
/// one interval, and it never lies further back than a tenth of a second.
#[derive(Debug)]
pub struct AcceptRate {
    interval: Duration,
    due_nanos: AtomicU64,
}

/// The door of one shard.
#[derive(Debug)]
pub(crate) struct Gate {
    rate: Option<Arc<AcceptRate>>,
    rests_until: Option<Time>,
    /// What the kernel was told last.
    open: bool,
}

/// How many may wait to be accepted by one shard when others have room: no more than fit in beside those
/// that a turn accepts, whose places in the queue are taken before the shard looks again.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// What the kernel allowed at first.
    max: u32,
    /// What it was told last.
    told: u32,
}

impl AcceptRate {
    /// A rate of this many connections per second, at least one.
    pub fn per_second(connections: u32) -> Self {
        let interval = Duration::from_secs(1) / connections.max(1);
        Self {
            interval,
            due_nanos: AtomicU64::new(0),
        }
    }

    /// The rate in connections per second.
    pub fn connections_per_second(&self) -> u32 {
        (1.0 / self.interval.as_secs_f64()).round() as u32
    }

    /// Counts a connection and returns when the next is due.
    fn count(&self, now: Time) -> Time {
        let burst = BURST.max(self.interval);
        let earliest = now.as_nanos().saturating_sub(burst.as_nanos() as u64);
        let later = |due: u64| {
            Time::from_nanos(due.max(earliest))
                .after(self.interval)
                .as_nanos()
        };
        let before = self
            .due_nanos
            .fetch_update(Relaxed, Relaxed, |due| Some(later(due)));
        Time::from_nanos(later(before.unwrap_or_else(|due| due)))
    }
}

impl Gate {
    pub(crate) const fn new(rate: Option<Arc<AcceptRate>>) -> Self {
        Self {
            rate,
            rests_until: None,
            open: true,
        }
    }

    /// Counts an accepted connection.
    pub(crate) fn handle_accepted(&mut self, now: Time) {
        let Some(rate) = &self.rate else { return };
        let due = rate.count(now);
        if due > now {
            self.rests_until = Some(due);
        }
    }

    /// Makes accepting rest for a moment.
    pub(crate) fn handle_failure(&mut self, now: Time) {
        self.rests_until = Some(now.after(REST));
    }

    /// Returns what to tell the kernel, when that has changed.
    pub(crate) fn poll(&mut self, now: Time, wanted: bool) -> Option<bool> {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
        }
        let open = wanted && self.rests_until.is_none();
        (open != self.open).then(|| {
            self.open = open;
            open
        })
    }

    /// When to poll again.
    pub(crate) const fn deadline(&self) -> Option<Time> {
        self.rests_until
    }
}

impl Backlog {
    pub(crate) const fn new(max: u32) -> Self {
        Self { max, told: max }
    }

    /// Returns what to tell the kernel, when that has changed.
    pub(crate) fn poll(&mut self, room: u32) -> Option<u32> {
        let room = room.saturating_sub(ACCEPTS_PER_TURN).max(BACKLOG_MIN);
        let backlog = self.max.min(room);
        (backlog != self.told).then(|| {
            self.told = backlog;
            backlog
        })
    }

    /// Whether as many may wait as ever.
    pub(crate) const fn is_whole(&self) -> bool {
        self.told == self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts whenever a gate is open, in steps of 1 ms, and returns how many got in.
    fn accepted_in(gates: &mut [Gate], millis: u64) -> u32 {
        let mut accepted = 0;
        let mut open = vec![true; gates.len()];
        for milli in 0..millis {
            let now = Time::from_nanos(milli * 1_000_000);
            for (gate, open) in gates.iter_mut().zip(&mut open) {
                *open = gate.poll(now, true).unwrap_or(*open);
                for _ in 0..100 {
                    if *open {
                        gate.handle_accepted(now);
                        accepted += 1;
                        *open = gate.poll(now, true).unwrap_or(true);
                    }
                }
            }
        }
        accepted
    }

    #[test]
    fn the_rate_is_kept_by_one_door_and_by_many() {
        for doors in [1, 4] {
            let rate = Some(Arc::new(AcceptRate::per_second(1000)));
            let mut gates: Vec<_> = (0..doors).map(|_| Gate::new(rate.clone())).collect();
            let accepted = accepted_in(&mut gates, 10_000);
            // A tenth of a second of catching up, and one too early for each door.
            assert!(
                (9_990..=10_104).contains(&accepted),
                "{accepted} through {doors} doors"
            );
        }
        assert_eq!(accepted_in(&mut [Gate::new(None)], 3), 300);
    }

    #[test]
    fn a_failure_rests_and_then_goes_on() {
        let mut gate = Gate::new(None);
        gate.handle_failure(Time::ZERO);
        assert_eq!(gate.poll(Time::ZERO, true), Some(false));
        let later = gate.deadline().unwrap();
        assert_eq!(gate.poll(later, true), Some(true));
    }

    #[test]
    fn no_more_wait_than_fit_but_for_a_few() {
        let mut backlog = Backlog::new(1_000);
        assert_eq!(backlog.poll(1_128), None);
        assert_eq!(backlog.poll(u32::MAX), None);
        assert_eq!(backlog.poll(1_127), Some(999));
        assert!(!backlog.is_whole());
        assert_eq!(backlog.poll(1_127), None, "it was told");
        assert_eq!(backlog.poll(0), Some(64));
        assert_eq!(backlog.poll(2_000), Some(1_000));
        assert!(backlog.is_whole());
        assert_eq!(
            Backlog::new(2).poll(0),
            None,
            "no more than the kernel allows"
        );
    }
}

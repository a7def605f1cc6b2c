//! When a shard accepts: as fast as its rate allows, and not while the kernel refuses.

use std::time::Duration;

use crate::Time;

/// How long accepting rests after a failure that would only repeat itself, for instance `EMFILE`.
const REST: Duration = Duration::from_millis(100);

/// The door of a shard.
///
/// The rate is kept by the time at which the next connection is due (a leaky bucket): each accepted
/// one moves it by one interval, and a door that was idle may catch up by a tenth of a second.
#[derive(Debug)]
pub(crate) struct Gate {
    interval: Option<Duration>,
    due: Time,
    rests_until: Option<Time>,
    /// What the kernel was told last.
    open: bool,
}

impl Gate {
    pub(crate) fn new(rate_max: Option<u32>) -> Self {
        let interval = rate_max.map(|rate| Duration::from_secs(1) / rate.max(1));
        Self {
            interval,
            due: Time::ZERO,
            rests_until: None,
            open: true,
        }
    }

    /// Counts an accepted connection.
    pub(crate) fn handle_accepted(&mut self, now: Time) {
        let Some(interval) = self.interval else {
            return;
        };
        let burst = Duration::from_millis(100).max(interval);
        let earliest = Time::from_nanos(now.as_nanos().saturating_sub(burst.as_nanos() as u64));
        self.due = self.due.max(earliest).after(interval);
        if self.due > now {
            self.rests_until = Some(self.due);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts whenever the gate is open, in steps of 1 ms, and returns how many got in.
    fn accepted_in(gate: &mut Gate, millis: u64, per_step: u32) -> u32 {
        let (mut open, mut accepted) = (true, 0);
        for milli in 0..millis {
            let now = Time::from_nanos(milli * 1_000_000);
            open = gate.poll(now, true).unwrap_or(open);
            for _ in 0..if open { per_step } else { 0 } {
                gate.handle_accepted(now);
                accepted += 1;
            }
        }
        accepted
    }

    #[test]
    fn the_rate_is_kept_whatever_the_burst() {
        for per_step in [1, 10, 128] {
            let accepted = accepted_in(&mut Gate::new(Some(1000)), 10_000, per_step);
            assert!(
                (10_000..10_300).contains(&accepted),
                "{accepted} at {per_step} a step"
            );
        }
        assert_eq!(accepted_in(&mut Gate::new(None), 100, 7), 700);
    }

    #[test]
    fn a_failure_rests_and_then_goes_on() {
        let mut gate = Gate::new(None);
        gate.handle_failure(Time::ZERO);
        assert_eq!(gate.poll(Time::ZERO, true), Some(false));
        let later = gate.deadline().unwrap();
        assert_eq!(gate.poll(later, true), Some(true));
    }
}

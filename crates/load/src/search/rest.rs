//! What lies between two steps: quiet, and time for source tuples to be free again.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rustix::event::{Timespec, poll};

use crate::{agents::MachineReport, interrupt::Interrupt};

/// Lets this time pass, less if the search is to end.
pub(super) fn pause(time: Duration, interrupt: &Interrupt) {
    const LOOK: Duration = Duration::from_millis(50);
    let until = Instant::now() + time;
    while !interrupt.is_raised() {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(look) = Timespec::try_from(left.min(LOOK)) else {
            break;
        };
        if left.is_zero() {
            break;
        }
        // Waits for nothing but the time; a signal ends it, and the flag is looked at again.
        let _ = poll(&mut [], Some(&look));
    }
}

/// Source tuples of all machines of a crowd, by their names; a crowd of this machine alone has one without a name.
/// Which part of a step will be whose is known of agents from the step before: before the first, all are free.
#[derive(Default)]
pub(super) struct Rests(BTreeMap<String, (f64, Rested)>);

impl Rests {
    /// Those of this machine, of which there are so many.
    pub(super) fn here(all: Option<u64>) -> Self {
        Self(BTreeMap::from([(String::new(), (1.0, Rested::new(all)))]))
    }

    /// Waits until a step with so many connections is possible on every machine, or until all tuples are free.
    pub(super) fn wait_for(&mut self, count: u64, interrupt: &Interrupt) {
        for (share, rested) in self.0.values_mut() {
            // What one machine waits passes for the others, too.
            rested.wait_for((count as f64 * *share).ceil() as u64, interrupt);
        }
    }

    /// How many rest, by machine.
    #[cfg(test)]
    pub(super) fn resting(&self) -> Vec<u64> {
        let all = self.0.values();
        all.map(|(_, rested)| rested.resting.iter().map(|&(_, count)| count).sum())
            .collect()
    }

    /// Whether nothing is to be waited for before a step with so many connections.
    #[cfg(test)]
    pub(super) fn is_possible(&self, count: u64) -> bool {
        let mut all = self.0.values();
        all.all(|(share, rested)| rested.has_room((count as f64 * share).ceil() as u64))
    }

    /// Takes note of a step that has opened so many connections, on these machines if it ran on agents.
    pub(super) fn note(&mut self, opened: u64, machines: &[MachineReport]) {
        if let Some((_, rested)) = self.0.get_mut("") {
            rested.note(opened);
        }
        for machine in machines {
            let name = machine.agent.clone();
            let fresh = || (0.0, Rested::new(machine.tuples));
            let (share, rested) = self.0.entry(name).or_insert_with(fresh);
            *share = machine.share;
            rested.note(machine.ready);
        }
    }
}

/// Source tuples of steps that are over: each rests in TIME_WAIT for a minute, so a step may have to wait
/// until enough of them are free again.
pub(super) struct Rested {
    /// How many there are; `None` where the kernel gives them back sooner (`tcp_tw_reuse` on loopback).
    all: Option<u64>,
    pub(super) resting: VecDeque<(Instant, u64)>,
}

/// TIME_WAIT, 60 s (`TCP_TIMEWAIT_LEN`), and one more for the clocks.
const TIME_WAIT: Duration = Duration::from_secs(61);

impl Rested {
    pub(super) fn new(all: Option<u64>) -> Self {
        Self {
            all,
            resting: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, count: u64) {
        if self.all.is_some() {
            self.resting.push_back((Instant::now() + TIME_WAIT, count));
        }
    }

    /// Whether so many are free beside those that rest.
    fn has_room(&self, count: u64) -> bool {
        let resting: u64 = self.resting.iter().map(|&(_, count)| count).sum();
        self.all.is_none_or(|all| resting + count <= all)
    }

    /// Waits until so many are free, or until all are.
    pub(super) fn wait_for(&mut self, count: u64, interrupt: &Interrupt) {
        if self.all.is_none() {
            return;
        }
        while let Some(&(until, _)) = self.resting.front() {
            let is_free = until <= Instant::now();
            if !is_free && (self.has_room(count) || interrupt.is_raised()) {
                return;
            }
            pause(until.saturating_duration_since(Instant::now()), interrupt);
            self.resting.pop_front();
        }
    }
}

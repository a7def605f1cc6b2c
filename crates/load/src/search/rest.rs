//! What lies between two steps: quiet, and time for source tuples to be free again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rustix::event::{Timespec, poll};

use crate::interrupt::Interrupt;

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

    /// Waits until so many are free, or until all are.
    pub(super) fn wait_for(&mut self, count: u64, interrupt: &Interrupt) {
        let Some(all) = self.all else { return };
        while let Some(&(until, _)) = self.resting.front() {
            let resting: u64 = self.resting.iter().map(|&(_, count)| count).sum();
            let is_free = until <= Instant::now();
            if !is_free && (resting + count <= all || interrupt.is_raised()) {
                return;
            }
            pause(until.saturating_duration_since(Instant::now()), interrupt);
            self.resting.pop_front();
        }
    }
}

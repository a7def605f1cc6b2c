//! Pushes: what every client says, with one unanswered at most.
//!
//! At a rate, each client knows when its next push is due, answered or not: an open loop. A push
//! leaves when it is due and its predecessor is answered, whichever comes later, and its latency
//! counts from when it was due. A hand passes every client once per interval to send what is due;
//! what was due earlier leaves with the answer. What is too far behind is skipped and counted, so
//! that asked = sent + skipped for every client that stays to the end.

use std::time::Duration;

use engine::{Io, Time};

use super::{NEVER, Order, Swarm};
use crate::{
    client::{Client, Phase},
    hand::Hand,
    options::Push,
};

/// Clients that are looked at in one tick, so that answers are read between them.
const PASSES_PER_TICK: u32 = 1024;
/// First pushes of a closed loop in one tick.
const FIRST_PUSHES_PER_TICK: u32 = 256;

/// How far behind a push may be, or its interval if that is longer, and how long after the hold
/// those that wait for an answer are still sent. The machine's own hiccups lie below.
const BEHIND_MAX: Duration = Duration::from_millis(50);

impl Swarm {
    pub(super) fn start_pushing(&mut self, now: Time) {
        let Some(Push::Paced(rate)) = self.plan.options.push else {
            return;
        };
        let hand = Hand::new(rate.interval(), self.slots, now);
        let end = now.after(self.plan.options.hold);
        for index in 0..self.slots {
            if let Some(client) = self.clients.find(index)
                && client.phase == Phase::Ready
            {
                client.due = hand.first_time(index);
                self.outcome.pushes.asked += pushes_between(client.due, end, rate.interval());
            }
        }
        self.pushes = Some(hand);
    }

    /// Gives up the pushes that were due by `now` and were not sent.
    pub(super) fn stop_pushing(&mut self, now: Time) {
        let (Some(Push::Paced(rate)), Some(_)) = (self.plan.options.push, self.pushes.take())
        else {
            return;
        };
        let end = self.hold_end().min(now);
        for index in 0..self.slots {
            if let Some(client) = self.clients.find(index)
                && client.phase == Phase::Ready
            {
                self.outcome.pushes.skipped += pushes_between(client.due, end, rate.interval());
            }
        }
    }

    /// Sends the pushes that are due and returns when to look again.
    pub(super) fn push_due(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        if self.plan.options.push == Some(Push::Max) {
            return self.push_first(io);
        }
        let Some(mut hand) = self.pushes.take() else {
            return NEVER;
        };
        // Whoever the hand skips here is passed within an interval and keeps its own account.
        hand.skip_rounds(now);
        let mut next = now;
        for _ in 0..PASSES_PER_TICK {
            let Some(slot) = hand.next_passed(now) else {
                next = hand.next_time();
                break;
            };
            // Who is back may have a slot that nobody had when the hand was made.
            for index in (slot..self.slots).step_by(hand.slots() as usize) {
                self.push_if_due(index, now, io);
            }
        }
        self.pushes = Some(hand);
        next
    }

    /// Sends a client's next push if it is due and the one before is answered.
    pub(super) fn push_if_due(&mut self, index: u32, now: Time, io: &mut Io<'_, Order>) {
        let end = self.hold_end();
        let Some(Push::Paced(rate)) = self.plan.options.push else {
            return;
        };
        let Some(client) = self.clients.find(index) else {
            return;
        };
        if client.phase != Phase::Ready || client.push_waits {
            return;
        }
        let interval = rate.interval();
        let too_far = now
            .since(client.due)
            .saturating_sub(BEHIND_MAX.max(interval));
        let skipped = count(too_far, interval).min(pushes_between(client.due, end, interval));
        client.due = after_intervals(client.due, skipped, interval);
        self.outcome.pushes.skipped += skipped;
        let due = client.due;
        if due <= now && due < end {
            client.due = due.after(interval);
            self.push(index, due, io);
        }
    }

    /// Whether pushes of the hold that is over wait for an answer and may still be sent.
    pub(super) fn owes_pushes(&mut self, now: Time) -> bool {
        let end = self.hold_end();
        if self.pushes.is_none() || now >= end.after(BEHIND_MAX) {
            return false;
        }
        (0..self.slots).any(|index| {
            let client = self.clients.find(index);
            client.is_some_and(|client| client.phase == Phase::Ready && client.due < end)
        })
    }

    /// Asks no more for the pushes of a client that is gone and comes back: it cannot make them. Those
    /// of a client that stays away are missed.
    pub(super) fn forgo_pushes(&mut self, index: u32) {
        let end = self.hold_end();
        let (Some(Push::Paced(rate)), Some(_)) = (self.plan.options.push, &self.pushes) else {
            return;
        };
        if let Some(client) = self.clients.find(index) {
            self.outcome.pushes.asked -= pushes_between(client.due, end, rate.interval());
        }
    }

    /// Asks for the pushes that a client which is back can still make.
    pub(super) fn ask_for_pushes(&mut self, index: u32, now: Time) {
        let end = self.hold_end();
        let (Some(Push::Paced(rate)), Some(hand)) = (self.plan.options.push, &self.pushes) else {
            return;
        };
        if let Some(client) = self.clients.find(index) {
            let first = hand.first_time(index);
            let missed = pushes_between(first, now, rate.interval());
            client.due = after_intervals(first, missed, rate.interval());
            self.outcome.pushes.asked += pushes_between(client.due, end, rate.interval());
        }
    }

    /// Lets the clients of a closed loop make their first push.
    fn push_first(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        let end = self
            .slots
            .min(self.cursor.saturating_add(FIRST_PUSHES_PER_TICK));
        for index in self.cursor..end {
            let client = self.clients.find(index);
            // Who is back has pushed already.
            let is_first = |client: &mut Client| client.phase == Phase::Ready && !client.push_waits;
            if client.is_some_and(is_first) {
                self.push(index, now, io);
            }
        }
        self.cursor = end;
        if end < self.slots { now } else { NEVER }
    }

    /// Sends the push of a client that was due at `due`.
    pub(super) fn push(&mut self, index: u32, due: Time, io: &mut Io<'_, Order>) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        client.push_waits = true;
        client.since = due;
        let conn = client.conn(index);
        let number = self.plan.client_number(self.shard, index);
        let frame = self.speech.push(client.topic, number, due, io.mask());
        io.send(conn, frame);
        self.outcome.pushes.sent += 1;
    }
}

/// Pushes due at `first` and every `interval` after it, before `end`.
fn pushes_between(first: Time, end: Time, interval: Duration) -> u64 {
    count(end.since(first), interval)
}

/// Intervals that begin within `time`.
fn count(time: Duration, interval: Duration) -> u64 {
    let intervals = time.as_nanos().div_ceil(interval.as_nanos().max(1));
    u64::try_from(intervals).unwrap_or(u64::MAX)
}

fn after_intervals(time: Time, count: u64, interval: Duration) -> Time {
    let nanos = interval.as_nanos().saturating_mul(count.into());
    time.after(Duration::from_nanos(
        u64::try_from(nanos).unwrap_or(u64::MAX),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_counted_from_the_first_to_before_the_end() {
        let at = Time::from_nanos;
        let interval = Duration::from_nanos(10);
        for (first, end, pushes) in [(5, 5, 0), (6, 5, 0), (5, 6, 1), (5, 15, 1), (5, 16, 2)] {
            assert_eq!(pushes_between(at(first), at(end), interval), pushes);
        }
        assert_eq!(after_intervals(at(5), 3, interval), at(35));
        // As many as nobody can send, without sending one.
        assert_eq!(count(Duration::from_secs(600), interval), 60_000_000_000);
    }
}

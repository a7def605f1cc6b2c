//! Heartbeats: each client's own time, and who has not answered the last one.

use std::time::Duration;

use engine::{Io, Time};

use super::{NEVER, Order, Swarm};
use crate::{client::Phase, failure::Failure, hand::Hand, options::Dialect};

/// Heartbeats in one tick, so that their answers are read between them.
const BEATS_PER_TICK: u32 = 1024;
/// How late a heartbeat may be without delaying all that follow it, in times between heartbeats.
const BEATS_LATE_MAX: u32 = 5;

impl Swarm {
    pub(super) fn start_heartbeats(&mut self, now: Time) {
        let options = &self.plan.options;
        if let (Dialect::Phoenix(_), Some(period)) = (options.dialect, options.heartbeat) {
            let round = period.saturating_add(self.beat_late_max(period));
            self.heartbeats = Some(Hand::new(round, self.plan.slots_max(), now));
        }
    }

    /// Sends the heartbeats that are due, gives up clients whose last one has no answer, and
    /// returns when to look again.
    ///
    /// Invariant: a client is given up a period at the earliest after its heartbeat really left,
    /// and never by a crowd that stood still and has not read since what came meanwhile.
    pub(super) fn beat(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        let (Some(mut hand), Some(period)) = (self.heartbeats.take(), self.plan.options.heartbeat)
        else {
            return NEVER;
        };
        // A round is a period and this allowance, so what is late within it is never too early.
        let late_max = self.beat_late_max(period);
        hand.set_back(now, late_max);
        for _ in 0..BEATS_PER_TICK {
            let Some(index) = hand.next_passed(now) else {
                break;
            };
            let Some(client) = self.clients.find(index) else {
                continue;
            };
            if client.phase != Phase::Ready {
                continue;
            }
            let conn = client.conn(index);
            if std::mem::replace(&mut client.heartbeat_waits, true) {
                self.give_up(conn, Failure::HeartbeatTimeout, io);
            } else if let Some(heartbeat) = self.speech.heartbeat(io.mask()) {
                io.send(conn, heartbeat);
                self.outcome.heartbeats.sent += 1;
            }
        }
        let next = hand.next_time();
        self.heartbeats = Some(hand);
        if next <= now {
            return now;
        }
        next.max(now.after(self.plan.pace().beat.min(late_max)))
    }

    /// How late a heartbeat of this period may be: a tenth of it, and no more than is worth waiting
    /// for.
    fn beat_late_max(&self, period: Duration) -> Duration {
        (period / 10).min(self.plan.pace().beat * BEATS_LATE_MAX)
    }
}

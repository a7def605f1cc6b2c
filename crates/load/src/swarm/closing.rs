//! Settling and closing: what is still outstanding, and goodbye.

use engine::{Io, Time};
use proto::ws::CloseCode;

use super::{Order, Swarm};
use crate::{
    client::Phase,
    failure::Failure,
    gauges::Stage,
    outcome::{Handed, Outcome},
};

/// Slots that are said goodbye to in one tick, so that the server's answers are read between them.
const CLOSES_PER_TICK: u32 = 512;

impl Swarm {
    /// Counts the clients that still miss a publish or the reply to a push. While broadcasts go out,
    /// only the last publish counts, unless the wait for it is over: what was lost of one broadcast is
    /// not waited for again with the next.
    pub(super) fn count_waiting(&mut self, now: Time) {
        self.counted = now;
        // Read before the members are looked at: a publish that comes between is not vouched for.
        self.waiting_for = self.plan.sent.total();
        self.waiting = 0;
        for index in 0..self.slots {
            let Some(client) = self.clients.find(index) else {
                continue;
            };
            let sent = self.plan.sent.last(client.topic);
            let has_all = match self.stage {
                Stage::Broadcasting => {
                    client.account.has(sent) || self.overdue.get(&client.topic) == Some(&sent)
                }
                _ => client.account.is_settled(sent),
            };
            if client.phase == Phase::Ready && (client.push_waits || !has_all) {
                self.waiting += 1;
            }
        }
    }

    /// Says goodbye to the next clients; when nobody is left, hands in the results and ends the
    /// shard. Returns when to look again.
    pub(super) fn close_some(&mut self, io: &mut Io<'_, Order>) -> Time {
        let end = self.slots.min(self.cursor.saturating_add(CLOSES_PER_TICK));
        for index in self.cursor..end {
            let Some(client) = self.clients.find(index) else {
                continue;
            };
            if !matches!(client.phase, Phase::Free | Phase::Leaving) {
                let conn = client.conn(index);
                self.part_with(index, io);
                io.close(conn, CloseCode::NORMAL, "");
            }
        }
        self.cursor = end;
        if end < self.slots {
            return io.now();
        }
        // The engine ends a goodbye that the server does not answer (`close_timeout`).
        if io.conns_count() == 0
            && let Some(results) = self.results.take()
        {
            let outcome = std::mem::replace(&mut self.outcome, Outcome::new());
            // Nobody waits for the results of a run that was given up.
            let _ = results.send(Handed::Outcome(Box::new(outcome)));
            io.stop();
        }
        io.now().after(self.plan.pace().beat)
    }

    /// Counts a client that is there at the end as held, and one that is still on its way as
    /// interrupted.
    pub(super) fn part_with(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        if client.phase != Phase::Ready {
            self.fail(index, Failure::Interrupted, io);
            return;
        }
        client.phase = Phase::Leaving;
        self.ready -= 1;
        self.outcome.held += 1;
        self.settle_account(index, false);
    }
}

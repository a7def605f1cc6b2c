//! Closing: goodbye to everybody, and the results.

use engine::{Io, Time};
use proto::ws::CloseCode;

use super::{Order, Swarm};
use crate::{
    client::Phase,
    failure::Failure,
    outcome::{Handed, Outcome},
};

/// Slots that are said goodbye to in one tick, so that the server's answers are read between them.
const CLOSES_PER_TICK: u32 = 512;

impl Swarm {
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
        if io.conns_count() == 0 && self.results.is_some() {
            // What was counted stays visible when it is handed in.
            self.show();
            let outcome = std::mem::replace(&mut self.outcome, Outcome::new());
            if let Some(results) = self.results.take() {
                // Nobody waits for the results of a run that was given up.
                let _ = results.send(Handed::Outcome(Box::new(outcome)));
            }
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

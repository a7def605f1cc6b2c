//! Settling: nothing is sent any more, and what is still outstanding.

use engine::{Io, Time};

use super::{Order, Swarm};
use crate::{client::Phase, gauges::Stage};

impl Swarm {
    /// Stops sending and waits for what is outstanding.
    pub(super) fn settle(&mut self, io: &mut Io<'_, Order>) {
        self.stop_sending(io.now());
        self.enter(Stage::Settling, io);
        // Before anybody sees the stage: an old count would look like the end of the wait.
        self.count_waiting(io.now());
    }

    pub(super) fn stop_sending(&mut self, now: Time) {
        if let Some(publishers) = &mut self.publishers {
            publishers.cancel();
        }
        self.stop_pushing(now);
    }

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
}

//! Broadcasting: one publish to every topic, and the next when all have it.

use engine::{Io, Time};

use super::{Order, Swarm};
use crate::{
    client::Phase, gauges::Stage, marker::Mark, outcome::Handed, publisher::Publishers,
    tally::Tally,
};

impl Swarm {
    /// Begins the next broadcast.
    pub(super) fn start_broadcast(&mut self, io: &mut Io<'_, Order>) {
        if self.stage != Stage::Broadcasting {
            self.stop_sending(io.now());
            let own = self.plan.own_topics(self.shard);
            self.appoint_publishers(Publishers::of_broadcasts(own));
            self.enter(Stage::Broadcasting, io);
            let topics = self.publishers.as_ref().map_or(0, Publishers::count);
            self.outcome.publishes.asked = topics * u64::from(self.plan.options.broadcasts);
        }
        if let Some(publishers) = &mut self.publishers {
            publishers.begin_round(io.now());
        }
        self.round += 1;
        io.tick_at(io.now());
    }

    /// One tick of broadcasting.
    pub(super) fn broadcast(&mut self, io: &mut Io<'_, Order>) -> Time {
        let publish = self.publish_due(io);
        self.count_waiting_if_due(io.now());
        publish.min(self.beat(io))
    }

    /// How many broadcasts have left this shard.
    pub(super) fn rounds_sent(&self) -> u64 {
        let owes = u32::from(self.stage == Stage::Broadcasting && self.owes_publishes());
        u64::from(self.round - owes.min(self.round))
    }

    /// Hands in what came of the broadcast.
    pub(super) fn hand_in_tally(&mut self) {
        // The next one is there at once: other shards may publish before this one is told to.
        let Some(mut tally) = self.tally.as_mut().map(std::mem::take) else {
            return;
        };
        let overdue = std::mem::take(&mut self.overdue);
        for index in 0..self.slots {
            let Some(client) = self.clients.find(index) else {
                continue;
            };
            let sent = self.plan.sent.last(client.topic);
            if client.phase == Phase::Ready && !client.account.has(sent) {
                // A topic that nobody was left to publish to has its loss counted already.
                let is_counted = overdue.get(&client.topic) == Some(&sent);
                tally.lost += u64::from(!is_counted);
                self.overdue.insert(client.topic, sent);
            }
        }
        if let Some(results) = &self.results {
            // Nobody waits for the tallies of a run that was given up.
            let _ = results.send(Handed::Tally(tally));
        }
    }

    /// Counts who is still to get the broadcast when it seems that all have it, and now and then.
    fn count_waiting_if_due(&mut self, now: Time) {
        let seems_over = self.seems_delivered() && self.waiting_for != self.plan.sent.total();
        if seems_over || now.since(self.counted) >= self.plan.pace().count {
            self.count_waiting(now);
        }
    }

    /// The tally that the arrival of `mark` belongs to, unless it comes after the end of the wait for
    /// its broadcast.
    pub(super) fn tally_of(&mut self, mark: Mark) -> Option<&mut Tally> {
        let is_last = mark.number == self.plan.sent.last(mark.topic);
        let is_over = self.overdue.get(&mark.topic) == Some(&mark.number);
        self.tally.as_deref_mut().filter(|_| is_last && !is_over)
    }

    /// Whether this shard may have got all that it will get.
    pub(super) fn seems_delivered(&self) -> bool {
        let tally = self.tally.as_ref();
        tally.is_some_and(|tally| tally.received >= self.members)
    }
}

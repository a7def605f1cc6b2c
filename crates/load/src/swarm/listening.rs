//! Listening: what a client makes of the server's messages.

use engine::{ConnId, Io, Message, Time};

use super::{Order, Swarm};
use crate::{
    account::{Account, Arrival},
    client::Phase,
    gauges::Stage,
    marker::Mark,
    options::Push,
    publisher::Answer,
    speech::Heard,
};

impl Swarm {
    /// Understands a message and does what it means for the client that hears it.
    pub(super) fn listen(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        let heard = self.speech.hear(message);
        let Some(client) = self.clients.find(conn.index) else {
            return;
        };
        if matches!(client.phase, Phase::Free | Phase::Leaving) {
            return;
        }
        match heard {
            Heard::Delivered(mark) => {
                self.handle_delivery(conn.index, mark, self.watch.now(io.now()));
                if self.stage == Stage::Broadcasting && self.seems_delivered() {
                    // Whoever waits for this is to see it now.
                    io.tick_at(io.now());
                }
            }
            Heard::PushAnswered { ok } => self.handle_push_answered(conn.index, ok, io),
            Heard::PushEchoed { client: of, due } => {
                // A server that broadcasts sends everybody everybody's pushes.
                let is_own = of == self.plan.client_number(self.shard, conn.index);
                if is_own && client.push_waits && due == client.since {
                    self.handle_push_answered(conn.index, true, io);
                }
            }
            Heard::PublishAnswered { number, ok } => {
                self.handle_publish_answered(conn.index, number, ok, self.watch.now(io.now()));
            }
            Heard::HeartbeatAnswered => {
                if std::mem::take(&mut client.heartbeat_waits) {
                    self.outcome.heartbeats.answered += 1;
                }
            }
            Heard::Joined if client.phase == Phase::Joining => {
                let since = client.since;
                if !self.comebacks.is_under_way(conn.index) {
                    let now = self.watch.now(io.now());
                    self.outcome.join.record(now.since(since));
                }
                self.handle_ready(conn, io);
            }
            Heard::Misrouted => self.outcome.deliveries.misrouted += 1,
            Heard::JoinRefused(failure)
            | Heard::ChannelEnded(failure)
            | Heard::Garbled(failure) => self.give_up(conn, failure, io),
            Heard::Joined | Heard::Other => {}
        }
    }

    fn handle_delivery(&mut self, index: u32, mark: Mark, now: Time) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let deliveries = &mut self.outcome.deliveries;
        let topics = self.plan.options.topics;
        if self.plan.sent.is_foreign(mark.topic) {
            self.handle_foreign_delivery(index, mark);
            return;
        }
        let is_sent = mark.number <= self.plan.sent.last(mark.topic);
        if mark.topic != client.topic || !is_sent {
            deliveries.misrouted += 1;
            return;
        }
        match client.account.record(mark.number) {
            Arrival::New { lost } => {
                let latency = now.since(mark.due);
                deliveries.received += 1;
                deliveries.lost += u64::from(lost);
                self.outcome.delivery.record(latency);
                self.outcome
                    .arrivals
                    .record(topics, mark.topic, mark.number, latency);
                if let Some(tally) = self.tally_of(mark) {
                    tally.record(latency);
                }
            }
            Arrival::Duplicate => {
                deliveries.duplicated += 1;
                if let Some(tally) = self.tally_of(mark) {
                    tally.duplicated += 1;
                }
            }
            Arrival::Late => {
                deliveries.late += 1;
                // Whether it had arrived before or not, this is its last delivery so far.
                let arrivals = &mut self.outcome.arrivals;
                arrivals.record(topics, mark.topic, mark.number, now.since(mark.due));
            }
            Arrival::Extra => deliveries.extra += 1,
        }
    }

    /// A publish of another machine arrives. Who joined while it published is a member from here on, and
    /// how long it took no clock of ours has measured.
    fn handle_foreign_delivery(&mut self, index: u32, mark: Mark) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let deliveries = &mut self.outcome.deliveries;
        if mark.topic != client.topic {
            deliveries.misrouted += 1;
            return;
        }
        self.plan.sent.hear(mark.topic, mark.number);
        if client.account.is_awaiting() {
            client.account = Account::open(mark.number.saturating_sub(1));
            self.members += 1;
        }
        let arrival = client.account.record(mark.number);
        match arrival {
            Arrival::New { lost } => {
                deliveries.received += 1;
                deliveries.lost += u64::from(lost);
            }
            Arrival::Duplicate => deliveries.duplicated += 1,
            Arrival::Late => deliveries.late += 1,
            Arrival::Extra => {
                deliveries.extra += 1;
                return;
            }
        }
        let (topics, arrivals) = (self.plan.options.topics, &mut self.outcome.arrivals);
        arrivals.record_foreign(topics, mark.topic, mark.number);
        if let Some(tally) = self.tally_of(mark) {
            match arrival {
                Arrival::New { .. } => tally.record_foreign(),
                Arrival::Duplicate => tally.duplicated += 1,
                Arrival::Late | Arrival::Extra => {}
            }
        }
    }

    fn handle_push_answered(&mut self, index: u32, ok: bool, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let Some(client) = self.clients.find(index) else {
            return;
        };
        if !std::mem::take(&mut client.push_waits) {
            return;
        }
        let pushes = &mut self.outcome.pushes;
        pushes.answered += 1;
        pushes.refused += u64::from(!ok);
        self.outcome.push_reply.record(now.since(client.since));
        if self.stage != Stage::Holding {
            return;
        }
        let is_over = now >= self.hold_end();
        self.outcome.pushes.answered_in_hold += u64::from(!is_over);
        match self.plan.options.push {
            Some(Push::Max) if !is_over => self.push(index, now, io),
            Some(Push::Max) | None => {}
            Some(Push::Paced(_)) => self.push_if_due(index, now, io),
        }
    }

    fn handle_publish_answered(&mut self, index: u32, number: u32, ok: bool, now: Time) {
        let (Some(publishers), Some(client)) = (&mut self.publishers, self.clients.find(index))
        else {
            return;
        };
        let Some(publisher) = publishers.of_client(client.topic, index) else {
            return;
        };
        let publishes = &mut self.outcome.publishes;
        match publisher.take_reply(number) {
            Answer::Due(due) => self.outcome.publish_reply.record(now.since(due)),
            Answer::Forgotten => publishes.unmeasured += 1,
            Answer::Strange => return,
        }
        publishes.refused += u64::from(!ok);
    }
}

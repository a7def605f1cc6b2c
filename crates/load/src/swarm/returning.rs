//! Returning: clients that lose their connection, or are made to, and come back.

use engine::Io;

use super::{Order, Swarm};
use crate::{
    client::Phase,
    comeback::{Backoff, Comeback, Parting},
    failure::Failure,
    gauges::Stage,
    options::Push,
};

impl Swarm {
    /// Whether a client that is there comes back when its connection ends like this. As phoenix.js,
    /// it stays away when it was told so.
    pub(super) fn comes_back(&self, failure: &Failure) -> bool {
        let is_final = matches!(failure, Failure::ClosedWith(1000) | Failure::ChannelClosed);
        self.plan.options.reconnect.is_some() && self.stage != Stage::Closing && !is_final
    }

    /// Lets a client wait for its next try; in a run that closes, it has tried for the last time.
    pub(super) fn wait_to_return(&mut self, comeback: Comeback, io: &mut Io<'_, Order>) {
        if self.stage == Stage::Closing {
            self.outcome.dropped.count(Failure::NotBack);
            return;
        }
        let backoff = self.plan.options.reconnect.unwrap_or(Backoff::Phoenix);
        let random = u32::from_ne_bytes(io.mask());
        self.comebacks.wait(comeback, backoff, random, io.now());
        if let Some(next) = self.comebacks.next_time() {
            io.tick_at(next.max(io.now().after(self.plan.pace().dial)));
        }
    }

    /// Counts a try in vain, and lets the client wait for the next.
    pub(super) fn fail_to_return(
        &mut self,
        comeback: Comeback,
        failure: Failure,
        io: &mut Io<'_, Order>,
    ) {
        if self.stage != Stage::Closing {
            self.outcome.returns_failed.count(failure);
        }
        self.wait_to_return(comeback, io);
    }

    /// Clients that are to come back and are not there.
    pub(super) fn away(&self) -> u64 {
        let retries = self.retries.iter().filter(|one| one.comeback.is_some());
        (self.comebacks.waiting_count() + self.comebacks.under_way_count() + retries.count()) as u64
    }

    /// Takes in a client that is back.
    pub(super) fn welcome_back(&mut self, index: u32, comeback: Comeback, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        self.outcome.returns.back += 1;
        self.outcome.back.record(now.since(comeback.left));
        if comeback.parting == Parting::Ours {
            let drop = &mut self.outcome.drop;
            drop.back += 1;
            drop.took = drop.took.max(now.since(self.dropped_at));
        }
        self.appoint_if_vacant(index);
        self.resume_pushing(index, io);
        if self.away() == 0 {
            // Whoever waits for this is to see it now.
            io.tick_at(io.now());
        }
    }

    /// Gives up all who are not back.
    pub(super) fn give_up_comebacks(&mut self) {
        for _ in 0..self.comebacks.give_up() {
            self.outcome.dropped.count(Failure::NotBack);
        }
    }

    /// Ends this shard's part of the connections that are to be dropped, evenly over the table.
    pub(super) fn drop_share(&mut self, io: &mut Io<'_, Order>) {
        let Some(share) = self.plan.options.drop else {
            return;
        };
        self.stop_sending(io.now());
        self.enter(Stage::Dropping, io);
        self.drops += 1;
        self.dropped_at = io.now();
        let part = |shard: u64| {
            let all = self.plan.part.dropped(share);
            all * shard / u64::from(self.plan.shards)
        };
        let ready = u64::from(self.ready);
        let wanted = (part(u64::from(self.shard) + 1) - part(self.shard.into())).min(ready);
        let mut due = 0;
        for index in 0..self.slots {
            let Some(client) = self.clients.find(index) else {
                continue;
            };
            if client.phase != Phase::Ready {
                continue;
            }
            // Of `ready` clients every `ready / wanted`-th, without fractions.
            due += wanted;
            if due >= ready {
                due -= ready;
                self.drop_client(index, io);
            }
        }
    }

    /// Ends a connection as abruptly as a cable does, and lets its client come back.
    fn drop_client(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        client.phase = Phase::Leaving;
        let (conn, topic) = (client.conn(index), client.topic);
        self.depart(index);
        self.outcome.drop.dropped += 1;
        self.wait_to_return(Comeback::new(topic, io.now(), Parting::Ours), io);
        io.abort(conn);
    }

    /// Lets a client that is back push again, from its next turn on.
    fn resume_pushing(&mut self, index: u32, io: &mut Io<'_, Order>) {
        if self.stage != Stage::Holding {
            return;
        }
        let now = io.now();
        match self.plan.options.push {
            Some(Push::Max) if now < self.hold_end() => self.push(index, now, io),
            Some(Push::Paced(_)) => self.ask_for_pushes(index, now),
            _ => {}
        }
    }
}

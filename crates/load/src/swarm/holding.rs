//! Holding: heartbeats, publishes and pushes.

use std::time::Duration;

use engine::{Io, Time};

use super::{Order, Swarm};
use crate::{
    arrivals::Arrivals,
    client::Phase,
    failure::Failure,
    gauges::Stage,
    hand::Hand,
    marker::Mark,
    options::{Audience, Dialect, Push},
    publisher::{DuePublish, Publishers},
};

/// Publishes in one tick, so that deliveries are read between them.
const PUBLISHES_PER_TICK: u32 = 64;
/// First pushes of a closed loop in one tick.
const FIRST_PUSHES_PER_TICK: u32 = 256;

/// How often due heartbeats are sent; they need not be punctual, and turns cost.
const BEAT: Duration = Duration::from_millis(10);
/// Heartbeats in one tick, so that their answers are read between them.
const BEATS_PER_TICK: u32 = 1024;
/// How late a heartbeat may be without delaying all that follow it.
const BEAT_LATE_MAX: Duration = Duration::from_millis(50);

/// Later than anything.
const NEVER: Time = Time::from_nanos(u64::MAX);

impl Swarm {
    /// One tick of holding; the hold ends when its time is over and everything that was meant to be
    /// published within it is.
    pub(super) fn hold(&mut self, io: &mut Io<'_, Order>) -> Time {
        let next = self
            .beat(io)
            .min(self.publish_due(io))
            .min(self.push_due(io));
        let end = self.since.after(self.plan.options.hold);
        let has_published = self
            .publishers
            .as_ref()
            .is_none_or(|publishers| publishers.peek().is_none());
        if io.now() < end {
            return next.min(end);
        }
        if has_published {
            self.settle(io);
        }
        next
    }

    /// Stops sending and waits for what is outstanding.
    pub(super) fn settle(&mut self, io: &mut Io<'_, Order>) {
        self.stop_sending();
        self.enter(Stage::Settling, io);
        // Before anybody sees the stage: an old count would look like the end of the wait.
        self.count_waiting();
    }

    pub(super) fn start_heartbeats(&mut self, now: Time) {
        let options = &self.plan.options;
        if let (Dialect::Phoenix(_), Some(period)) = (options.dialect, options.heartbeat) {
            let round = period.saturating_add(beat_late_max(period));
            self.heartbeats = Some(Hand::new(round, self.plan.slots_max(), now));
        }
    }

    pub(super) fn start_publishing(&mut self, now: Time) {
        let options = &self.plan.options;
        let Some(rate) = options.publish else { return };
        let mut publishers = Publishers::new(
            rate,
            options.topics,
            self.shard,
            self.plan.shards,
            now,
            options.hold,
        );
        self.outcome.publishes.asked = publishers.asked();
        // One walk over the clients finds the first of each topic.
        let mut found = vec![None; options.topics as usize];
        for index in (0..self.slots).rev() {
            if let Some(client) = self.clients.find(index)
                && client.phase == Phase::Ready
            {
                found[client.topic as usize] = Some(index);
            }
        }
        let mut appointed = Vec::new();
        for publisher in publishers.iter_mut() {
            publisher.client = found[publisher.topic as usize];
            publisher.is_forsaken = publisher.client.is_none();
            appointed.extend(publisher.client);
        }
        self.publishers = Some(publishers);
        for index in appointed {
            self.appoint(index);
        }
    }

    pub(super) fn start_pushing(&mut self, now: Time) {
        if let Some(Push::Paced(rate)) = self.plan.options.push {
            self.pushes = Some(Hand::new(rate.interval(), self.slots, now));
        }
    }

    pub(super) fn stop_sending(&mut self) {
        if let Some(publishers) = &mut self.publishers {
            publishers.cancel();
        }
        self.pushes = None;
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
        let late_max = beat_late_max(period);
        hand.set_back(now, late_max);
        for _ in 0..BEATS_PER_TICK {
            let Some(pass) = hand.next_passed(now) else {
                break;
            };
            let Some(client) = self.clients.find(pass.slot) else {
                continue;
            };
            if client.phase != Phase::Ready {
                continue;
            }
            let conn = client.conn(pass.slot);
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
        next.max(now.after(BEAT.min(late_max)))
    }

    /// Sends the publishes that are due and returns when to look again.
    pub(super) fn publish_due(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        for _ in 0..PUBLISHES_PER_TICK {
            let Some(publishers) = &mut self.publishers else {
                return NEVER;
            };
            let Some(next) = publishers.peek() else {
                return NEVER;
            };
            if next.due > now {
                return next.due;
            }
            publishers.advance();
            self.publish(next, io);
        }
        now
    }

    /// Sends one publish, if its topic has anybody left to send it.
    fn publish(&mut self, next: DuePublish, io: &mut Io<'_, Order>) {
        let Some(index) = self.publisher_at(next.place) else {
            return;
        };
        let Some(publishers) = &mut self.publishers else {
            return;
        };
        let Some(client) = self.clients.find(index) else {
            return;
        };
        let publisher = publishers.at(next.place);
        let conn = client.conn(index);
        // Raised before the publish leaves: see the module `account`.
        let number = self.plan.sent.announce(publisher.topic);
        let mark = Mark {
            run: self.plan.run,
            topic: publisher.topic,
            number,
            due: next.due,
        };
        publisher.expect_reply(number, next.due);
        let frame = self.speech.publish(mark, io.mask());
        io.send(conn, frame);
        let publishes = &mut self.outcome.publishes;
        publishes.sent += 1;
        let is_followed = Arrivals::follow(self.plan.options.topics, number);
        publishes.unfollowed += u64::from(!is_followed);
    }

    /// The slot of the client that publishes to the topic at `place`; another member of the topic
    /// takes over when the last one is gone.
    fn publisher_at(&mut self, place: usize) -> Option<u32> {
        let publisher = self.publishers.as_mut()?.at(place);
        if publisher.client.is_some() || publisher.is_forsaken {
            return publisher.client;
        }
        let topic = publisher.topic;
        let successor = (0..self.slots).find(|&index| {
            let client = self.clients.find(index);
            client.is_some_and(|client| client.phase == Phase::Ready && client.topic == topic)
        });
        let publisher = self.publishers.as_mut()?.at(place);
        publisher.client = successor;
        publisher.is_forsaken = successor.is_none();
        self.appoint(successor?);
        successor
    }

    /// Makes a client a publisher, which may change whether publishes must reach it.
    fn appoint(&mut self, index: u32) {
        if self.plan.options.audience() == Audience::Others {
            // What the client still misses was sent by its predecessor, whose connection ended.
            self.settle_account(index, true);
        }
        self.open_account(index, true);
    }

    /// Takes the office of publisher from a client that is gone.
    pub(super) fn dismiss_publisher(&mut self, index: u32) {
        let (Some(publishers), Some(client)) = (&mut self.publishers, self.clients.find(index))
        else {
            return;
        };
        if let Some(publisher) = publishers.of_client(client.topic, index, self.plan.shards) {
            let orphans = &mut self.outcome.orphans;
            let topic = publisher.topic;
            orphans.add(self.plan.options.topics, topic, publisher.dismiss());
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
        let end = self.since.after(self.plan.options.hold);
        while let Some(pass) = hand.next_passed(now) {
            if pass.at < end {
                self.push_or_owe(pass.slot, pass.at, io);
            }
        }
        let next = hand.next_time();
        self.pushes = Some(hand);
        next
    }

    /// Lets the clients of a closed loop make their first push.
    fn push_first(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        let end = self
            .slots
            .min(self.cursor.saturating_add(FIRST_PUSHES_PER_TICK));
        for index in self.cursor..end {
            self.push_or_owe(index, now, io);
        }
        self.cursor = end;
        if end < self.slots { now } else { NEVER }
    }

    /// Pushes for a client, or notes that it owes the push until the last one is answered.
    fn push_or_owe(&mut self, index: u32, due: Time, io: &mut Io<'_, Order>) {
        let Some(client) = self.clients.find(index) else {
            return;
        };
        if client.phase != Phase::Ready {
            return;
        }
        if !client.push_waits {
            self.push(index, due, io);
        } else if client.owed == Time::ZERO {
            client.owed = due;
        } else {
            self.outcome.pushes.skipped += 1;
        }
    }

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

/// How late a heartbeat of this period may be: a tenth of it, and no more than is worth waiting for.
fn beat_late_max(period: Duration) -> Duration {
    (period / 10).min(BEAT_LATE_MAX)
}

//! Holding: heartbeats and publishes.

use std::time::Duration;

use engine::{Io, Time};

use super::{NEVER, Order, Swarm};
use crate::{
    arrivals::Arrivals,
    client::Phase,
    failure::Failure,
    gauges::Stage,
    hand::Hand,
    marker::Mark,
    options::{Audience, Dialect},
    publisher::{DuePublish, Publishers},
};

/// Publishes in one tick, so that deliveries are read between them.
const PUBLISHES_PER_TICK: u32 = 64;

/// How often a hold that is over looks whether all is sent.
const OWED_LOOK: Duration = Duration::from_millis(5);

/// Heartbeats in one tick, so that their answers are read between them.
const BEATS_PER_TICK: u32 = 1024;
/// How late a heartbeat may be without delaying all that follow it, in times between heartbeats.
const BEATS_LATE_MAX: u32 = 5;

impl Swarm {
    /// One tick of holding.
    ///
    /// The hold ends when its time is over and what was due within it is sent. Who falls so far
    /// behind that this takes longer than the settle timeout is cut off there.
    pub(super) fn hold(&mut self, io: &mut Io<'_, Order>) -> Time {
        let next = self
            .beat(io)
            .min(self.publish_due(io))
            .min(self.push_due(io));
        let now = io.now();
        let end = self.hold_end();
        if now < end {
            return next.min(end);
        }
        let cut_off = end.after(self.plan.options.settle_timeout);
        if now >= cut_off || !(self.owes_publishes() || self.owes_pushes(now)) {
            self.settle(io);
        }
        next.min(now.after(OWED_LOOK)).min(cut_off)
    }

    /// Whether publishes of the hold are not sent yet.
    pub(super) fn owes_publishes(&self) -> bool {
        self.publishers
            .as_ref()
            .is_some_and(|publishers| publishers.peek().is_some())
    }

    /// Stops sending and waits for what is outstanding.
    pub(super) fn settle(&mut self, io: &mut Io<'_, Order>) {
        self.stop_sending(io.now());
        self.enter(Stage::Settling, io);
        // Before anybody sees the stage: an old count would look like the end of the wait.
        self.count_waiting(io.now());
    }

    pub(super) fn start_heartbeats(&mut self, now: Time) {
        let options = &self.plan.options;
        if let (Dialect::Phoenix(_), Some(period)) = (options.dialect, options.heartbeat) {
            let round = period.saturating_add(self.beat_late_max(period));
            self.heartbeats = Some(Hand::new(round, self.plan.slots_max(), now));
        }
    }

    pub(super) fn start_publishing(&mut self, now: Time) {
        let options = &self.plan.options;
        let Some(rate) = options.publish else { return };
        let publishers = Publishers::new(
            rate,
            options.topics,
            self.shard,
            self.plan.shards,
            now,
            options.hold,
        );
        self.outcome.publishes.asked = publishers.asked();
        self.appoint_publishers(publishers);
    }

    /// Makes the first client of each topic of this shard its publisher.
    pub(super) fn appoint_publishers(&mut self, publishers: Publishers) {
        self.publishers = Some(publishers);
        self.fill_vacancies();
    }

    /// Finds a publisher for every topic of this shard that has none, with one walk over the clients:
    /// where one topic has lost its publisher, many may have.
    fn fill_vacancies(&mut self) {
        for index in 0..self.slots {
            self.appoint_if_vacant(index);
        }
        for publisher in self.publishers.iter_mut().flat_map(Publishers::iter_mut) {
            publisher.is_forsaken = publisher.client.is_none();
        }
    }

    pub(super) fn stop_sending(&mut self, now: Time) {
        if let Some(publishers) = &mut self.publishers {
            publishers.cancel();
        }
        self.stop_pushing(now);
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
        if let Some(tally) = &mut self.tally {
            tally.sent += 1;
        }
        let is_followed = Arrivals::follow(self.plan.options.topics, number);
        publishes.unfollowed += u64::from(!is_followed);
    }

    /// The slot of the client that publishes to the topic at `place`; another member of the topic
    /// takes over when the last one is gone.
    pub(super) fn publisher_at(&mut self, place: usize) -> Option<u32> {
        let publisher = self.publishers.as_mut()?.at(place);
        if publisher.client.is_none() && !publisher.is_forsaken {
            self.fill_vacancies();
        }
        self.publishers.as_mut()?.at(place).client
    }

    /// Makes a client that is there the publisher of its topic if that has none, which may change
    /// whether publishes must reach it.
    pub(super) fn appoint_if_vacant(&mut self, index: u32) {
        let (Some(publishers), Some(client)) = (&mut self.publishers, self.clients.find(index))
        else {
            return;
        };
        let Some(publisher) = publishers.of_topic(client.topic) else {
            return;
        };
        if client.phase != Phase::Ready || publisher.client.is_some() {
            return;
        }
        publisher.client = Some(index);
        publisher.is_forsaken = false;
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
        if let Some(publisher) = publishers.of_client(client.topic, index) {
            let orphans = &mut self.outcome.orphans;
            let topic = publisher.topic;
            orphans.add(self.plan.options.topics, topic, publisher.dismiss());
        }
    }
}

//! Publishing: what one client of each topic says to all, at a rate or for a broadcast, and who it is.

use engine::{Io, Time};

use super::{NEVER, Order, Swarm};
use crate::{
    arrivals::Arrivals,
    client::Phase,
    marker::Mark,
    options::Audience,
    publisher::{DuePublish, Publishers},
};

/// Publishes in one tick, so that deliveries are read between them.
const PUBLISHES_PER_TICK: u32 = 64;

impl Swarm {
    pub(super) fn start_publishing(&mut self, now: Time) {
        let options = &self.plan.options;
        let Some(rate) = options.publish else { return };
        let own = self.plan.own_topics(self.shard);
        let publishers = Publishers::new(rate, own, now, options.hold);
        self.outcome.publishes.asked = publishers.asked();
        self.appoint_publishers(publishers);
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

    /// Whether publishes of the hold are not sent yet.
    pub(super) fn owes_publishes(&self) -> bool {
        self.publishers
            .as_ref()
            .is_some_and(|publishers| publishers.peek().is_some())
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

    /// Makes the first client of each topic of this shard its publisher.
    pub(super) fn appoint_publishers(&mut self, publishers: Publishers) {
        self.publishers = Some(publishers);
        self.fill_vacancies();
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

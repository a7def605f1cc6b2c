//! On many shards with members on few, publishes reach the members and leave the other shards alone,
//! whoever comes and goes meanwhile; and what waits for a shard that is stuck is bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use engine::sim::{Faults, Shard};
use fourtuple_server::config::Config;
use serde_json::Value;

use crate::{World, client::Client, for_seeds};

const SHARDS: u16 = 64;
const CLIENTS: usize = 10;
const TOPICS: [&str; 2] = ["room:a", "room:b"];
const MAILBOX_MAX: usize = 16;

/// How a client stands to a topic, as far as it can know itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Out,
    /// It has asked to join, having heard so many replies before.
    Asking(usize),
    In,
    /// It has left, and what is on its way may find it or not.
    Leaving,
}

/// Clients that come and go, and what they must hear.
struct Crowd {
    world: World,
    /// By client and topic.
    standings: [[Standing; 2]; CLIENTS],
    /// Client and topic, and the sender and number of a publish that this client must hear in it.
    due: Vec<(usize, usize, (u64, u64))>,
    said_counts: [u64; CLIENTS],
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let mut world = world(seed, Faults::SLOW);
        for index in 0..CLIENTS {
            let client = world.connect().expect("nobody is refused");
            client.borrow_mut().upgrade(["1.0.0", "2.0.0"][index % 2]);
        }
        world.settle(Duration::from_secs(1));
        Self {
            world,
            standings: [[Standing::Out; 2]; CLIENTS],
            due: Vec::new(),
            said_counts: [0; CLIENTS],
        }
    }

    fn act(&mut self, index: usize, topic: usize, publishes_count: u64) {
        let mut client = self.world.clients[index].borrow_mut();
        match self.standings[index][topic] {
            Standing::Out => {
                self.standings[index][topic] = Standing::Asking(client.replies(TOPICS[topic]));
                client.join(TOPICS[topic]);
            }
            Standing::In if publishes_count == 0 => {
                self.standings[index][topic] = Standing::Leaving;
                client.push(TOPICS[topic], "phx_leave", "{}");
                self.due.retain(|due| (due.0, due.1) != (index, topic));
            }
            Standing::In => {
                drop(client);
                (0..publishes_count).for_each(|_| self.publish(index, topic));
            }
            Standing::Asking(_) | Standing::Leaving => {}
        }
    }

    fn publish(&mut self, sender: usize, topic: usize) {
        let number = self.said_counts[sender];
        self.said_counts[sender] += 1;
        let payload = format!("{{\"from\":{sender},\"n\":{number}}}");
        let mut client = self.world.clients[sender].borrow_mut();
        client.push(TOPICS[topic], "msg", &payload);
        let members = (0..CLIENTS).filter(|index| self.standings[*index][topic] == Standing::In);
        let publish = (sender as u64, number);
        self.due
            .extend(members.map(|index| (index, topic, publish)));
    }

    /// Lets a little time pass; who hears that it has joined is in from then on.
    fn settle(&mut self, time: Duration) {
        self.world.settle(time);
        for (client, standings) in self.world.clients.iter().zip(&mut self.standings) {
            for (standing, topic) in standings.iter_mut().zip(TOPICS) {
                if let Standing::Asking(before) = *standing
                    && client.borrow().replies(topic) > before
                {
                    *standing = Standing::In;
                }
            }
        }
    }

    /// Lets everything arrive that is on its way, and checks what everybody has heard so far.
    fn check(&mut self) {
        self.settle(Duration::from_secs(1));
        for (index, topic, publish) in self.due.drain(..) {
            let client = self.world.clients[index].borrow();
            let heard = client.broadcasts(TOPICS[topic], "msg");
            assert!(
                heard.into_iter().any(|payload| read(payload) == publish),
                "client {index} has not heard {publish:?}"
            );
        }
        for client in &self.world.clients {
            assert_in_order(&publishes(&client.borrow()));
        }
        for standing in self.standings.as_flattened_mut() {
            assert!(!matches!(standing, Standing::Asking(_)), "not answered");
            if *standing == Standing::Leaving {
                *standing = Standing::Out;
            }
        }
    }
}

fn world(seed: u64, faults: Faults) -> World {
    let mut config = Config::default();
    config.limits.mailbox_max = MAILBOX_MAX;
    World::with_shards(SHARDS, seed, faults, config)
}

/// The publishes that a client has heard, as sender and number.
fn publishes(client: &Client) -> Vec<(u64, u64)> {
    let payloads = client.heard.iter().filter(|message| message[3] == "msg");
    payloads.map(|message| read(&message[4])).collect()
}

fn read(payload: &Value) -> (u64, u64) {
    let number = |key: &str| payload[key].as_u64().expect("a number");
    (number("from"), number("n"))
}

/// The publishes of each sender are heard once each, and in the order in which it made them.
fn assert_in_order(heard: &[(u64, u64)]) {
    let mut last = BTreeMap::new();
    for (sender, number) in heard {
        let before = last.insert(sender, number);
        assert!(
            before.is_none_or(|before| before < number),
            "after {before:?}: {heard:?}"
        );
    }
}

#[test]
fn while_members_come_and_go_shards_without_members_get_no_mail() {
    for_seeds("while_members_come_and_go", 12, |seed| {
        let mut crowd = Crowd::new(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        for step in 1..=120 {
            let (index, topic) = (random.usize(..CLIENTS), random.usize(..2));
            // Sometimes more at once than a mailbox holds.
            let publishes_count = [0, 1, 1, 1, 3, 40][random.usize(..6)];
            crowd.act(index, topic, publishes_count);
            if random.bool() {
                crowd.settle(Duration::from_micros(random.u64(..200)));
            }
            if step % 20 == 0 {
                crowd.check();
            }
        }
        let shards = &crowd.world.node.shards;
        let received = |with_conns: bool| {
            let those = shards
                .iter()
                .filter(|shard| (shard.counters().conns > 0) == with_conns);
            those
                .map(|shard| shard.hub_counters().broadcasts_received)
                .sum::<u64>()
        };
        assert!(received(true) > 0, "publishes went from shard to shard");
        assert_eq!(received(false), 0);
    });
}

#[test]
fn what_waits_for_a_stuck_shard_is_bounded_and_arrives_in_order() {
    const PUBLISHES: usize = 2_000;
    let mut world = world(1, Faults::default());
    let mut homes = Vec::new();
    for _ in 0..CLIENTS {
        let before: Vec<_> = conns_by_shard(&world);
        let client = world.connect().expect("nobody is refused");
        client.borrow_mut().upgrade("2.0.0");
        client.borrow_mut().join("room:a");
        world.settle(Duration::from_millis(10));
        let after = conns_by_shard(&world);
        homes.extend((0..SHARDS.into()).filter(|shard| after[*shard] > before[*shard]));
    }
    let (publisher, stuck) = (homes[0], homes[1]);
    assert_ne!(publisher, stuck, "another seed puts them apart");
    for number in 0..PUBLISHES {
        let payload = format!("{{\"from\":0,\"n\":{number}}}");
        world.clients[0]
            .borrow_mut()
            .push("room:a", "msg", &payload);
    }
    turn_without(&mut world, stuck, 500);

    let counters = world.node.shards[publisher].counters();
    let taken_in = counters.messages_in as usize - 1;
    assert!(taken_in < MAILBOX_MAX + READ_PUBLISHES_MAX, "{taken_in}");
    // Nothing is dropped: for each other shard what did not fit waits, though elsewhere not for long.
    let others: BTreeSet<_> = homes.iter().filter(|home| **home != publisher).collect();
    let delayed = counters.mail_delayed as usize;
    assert_eq!(delayed, (taken_in - MAILBOX_MAX) * others.len());
    for (client, home) in world.clients.iter().zip(&homes) {
        let heard = publishes(&client.borrow()).len();
        assert_eq!(heard, if *home == stuck { 0 } else { taken_in });
    }

    world.settle(Duration::from_secs(10));
    for client in &world.clients {
        let heard = publishes(&client.borrow());
        assert_in_order(&heard);
        assert_eq!(heard.len(), PUBLISHES);
    }
}

/// Publishes that one read of a simulated socket, 4 KiB, can bring: each is more than 32 bytes.
const READ_PUBLISHES_MAX: usize = 4 * 1024 / 32;

fn conns_by_shard(world: &World) -> Vec<u64> {
    let shards = world.node.shards.iter();
    shards.map(|shard| shard.counters().conns).collect()
}

/// Turns all shards but one, so many times.
fn turn_without(world: &mut World, stuck: usize, mut turns: u32) {
    let mut all = std::mem::take(&mut world.node.shards);
    let mut others: Vec<&mut dyn Shard> = all.iter_mut().map(|shard| &mut **shard as _).collect();
    others.remove(stuck);
    let until = world.net.now().after(Duration::from_secs(1));
    world.net.run(&mut others, until, || {
        world.exchange();
        turns -= 1;
        turns == 0
    });
    world.node.shards = all;
}

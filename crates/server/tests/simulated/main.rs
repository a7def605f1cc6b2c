//! A whole server, hub and engine, on a simulated network: one run per seed.
//!
//! A failing seed prints the command that repeats it.

mod any_script_is_survived;
mod client;
#[path = "../../../proto/tests/wire/corpus.rs"]
mod corpus;
mod hall;
mod publishes_find_members_on_many_shards;
mod shard_body;
mod shard_client;
mod shard_script;

use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, rc::Rc, time::Duration};

use client::Client;
use engine::{
    Turn,
    sim::{Faults, Net, Shard},
};
use fourtuple_server::{
    SimulatedNode,
    config::{Config, Limits},
    relay,
};

const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);

/// A node with the built-in channel, and the clients of a test.
struct World {
    net: Net,
    node: SimulatedNode,
    clients: Vec<Rc<RefCell<Client>>>,
}

impl World {
    fn new(seed: u64, faults: Faults, config: Config) -> Self {
        Self::with_shards(2, seed, faults, config)
    }

    fn with_shards(shards_count: u16, seed: u64, faults: Faults, config: Config) -> Self {
        let net = Net::new(seed, faults);
        let kernels: Vec<_> = (0..shards_count)
            .map(|_| net.kernel(Some(SERVER)))
            .collect();
        let node = SimulatedNode::new(relay(&config), config, kernels);
        Self {
            net,
            node,
            clients: Vec::new(),
        }
    }

    /// Connects a client, unless the network refuses it.
    fn connect(&mut self) -> Option<Rc<RefCell<Client>>> {
        let source = ([127, 0, 0, 2], 10_000 + self.clients.len() as u16).into();
        let client = Client::new(self.net.connect(source, SERVER)?);
        let client = Rc::new(RefCell::new(client));
        self.clients.push(Rc::clone(&client));
        Some(client)
    }

    /// Lets everything happen that can, and at most this much time pass.
    fn settle(&mut self, time: Duration) {
        let until = self.net.now().after(time);
        let mut all = std::mem::take(&mut self.node.shards);
        loop {
            let mut shards: Vec<&mut dyn Shard> =
                all.iter_mut().map(|shard| &mut **shard as _).collect();
            self.net.run(&mut shards, until, || {
                self.exchange();
                false
            });
            // What was left to write when the network fell quiet may fit now.
            if !self.exchange() {
                break;
            }
        }
        self.node.shards = all;
    }

    /// Has every client write and read; whether any could.
    fn exchange(&self) -> bool {
        self.clients
            .iter()
            .fold(false, |busy, client| client.borrow_mut().exchange() | busy)
    }

    /// Connections that the node has still.
    fn conns(&self) -> u64 {
        self.node
            .shards
            .iter()
            .map(|shard| shard.counters().conns)
            .sum()
    }
}

fn for_seeds(test: &str, count: u64, check: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let chosen = std::env::var("SIMULATION_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in chosen.map_or(0..count, |seed| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!(
                "repeat with: SIMULATION_SEED={seed} cargo test -p fourtuple-server --test simulated {test}"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn on_a_slow_network_everybody_hears_everything_once_and_in_order() {
    for_seeds("on_a_slow_network", 150, |seed| {
        let mut world = World::new(seed, Faults::SLOW, Config::default());
        let vsns = ["1.0.0", "2.0.0"];
        for index in 0..8 {
            let client = world.connect().expect("nobody is refused");
            client.borrow_mut().upgrade(vsns[index % 2]);
            client.borrow_mut().join("room:a");
        }
        world.settle(Duration::from_secs(1));
        for number in 0..6 {
            for (sender, client) in world.clients.iter().enumerate() {
                let payload = format!("{{\"from\":{sender},\"n\":{number}}}");
                client.borrow_mut().push("room:a", "msg", &payload);
            }
        }
        world.settle(Duration::from_secs(1));
        for client in &world.clients {
            let client = client.borrow();
            assert_eq!(client.closed, None);
            assert_eq!(
                client.replies_ok(),
                7,
                "one join and six pushes: {:?}",
                client.heard
            );
            let mut heard: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for payload in client.broadcasts("room:a", "msg") {
                let from = payload["from"].as_u64().expect("a sender");
                heard
                    .entry(from)
                    .or_default()
                    .push(payload["n"].as_u64().expect("a number"));
            }
            let expected = (0..8).map(|sender| (sender, (0..6).collect())).collect();
            assert_eq!(heard, expected);
        }
    });
}

#[test]
fn on_a_rough_network_a_shard_lives_and_lets_go_of_everything() {
    for_seeds("on_a_rough_network", 150, |seed| {
        let mut world = World::new(seed, Faults::ROUGH, Config::default());
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..60 {
            if world.clients.len() < 8
                && random.u8(..4) == 0
                && let Some(client) = world.connect()
            {
                client
                    .borrow_mut()
                    .upgrade(if random.bool() { "1.0.0" } else { "2.0.0" });
            }
            if let Some(client) = random.choice(&world.clients) {
                let client = &mut client.borrow_mut();
                let topics = ["room:a", "room:b", "nowhere", "phoenix"];
                let topic = topics[random.usize(..topics.len())];
                match random.u8(..10) {
                    0..3 => client.join(topic),
                    3..6 => client.push(topic, "msg", "{\"x\":[1,2,{}]}"),
                    6 => client.push(topic, "phx_leave", "{}"),
                    7 => client.say_bytes(random.u8(..), &[random.u8(..), random.u8(..), b'[']),
                    8 => client.say("[null,\"1\",\"phoenix\",\"heartbeat\",{}]"),
                    _ if random.bool() => client.peer.close(),
                    _ => client.peer.reset(),
                }
            }
            world.settle(Duration::from_millis(random.u64(..300)));
        }
        world.net.set_faults(Faults::default());
        world
            .clients
            .iter()
            .for_each(|client| client.borrow().peer.close());
        world.settle(Duration::from_secs(600));
        assert_eq!(world.conns(), 0);
    });
}

#[test]
fn a_drain_closes_every_socket_with_1012_and_ends_the_node() {
    for_seeds("a_drain_closes", 50, |seed| {
        let mut config = Config::default();
        config.drain.batch = 4;
        config.drain.interval = Duration::from_secs(1);
        let mut world = World::new(seed, Faults::SLOW, config);
        for _ in 0..20 {
            let client = world.connect().expect("nobody is refused");
            client.borrow_mut().upgrade("2.0.0");
            client.borrow_mut().join("room:a");
        }
        world.settle(Duration::from_secs(1));
        let began = world.net.now();
        world.node.drain();
        world.settle(Duration::from_secs(60));
        for client in &world.clients {
            assert_eq!(client.borrow().closed, Some(1012));
        }
        assert_eq!(world.conns(), 0);
        assert!(
            world
                .node
                .shards
                .iter_mut()
                .all(|shard| shard.turn() == Turn::Stopped)
        );
        let took = world.net.now().since(began);
        // Two shards with about ten each, two at a time: four or more intervals, and no time-out.
        assert!(
            (Duration::from_secs(4)..Duration::from_secs(30)).contains(&took),
            "{took:?}"
        );
        assert!(
            world
                .net
                .connect(([127, 0, 0, 3], 1).into(), SERVER)
                .is_none(),
            "the door is shut"
        );
    });
}

#[test]
fn a_drain_cuts_off_who_does_not_answer_when_its_time_is_up() {
    let mut config = Config::default();
    config.drain.timeout = Duration::from_secs(3);
    let mut world = World::new(1, Faults::default(), config);
    let client = world.connect().expect("nobody is refused");
    client.borrow_mut().upgrade("2.0.0");
    world.settle(Duration::from_secs(1));
    client.borrow_mut().deaf = true;
    let began = world.net.now();
    world.node.drain();
    world.settle(Duration::from_secs(60));
    assert_eq!(world.conns(), 0);
    assert!(world.net.now().since(began) < Duration::from_secs(4));
}

#[test]
fn one_connection_more_than_allowed_is_refused_and_room_is_used_again() {
    let limits = Limits {
        connections_max: Some(3),
        ..Limits::default()
    };
    let mut world = World::new(
        1,
        Faults::default(),
        Config {
            limits,
            ..Config::default()
        },
    );
    for _ in 0..5 {
        let client = world.connect().expect("the network refuses nobody");
        client.borrow_mut().upgrade("2.0.0");
        world.settle(Duration::from_millis(10));
    }
    let statuses: Vec<_> = world
        .clients
        .iter()
        .map(|client| client.borrow().status)
        .collect();
    assert_eq!(
        statuses,
        [Some(101), Some(101), Some(101), Some(503), Some(503)]
    );
    world.clients[0].borrow().peer.close();
    world.settle(Duration::from_millis(10));
    let late = world.connect().expect("the network refuses nobody");
    late.borrow_mut().upgrade("2.0.0");
    world.settle(Duration::from_millis(10));
    assert_eq!(late.borrow().status, Some(101));
}

#[test]
fn heartbeats_keep_a_socket_and_silence_ends_it() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(60)),
        ..Config::default()
    };
    let mut world = World::new(1, Faults::default(), config);
    let alive = world.connect().expect("nobody is refused");
    let silent = world.connect().expect("nobody is refused");
    for client in [&alive, &silent] {
        client.borrow_mut().upgrade("2.0.0");
    }
    let beat = || {
        alive
            .borrow_mut()
            .say("[null,\"1\",\"phoenix\",\"heartbeat\",{}]")
    };
    world.settle(Duration::from_millis(10));
    beat();
    world.settle(Duration::from_secs(29));
    beat();
    world.settle(Duration::from_secs(30));
    assert_eq!(silent.borrow().closed, None, "after 59 seconds");
    beat();
    world.settle(Duration::from_secs(3));
    assert_eq!(silent.borrow().closed, Some(1002), "after 62 seconds");
    world.settle(Duration::from_secs(55));
    beat();
    world.settle(Duration::from_secs(1));
    assert_eq!(alive.borrow().closed, None);
    assert_eq!(alive.borrow().replies_ok(), 4);
}

#[test]
fn a_shard_that_ends_first_in_a_drain_does_not_stop_the_others() {
    let mut config = Config::default();
    config.drain.batch = 2;
    config.drain.interval = Duration::from_secs(2);
    config.limits.mailbox_max = 16;
    let mut world = World::new(4, Faults::default(), config);
    for _ in 0..17 {
        let client = world.connect().expect("nobody is refused");
        client.borrow_mut().upgrade("2.0.0");
        client.borrow_mut().join("room:a");
    }
    world.settle(Duration::from_secs(1));
    world.node.drain();
    let mut unequal = false;
    for _ in 0..40 {
        let left: Vec<_> = world
            .node
            .shards
            .iter()
            .map(|shard| shard.counters().open)
            .collect();
        unequal |= left.contains(&0) && left != [0, 0];
        for client in world
            .clients
            .iter()
            .filter(|client| client.borrow().closed.is_none())
        {
            let mut client = client.borrow_mut();
            let before = client.replies_ok();
            (0..10).for_each(|_| client.push("room:a", "msg", "{}"));
            drop(client);
            assert!(before > 0);
        }
        world.settle(Duration::from_millis(500));
        for client in world
            .clients
            .iter()
            .filter(|client| client.borrow().closed.is_none())
        {
            assert_eq!(
                client.borrow().replies_ok() % 10,
                1,
                "each push so far is answered"
            );
        }
    }
    assert!(unequal, "one shard was to end before the other");
    assert!(
        world
            .clients
            .iter()
            .all(|client| client.borrow().closed == Some(1012))
    );
    assert_eq!(world.conns(), 0);
}

#[test]
fn who_is_left_when_a_drain_is_nearly_over_is_told_too() {
    let mut config = Config::default();
    config.drain.batch = 1;
    config.drain.timeout = Duration::from_secs(1);
    let mut world = World::new(1, Faults::default(), config);
    for _ in 0..5 {
        world
            .connect()
            .expect("nobody is refused")
            .borrow_mut()
            .upgrade("2.0.0");
    }
    world.settle(Duration::from_millis(100));
    world.node.drain();
    world.settle(Duration::from_secs(5));
    assert!(
        world
            .clients
            .iter()
            .all(|client| client.borrow().closed == Some(1012))
    );
}

#[test]
fn only_objects_are_passed_on() {
    let mut world = World::new(1, Faults::default(), Config::default());
    let client = world.connect().expect("nobody is refused");
    client.borrow_mut().upgrade("2.0.0");
    client.borrow_mut().join("room:a");
    for payload in ["\"text\"", "[1]", "7", "null", "{\"ok\":1}"] {
        client.borrow_mut().push("room:a", "msg", payload);
    }
    world.settle(Duration::from_secs(1));
    let client = client.borrow();
    assert_eq!(
        client.broadcasts("room:a", "msg"),
        [&serde_json::json!({ "ok": 1 })]
    );
    assert_eq!(client.replies_ok(), 2, "the join and the object");
}

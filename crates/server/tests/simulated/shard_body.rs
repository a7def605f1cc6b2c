//! What a whole shard promises for any script: hub and engine on a simulated kernel. A fuzz target
//! includes this file.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use engine::{
    Turn,
    sim::{Net, Shard},
};
use fourtuple_server::{
    SimulatedNode,
    config::{self, Config, Join, Limits, Push, Rule},
    relay,
};

use crate::{
    hall::hall,
    shard_client::Client,
    shard_script::{Act, Saying, Setup, Step, What, Whose, read},
};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);

/// Connections that the server holds; small, so that a script fills it.
const CONNECTIONS_MAX: u32 = 5;
/// Clients that a script may have in all.
const CLIENTS_MAX: usize = 40;
const OUTBOX_BYTES_MAX: u32 = 2048;
/// Bytes that the simulated network takes from a server whose client does not read.
const WINDOW_BYTES: usize = 16 * 1024;
/// A close frame, or the answer to a request.
const LAST_WORD_BYTES: usize = 512;

/// No script breaks a shard: it never panics, every client hears a stream that keeps both protocols,
/// what a client does not read is bounded, and when everybody has gone nothing is left behind.
pub(crate) fn fuzz_shard(data: &[u8]) {
    let (setup, steps) = read(data);
    let mut world = World::new(&setup);
    for step in steps {
        world.perform(step);
    }
    world.end();
}

struct World {
    net: Net,
    node: SimulatedNode,
    clients: Vec<Client>,
    is_draining: bool,
}

impl World {
    fn new(setup: &Setup) -> Self {
        let config = config(setup);
        let net = Net::new(setup.seed, setup.faults);
        let kernels: Vec<_> = (0..setup.shards_count)
            .map(|_| net.kernel(Some(SERVER)))
            .collect();
        let node = if setup.relay {
            SimulatedNode::new(relay(&config), config, kernels)
        } else {
            SimulatedNode::new(hall(), config, kernels)
        };
        Self {
            net,
            node,
            clients: Vec::new(),
            is_draining: false,
        }
    }

    fn perform(&mut self, step: Step<'_>) {
        match step {
            Step::Connect(query) => {
                if self.clients.len() < CLIENTS_MAX {
                    self.connect(query);
                }
            }
            Step::Act(number, act) => {
                if !self.clients.is_empty() {
                    let index = usize::from(number) % self.clients.len();
                    self.act(index, act);
                }
            }
            Step::Wait(time) => self.settle(time),
            Step::Faults(faults) => self.net.set_faults(faults),
            Step::Drain => self.drain(),
        }
    }

    /// Connects a client, unless the network refuses it.
    fn connect(&mut self, query: Option<&str>) -> bool {
        let source = ([127, 0, 0, 2], 10_000 + self.clients.len() as u16).into();
        let Some(peer) = self.net.connect(source, SERVER) else {
            return false;
        };
        let mut client = Client::new(peer);
        if let Some(query) = query {
            client.upgrade(query);
        }
        self.clients.push(client);
        true
    }

    fn act(&mut self, index: usize, act: Act<'_>) {
        let client = &mut self.clients[index];
        match act {
            Act::Upgrade(query) => client.upgrade(query),
            Act::Say(saying) => client.say(&saying),
            Act::Bytes(bytes) => client.bytes(bytes),
            Act::Frame(first, payload) => client.frame(first, payload),
            Act::Read(true) if !client.reads => self.catch_up(index),
            Act::Read(reads) => client.reads = reads,
            Act::Write(writes) => client.writes = writes,
            Act::Trickle(bytes) => {
                client.trickle(usize::from(bytes));
                self.settle(Duration::ZERO);
            }
            Act::HangUp => client.hang_up(),
            Act::Reset => client.reset(),
        }
    }

    /// Has a client read again, which finds no more than the server may have kept for it.
    fn catch_up(&mut self, index: usize) {
        // What others are about to say is not yet kept for anybody.
        self.settle(Duration::ZERO);
        let client = &mut self.clients[index];
        let writes = std::mem::replace(&mut client.writes, false);
        let before = client.heard_bytes;
        client.reads = true;
        self.settle(Duration::ZERO);
        let client = &mut self.clients[index];
        client.writes = writes;
        let kept = client.heard_bytes - before;
        let kept_max = WINDOW_BYTES + OUTBOX_BYTES_MAX as usize + LAST_WORD_BYTES;
        assert!(kept <= kept_max, "{kept} bytes were kept for one client");
    }

    fn drain(&mut self) {
        // The plan to drain goes through mailboxes, which a turn makes room in.
        self.settle(Duration::ZERO);
        self.node.drain();
        self.is_draining = true;
    }

    /// Lets everything happen that can, and at most this much time pass.
    fn settle(&mut self, time: Duration) {
        let until = self.net.now().after(time);
        let Self {
            net, node, clients, ..
        } = self;
        let mut exchange = || {
            clients
                .iter_mut()
                .fold(false, |busy, client| client.exchange() | busy)
        };
        loop {
            let mut shards: Vec<&mut dyn Shard> = node
                .shards
                .iter_mut()
                .map(|shard| &mut **shard as _)
                .collect();
            net.run(&mut shards, until, || {
                exchange();
                false
            });
            // What was left to write when the network fell quiet may fit now.
            if !exchange() {
                break;
            }
        }
    }

    /// Everybody goes, and others come and go as if nobody had been there; then the node ends.
    fn end(mut self) {
        self.net.set_faults(engine::sim::Faults::default());
        self.leave();
        if !self.is_draining {
            self.serve_anew();
            self.leave();
            self.drain();
        }
        self.settle(Duration::from_secs(60));
        for shard in &mut self.node.shards {
            assert_eq!(shard.turn(), Turn::Stopped, "a drained node ends");
        }
    }

    fn leave(&mut self) {
        self.clients.iter_mut().for_each(Client::hang_up);
        self.settle(Duration::from_secs(60));
        let conns: u64 = self
            .node
            .shards
            .iter()
            .map(|shard| shard.counters().conns)
            .sum();
        assert_eq!(conns, 0, "connections that nobody has");
    }

    /// As many clients as there is room for find it, and are served.
    fn serve_anew(&mut self) {
        let first = self.clients.len();
        for _ in 0..CONNECTIONS_MAX {
            assert!(self.connect(Some("vsn=2.0.0")), "the door is open");
            let client = self.clients.last_mut().expect("one has just come");
            for what in [What::Join, What::Push("echo", "{}")] {
                client.say(&Saying {
                    what,
                    topic: "room:a",
                    whose: Whose::Mine,
                    times: 1,
                    fragments: 1,
                });
            }
        }
        self.settle(Duration::from_secs(10));
        for client in &self.clients[first..] {
            assert_eq!(client.status, Some(101));
            assert_eq!(client.granted_count, 2, "a join and a push");
        }
    }
}

/// Limits so small that a script reaches them, and a rule of each kind.
fn config(setup: &Setup) -> Config {
    let rule = |topic: &str, join, push| Rule {
        topic: topic.to_owned(),
        join,
        push,
        ..Rule::default()
    };
    Config {
        idle_timeout: Some(Duration::from_secs(20)),
        socket: config::Socket {
            id_param: Some("id".to_owned()),
            auth_token: true,
        },
        drain: config::Drain {
            batch: 2,
            interval: Duration::from_millis(100),
            timeout: Duration::from_secs(10),
        },
        limits: Limits {
            connections_max: Some(CONNECTIONS_MAX),
            connect_rate_max: setup.connect_rate_max,
            head_bytes_max: 512,
            headers_max: 12,
            frame_bytes_max: Some(800),
            message_bytes_max: 1024,
            fragments_max: 8,
            channels_per_socket_max: 3,
            topic_bytes_max: 16,
            event_bytes_max: 16,
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            mailbox_max: 16,
            params_pairs_max: 4,
            params_depth_max: 2,
            ..Limits::default()
        },
        channels: vec![
            rule("room:*", Join::All, Push::Broadcast),
            rule("from:*", Join::All, Push::BroadcastFrom),
            rule("echo:*", Join::All, Push::Reply),
            rule("own:*", Join::SocketId, Push::Broadcast),
            rule("mute:*", Join::All, Push::Refuse),
        ],
        ..Config::default()
    }
}

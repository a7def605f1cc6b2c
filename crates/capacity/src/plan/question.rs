//! What is planned: how many connections, from where, through what, to which server.

use std::{num::NonZero, time::Duration};

use serde::{Serialize, Serializer};

use super::{Destinations, Nat, Ports, in_words};
use crate::{ADMIN_CONNECTIONS, End, Kernel, Layout, Machine, SHARDS_MAX, Tables};

/// What a plan is asked for. Every field has a value that cannot be wrong, so each plan has an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question {
    /// Connections that are to be open at once.
    #[serde(rename = "connections_count")]
    pub connections: NonZero<u64>,
    /// Memory of the server's machine, bytes; `None` when the plan is to say how much it takes.
    pub server_memory_bytes: Option<u64>,
    /// What the connections come from; `None` when the plan is to say how much of it they need.
    pub clients: Option<Clients>,
    /// Where they go to; `None` for one address and port.
    pub destinations: Option<Destinations>,
    /// The source ports that each address may use.
    pub ports: Ports,
    /// What serves them.
    pub program: Program,
    /// Whether they are encrypted by the programs at both ends.
    pub is_tls: bool,
    /// The time between two heartbeats of a connection; `None` or zero when there are none.
    #[serde(rename = "heartbeat_seconds", serialize_with = "in_seconds")]
    pub heartbeat: Option<Duration>,
    /// The time between two messages that the server delivers to a connection; `None` or zero when there
    /// are none.
    #[serde(rename = "message_interval_seconds", serialize_with = "in_seconds")]
    pub message_interval: Option<Duration>,
    /// What is between clients and server, and dials in the name of the clients.
    pub nat: Option<Nat>,
    /// How many connections are opened per second.
    pub connects_per_second: NonZero<u64>,
    /// The machine of the server.
    pub server: Host,
    /// Each machine of the clients.
    pub client: Host,
}

/// What connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Clients {
    /// So many source addresses, all of one machine.
    #[serde(rename = "source_addresses_count")]
    Sources(NonZero<u64>),
    /// So many machines with one address each.
    #[serde(rename = "machines_count")]
    Machines(NonZero<u64>),
}

/// The program that holds the server's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Program {
    /// Ours, whose memory the ledger knows.
    #[serde(rename = "fourtuple")]
    Fourtuple,
    /// Another one, in one process.
    #[serde(rename = "other")]
    Other {
        /// What it takes for each connection, bytes; the kernel's part is besides.
        bytes_per_connection: u64,
    },
}

/// A machine that is supposed for one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The interface of the machine that carries connections of ours.
    #[serde(serialize_with = "in_words")]
    pub kernel: Kernel,
    /// Cores that the program may run on.
    pub cores_count: u16,
    /// `RLIMIT_NOFILE` (hard): descriptors that one table may have.
    pub descriptors_max: u64,
    /// Connections that the control plane of a server of ours may have there.
    #[serde(skip)]
    pub admin_connections: u16,
}

/// The time between two heartbeats where nothing else is said, as in phoenix.js.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// Connections that are opened per second where nothing else is said; a rate at which a server that
/// pauses for less than a second loses none.
pub const CONNECTS_PER_SECOND: NonZero<u64> = NonZero::new(5_000).expect("not zero");

/// What the server of the public Phoenix record takes of memory for each connection. Two million took
/// 84 GB of its machine, 41 KiB each, of which some 4,000 bytes are the kernel's.
pub const PHOENIX_RECORD: Program = Program::Other {
    bytes_per_connection: 42_000 - 4_000,
};

/// Descriptors of a process for what is no connection: files, logs, listeners, and some to spare.
pub const DESCRIPTORS_BESIDE: u64 = 1_024;

/// Cores of a machine of which nothing is known.
const CORES: u16 = 16;

/// Descriptors of a machine of which nothing is known: what `fs.nr_open` is where nobody has set it.
const DESCRIPTORS: u64 = 1 << 20;

impl Question {
    /// What `connections` need where nothing else is said: one destination, ports 1024-65535 that the
    /// program chooses, heartbeats every 30 s, 5,000 connects per second, no messages.
    pub fn new(connections: NonZero<u64>) -> Self {
        Self {
            connections,
            server_memory_bytes: None,
            clients: None,
            destinations: None,
            ports: Ports::ALL,
            program: Program::Fourtuple,
            is_tls: false,
            heartbeat: Some(HEARTBEAT),
            message_interval: None,
            nat: None,
            connects_per_second: CONNECTS_PER_SECOND,
            server: Host::default(),
            client: Host::default(),
        }
    }

    /// How many connections are asked for.
    pub(super) const fn connections_count(&self) -> u64 {
        self.connections.get()
    }

    /// How many (address, port) pairs they go to.
    pub(super) fn destinations_count(&self) -> u64 {
        self.destinations.as_ref().map_or(1, Destinations::count)
    }

    /// Seconds between two heartbeats, if there are any.
    pub(super) fn heartbeat_seconds(&self) -> Option<f64> {
        seconds(self.heartbeat)
    }

    /// Seconds between two messages to a connection, if there are any.
    pub(super) fn message_seconds(&self) -> Option<f64> {
        seconds(self.message_interval)
    }

    /// How the server keeps `connections`.
    pub(super) fn server_layout(&self, connections: u64) -> Layout {
        match self.program {
            Program::Fourtuple => self.server.layout(End::Server, connections),
            Program::Other { .. } => Layout {
                end: End::Server,
                kernel: Kernel::Epoll,
                shards: 1,
                tables: Tables::PerProcess,
                admin_connections: 0,
            },
        }
    }
}

impl Host {
    /// What of `machine` a plan needs to know, when `kernel` carries its connections.
    pub fn of(machine: &Machine, kernel: Kernel) -> Self {
        Self {
            kernel,
            cores_count: u16::try_from(machine.cores_count).unwrap_or(u16::MAX),
            descriptors_max: machine.nofile.hard.min(machine.nr_open.unwrap_or(u64::MAX)),
            admin_connections: ADMIN_CONNECTIONS,
        }
    }

    /// How a program of ours keeps `connections` here.
    pub(super) fn layout(&self, end: End, connections: u64) -> Layout {
        let layout = Layout {
            end,
            kernel: self.kernel,
            shards: self.cores_count.clamp(1, SHARDS_MAX),
            tables: match self.kernel {
                Kernel::Epoll => Tables::PerProcess,
                Kernel::Uring => Tables::PerShard,
            },
            admin_connections: match end {
                End::Server => self.admin_connections,
                End::Crowd => 0,
            },
        };
        layout.for_connections_at(connections, None, Tables::PerShard, self.descriptors_max)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            kernel: Kernel::Uring,
            cores_count: CORES,
            descriptors_max: DESCRIPTORS,
            admin_connections: ADMIN_CONNECTIONS,
        }
    }
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.filter(|time| !time.is_zero())
        .map(|time| time.as_secs_f64())
}

fn in_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    seconds(*time).serialize(serializer)
}

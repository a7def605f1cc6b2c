//! One client of the crowd, as a state machine without a buffer, a timer or a name of its own.
//!
//! ```text
//!            connected        101            join granted
//! Dialling ──────────► Upgrading ──► Joining ───────────► Ready
//!    │                     │            │                   │
//!    └─────────────────────┴─────┬──────┴───────────────────┘
//!                                ▼
//!                             Leaving ──► Free
//! ```
//!
//! Clients that do not join are ready as soon as their WebSocket is open.

use engine::{ConnId, Time};

use crate::{account::Account, source::Tuple};

/// A client; 48 bytes, in a table indexed by the engine's connection index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// When what `phase` waits for began: the intended time of the dial, the connect, the join. For
    /// a ready client: when the push that is not answered yet was meant to be sent.
    pub(crate) since: Time, // 8
    /// When the next push is meant to be sent, if pushes have a pace.
    pub(crate) due: Time, // 8
    /// What was delivered.
    pub(crate) account: Account, // 16
    /// Where it was dialled from.
    pub(crate) tuple: Tuple, // 4
    /// Its topic, by number.
    pub(crate) topic: u32, // 4
    /// With the index, the engine's name of its connection.
    pub(crate) generation: u32, // 4
    /// How far it has come.
    pub(crate) phase: Phase, // 1
    /// How many tuples turned out to be in use by others before this one.
    pub(crate) tuples_busy: u8, // 1
    /// Whether the last heartbeat has no answer yet.
    pub(crate) heartbeat_waits: bool, // 1
    /// Whether the last push has no answer yet.
    pub(crate) push_waits: bool, // 1
}

/// Bytes that a client takes in the crowd's own table; its connection is the engine's.
pub const CLIENT_BYTES: usize = 48;

const _: () = assert!(size_of::<Client>() == CLIENT_BYTES);

/// How far a client has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No client.
    #[default]
    Free,
    /// TCP is being established.
    Dialling,
    /// The upgrade has been asked for.
    Upgrading,
    /// The join has been asked for.
    Joining,
    /// Open, and joined if that was asked.
    Ready,
    /// Over for the crowd; its failure, if it was one, is counted.
    Leaving,
}

impl Phase {
    /// Whether the client is still on its way to being ready.
    pub(crate) fn is_pending(self) -> bool {
        matches!(self, Self::Dialling | Self::Upgrading | Self::Joining)
    }
}

impl Client {
    /// A client that is dialled, meant for the time `intended`.
    pub(crate) fn dialled(conn: ConnId, tuple: Tuple, topic: u32, intended: Time) -> Self {
        Self {
            since: intended,
            tuple,
            topic,
            generation: conn.generation,
            phase: Phase::Dialling,
            ..Self::default()
        }
    }

    /// The engine's name of the connection in slot `index`.
    pub(crate) fn conn(&self, index: u32) -> ConnId {
        ConnId {
            index,
            generation: self.generation,
        }
    }
}

//! A virtual user: which instruction it is at, and nothing that its script does not make it remember.
//!
//! ```text
//!            connected        101                     a message is awaited
//! Dialling ──────────► Upgrading ──► Acting ◄─────────────────────────────► Waiting
//!    │                     │            │                                      │
//!    └─────────────────────┴────────────┴────────► Leaving ──► Free ◄──────────┘
//! ```
//!
//! One that thinks is acting, and its alarm is set. So is one whose connection has ended and that is to come back:
//! it takes no step until it has.
//!
//! What belongs to its connection is in a [`Line`]. Where users have one connection each, a user and its line
//! have the same place; otherwise [`Links`](super::links::Links) say which line is whose.

use engine::Time;

use super::memory::Memory;
use crate::source::Tuple;

/// A virtual user; 40 bytes, in a table of its shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    /// When the step that it is at was meant to begin.
    pub(crate) due: Time, // 8
    /// When it was meant to arrive.
    pub(crate) began: Time, // 8
    /// What it captured and the loops that it is in; none on the heap before the first.
    pub(crate) memory: Option<Box<Memory>>, // 8
    /// Its number in the run, which also decides what it gets of several.
    pub(crate) number: u32, // 4
    /// The `ref` whose reply it waits for, or the call that it waits for; 0 is none.
    pub(crate) awaited: u32, // 4
    /// Its scenario.
    pub(crate) program: u16, // 2
    /// The instruction that it is at.
    pub(crate) step: u16, // 2
    pub(crate) state: State, // 1
    /// Its sockets that are to come back; it goes on when all are there.
    pub(crate) away: u8, // 1, and 2 of padding
}

/// A connection of a user; 16 bytes, in a table indexed by the engine's connection index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// The channels of one that speaks Phoenix.
    pub(crate) channels: Option<Box<Channels>>, // 8
    /// With the index, the engine's name of the connection.
    pub(crate) generation: u32, // 4
    /// Where it was dialled from.
    pub(crate) tuple: Tuple, // 4
}

/// Bytes that a user with one socket takes in the crowd's own tables; its connection is the engine's.
pub const USER_BYTES: usize = 56;

const _: () = assert!(size_of::<User>() + size_of::<Line>() == USER_BYTES);

/// How far a user has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// No user.
    #[default]
    Free,
    /// TCP is being established.
    Dialling,
    /// The upgrade has been asked for.
    Upgrading,
    /// It is at a step, or thinks.
    Acting,
    /// It waits for a message.
    Waiting,
    /// It waits for a function in JavaScript.
    Calling,
    /// It waits for a socket that it opens.
    Opening,
    /// It is over; what became of it is counted.
    Leaving,
}

/// Topics that a socket has joined at once, at most.
pub(crate) const TOPICS_MAX: usize = 1_000;

/// What a connection that speaks Phoenix keeps of its channels: 40 bytes and its topics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channels {
    /// Topics that it has joined, each with the `ref` of the join.
    pub(crate) joined: Vec<(Box<str>, u32)>,
    /// The last `ref` that it used.
    pub(crate) last_ref: u32,
    /// The `ref` of the heartbeat that has no answer yet; 0 is none.
    pub(crate) heartbeat_ref: u32,
}

impl Channels {
    /// The next `ref`.
    pub(crate) fn next_ref(&mut self) -> u32 {
        self.last_ref += 1;
        self.last_ref
    }

    /// The `join_ref` of a topic.
    pub(crate) fn join_ref(&self, topic: &str) -> Option<u32> {
        let found = self.joined.iter().find(|(joined, _)| **joined == *topic)?;
        Some(found.1)
    }
}

impl State {
    /// Whether the user is there: its own socket was opened, and it has not left.
    pub(crate) fn is_there(self) -> bool {
        matches!(
            self,
            Self::Acting | Self::Waiting | Self::Calling | Self::Opening
        )
    }
}

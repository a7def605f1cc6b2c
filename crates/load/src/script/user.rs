//! A virtual user: which instruction it is at, and nothing that its script does not make it remember.
//!
//! ```text
//!            connected        101                     a message is awaited
//! Dialling ──────────► Upgrading ──► Acting ◄─────────────────────────────► Waiting
//!    │                     │            │                                      │
//!    └─────────────────────┴────────────┴────────► Leaving ──► Free ◄──────────┘
//! ```
//!
//! One that thinks is acting, and its alarm is set.

use engine::{ConnId, Time};

use super::memory::Memory;
use crate::source::Tuple;

/// A virtual user; 56 bytes, in a table indexed by the engine's connection index.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    /// When the step that it is at was meant to begin.
    pub(crate) due: Time, // 8
    /// When it was meant to arrive; while it connects, when that began.
    pub(crate) began: Time, // 8
    /// What it captured and the loops that it is in; none on the heap before the first.
    pub(crate) memory: Option<Box<Memory>>, // 8
    /// The channels of a user that speaks Phoenix.
    pub(crate) channels: Option<Box<Channels>>, // 8
    /// Its number in the run, which also decides what it gets of several.
    pub(crate) number: u32, // 4
    /// With the index, the engine's name of its connection.
    pub(crate) generation: u32, // 4
    /// Where it was dialled from.
    pub(crate) tuple: Tuple, // 4
    /// Its scenario.
    pub(crate) program: u16, // 2
    /// The instruction that it is at.
    pub(crate) step: u16, // 2
    /// Tuples that turned out to be in use by others.
    pub(crate) tuples_busy: u8, // 1
    pub(crate) state: State, // 1, and 2 of padding
    /// The `ref` whose reply it waits for, or the call that it waits for; 0 is none.
    pub(crate) awaited: u32, // 4
}

/// Bytes that a user takes in the crowd's own table; its connection is the engine's.
pub const USER_BYTES: usize = 56;

const _: () = assert!(size_of::<User>() == USER_BYTES);

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
    /// It is over; what became of it is counted.
    Leaving,
}

/// What a user that speaks Phoenix keeps of its channels: 40 bytes and its topics.
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

impl User {
    /// The engine's name of the connection in slot `index`.
    pub(crate) fn conn(&self, index: u32) -> ConnId {
        ConnId {
            index,
            generation: self.generation,
        }
    }
}

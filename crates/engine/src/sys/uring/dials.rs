//! Dials under way: their addresses, and what went wrong first.

use std::collections::hash_map::{Entry::Vacant, HashMap};

use io_uring::{
    opcode,
    squeue::{Entry, Flags},
    types::Fixed,
};
use rustix::io::Errno;

use super::{
    address::Address,
    word::{What, Word},
};

/// The dials that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Dials {
    /// By slot, which nobody else has before the connect was answered. Boxed, for the kernel reads
    /// addresses where they are, and the table grows.
    under_way: HashMap<u32, Box<Dial>>,
}

#[derive(Debug)]
struct Dial {
    source: Address,
    destination: Address,
    /// What failed before the connect; the rest of the chain fails for it.
    error: Option<Errno>,
}

impl Dials {
    /// Takes up a dial and returns the requests that bind and then connect a slot's socket. They name only
    /// memory that is here until [`Dials::answered`].
    pub(super) fn begin(&mut self, slot: u32, source: Address, destination: Address) -> [Entry; 2] {
        let dial = Dial {
            source,
            destination,
            error: None,
        };
        let entry = self.under_way.entry(slot);
        debug_assert!(matches!(entry, Vacant(_)), "a slot has one dial at a time");
        let dial = entry.insert_entry(Box::new(dial)).into_mut();
        // Linked: a socket that is not bound must not connect from somewhere else. Its success is not
        // skipped, for when one that skips it fails, those linked to it are never answered.
        let bind = opcode::Bind::new(Fixed(slot), dial.source.as_ptr(), dial.source.len())
            .build()
            .flags(Flags::IO_LINK)
            .user_data(Word::of(What::Prepared, slot).to_u64());
        let destination = &dial.destination;
        let connect = opcode::Connect::new(Fixed(slot), destination.as_ptr(), destination.len())
            .build()
            .user_data(Word::of(What::Connected, slot).to_u64());
        [bind, connect]
    }

    /// Something before the connect failed; the first failure is the cause of the others.
    pub(super) fn handle_failure(&mut self, slot: u32, errno: Errno) {
        if let Some(dial) = self.under_way.get_mut(&slot) {
            dial.error.get_or_insert(errno);
        }
    }

    /// The connect was answered; returns the dial's result.
    pub(super) fn answered(&mut self, slot: u32, result: Result<u32, Errno>) -> Result<(), Errno> {
        let dial = self.under_way.remove(&slot);
        match dial.and_then(|dial| dial.error) {
            Some(errno) => Err(errno),
            None => result.map(|_| ()),
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.under_way.len()
    }
}

//! Dials under way: their addresses, and what went wrong first.
//!
//! ```text
//!  make a socket, set options, bind ──► bound ──► connect ──► connected
//! ```
//!
//! The connect is asked for when the bind has succeeded. Linked behind it, it would go in the same
//! submission, but a kernel that finds no memory between the two parts them: a thread of its own binds,
//! and the connect may be first, from a port that nobody has chosen.

use std::collections::hash_map::{Entry::Vacant, HashMap};

use io_uring::{opcode, squeue::Entry, types::Fixed};
use rustix::io::Errno;

use super::{
    address::Address,
    word::{What, Word},
};

/// The dials that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Dials {
    /// By slot, which nobody else has before the dial was answered. Boxed, for the kernel reads addresses
    /// where they are, and the table grows.
    under_way: HashMap<u32, Box<Dial>>,
}

#[derive(Debug)]
struct Dial {
    source: Address,
    destination: Address,
    /// What failed first; what comes after it fails for it.
    error: Option<Errno>,
}

impl Dials {
    /// Takes up a dial and returns the request that binds its slot's socket. It names only memory that is
    /// here until [`Dials::answered`].
    pub(super) fn begin(&mut self, slot: u32, source: Address, destination: Address) -> Entry {
        let dial = Dial {
            source,
            destination,
            error: None,
        };
        let entry = self.under_way.entry(slot);
        debug_assert!(matches!(entry, Vacant(_)), "a slot has one dial at a time");
        let source = &entry.insert_entry(Box::new(dial)).into_mut().source;
        opcode::Bind::new(Fixed(slot), source.as_ptr(), source.len())
            .build()
            .user_data(Word::of(What::Bound, slot).to_u64())
    }

    /// The request that connects a slot's socket, unless something has failed. It names only memory that is
    /// here until [`Dials::answered`].
    pub(super) fn connect(&self, slot: u32) -> Option<Entry> {
        let dial = self.under_way.get(&slot)?;
        let destination = &dial.destination;
        let connect = opcode::Connect::new(Fixed(slot), destination.as_ptr(), destination.len());
        let word = Word::of(What::Connected, slot).to_u64();
        dial.error
            .is_none()
            .then(|| connect.build().user_data(word))
    }

    /// Something before the connect failed; the first failure is the cause of the others.
    pub(super) fn handle_failure(&mut self, slot: u32, errno: Errno) {
        if let Some(dial) = self.under_way.get_mut(&slot) {
            dial.error.get_or_insert(errno);
        }
    }

    /// The connect was answered, or will not be asked for; returns the dial's result.
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

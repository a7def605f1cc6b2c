//! Dials under way: their addresses, and what went wrong first.

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
#[allow(
    clippy::vec_box,
    reason = "the kernel reads addresses where they are, and the table grows"
)]
pub(super) struct Dials {
    table: Vec<Box<Dial>>,
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Dial {
    /// While the dial is under way.
    slot: Option<u32>,
    source: Address,
    destination: Address,
    /// What failed before the connect; the rest of the chain fails for it.
    error: Option<Errno>,
}

impl Dials {
    /// Takes up a dial and returns its number.
    pub(super) fn begin(&mut self, slot: u32, source: Address, destination: Address) -> u32 {
        let dial = Dial {
            slot: Some(slot),
            source,
            destination,
            error: None,
        };
        match self.vacant.pop() {
            Some(number) => {
                *self.table[number as usize] = dial;
                number
            }
            None => {
                self.table.push(Box::new(dial));
                self.table.len() as u32 - 1
            }
        }
    }

    /// The requests that bind and then connect a slot's socket. They name only memory that is here until
    /// [`Dials::answered`].
    pub(super) fn bind_and_connect(&self, number: u32, slot: u32) -> [Entry; 2] {
        let dial = &self.table[number as usize];
        let (source, destination) = (&dial.source, &dial.destination);
        // Linked: a socket that is not bound must not connect from somewhere else. Its success is not
        // skipped, for when one that skips it fails, those linked to it are never answered.
        let bind = opcode::Bind::new(Fixed(slot), source.as_ptr(), source.len())
            .build()
            .flags(Flags::IO_LINK)
            .user_data(Word::new(What::Prepared, number, slot).to_u64());
        let connect = opcode::Connect::new(Fixed(slot), destination.as_ptr(), destination.len())
            .build()
            .user_data(Word::new(What::Connected, number, slot).to_u64());
        [bind, connect]
    }

    /// The number of the dial that is under way in a slot. Looks at all; few are closed so early.
    pub(super) fn number_of(&self, slot: u32) -> Option<u32> {
        let found = self.table.iter().position(|dial| dial.slot == Some(slot));
        found.map(|number| number as u32)
    }

    /// Something before the connect failed; the first failure is the cause of the others.
    pub(super) fn handle_failure(&mut self, number: u32, errno: Errno) {
        self.table[number as usize].error.get_or_insert(errno);
    }

    /// The connect was answered; returns the dial's result.
    pub(super) fn answered(
        &mut self,
        number: u32,
        result: Result<u32, Errno>,
    ) -> Result<(), Errno> {
        self.vacant.push(number);
        let dial = &mut self.table[number as usize];
        dial.slot = None;
        match dial.error {
            Some(errno) => Err(errno),
            None => result.map(|_| ()),
        }
    }
}

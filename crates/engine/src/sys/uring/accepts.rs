//! Connections that come in: accepts in flight, as many as there is demand for.
//!
//! Each accept has an address to be filled in and a slot to put the socket into. A multishot accept
//! would have neither, and could not be held to a rate.

use std::{collections::VecDeque, mem::discriminant, net::SocketAddr};

use io_uring::{
    opcode,
    squeue::Entry,
    types::{DestinationSlot, Fd},
};
use rustix::io::Errno;

use super::{
    address::Address,
    word::{What, Word},
};
use crate::sys::ACCEPTS_PER_TURN;

/// Accepts in flight at once at most.
pub(super) const ACCEPTS_MAX: usize = 64;

// None is asked for before all that came are reported, so a turn accepts no more than these.
const _: () = assert!(ACCEPTS_MAX <= ACCEPTS_PER_TURN as usize);

/// The accepts of one shard.
#[derive(Debug)]
pub(super) struct Accepts {
    peers: Box<[Address; ACCEPTS_MAX]>,
    idle: Vec<u32>,
    /// The slots of the accepts in flight, by their numbers.
    slots: [Option<u32>; ACCEPTS_MAX],
    /// How many should be in flight.
    wanted: usize,
    /// How many were answered with a socket since the last look at the demand.
    answered: usize,
    pub(super) accepting: bool,
    /// Whether a poll tells when somebody knocks: there is no slot to accept into.
    pub(super) is_watched: bool,
    /// What is to be reported.
    news: VecDeque<News>,
}

/// What an accept came to.
#[derive(Debug)]
pub(super) enum News {
    Accepted { slot: u32, peer: SocketAddr },
    Failed(Errno),
    QueueFull { max: u32 },
}

impl Accepts {
    pub(super) fn new() -> Self {
        Self {
            peers: Box::new([Address::ROOM; ACCEPTS_MAX]),
            idle: (0..ACCEPTS_MAX as u32).rev().collect(),
            slots: [None; ACCEPTS_MAX],
            wanted: 1,
            answered: 0,
            accepting: true,
            is_watched: false,
            news: VecDeque::new(),
        }
    }

    /// How many accepts to add to those in flight, by what the last ones have brought: twice as many
    /// when all were used, otherwise as many as were.
    pub(super) fn missing(&mut self) -> usize {
        let answered = std::mem::take(&mut self.answered);
        if answered >= self.wanted {
            self.wanted = (2 * self.wanted).min(ACCEPTS_MAX);
        } else if answered > 0 {
            self.wanted = answered;
        }
        self.wanted.saturating_sub(self.in_flight())
    }

    /// The request for one more connection, put into `slot`. It names only memory that is here, and
    /// nobody else's, until [`Accepts::handle_answer`].
    ///
    /// # Panics
    ///
    /// All are in flight.
    pub(super) fn begin(&mut self, listener: i32, slot: u32) -> Entry {
        let number = self.idle.pop().expect("asked for while one is missing");
        self.slots[number as usize] = Some(slot);
        let peer = &mut self.peers[number as usize];
        *peer = Address::ROOM;
        let (address, len) = peer.as_mut_ptrs();
        let Ok(destination) = DestinationSlot::try_from_slot_target(slot) else {
            unreachable!("a slot is below RLIMIT_NOFILE");
        };
        opcode::Accept::new(Fd(listener), address, len)
            .file_index(Some(destination))
            .build()
            .user_data(Word::new(What::Accepted, number, slot).to_u64())
    }

    /// An accept was answered; the peer's address, if there is a connection that has one.
    pub(super) fn handle_answer(
        &mut self,
        number: u32,
        result: Result<u32, Errno>,
    ) -> Result<Option<SocketAddr>, Errno> {
        self.idle.push(number);
        self.slots[number as usize] = None;
        result?;
        self.answered += 1;
        Ok(self.peers[number as usize].to_socket_addr())
    }

    /// The words of the accepts in flight, to take them back; the demand is looked for anew, and so is
    /// what went wrong.
    pub(super) fn stop(&mut self) -> impl Iterator<Item = Word> {
        self.news
            .retain(|news| matches!(news, News::Accepted { .. }));
        self.wanted = 1;
        self.answered = 0;
        let in_flight = (0..).zip(&self.slots);
        in_flight.filter_map(|(number, slot)| Some(Word::new(What::Accepted, number, (*slot)?)))
    }

    pub(super) fn report_accepted(&mut self, slot: u32, peer: SocketAddr) {
        self.news.push_back(News::Accepted { slot, peer });
    }

    /// Reports what goes wrong with accepting, unless that was stopped or the like was reported and
    /// nobody has heard of it yet: many accepts may fail for one reason, and each report makes the shard rest.
    pub(super) fn report_trouble(&mut self, trouble: News) {
        let is_same = |news: &News| discriminant(news) == discriminant(&trouble);
        if self.accepting && !self.news.iter().any(is_same) {
            self.news.push_back(trouble);
        }
    }

    /// What to report next; while connections are not wanted, they wait.
    pub(super) fn poll_news(&mut self) -> Option<News> {
        if self.accepting {
            self.news.pop_front()
        } else {
            None
        }
    }

    /// Whether there is something to report.
    pub(super) fn has_news(&self) -> bool {
        self.accepting && !self.news.is_empty()
    }

    /// Takes all that was to be reported.
    pub(super) fn take_news(&mut self) -> VecDeque<News> {
        std::mem::take(&mut self.news)
    }

    pub(super) const fn in_flight(&self) -> usize {
        ACCEPTS_MAX - self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_for_one_reason_are_reported_once_and_forgotten_with_a_stop() {
        let mut accepts = Accepts::new();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        accepts.report_accepted(5, peer);
        for _ in 0..3 {
            accepts.report_trouble(News::QueueFull { max: 2 });
            accepts.report_trouble(News::Failed(Errno::NFILE));
        }
        assert_eq!(accepts.news.len(), 3);
        accepts.accepting = false;
        assert_eq!(accepts.stop().count(), 0, "none is in flight");
        accepts.report_trouble(News::Failed(Errno::NFILE));
        assert!(!accepts.has_news(), "connections are not wanted");
        accepts.accepting = true;
        let Some(News::Accepted { slot: 5, .. }) = accepts.poll_news() else {
            panic!("a connection is never forgotten");
        };
        assert!(!accepts.has_news());
    }
}

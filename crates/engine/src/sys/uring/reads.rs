//! Bytes that come in: who has some, and the few buffers they are received into.
//!
//! An idle connection has one poll armed and no buffer. When the poll tells of bytes, they are received
//! and the poll is armed again in the same submission, for many connections at once.

use std::collections::VecDeque;

use io_uring::{opcode, squeue::Entry, types::Fixed};
use rustix::io::Errno;

use super::word::{What, Word};
use crate::ConnId;

/// As many connections are read at once.
pub(super) const BUFFERS: usize = 32;
/// Bytes of one connection received at once; the memory of a buffer is touched as far as it is used.
pub(super) const BUFFER_BYTES: usize = 8 * 1024;

/// The receive buffers of one shard, and what waits for them or in them.
#[derive(Debug)]
pub(super) struct Reads {
    bytes: Box<[u8]>,
    /// Buffers that nobody uses.
    idle: Vec<u32>,
    /// The one whose bytes the shard looks at.
    lent: Option<u32>,
    /// Slots with something to read, and whose they were when that was found.
    readable: VecDeque<(u32, ConnId)>,
    arrived: VecDeque<Arrived>,
    /// Receives that are asked for and not answered.
    asked: u32,
}

/// What a receive has brought.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) conn: ConnId,
    pub(super) buffer: u32,
    pub(super) result: Result<u32, Errno>,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self {
            // Memory from the kernel is zero already, and untouched until something arrives.
            bytes: vec![0; BUFFERS * BUFFER_BYTES].into_boxed_slice(),
            idle: (0..BUFFERS as u32).collect(),
            lent: None,
            readable: VecDeque::new(),
            arrived: VecDeque::new(),
            asked: 0,
        }
    }

    pub(super) fn handle_readable(&mut self, slot: u32, conn: ConnId) {
        self.readable.push_back((slot, conn));
    }

    /// The next slot to read, as long as there is a buffer for it.
    pub(super) fn poll_readable(&mut self) -> Option<(u32, ConnId)> {
        if self.idle.is_empty() {
            return None;
        }
        self.readable.pop_front()
    }

    /// The request that receives into an idle buffer, which is nobody else's until it is taken back.
    ///
    /// # Panics
    ///
    /// No buffer is idle.
    pub(super) fn begin(&mut self, slot: u32) -> Entry {
        let buffer = self.idle.pop().expect("asked for with a buffer idle");
        let bytes = &mut self.bytes[range(buffer)];
        self.asked += 1;
        opcode::Recv::new(Fixed(slot), bytes.as_mut_ptr(), bytes.len() as u32)
            .flags(libc::MSG_DONTWAIT)
            .build()
            .user_data(Word::new(What::Received, buffer, slot).to_u64())
    }

    /// A receive was answered; without a connection the bytes are nobody's.
    pub(super) fn handle_received(
        &mut self,
        conn: Option<ConnId>,
        buffer: u32,
        result: Result<u32, Errno>,
    ) {
        self.asked -= 1;
        match conn {
            // The poll that was armed after it tells when there is something.
            Some(_) if matches!(result, Err(Errno::AGAIN | Errno::INTR)) => self.idle.push(buffer),
            Some(conn) => self.arrived.push_back(Arrived {
                conn,
                buffer,
                result,
            }),
            None => self.idle.push(buffer),
        }
    }

    pub(super) fn poll_arrived(&mut self) -> Option<Arrived> {
        self.arrived.pop_front()
    }

    /// A buffer is not needed any more.
    pub(super) fn give_back(&mut self, buffer: u32) {
        self.idle.push(buffer);
    }

    /// A buffer that something has arrived in, until [`Reads::take_back`].
    pub(super) fn lend(&mut self, buffer: u32) -> &mut [u8] {
        debug_assert_eq!(self.lent, None, "one at a time");
        self.lent = Some(buffer);
        &mut self.bytes[range(buffer)]
    }

    /// What was lent has been looked at.
    pub(super) fn take_back(&mut self) {
        self.idle.extend(self.lent.take());
    }

    /// Whether a receive is queued or under way.
    pub(super) const fn is_asked(&self) -> bool {
        self.asked > 0
    }

    /// Whether something is there to be read or was read.
    pub(super) fn has_news(&self) -> bool {
        !self.readable.is_empty() || !self.arrived.is_empty()
    }
}

const fn range(buffer: u32) -> std::ops::Range<usize> {
    let start = buffer as usize * BUFFER_BYTES;
    start..start + BUFFER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId {
        index: 1,
        generation: 2,
    };

    #[test]
    fn whatever_a_receive_brings_its_buffer_is_used_again() {
        let mut reads = Reads::new();
        let results = [Ok(5), Ok(0), Err(Errno::AGAIN), Err(Errno::CONNRESET)];
        for turn in 0..4 * BUFFERS {
            reads.handle_readable(7, CONN);
            assert_eq!(reads.poll_readable(), Some((7, CONN)));
            let _request = reads.begin(7);
            assert!(reads.is_asked());
            // Which buffer it was comes back with the answer; the next idle one is the same again.
            let buffer = BUFFERS as u32 - 1;
            let conn = (turn % 8 < 4).then_some(CONN);
            reads.handle_received(conn, buffer, results[turn % 4]);
            if let Some(arrived) = reads.poll_arrived() {
                assert_eq!(reads.lend(arrived.buffer).len(), BUFFER_BYTES);
                reads.take_back();
            }
            assert_eq!(reads.idle.len(), BUFFERS);
            assert!(!reads.is_asked() && !reads.has_news());
        }
    }

    #[test]
    fn no_more_is_read_than_there_are_buffers() {
        let mut reads = Reads::new();
        (0..=BUFFERS as u32).for_each(|slot| reads.handle_readable(slot, CONN));
        for _ in 0..BUFFERS {
            let (slot, _) = reads.poll_readable().unwrap();
            let _request = reads.begin(slot);
        }
        assert_eq!(reads.poll_readable(), None, "it waits for a buffer");
        assert!(reads.has_news());
    }
}

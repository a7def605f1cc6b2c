//! What each answer of the ring means for the slot it is about, and for the shard.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::{
    io::Errno,
    net::{self, Shutdown},
};

use super::{
    Uring,
    accepts::News,
    ring::Answer,
    word::{What, Word},
};
use crate::sys::{Completion, Socket};

impl Uring {
    /// Takes up every answer that is there: what the shard has to hear of is kept for it.
    pub(super) fn take_up_all(&mut self) {
        while let Some(answer) = self.ring.next() {
            self.take_up(answer);
        }
    }

    fn take_up(&mut self, answer: Answer) {
        let Word { what, extra, slot } = answer.word;
        match what {
            What::Nothing => {}
            What::Woken => self.handle_woken(answer.more),
            What::Accepted => self.handle_accepted(extra, slot, answer.result()),
            What::Prepared => {
                if let Err(errno) = answer.result() {
                    self.dials.handle_failure(slot, errno);
                }
            }
            What::Bound => self.handle_bound(slot, answer.result()),
            What::Readable => {
                if let Some(conn) = self.slots.conn(slot) {
                    self.reads.handle_readable(slot, conn);
                }
                self.slots.answered(slot, what);
            }
            What::Received => {
                let conn = self.slots.conn(slot);
                self.reads.handle_received(conn, extra, answer.result());
                self.slots.answered(slot, what);
            }
            What::Sent => self.handle_sent(extra, slot, answer.result()),
            What::Writable => {
                if let Some(conn) = self.slots.conn(slot) {
                    let result = Ok(0);
                    self.answers.push_back(Completion::Sent { conn, result });
                }
                self.slots.answered(slot, what);
            }
            What::Connected => self.handle_connected(slot, answer.result()),
            What::Closed | What::Shut => self.slots.answered(slot, what),
            What::Knocked => self.accepts.is_watched = false,
            What::Installed => self.handle_installed(slot, answer.result()),
        }
    }

    fn handle_woken(&mut self, more: bool) {
        let mut count = [0; 8];
        // Fails when nobody woke this shard since the count was read last.
        let _ = rustix::io::read(&*self.waker, &mut count);
        if !more {
            let word = Word::of(What::Woken, 0);
            self.ring.poll_always(&self.waker, word);
        }
    }

    fn handle_accepted(&mut self, number: u32, slot: u32, result: Result<u32, Errno>) {
        match self.accepts.handle_answer(number, result) {
            Ok(Some(peer)) if self.listener.is_some() => {
                self.accepts.report_accepted(slot, peer);
            }
            // A TCP peer has an address; one that reset already may have lost it.
            Ok(_) => self.close(Socket::Direct(slot), true),
            Err(errno) => {
                self.slots.give_back(slot);
                let is_ours = !matches!(
                    errno,
                    // `man 2 accept`: errors that belong to the connection which is no more.
                    Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM
                    // The accept was taken back.
                    | Errno::CANCELED
                );
                if is_ours && self.listener.is_some() {
                    self.accepts.report_trouble(News::Failed(errno));
                }
            }
        }
    }

    fn handle_sent(&mut self, number: u32, slot: u32, result: Result<u32, Errno>) {
        let conn = self.sends.answered(number);
        let is_here = self.slots.conn(slot).is_some();
        if let Some(conn) = conn.filter(|_| is_here) {
            let answer = match result {
                Err(Errno::AGAIN) => {
                    self.slots.ask(slot, What::Writable);
                    let word = Word::of(What::Writable, slot);
                    self.ring.poll(slot, libc::POLLOUT, word);
                    Completion::Blocked { conn }
                }
                Err(Errno::INTR) => Completion::Sent {
                    conn,
                    result: Ok(0),
                },
                result => Completion::Sent {
                    conn,
                    result: result.map(|sent| sent as usize),
                },
            };
            self.answers.push_back(answer);
        }
        self.slots.answered(slot, What::Sent);
    }

    /// A bound socket connects, unless it was closed meanwhile.
    fn handle_bound(&mut self, slot: u32, result: Result<u32, Errno>) {
        if let Err(errno) = result {
            self.dials.handle_failure(slot, errno);
        }
        let is_here = self.slots.conn(slot).is_some();
        if let Some(connect) = self.dials.connect(slot).filter(|_| is_here) {
            // SAFETY: as of the bind: the address is in `self.dials` until the dial is answered.
            unsafe { self.ring.stage(connect) };
        } else {
            self.handle_connected(slot, Err(Errno::CANCELED));
        }
    }

    fn handle_connected(&mut self, slot: u32, result: Result<u32, Errno>) {
        let result = self.dials.answered(slot, result);
        if let Some(conn) = self.slots.conn(slot) {
            if result.is_ok() {
                self.arm_poll(slot);
            }
            self.answers
                .push_back(Completion::Connected { conn, result });
        }
        self.slots.answered(slot, What::Connected);
    }

    pub(super) fn handle_installed(&mut self, slot: u32, result: Result<u32, Errno>) {
        match result {
            Ok(fd) => {
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                let socket = unsafe { OwnedFd::from_raw_fd(fd as i32) };
                // Fails when the peer is gone, and then there is nobody to tell.
                let _ = net::shutdown(&socket, Shutdown::Write);
            }
            // No room in the process's table.
            Err(_) if self.slots.conn(slot).is_some() => {
                self.slots.ask(slot, What::Shut);
                self.ring.shutdown(slot);
            }
            Err(_) => {}
        }
        self.slots.answered(slot, What::Installed);
    }
}

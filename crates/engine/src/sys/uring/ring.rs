//! The two queues of one io_uring, and everything that is asked for without memory of ours.

use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use io_uring::{
    IoUring, cqueue, opcode,
    squeue::{Entry, Flags},
    types::{DestinationSlot, Fd, Fixed, SubmitArgs, Timespec},
};
use rustix::io::Errno;

use super::word::{What, Word};

/// Requests that are submitted at once at most: 32 KiB of kernel memory.
pub(super) const SUBMISSIONS: u32 = 512;
/// Answers that wait to be taken up: 128 KiB. The kernel keeps more in a list of its own. It also finds
/// the polls to cancel by a table that has one bucket for each 32 of these, 256 at most.
pub(super) const COMPLETIONS: u32 = 8192;

/// One io_uring.
pub(super) struct Ring {
    uring: IoUring,
    /// What found the queue full and the kernel unwilling to empty it.
    backlog: VecDeque<Entry>,
}

impl Ring {
    /// A ring for the calling thread alone, with room for `slots` direct descriptors, at most
    /// `RLIMIT_NOFILE`.
    pub(super) fn new(slots: u32) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_clamp()
            // One thread asks, and answers are made when it comes for them: no interrupts, no locks.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            // One request that is refused does not hold up the others.
            .setup_submit_all()
            .build(SUBMISSIONS)?;
        uring.submitter().register_files_sparse(slots)?;
        Ok(Self {
            uring,
            backlog: VecDeque::new(),
        })
    }

    pub(super) const fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// Queues a request. It is submitted with the next [`Ring::submit`] or [`Ring::wait`], or at once
    /// when the queue is full.
    ///
    /// # Safety
    ///
    /// All memory that the entry names stays where it is and is not otherwise used until the answer to
    /// its word was taken up, or until the ring is gone.
    pub(super) unsafe fn stage(&mut self, entry: Entry) {
        if self.backlog.is_empty() {
            if self.push(&entry) {
                return;
            }
            // Fails only when the kernel has no memory for it; the backlog is tried again then.
            let _ = self.submit();
            if self.push(&entry) {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    /// Asks to be told once when a slot's socket has one of `events`, `man 2 poll`.
    pub(super) fn poll(&mut self, slot: u32, events: libc::c_short, word: Word) {
        let poll = opcode::PollAdd::new(Fixed(slot), events as u32);
        self.stage_plain(poll.build(), word);
    }

    /// Asks to be told each time that a descriptor becomes readable.
    pub(super) fn poll_always(&mut self, fd: &OwnedFd, word: Word) {
        let poll = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32).multi(true);
        self.stage_plain(poll.build(), word);
    }

    /// Takes a poll back. It is answered all the same.
    pub(super) fn cancel_poll(&mut self, asked: Word) {
        let cancel = opcode::PollRemove::new(asked.to_u64()).build();
        self.stage_plain(cancel.flags(Flags::SKIP_SUCCESS), Word::NOTHING);
    }

    /// Takes back anything else. It is answered all the same.
    pub(super) fn cancel(&mut self, asked: Word) {
        let cancel = opcode::AsyncCancel::new(asked.to_u64()).build();
        self.stage_plain(cancel.flags(Flags::SKIP_SUCCESS), Word::NOTHING);
    }

    /// Closes a slot's socket.
    pub(super) fn close(&mut self, slot: u32) {
        let close = opcode::Close::new(Fixed(slot)).build();
        self.stage_plain(close, Word::of(What::Closed, slot));
    }

    /// Asks for an ordinary descriptor of a slot's socket.
    pub(super) fn install(&mut self, slot: u32) {
        let install = opcode::FixedFdInstall::new(Fixed(slot), 0).build();
        self.stage_plain(install, Word::of(What::Installed, slot));
    }

    /// Shuts a slot's socket down for writing, by a thread of the kernel's. That thread looks for the
    /// socket when it comes to it, so the slot must not have another by then.
    pub(super) fn shutdown(&mut self, slot: u32) {
        let shutdown = opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR).build();
        self.stage_plain(shutdown, Word::of(What::Shut, slot));
    }

    /// Asks to be told once when somebody waits to be accepted.
    pub(super) fn poll_listener(&mut self, listener: &OwnedFd, word: Word) {
        let poll = opcode::PollAdd::new(Fd(listener.as_raw_fd()), libc::POLLIN as u32);
        self.stage_plain(poll.build(), word);
    }

    /// Puts a new TCP socket into a slot.
    pub(super) fn socket(&mut self, slot: u32, domain: i32, word: Word, skip: bool) {
        let Ok(destination) = DestinationSlot::try_from_slot_target(slot) else {
            unreachable!("a slot is below RLIMIT_NOFILE");
        };
        let socket = opcode::Socket::new(domain, libc::SOCK_STREAM, 0)
            .file_index(Some(destination))
            .build();
        self.stage_plain(socket.flags(skip_if(skip)), word);
    }

    /// Sets a boolean option of a slot's socket.
    pub(super) fn switch_on(&mut self, slot: u32, level: i32, option: i32, word: Word, skip: bool) {
        static ON: libc::c_int = 1;
        let set = set_option(slot, level, option, &ON);
        // SAFETY: the value is a static.
        unsafe { self.stage(set.flags(skip_if(skip)).user_data(word.to_u64())) };
    }

    /// Makes the end of a slot's socket a reset: `man 7 socket`, a linger time of zero.
    pub(super) fn reset_at_close(&mut self, slot: u32) {
        static AT_ONCE: libc::linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        let set = set_option(slot, libc::SOL_SOCKET, libc::SO_LINGER, &AT_ONCE);
        let word = Word::NOTHING.to_u64();
        // SAFETY: the value is a static.
        unsafe { self.stage(set.flags(Flags::SKIP_SUCCESS).user_data(word)) };
    }

    /// Submits what is queued, and lets the kernel make the answers that are due.
    pub(super) fn submit(&mut self) -> Result<(), Errno> {
        self.restage()?;
        if !self.has_staged() && !self.has_more() {
            return Ok(());
        }
        outcome(self.uring.submit())
    }

    /// As [`Ring::submit`], and sleeps until there is an answer, at most for `timeout`.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.restage()?;
        let Some(timeout) = timeout else {
            return outcome(self.uring.submit_and_wait(1));
        };
        let timeout = Timespec::new()
            .sec(timeout.as_secs())
            .nsec(timeout.subsec_nanos());
        let arguments = SubmitArgs::new().timespec(&timeout);
        outcome(self.uring.submitter().submit_with_args(1, &arguments))
    }

    /// The next answer: to what, and whether the kernel has more to say about it, and the result.
    pub(super) fn next(&mut self) -> Option<Answer> {
        let entry = self.uring.completion().next()?;
        Some(Answer {
            word: Word::from_u64(entry.user_data()),
            more: cqueue::more(entry.flags()),
            result: entry.result(),
        })
    }

    pub(super) fn has_staged(&mut self) -> bool {
        !self.backlog.is_empty() || !self.uring.submission().is_empty()
    }

    /// Whether an answer waits to be taken up.
    pub(super) fn has_answers(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// Whether the kernel would make more answers if it was called.
    pub(super) fn has_more(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Queues requests for nothing until there is room for `left` more.
    #[cfg(test)]
    pub(super) fn fill(&mut self, left: u32) {
        self.submit().expect("a ring that works");
        (left..SUBMISSIONS).for_each(|_| {
            self.stage_plain(opcode::Nop::new().build(), Word::NOTHING);
        });
    }

    /// Submits what is queued one by one, as a kernel that has memory for one request at a time does.
    #[cfg(test)]
    pub(super) fn submit_singly(&mut self) {
        while !self.uring.submission().is_empty() {
            let submitter = self.uring.submitter();
            // SAFETY: no argument is passed.
            let entered = unsafe { submitter.enter::<libc::sigset_t>(1, 0, 0, None) };
            assert_eq!(entered.ok(), Some(1));
        }
    }

    fn stage_plain(&mut self, entry: Entry, word: Word) {
        // SAFETY: the callers, all in this file, build entries that name no memory.
        unsafe { self.stage(entry.user_data(word.to_u64())) };
    }

    /// Moves the backlog into the queue, and submits whenever that is full, until all is moved or the
    /// kernel takes nothing. So a sleep never begins with something left to ask for.
    fn restage(&mut self) -> Result<(), Errno> {
        while let Some(entry) = self.backlog.pop_front() {
            if self.push(&entry) {
                continue;
            }
            self.backlog.push_front(entry);
            let before = self.uring.submission().len();
            outcome(self.uring.submit())?;
            if self.uring.submission().len() == before {
                break;
            }
        }
        Ok(())
    }

    /// Puts a request that somebody has staged into the queue; `false` says that it has no room.
    fn push(&mut self, entry: &Entry) -> bool {
        let mut queue = self.uring.submission();
        // SAFETY: whoever staged it has promised that its memory stays until it is answered.
        unsafe { queue.push(entry) }.is_ok()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// One answer of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) word: Word,
    /// Whether the same request will be answered again.
    pub(super) more: bool,
    result: i32,
}

impl Answer {
    pub(super) fn result(&self) -> Result<u32, Errno> {
        u32::try_from(self.result).map_err(|_| Errno::from_raw_os_error(-self.result))
    }
}

/// The entry that sets an option of a slot's socket; `value` has to live until it is submitted.
fn set_option<T>(slot: u32, level: i32, option: i32, value: &'static T) -> Entry {
    let (value, len) = (std::ptr::from_ref(value).cast(), size_of::<T>() as u32);
    opcode::SetSockOpt::new(Fixed(slot), level as u32, option as u32, value, len).build()
}

const fn skip_if(skip: bool) -> Flags {
    if skip {
        Flags::SKIP_SUCCESS
    } else {
        Flags::empty()
    }
}

fn outcome(entered: io::Result<usize>) -> Result<(), Errno> {
    match entered.map_err(|error| errno(&error)) {
        // EBUSY: the answers that are there have to be taken up first. EAGAIN: no memory for a request
        // now; what was not submitted is still queued.
        Ok(_) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The number of an error that a system call returned.
pub(super) fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_asked_for_before_a_sleep() {
        let Ok(mut ring) = Ring::new(1) else {
            // `tests::kernel` says so aloud, or fails.
            return;
        };
        let count = 3 * SUBMISSIONS;
        for _ in 0..count {
            let nop = opcode::Nop::new().build();
            ring.backlog.push_back(nop);
        }
        assert!(ring.has_staged());
        ring.wait(Some(Duration::from_secs(60))).unwrap();
        assert!(!ring.has_staged());
        let answers = std::iter::from_fn(|| ring.next()).count();
        assert_eq!(answers, count as usize);
    }
}

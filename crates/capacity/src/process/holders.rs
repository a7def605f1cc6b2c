//! Which processes hold a socket: who listens on a port.
//!
//! The kernel does not say it; it is found by looking at the descriptors of every process that may be
//! looked at. A socket can have several holders: who forked with it, who was given it, and of those
//! who listen on one port with `SO_REUSEPORT` each holds one of its own.

use std::{os::fd::OwnedFd, path::Path};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{
    DESCRIPTORS_LISTED_MAX, Known, Pid, Unknown,
    descriptors::socket,
    directory::{Directory, numbers},
};

/// How many descriptors are looked at in one search, over all processes.
const DESCRIPTORS_MAX: usize = 1 << 20;

/// How many descriptors of each table are looked at first, the lowest.
const DESCRIPTORS_FIRST: usize = 256;

/// How many processes are looked at; `kernel.pid_max` is rarely higher.
const PROCESSES_MAX: usize = 1 << 16;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// The processes that hold one of the sockets, by number.
    pub pids: Vec<Pid>,
    /// How many processes may not be looked into by this user.
    pub denied_count: u64,
    /// Whether everything was looked at that may be; a search has bounds, and ends early where somebody
    /// was found.
    pub is_all: bool,
}

impl Holders {
    /// Looks for the processes that hold a socket with one of the `inodes`, which are those that socket
    /// statistics name. A listener is among the first descriptors of a server and of its workers, so
    /// all of them are looked at only where nobody is found there. Else only those are missed that end
    /// meanwhile, or that this user may not look into.
    pub fn of(root: &Path, inodes: &[u64]) -> Known<Self> {
        let first = Self::among(root, inodes, DESCRIPTORS_FIRST)?;
        if !first.pids.is_empty() || first.is_all {
            return Ok(first);
        }
        Self::among(root, inodes, DESCRIPTORS_LISTED_MAX)
    }

    /// The same among the lowest `each_max` descriptors of every table.
    fn among(root: &Path, inodes: &[u64], each_max: usize) -> Known<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let odd = |errno| Unknown::of_file("/proc", errno);
        let proc = openat(CWD, root.join("proc"), flags, Mode::empty()).map_err(odd)?;
        let mut pids: Vec<_> = numbers(&proc)
            .map_err(odd)?
            .take(PROCESSES_MAX + 1)
            .collect();
        pids.sort_unstable();
        let mut search = Search {
            inodes,
            each_max,
            descriptors_left: DESCRIPTORS_MAX,
            is_all: pids.len() <= PROCESSES_MAX,
        };
        pids.truncate(PROCESSES_MAX);
        let mut found = Self::default();
        for pid in pids.into_iter().map(Pid) {
            match search.is_held_by(root, pid) {
                Ok(true) => found.pids.push(pid),
                Err(Unknown::Denied(_)) => found.denied_count += 1,
                // It has ended, or is a thread of the kernel.
                Ok(false) | Err(_) => {}
            }
        }
        found.is_all = search.is_all;
        Ok(found)
    }
}

/// A search under way.
struct Search<'a> {
    inodes: &'a [u64],
    /// How many descriptors of a table are looked at.
    each_max: usize,
    descriptors_left: usize,
    /// No bound was met so far.
    is_all: bool,
}

impl Search<'_> {
    fn is_held_by(&mut self, root: &Path, pid: Pid) -> Known<bool> {
        let directory = Directory::open(root, pid)?;
        if self.is_in(&directory, &directory.folder("fd")?)? {
            return Ok(true);
        }
        // Our own server can keep a listener where only one of its threads has it.
        if !is_ours(&directory) {
            return Ok(false);
        }
        let threads = directory.folder("task")?;
        let threads = numbers(&threads).map_err(|errno| directory.unknown("task", errno))?;
        for thread in threads {
            let table = directory.folder(&format!("task/{thread}/fd"));
            // It may have ended.
            if table.is_ok_and(|table| self.is_in(&directory, &table).unwrap_or(false)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_in(&mut self, directory: &Directory, table: &OwnedFd) -> Known<bool> {
        let descriptors = numbers(table).map_err(|errno| directory.unknown("fd", errno))?;
        for (looked_at, descriptor) in descriptors.enumerate() {
            if looked_at == self.each_max || self.descriptors_left == 0 {
                self.is_all = false;
                break;
            }
            self.descriptors_left -= 1;
            match socket(table, descriptor) {
                Ok(Some(inode)) if self.inodes.contains(&inode) => return Ok(true),
                Ok(_) | Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(directory.unknown("fd", errno)),
            }
        }
        Ok(false)
    }
}

/// Whether a process calls itself as our server does.
fn is_ours(directory: &Directory) -> bool {
    directory
        .text("comm")
        .is_ok_and(|name| name.trim() == "fourtuple")
}

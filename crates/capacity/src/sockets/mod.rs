//! The TCP sockets of this network namespace: how many, in which state, with what unread, and how
//! many tuples they use.
//!
//! ```text
//!  sock_diag netlink ─┐                           ┌► Tally: by state, listeners, served, pairs
//!                     ├► Sockets::for_each(Socket)┤
//!  /proc/net/tcp{,6} ─┘  filter, deadline         └► whatever else a caller counts
//!  /proc/net/sockstat, snmp, netstat ► SockStat, Counters      no list needed
//! ```
//!
//! - [`Sockets`]: hands out every socket, one after the other, from a buffer that is used again;
//! - [`Filter`]: which of them, by conditions that the kernel checks;
//! - [`Tally`]: what a diagnosis wants to know of them, in bounded memory;
//! - [`Pair`]: who competes for the source ports towards one destination, and [`LocalPorts`] for which;
//! - [`SockStat`] and [`Counters`]: what the kernel counts itself.
//!
//! A list is no picture of one moment: while it is made, sockets come and go. What is there all the
//! time is listed once, but for a few that the kernel may skip or repeat when others of the same
//! hash bucket come or go just then.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::io::Errno;
use thiserror::Error;

mod bytecode;
mod census;
mod counters;
mod filter;
#[doc(hidden)]
pub mod lines;
mod local_ports;
#[doc(hidden)]
pub mod messages;
mod netlink;
mod pairs;
mod proc_files;
mod sock_stat;
mod socket;
mod tally;

pub use census::Derived;
pub use counters::{Counter, Counters};
pub use filter::{Filter, LocalEnd};
pub use local_ports::LocalPorts;
pub use pairs::{Others, PAIRS_MAX, Pair};
pub use sock_stat::SockStat;
pub use socket::{Family, Socket, State, States};
pub use tally::{ByState, LISTENERS_MAX, Listener, RESTARTS_MAX, Served, Tally};

use messages::Cut;
use netlink::Netlink;
use proc_files::ProcFiles;

/// Where the kernel's lists of sockets are read.
#[derive(Debug)]
pub struct Sockets {
    reader: Reader,
    source: Source,
}

#[derive(Debug)]
enum Reader {
    Netlink(Netlink),
    Proc(ProcFiles),
}

/// What the sockets are read from, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// sock_diag netlink.
    Netlink,
    /// The files in /proc, because netlink was refused with this error.
    ProcInstead(Errno),
    /// The files in /proc, because the caller wanted so.
    Proc,
}

/// How the making of a list went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Sockets that were handed out.
    pub sockets_count: u64,
    /// Messages or lines that made no sense and were left out.
    pub odd_count: u64,
    /// The kernel says that its tables changed meanwhile in a way that may have cost a socket, or
    /// listed one twice.
    pub is_interrupted: bool,
}

impl Dump {
    fn append(&mut self, next: &Self) {
        self.sockets_count += next.sockets_count;
        self.odd_count += next.odd_count;
        self.is_interrupted |= next.is_interrupted;
    }
}

/// Why there is no list of sockets, or not all of one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketsError {
    /// Neither netlink nor /proc is open to this process.
    #[error(
        "sockets cannot be listed: netlink is refused ({netlink}), and so is {} ({proc}); expected one \
         of the two, allow AF_NETLINK or mount /proc",
        path.display()
    )]
    Unavailable {
        /// What netlink was refused with.
        netlink: Errno,
        /// The file that was tried then.
        path: PathBuf,
        /// What it was refused with.
        proc: io::Error,
    },
    /// The kernel broke off.
    #[error("the kernel broke off its list of sockets ({0}): expected its end, try again")]
    Netlink(#[from] Errno),
    /// What the kernel sent is not made of messages.
    #[error("the kernel's list of sockets cannot be read: {0}")]
    Cut(#[from] Cut),
    /// A file in /proc cannot be read.
    #[error("{} cannot be read ({error}): expected the sockets of this network namespace", path.display())]
    Proc {
        /// Which file.
        path: PathBuf,
        /// What reading it failed with.
        error: io::Error,
    },
    /// The deadline passed.
    #[error(
        "the list of sockets was not at its end in time: expected a later deadline, or a port to list"
    )]
    Late,
}

impl Sockets {
    /// Takes netlink, or /proc where netlink is refused.
    ///
    /// # Errors
    ///
    /// [`SocketsError::Unavailable`] where both are refused.
    pub fn open() -> Result<Self, SocketsError> {
        Self::choose(Netlink::open(), Path::new(PROC_NET))
    }

    /// Takes /proc though netlink may be there, to compare them.
    ///
    /// # Errors
    ///
    /// [`SocketsError::Proc`] where it is closed.
    pub fn open_proc() -> Result<Self, SocketsError> {
        Ok(Self {
            reader: Reader::Proc(ProcFiles::open(Path::new(PROC_NET))?),
            source: Source::Proc,
        })
    }

    /// Hands out every socket that the filter admits, and returns how that went. Takes
    /// until the deadline at most, but for what `each` takes.
    ///
    /// # Errors
    ///
    /// All but [`SocketsError::Unavailable`]; some sockets may have been handed out before. The
    /// next list begins anew.
    pub fn for_each(
        &mut self,
        filter: &Filter,
        deadline: Instant,
        mut each: impl FnMut(Socket),
    ) -> Result<Dump, SocketsError> {
        match &mut self.reader {
            Reader::Netlink(netlink) => netlink.list(filter, u64::MAX, deadline, &mut each),
            Reader::Proc(files) => {
                let mut dump = Dump::default();
                for family in Family::ALL {
                    dump.append(&files.list(family, filter, deadline, &mut each)?);
                }
                Ok(dump)
            }
        }
    }

    /// Hands out about `sockets_max` sockets that the filter admits, those which the kernel happens to
    /// list first: its tables are hashed, so these are any. None where /proc is read.
    fn for_some(
        &mut self,
        filter: &Filter,
        sockets_max: u64,
        deadline: Instant,
        mut each: impl FnMut(Socket),
    ) -> Result<Dump, SocketsError> {
        match &mut self.reader {
            Reader::Netlink(netlink) => netlink.list(filter, sockets_max, deadline, &mut each),
            Reader::Proc(_) => Ok(Dump::default()),
        }
    }

    /// What is read, and why.
    pub const fn source(&self) -> Source {
        self.source
    }

    fn choose(netlink: Result<Netlink, Errno>, folder: &Path) -> Result<Self, SocketsError> {
        let refusal = match netlink {
            Ok(netlink) => {
                return Ok(Self {
                    reader: Reader::Netlink(netlink),
                    source: Source::Netlink,
                });
            }
            Err(refusal) => refusal,
        };
        match ProcFiles::open(folder) {
            Ok(files) => Ok(Self {
                reader: Reader::Proc(files),
                source: Source::ProcInstead(refusal),
            }),
            Err(SocketsError::Proc { path, error }) => Err(SocketsError::Unavailable {
                netlink: refusal,
                path,
                proc: error,
            }),
            Err(error) => Err(error),
        }
    }
}

impl Source {
    /// Whether the longest accept queue that a listener allows is told.
    pub const fn tells_accept_queue_max(self) -> bool {
        matches!(self, Self::Netlink)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netlink => f.write_str("sock_diag netlink"),
            Self::ProcInstead(errno) => {
                write!(f, "/proc/net/tcp, since netlink was refused: {errno}")
            }
            Self::Proc => f.write_str("/proc/net/tcp"),
        }
    }
}

/// Where the files are.
const PROC_NET: &str = "/proc/net";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_netlink_is_refused_proc_is_read_and_says_why() {
        let sockets = Sockets::choose(Err(Errno::AFNOSUPPORT), Path::new(PROC_NET));
        let sockets = sockets.expect("a test machine has /proc");
        assert_eq!(sockets.source(), Source::ProcInstead(Errno::AFNOSUPPORT));
        let words = sockets.source().to_string();
        assert!(
            words.contains("netlink was refused: Address family"),
            "{words}"
        );
        assert!(!sockets.source().tells_accept_queue_max());
    }

    #[test]
    fn where_both_are_refused_the_error_names_both() {
        let error = Sockets::choose(Err(Errno::PERM), Path::new("/proc/self/none"));
        let error = error.expect_err("there is no such folder");
        assert!(matches!(error, SocketsError::Unavailable { .. }));
        let words = error.to_string();
        for part in [
            "Operation not permitted",
            "/proc/self/none/tcp",
            "No such file",
        ] {
            assert!(words.contains(part), "{words}");
        }
    }
}

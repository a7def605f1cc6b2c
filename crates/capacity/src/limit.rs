//! Every limit that can stop a connection, declared once: its name, where it is read, what meeting
//! it looks like, and what to do about it.
//!
//! A server that cannot accept, a crowd that cannot dial and a diagnosis of a machine all speak
//! with these words, so that a person who searches for one of them finds the others.

use rustix::io::Errno;

/// A limit of the machine or of the process that bounds the number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Limit {
    /// File descriptors of one process.
    Descriptors,
    /// The highest descriptor limit that any process may be given.
    DescriptorCeiling,
    /// Open files of the whole machine.
    OpenFiles,
    /// Descriptors that one user may watch with epoll.
    EpollWatches,
    /// Source addresses times ports towards one destination.
    Tuples,
    /// The ports among which the kernel chooses when a program does not.
    PortRange,
    /// Connections that wait to be accepted.
    AcceptQueue,
    /// Kernel memory of all TCP sockets of the machine together.
    TcpMemory,
    /// Memory of the machine or of the control group.
    Memory,
}

/// The words of one limit.
struct Entry {
    name: &'static str,
    read_from: &'static str,
    symptom: &'static str,
    remedy: &'static str,
}

impl Limit {
    /// Every limit, in the order in which a diagnosis lists them.
    pub const ALL: [Self; 9] = [
        Self::Descriptors,
        Self::DescriptorCeiling,
        Self::OpenFiles,
        Self::EpollWatches,
        Self::Tuples,
        Self::PortRange,
        Self::AcceptQueue,
        Self::TcpMemory,
        Self::Memory,
    ];

    /// The limit that stands behind an error of the kernel, where the error names one.
    ///
    /// `EADDRNOTAVAIL` is not mapped: `bind` says it of an address that is not local and `connect`
    /// of a tuple that is taken, so only the caller knows which limit it met.
    pub fn behind(errno: Errno) -> Option<Self> {
        match errno {
            Errno::MFILE => Some(Self::Descriptors),
            Errno::NFILE => Some(Self::OpenFiles),
            // epoll_ctl(2): ENOSPC is the limit on watches and nothing else.
            Errno::NOSPC => Some(Self::EpollWatches),
            Errno::NOBUFS | Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    /// What the limit is called where it is set.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Where its value is read.
    pub fn read_from(self) -> &'static str {
        self.entry().read_from
    }

    /// What is seen when it is met.
    pub fn symptom(self) -> &'static str {
        self.entry().symptom
    }

    /// What raises it; a clause that reads on after "to hold more, ".
    pub fn remedy(self) -> &'static str {
        self.entry().remedy
    }

    fn entry(self) -> &'static Entry {
        match self {
            Self::Descriptors => &Entry {
                name: "RLIMIT_NOFILE",
                read_from: "getrlimit(RLIMIT_NOFILE), /proc/PID/limits",
                symptom: "EMFILE (too many open files) from socket, accept or open",
                remedy: "raise the hard limit before the start: `ulimit -Hn N` as root, \
                         LimitNOFILE=N in a systemd unit, or --ulimit nofile=N:N for a container",
            },
            Self::DescriptorCeiling => &Entry {
                name: "fs.nr_open",
                read_from: "/proc/sys/fs/nr_open",
                symptom: "EPERM when RLIMIT_NOFILE is raised above it",
                remedy: "set `sysctl -w fs.nr_open=N` on the host, then raise RLIMIT_NOFILE",
            },
            Self::OpenFiles => &Entry {
                name: "fs.file-max",
                read_from: "/proc/sys/fs/file-max, in use: /proc/sys/fs/file-nr",
                symptom: "ENFILE (file table overflow) from socket or accept",
                remedy: "set `sysctl -w fs.file-max=N` on the host; a server and a crowd on one \
                         machine need two files per connection",
            },
            Self::EpollWatches => &Entry {
                name: "fs.epoll.max_user_watches",
                read_from: "/proc/sys/fs/epoll/max_user_watches",
                symptom: "ENOSPC from epoll_ctl",
                remedy: "set `sysctl -w fs.epoll.max_user_watches=N` on the host",
            },
            Self::Tuples => &Entry {
                name: "source tuples",
                read_from: "source addresses x 64,512 ports x destinations",
                symptom: "EADDRNOTAVAIL (cannot assign requested address) or EADDRINUSE on the \
                          dialling side; the server's one port is never what runs out",
                remedy: "dial from more source addresses (`--sources`), or towards more \
                         destination addresses or ports",
            },
            Self::PortRange => &Entry {
                name: "net.ipv4.ip_local_port_range",
                read_from: "/proc/sys/net/ipv4/ip_local_port_range",
                symptom: "EADDRNOTAVAIL from connect, and connects a hundred times slower after \
                          half of the range; only for programs that leave the port to the kernel",
                remedy: "set `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or use more \
                         source addresses",
            },
            Self::AcceptQueue => &Entry {
                name: "net.core.somaxconn",
                read_from: "/proc/sys/net/core/somaxconn, overflows: ListenOverflows in \
                            /proc/net/netstat",
                symptom: "connects that take 1, 3 or 7 seconds or time out while the server is \
                          idle",
                remedy: "set `sysctl -w net.core.somaxconn=N` on the server before its start, or \
                         connect at a lower rate",
            },
            Self::TcpMemory => &Entry {
                name: "net.ipv4.tcp_mem",
                read_from: "/proc/sys/net/ipv4/tcp_mem (pages), in use: mem in /proc/net/sockstat",
                symptom: "broadcasts that rest, messages that arrive seconds late, and \"TCP: out of \
                          memory\" in the kernel's log; a socket with an unread message holds a page",
                remedy: "set `sysctl -w net.ipv4.tcp_mem=\"LOW PRESSURE HIGH\"` on the host, in pages",
            },
            Self::Memory => &Entry {
                name: "memory",
                read_from: "/proc/meminfo, memory.max of the control group",
                symptom: "ENOBUFS or ENOMEM from socket calls, or the process is killed",
                remedy: "give the machine or its control group more memory; an idle connection \
                         takes about 4 KB of it in the kernel on each side",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_all_its_words() {
        for limit in Limit::ALL {
            for words in [
                limit.name(),
                limit.read_from(),
                limit.symptom(),
                limit.remedy(),
            ] {
                assert!(!words.is_empty(), "{limit:?} lacks words");
                assert!(
                    !words.contains("  "),
                    "{limit:?} has a broken line: {words}"
                );
                assert!(
                    !words.ends_with('.'),
                    "{limit:?} is a clause, not a sentence: {words}"
                );
            }
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Limit::ALL.len());
    }

    #[test]
    fn errors_of_the_kernel_name_their_limit() {
        assert_eq!(Limit::behind(Errno::MFILE), Some(Limit::Descriptors));
        assert_eq!(Limit::behind(Errno::NFILE), Some(Limit::OpenFiles));
        assert_eq!(Limit::behind(Errno::NOSPC), Some(Limit::EpollWatches));
        assert_eq!(Limit::behind(Errno::NOBUFS), Some(Limit::Memory));
        assert_eq!(Limit::behind(Errno::CONNRESET), None);
    }
}

//! Every limit that can stop a connection, declared once: its name, where it is read, what meeting
//! it looks like, how much of it connections need, and what to do about it.
//!
//! A server that cannot accept, a crowd that cannot dial and a diagnosis of a machine all speak
//! with these words, so that a person who searches for one of them finds the others. `docs/limits.md` is
//! made from the table, too.

mod declarations;
mod page;

use std::fmt;

use rustix::io::Errno;

pub use page::page;

/// A limit of a machine, a process or what is between that bounds connections.
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
    /// Ports that the kernel does not choose.
    ReservedPorts,
    /// The lowest port that needs no privilege.
    UnprivilegedPorts,
    /// Whether a tuple that waits may be used again.
    TimeWaitReuse,
    /// Closed connections that wait.
    TimeWaitBuckets,
    /// Whether addresses that the machine does not have may be bound.
    NonlocalBind,
    /// Whether packets must come by the way that answers take.
    ReversePathFilter,
    /// Addresses on the same link that the machine remembers.
    Neighbours,
    /// Connections that wait to be accepted.
    AcceptQueue,
    /// Handshakes of TCP that are under way.
    SynBacklog,
    /// What happens when there are too many of them.
    SynCookies,
    /// What a client is told when the accept queue is full.
    AbortOnOverflow,
    /// How often a client asks for a connection.
    SynRetries,
    /// How often a server answers it.
    SynackRetries,
    /// Kernel memory of all TCP sockets of the machine together.
    TcpMemory,
    /// What one socket may buffer of what arrives.
    ReceiveBuffers,
    /// What one socket may buffer of what is to be sent.
    SendBuffers,
    /// Closed sockets that still have something to send.
    Orphans,
    /// How long a half-closed socket without an owner stays.
    FinTimeout,
    /// When TCP looks whether a silent peer is there.
    Keepalive,
    /// Buckets of the table in which packets find their socket.
    EstablishedTable,
    /// Connections that the firewall remembers.
    Conntrack,
    /// How long it remembers a silent one.
    ConntrackTimeout,
    /// Memory that may not be swapped.
    LockedMemory,
    /// Mappings of one process.
    MemoryMaps,
    /// Threads of the whole machine.
    Threads,
    /// Numbers for threads and processes.
    ProcessIds,
    /// Threads of a control group.
    GroupThreads,
    /// Threads of one user.
    UserProcesses,
    /// Memory of the machine.
    Memory,
    /// Memory of a control group.
    GroupMemory,
    /// Whether more memory may be reserved than there is.
    Overcommit,
    /// Whether memory comes in pages of 2 MiB.
    HugePages,
    /// Whether io_uring may be used.
    IoUring,
    /// Packets that wait for a core.
    PacketBacklog,
    /// Handles of a program's runtime, such as the ports of the Erlang VM.
    RuntimeHandles,
    /// Processes of a program's runtime.
    RuntimeProcesses,
    /// Connections that fourtuple was told to hold.
    ServerConnections,
    /// Connections that a proxy takes.
    ProxyConnections,
    /// Ports of a NAT in between.
    NatPorts,
    /// Connections that a cloud's firewall remembers.
    CloudTracking,
}

/// The words of one limit, and how it is set.
#[derive(Debug)]
pub(crate) struct Declaration {
    name: &'static str,
    side: Side,
    unit: Unit,
    setting: Setting,
    default: &'static str,
    read_from: &'static str,
    symptom: &'static str,
    sizing: &'static str,
    remedy: &'static str,
    source: &'static str,
}

/// Which end of connections meets a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that accepts.
    Server,
    /// The end that dials.
    Client,
    /// Either.
    Both,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the word that its Display says")]
pub enum Unit {
    Files,
    Watches,
    Connections,
    Ports,
    Addresses,
    Times,
    Seconds,
    Pages,
    Bytes,
    Buckets,
    Maps,
    Threads,
    Packets,
    Handles,
    /// None: it is a switch.
    Choice,
}

/// How a limit is set, and so how it is read and what a remedy looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// A file below /proc/sys.
    Sysctl {
        /// Its name as `sysctl` takes it.
        key: &'static str,
        /// Which of its numbers is the limit, from 0.
        place: usize,
    },
    /// A limit that a process has from who started it.
    Rlimit {
        /// What a systemd unit calls it.
        unit_key: &'static str,
        /// What `ulimit` and containers call it.
        ulimit: &'static str,
    },
    /// A file of the control group.
    ControlGroup {
        /// Its name.
        file: &'static str,
        /// What a systemd unit calls it.
        unit_key: &'static str,
        /// The flag of `docker run`.
        flag: &'static str,
    },
    /// A parameter of the kernel at its boot.
    Boot(&'static str),
    /// What the machine is.
    Machine,
    /// It follows from addresses and ports.
    Arithmetic,
    /// The program's own configuration.
    Program,
    /// The cloud's; not to be read from inside.
    Cloud,
}

impl Limit {
    /// Every limit, in the order in which a page lists them.
    pub const ALL: [Self; 46] = [
        Self::Descriptors,
        Self::DescriptorCeiling,
        Self::OpenFiles,
        Self::EpollWatches,
        Self::Tuples,
        Self::PortRange,
        Self::ReservedPorts,
        Self::UnprivilegedPorts,
        Self::TimeWaitReuse,
        Self::TimeWaitBuckets,
        Self::NonlocalBind,
        Self::ReversePathFilter,
        Self::Neighbours,
        Self::AcceptQueue,
        Self::SynBacklog,
        Self::SynCookies,
        Self::AbortOnOverflow,
        Self::SynRetries,
        Self::SynackRetries,
        Self::TcpMemory,
        Self::ReceiveBuffers,
        Self::SendBuffers,
        Self::Orphans,
        Self::FinTimeout,
        Self::Keepalive,
        Self::EstablishedTable,
        Self::Conntrack,
        Self::ConntrackTimeout,
        Self::LockedMemory,
        Self::MemoryMaps,
        Self::Threads,
        Self::ProcessIds,
        Self::GroupThreads,
        Self::UserProcesses,
        Self::Memory,
        Self::GroupMemory,
        Self::Overcommit,
        Self::HugePages,
        Self::IoUring,
        Self::PacketBacklog,
        Self::RuntimeHandles,
        Self::RuntimeProcesses,
        Self::ServerConnections,
        Self::ProxyConnections,
        Self::NatPorts,
        Self::CloudTracking,
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
        self.declaration().name
    }

    /// Which end of connections meets it.
    pub fn side(self) -> Side {
        self.declaration().side
    }

    /// What it counts.
    pub fn unit(self) -> Unit {
        self.declaration().unit
    }

    /// How it is set.
    pub fn setting(self) -> Setting {
        self.declaration().setting
    }

    /// What it is where nobody has set it.
    pub fn default_value(self) -> &'static str {
        self.declaration().default
    }

    /// Where its value is read.
    pub fn read_from(self) -> &'static str {
        self.declaration().read_from
    }

    /// What is seen when it is met.
    pub fn symptom(self) -> &'static str {
        self.declaration().symptom
    }

    /// How much of it connections need.
    pub fn sizing(self) -> &'static str {
        self.declaration().sizing
    }

    /// What raises it; a clause that reads on after "to hold more, ".
    pub fn remedy(self) -> &'static str {
        self.declaration().remedy
    }

    /// Who says so: a manual page, a document of the kernel, an RFC.
    pub fn source(self) -> &'static str {
        self.declaration().source
    }

    fn declaration(self) -> &'static Declaration {
        declarations::declaration(self)
    }
}

impl Side {
    /// Whether a machine with the ends of `role` meets a limit of this side.
    pub fn concerns(self, role: Self) -> bool {
        self == Self::Both || role == Self::Both || self == role
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Files => "files",
            Self::Watches => "watches",
            Self::Connections => "connections",
            Self::Ports => "ports",
            Self::Addresses => "addresses",
            Self::Times => "times",
            Self::Seconds => "seconds",
            Self::Pages => "pages",
            Self::Bytes => "bytes",
            Self::Buckets => "buckets",
            Self::Maps => "mappings",
            Self::Threads => "threads",
            Self::Packets => "packets",
            Self::Handles => "handles",
            Self::Choice => "",
        })
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
                limit.default_value(),
                limit.read_from(),
                limit.symptom(),
                limit.sizing(),
                limit.remedy(),
                limit.source(),
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
    fn a_sysctl_is_read_where_its_words_say() {
        for limit in Limit::ALL {
            if let Setting::Sysctl { key, .. } = limit.setting() {
                let path = format!("/proc/sys/{}", key.replace('.', "/"));
                assert!(limit.read_from().starts_with(&path), "{limit:?}");
                assert_eq!(limit.name(), key);
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

    #[test]
    fn a_side_concerns_those_who_have_it() {
        assert!(Side::Both.concerns(Side::Client) && Side::Client.concerns(Side::Both));
        assert!(Side::Server.concerns(Side::Server) && !Side::Server.concerns(Side::Client));
    }
}

//! One live program that is not ours: what limits it has, and what it uses of them.
//!
//! Everything comes from /proc, is only read, and is read below a root, which is `/` but in tests. What
//! cannot be read is a value that says why ([`Unknown`]), and hides nothing else:
//!
//! ```text
//!  Process::read(root, pid)
//!    limits, status, cgroup        of everybody, but in a container that closed its /proc
//!    descriptors                   how many: of everybody, since Linux 6.2 without a cost
//!    exe, environment, network     of those that we might debug (`man 2 ptrace`): root's, or our own
//!  process.sockets()               the same, and a kernel object for each descriptor: only when asked
//!  Runtime::detect(&process)       what its runtime bounds on top of the kernel
//! ```

mod arguments;
pub mod cgroup;
mod descriptors;
pub(crate) mod directory;
mod environment;
mod holders;
mod limits;
mod network;
pub mod runtime;
mod status;
mod unknown;

use std::{
    fmt,
    num::ParseIntError,
    path::{Path, PathBuf},
    str::FromStr,
};

pub use arguments::Arguments;
pub use cgroup::Cgroup;
pub use descriptors::{Counted, DESCRIPTORS_LISTED_MAX, Descriptors, Sockets};
pub use environment::{Environment, VARIABLES};
pub use holders::Holders;
pub use limits::{Bounds, Limits};
pub use network::Network;
pub(crate) use runtime::dialled_port;
pub use runtime::{Runtime, RuntimeLimit};
pub use status::Status;
pub use unknown::{Known, Unknown};

use arguments::base_name;
use directory::Directory;

/// The number of a process, as the reader's namespace has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub u32);

/// One process at one moment.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// The path of its program.
    pub exe: Known<String>,
    /// How it was started, or what it wrote over that.
    pub arguments: Known<Arguments>,
    /// The variables it was started with that say something of its limits.
    pub environment: Known<Environment>,
    /// The limits that the kernel sets it.
    pub limits: Limits,
    /// What it is and has in memory.
    pub status: Status,
    /// The descriptors it has open.
    pub descriptors: Known<Descriptors>,
    /// Its control groups.
    pub cgroup: Cgroup,
    /// How willingly the kernel kills it when memory runs out: -1000 never, 1000 first.
    pub oom_score_adj: Known<i64>,
    /// Whether its sockets are among those that can be seen from here.
    pub network: Network,
    directory: Directory,
}

impl Process {
    /// Reads a process of the /proc below `root`.
    ///
    /// # Errors
    ///
    /// [`Unknown::Gone`] where there is no such process, [`Unknown::Denied`] where /proc is closed to
    /// this user altogether (`hidepid`). Anything else that cannot be read is said in its place.
    pub fn read(root: &Path, pid: Pid) -> Known<Self> {
        let directory = Directory::open(root, pid)?;
        let limits = directory.text("limits");
        let status = directory.text("status");
        Ok(Self {
            pid,
            exe: directory.link("exe"),
            arguments: directory.bytes("cmdline").map(|it| Arguments::parse(&it)),
            environment: directory.bytes("environ").map(|it| Environment::parse(&it)),
            limits: Limits::of(limits.as_deref()),
            status: Status::of(status.as_deref()),
            descriptors: Descriptors::of(&directory),
            cgroup: Cgroup::of(&directory),
            oom_score_adj: oom_score_adj(&directory),
            network: Network::of(&directory),
            directory,
        })
    }

    /// The name of its program, by the best of what could be read; empty if nothing could.
    pub fn program(&self) -> &str {
        let exe = self.exe.as_deref().map(exe_name).unwrap_or_default();
        let argument = || self.arguments.as_ref().map(Arguments::program);
        let name = || self.status.name.as_deref();
        [Ok(exe), argument(), name()]
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    /// The sockets among its descriptors, of which [`DESCRIPTORS_LISTED_MAX`] are looked at. Costs the
    /// kernel an object for each, so it is not part of [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// [`Unknown::Denied`] for a process of somebody else, [`Unknown::Gone`] for one that has ended.
    pub fn sockets(&self) -> Known<Sockets> {
        self.sockets_among(DESCRIPTORS_LISTED_MAX)
    }

    /// As [`sockets`](Self::sockets), of the lowest `descriptors_max` descriptors.
    pub(crate) fn sockets_among(&self, descriptors_max: usize) -> Known<Sockets> {
        Sockets::of(&self.directory, descriptors_max)
    }

    /// The descriptors of the thread that has most, for a program whose threads have tables of their
    /// own; the limit on descriptors bounds each table.
    ///
    /// # Errors
    ///
    /// As those of [`sockets`](Self::sockets), and [`Unknown::Absent`] before Linux 6.2.
    pub fn fullest_thread(&self) -> Known<u64> {
        let most = Descriptors::of_fullest_thread(&self.directory)?;
        most.ok_or_else(|| Unknown::Absent("a count in /proc/PID/task/TID/fd".to_owned()))
    }

    /// Where the tables of its network are, whichever it is in: /proc/PID/net.
    pub fn net_directory(&self) -> PathBuf {
        let root = self.directory.root();
        root.join(format!("proc/{}/net", self.pid))
    }
}

impl Pid {
    /// The process of this program itself.
    pub fn of_this_process() -> Self {
        Self(std::process::id())
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Pid {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The name of a program whose file may have been replaced since it was started.
fn exe_name(path: &str) -> &str {
    base_name(path.strip_suffix(" (deleted)").unwrap_or(path))
}

fn oom_score_adj(directory: &Directory) -> Known<i64> {
    let text = directory.text("oom_score_adj")?;
    let text = text.trim();
    let odd = |_| Unknown::odd(directory.place("oom_score_adj"), text, "-1000 to 1000");
    text.parse().map_err(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_keeps_its_name() {
        assert_eq!(exe_name("/usr/sbin/nginx (deleted)"), "nginx");
        assert_eq!(exe_name("/opt/a b/node"), "node");
        assert_eq!(exe_name(""), "");
    }

    #[test]
    fn numbers_of_processes_are_read_and_shown() {
        assert_eq!("4711".parse(), Ok(Pid(4711)));
        assert_eq!(Pid(4711).to_string(), "4711");
        assert!("-1".parse::<Pid>().is_err());
    }
}

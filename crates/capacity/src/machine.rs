//! The values of the limits here and now.
//!
//! Here, in `tcp_memory`, `survey`, `process` and `sockets` this crate asks the kernel, and nowhere else. A file that cannot be read (another kernel, a
//! closed /proc) is `None`, never an error: an unknown limit is not a reason to refuse to start.

use std::{fs, num::NonZero, ops::RangeInclusive, path::Path, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    TcpMemory,
    process::{Pid, Process},
};

/// What this machine and this process allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// File descriptors of this process: [`Limit::Descriptors`](crate::Limit::Descriptors).
    pub nofile: Nofile,
    /// The highest descriptor limit a process may have, `fs.nr_open`.
    pub nr_open: Option<u64>,
    /// Open files that the whole machine may have, `fs.file-max`.
    pub file_max: Option<u64>,
    /// Open files that the whole machine has now, the first number of `fs.file-nr`.
    pub files_open_count: Option<u64>,
    /// Whether `fs.file-max` is not meant for this process, which has `CAP_SYS_ADMIN` (`man 5 proc_sys_fs`).
    pub is_file_max_exempt: bool,
    /// Watches that one user may have over all epoll instances.
    pub epoll_watches_max: Option<u64>,
    /// Connections that may wait to be accepted, `net.core.somaxconn`.
    pub accept_queue_max: Option<u64>,
    /// Pages that all TCP sockets of the machine may take, `net.ipv4.tcp_mem`.
    pub tcp_memory: Option<TcpMemory>,
    /// Memory that could be had now without swapping, bytes: of the machine, or what the control group
    /// of this process leaves of it.
    pub memory_available_bytes: Option<u64>,
    /// Cores that this process may run on.
    pub cores_count: usize,
}

/// The soft and the hard limit of a process on its file descriptors; `u64::MAX` is "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nofile {
    /// What applies now.
    pub soft: u64,
    /// How far the process may raise `soft` by itself.
    pub hard: u64,
}

impl Machine {
    /// Reads every value once.
    pub fn read() -> Self {
        let process = Process::read(Path::new("/"), Pid::of_this_process());
        Self::read_below(Path::new("/"), process.as_ref().ok())
    }

    /// As [`Machine::read`] from the files below `root`, for `process` there instead of this one.
    pub(crate) fn read_below(root: &Path, process: Option<&Process>) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let number = |path: &str| first_number(&text(path));
        let meminfo = text("proc/meminfo");
        let nofile = process.and_then(|process| process.limits.open_files.as_ref().ok());
        let nofile = nofile.map(|bounds| Nofile {
            soft: bounds.soft,
            hard: bounds.hard,
        });
        Self {
            nofile: nofile.unwrap_or_else(|| Nofile::from(getrlimit(Resource::Nofile))),
            nr_open: number("proc/sys/fs/nr_open"),
            file_max: number("proc/sys/fs/file-max"),
            files_open_count: number("proc/sys/fs/file-nr"),
            is_file_max_exempt: is_sys_admin(&text("proc/self/status"), &text("proc/self/uid_map")),
            epoll_watches_max: number("proc/sys/fs/epoll/max_user_watches"),
            accept_queue_max: number("proc/sys/net/core/somaxconn"),
            tcp_memory: TcpMemory::parse(&text("proc/sys/net/ipv4/tcp_mem")),
            memory_available_bytes: [
                meminfo_bytes(&meminfo, "MemAvailable"),
                process.and_then(group_left_bytes),
            ]
            .into_iter()
            .flatten()
            .min(),
            cores_count: thread::available_parallelism().map_or(1, NonZero::get),
        }
    }

    /// A machine of two cores of which only the descriptor limit is known.
    #[cfg(test)]
    pub(crate) const fn with_descriptors(hard: u64) -> Self {
        Self {
            nofile: Nofile { soft: hard, hard },
            nr_open: None,
            file_max: None,
            files_open_count: None,
            is_file_max_exempt: false,
            epoll_watches_max: None,
            accept_queue_max: None,
            tcp_memory: None,
            memory_available_bytes: None,
            cores_count: 2,
        }
    }
}

/// Raises this process's soft limit on file descriptors to its hard limit and returns what applies
/// afterwards.
///
/// The kernel refuses a hard limit above an `fs.nr_open` that was lowered later; then both limits
/// become `fs.nr_open`.
pub fn raise_nofile() -> Nofile {
    let hard = getrlimit(Resource::Nofile).maximum;
    let ceiling = read_number("/proc/sys/fs/nr_open");
    for limit in [hard, hard.min(ceiling).or(ceiling)] {
        let raised = Rlimit {
            current: limit,
            maximum: limit,
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            break;
        }
    }
    // Read back, so that the answer is what applies and not what was asked.
    Nofile::from(getrlimit(Resource::Nofile))
}

impl From<Rlimit> for Nofile {
    fn from(limit: Rlimit) -> Self {
        Self {
            soft: limit.current.unwrap_or(u64::MAX),
            hard: limit.maximum.unwrap_or(u64::MAX),
        }
    }
}

/// What the control groups of a process leave it; `None` without a limit.
fn group_left_bytes(process: &Process) -> Option<u64> {
    let group = process.cgroup.memory.as_ref().ok()?;
    group.tightest().map(|(_, left)| left)
}

/// Whether this process has `CAP_SYS_ADMIN` over the machine and not just in a user namespace, which
/// maps its users to others.
fn is_sys_admin(status: &str, users: &str) -> bool {
    let identity = ["0", "0", "4294967295"];
    has_sys_admin(status) && users.split_whitespace().eq(identity)
}

/// Bit 21 of the effective capabilities, `man 5 proc_pid_status`.
fn has_sys_admin(status: &str) -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> CAP_SYS_ADMIN & 1 == 1)
}

fn read_number(path: &str) -> Option<u64> {
    first_number(&fs::read_to_string(path).ok()?)
}

pub(crate) fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

pub(crate) fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Some(first..=last),
        _ => None,
    }
}

/// The value of one line of /proc/meminfo, whose unit is always 1024 bytes (man 5 proc_meminfo).
pub(crate) fn meminfo_bytes(text: &str, key: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    first_number(value)?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let machine = Machine::read();
        assert!(machine.nofile.soft <= machine.nofile.hard);
        assert!(machine.cores_count >= 1);
        assert!(machine.nr_open.is_some_and(|value| value >= 1024));
        assert!(
            machine
                .memory_available_bytes
                .is_some_and(|bytes| bytes > 1 << 20)
        );
    }

    #[test]
    fn raises_soft_to_hard_and_stays_there() {
        let raised = raise_nofile();
        assert_eq!(raised.soft, raised.hard);
        assert_eq!(raise_nofile(), raised);
        assert_eq!(Machine::read().nofile, raised);
    }

    #[test]
    fn parses_what_the_kernel_writes() {
        assert_eq!(parse_port_range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_port_range("32768"), None);
        assert_eq!(parse_port_range(""), None);
        assert_eq!(first_number("540\t0\t2466170\n"), Some(540));
        let meminfo = "MemTotal:       24661700 kB\nMemFree: 1 kB\nMemAvailable:  23 kB\n";
        assert_eq!(meminfo_bytes(meminfo, "MemTotal"), Some(24_661_700 * 1024));
        assert_eq!(meminfo_bytes(meminfo, "MemAvailable"), Some(23 * 1024));
        assert_eq!(meminfo_bytes(meminfo, "Mem"), None);
        assert_eq!(meminfo_bytes("MemTotal: x kB", "MemTotal"), None);
        assert!(has_sys_admin("CapPrm:\t0\nCapEff:\t0000000000200000\n"));
        assert!(!has_sys_admin(
            "CapPrm:\t0000000000200000\nCapEff:\t0000000000dfffff\n"
        ));
        assert!(!has_sys_admin(""));
    }
}

//! The values of the limits here and now, as they are read below a root: `/`, or a folder that
//! stands for another machine.
//!
//! What cannot be read says why, and hides nothing else.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::process::{Resource, getrlimit};

use crate::{
    Grouped, Known, Limit, Machine, Setting, SockStat, Unknown,
    machine::{first_number, meminfo_bytes},
    numbers::{
        local_addresses, local_addresses_v6, neighbours_count, number_at, one_line, threads_count,
    },
    process::{Bounds, Pid, Process, directory::text_below},
    sockets::LocalPorts,
    tuples::PORTS_COUNT,
};

/// What a machine allows, and what is used of it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The values that bound one process of ours.
    pub machine: Machine,
    /// Addresses of the machine that are not loopback's, of the family that has more.
    pub addresses_count: Option<u64>,
    /// Sockets of TCP that are open now.
    pub sockets_count: Option<u64>,
    readings: BTreeMap<Limit, Known<Reading>>,
}

/// The value of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// As it is written: `4096 131072 6291456`.
    pub text: String,
    /// The number of it that is the limit; [`u64::MAX`] is "no limit".
    pub value: u64,
    /// How much of it is used now, where that can be told.
    pub used: Option<u64>,
}

impl Survey {
    /// Reads every limit once, of this machine and this process.
    pub fn read() -> Self {
        Self::read_below(Path::new("/"), Pid::of_this_process())
    }

    /// What `limit` is now, in words: `20,000`. For who has just met it and has perhaps no descriptor left:
    /// then it is what [`remember`](Self::remember) has found, or `None`.
    pub fn present(limit: Limit) -> Option<String> {
        if limit == Limit::Descriptors {
            return getrlimit(Resource::Nofile)
                .current
                .map(|soft| Grouped(soft).to_string());
        }
        let reader = Reader::new(Path::new("/"), Pid::of_this_process());
        let present = reader.present(limit);
        present.or_else(|| REMEMBERED.get()?.get(&limit).cloned())
    }

    /// Reads what the kernel's errors may mean ([`Limit::behind`]) while it can be read: where the whole
    /// machine has no file left, nobody can open one to see how many there may be. Once; later calls
    /// change nothing.
    pub fn remember() {
        REMEMBERED.get_or_init(|| {
            let reader = Reader::new(Path::new("/"), Pid::of_this_process());
            let limits = [Limit::OpenFiles, Limit::EpollWatches, Limit::Memory];
            let known = limits
                .into_iter()
                .filter_map(|limit| Some((limit, reader.present(limit)?)));
            known.collect()
        });
    }

    /// As [`Survey::read`] from the files below `root`, for the process `pid` there.
    pub fn read_below(root: &Path, pid: Pid) -> Self {
        let reader = Reader::new(root, pid);
        let readings = Limit::ALL.into_iter();
        Self {
            machine: Machine::read_below(root, reader.process.as_ref().ok()),
            addresses_count: reader.addresses_count(),
            sockets_count: reader.sockstat.alloc_count,
            readings: readings
                .map(|limit| (limit, reader.reading(limit)))
                .collect(),
        }
    }

    /// What was read of `limit`.
    pub fn reading(&self, limit: Limit) -> Result<&Reading, &Unknown> {
        // Every limit is there; see `read_below`.
        self.readings[&limit].as_ref()
    }

    /// The same with a limit that could not be read.
    #[cfg(test)]
    pub(crate) fn forget(&mut self, limit: Limit, why: Unknown) {
        self.readings.insert(limit, Err(why));
    }

    /// A machine of which only some limits are known.
    #[cfg(test)]
    pub(crate) fn of(machine: Machine, known: &[(Limit, &str, Option<u64>)]) -> Self {
        let readings = known.iter().map(|&(limit, text, used)| {
            let place = match limit.setting() {
                // How many ports it has is told instead.
                Setting::Sysctl { place, .. } if limit != Limit::PortRange => place,
                _ => 0,
            };
            let reading = number_at(text, place).map(|value| Reading {
                text: text.to_owned(),
                value,
                used,
            });
            (limit, reading)
        });
        let unknown = |limit: Limit| Err(Unknown::Absent(limit.read_from().to_owned()));
        let mut all: BTreeMap<_, _> = Limit::ALL.map(|limit| (limit, unknown(limit))).into();
        all.extend(readings);
        Self {
            machine,
            addresses_count: Some(1),
            sockets_count: Some(0),
            readings: all,
        }
    }
}

/// What limits were when there was room to read them.
static REMEMBERED: OnceLock<BTreeMap<Limit, String>> = OnceLock::new();

/// Everything that several readings look into.
struct Reader {
    root: PathBuf,
    process: Known<Process>,
    sockstat: SockStat,
}

impl Reader {
    fn new(root: &Path, pid: Pid) -> Self {
        Self {
            process: Process::read(root, pid),
            sockstat: SockStat::read_below(root),
            root: root.to_owned(),
        }
    }

    /// A limit in words.
    fn present(&self, limit: Limit) -> Option<String> {
        let reading = self.reading(limit).ok()?;
        Some(match reading.value {
            u64::MAX => "without a limit".to_owned(),
            value if reading.text.contains(' ') => {
                format!("{} ({})", reading.text, Grouped(value))
            }
            value => Grouped(value).to_string(),
        })
    }

    fn reading(&self, limit: Limit) -> Known<Reading> {
        let (text, value) = match limit.setting() {
            Setting::Sysctl { key, place } => self.sysctl(limit, key, place)?,
            Setting::Rlimit { .. } => self.rlimit(limit)?,
            Setting::ControlGroup { .. } => self.group(limit)?.0,
            Setting::Boot(_) => self.sysctl(limit, limit.name(), 0)?,
            Setting::Machine => self.of_machine(limit)?,
            // Those of one source address towards one destination.
            Setting::Arithmetic => (PORTS_COUNT.to_string(), PORTS_COUNT),
            Setting::Program | Setting::Cloud => {
                return Err(Unknown::Unset(limit.read_from().to_owned()));
            }
        };
        Ok(Reading {
            text,
            value,
            used: self.used(limit),
        })
    }

    fn text(&self, path: &str) -> Known<String> {
        text_below(&self.root, path)
    }

    fn process(&self) -> Known<&Process> {
        self.process.as_ref().map_err(Clone::clone)
    }

    fn sysctl(&self, limit: Limit, key: &str, place: usize) -> Known<(String, u64)> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let text = one_line(&self.text(&path)?);
        let value = match limit {
            // How many there are, instead of which.
            Limit::ReservedPorts => {
                let odd = || Unknown::odd(&path, &text, "ports and ranges");
                let others = LocalPorts::parse("0 65535", &text).ok_or_else(odd)?;
                (1 << 16) - others.count()
            }
            Limit::PortRange => {
                let reserved = self.text("/proc/sys/net/ipv4/ip_local_reserved_ports");
                let odd = || Unknown::odd(&path, &text, "the first and the last port");
                let ports = LocalPorts::parse(&text, &reserved.unwrap_or_default());
                ports.ok_or_else(odd)?.count()
            }
            _ => number_at(&text, place)?,
        };
        Ok((text, value))
    }

    fn rlimit(&self, limit: Limit) -> Known<(String, u64)> {
        let limits = &self.process()?.limits;
        let bounds = match limit {
            Limit::LockedMemory => &limits.locked_memory_bytes,
            Limit::UserProcesses => &limits.processes,
            _ => &limits.open_files,
        };
        let bounds = bounds.clone()?;
        // A program may raise the limit on descriptors by itself, and ours does.
        let applies = match limit {
            Limit::Descriptors => bounds.hard,
            _ => bounds.soft,
        };
        Ok((bounds.to_string(), applies))
    }

    /// The limit of the group that leaves least, and what is used of it.
    fn group(&self, limit: Limit) -> Known<((String, u64), Option<u64>)> {
        let groups = &self.process()?.cgroup;
        let tightest = match limit {
            Limit::GroupMemory => groups.memory.as_ref().map(|group| group.tightest()),
            _ => groups.pids.as_ref().map(|group| group.tightest()),
        };
        Ok(match tightest.map_err(Clone::clone)? {
            Some((level, left)) => {
                let current = level.current.clone()?;
                let max = current.saturating_add(left);
                ((max.to_string(), max), Some(current))
            }
            None => (("max".to_owned(), Bounds::UNLIMITED), None),
        })
    }

    fn of_machine(&self, limit: Limit) -> Known<(String, u64)> {
        if limit == Limit::HugePages {
            let text = one_line(&self.text("/sys/kernel/mm/transparent_hugepage/enabled")?);
            let always = text.contains("[always]");
            return Ok((text, u64::from(always)));
        }
        let meminfo = self.text("/proc/meminfo")?;
        let total = meminfo_bytes(&meminfo, "MemTotal")
            .ok_or_else(|| Unknown::odd("/proc/meminfo", &meminfo, "a line MemTotal"))?;
        Ok((total.to_string(), total))
    }

    fn used(&self, limit: Limit) -> Option<u64> {
        let number = |path: &str| first_number(&self.text(path).ok()?);
        match limit {
            Limit::OpenFiles => number("/proc/sys/fs/file-nr"),
            Limit::Descriptors => {
                let descriptors = self.process().ok()?.descriptors.as_ref();
                Some(descriptors.ok()?.open_count)
            }
            Limit::TimeWaitBuckets => self.sockstat.time_wait_count,
            Limit::Orphans => self.sockstat.orphan_count,
            Limit::TcpMemory => self.sockstat.mem_pages,
            Limit::Conntrack => number("/proc/sys/net/netfilter/nf_conntrack_count"),
            Limit::Neighbours => Some(neighbours_count(&self.text("/proc/net/arp").ok()?)),
            Limit::Threads | Limit::ProcessIds => threads_count(&self.text("/proc/loadavg").ok()?),
            Limit::MemoryMaps => {
                let maps = self.text("/proc/self/maps").ok()?;
                Some(maps.lines().count() as u64)
            }
            Limit::GroupThreads | Limit::GroupMemory => self.group(limit).ok()?.1,
            Limit::Memory => {
                let meminfo = self.text("/proc/meminfo").ok()?;
                let total = meminfo_bytes(&meminfo, "MemTotal")?;
                Some(total.saturating_sub(meminfo_bytes(&meminfo, "MemAvailable")?))
            }
            _ => None,
        }
    }

    /// The local addresses in the routing tables of both families.
    fn addresses_count(&self) -> Option<u64> {
        let trie = self.text("/proc/net/fib_trie").ok()?;
        let v6 = self.text("/proc/net/if_inet6").unwrap_or_default();
        // A connection is of one family.
        Some(local_addresses(&trie).max(local_addresses_v6(&v6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let survey = Survey::read();
        for limit in [
            Limit::Descriptors,
            Limit::OpenFiles,
            Limit::AcceptQueue,
            Limit::TcpMemory,
            Limit::Memory,
            Limit::Threads,
        ] {
            let reading = survey
                .reading(limit)
                .unwrap_or_else(|error| panic!("{limit:?}: {error}"));
            assert!(reading.value > 0, "{limit:?}");
        }
        let files = survey.reading(Limit::OpenFiles).expect("read above");
        assert!(files.used.is_some_and(|used| used > 0));
        let nofile = survey.reading(Limit::Descriptors).expect("read above");
        assert_eq!(nofile.value, survey.machine.nofile.hard);
        assert!(survey.reading(Limit::CloudTracking).is_err());
    }

    /// A machine as some files in a folder that goes with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir();
            let root = root.join(format!("fourtuple-survey-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
                std::fs::write(path, text).expect("a file");
            }
            Self(root)
        }

        fn survey(&self) -> Survey {
            Survey::read_below(&self.0, Pid(7))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_old_kernel_has_fewer_limits() {
        let folder = Folder::new(
            "old",
            &[
                ("proc/sys/net/core/somaxconn", "128\n"),
                ("proc/sys/net/ipv4/tcp_mem", "94500\t126000\t189000\n"),
                ("proc/sys/net/ipv4/ip_local_port_range", "32768\t61000\n"),
                ("proc/sys/fs/file-nr", "992\t0\t98975\n"),
                ("proc/sys/fs/file-max", "98975\n"),
                (
                    "proc/net/sockstat",
                    "sockets: used 140\nTCP: inuse 5 orphan 1 tw 12 alloc 9 mem 3\n",
                ),
                (
                    "proc/7/limits",
                    "Max open files            1024                 4096                 files     \n",
                ),
            ],
        );
        let survey = folder.survey();
        let value = |limit| {
            survey
                .reading(limit)
                .map(|reading| (reading.value, reading.used))
        };
        assert_eq!(value(Limit::AcceptQueue), Ok((128, None)));
        assert_eq!(value(Limit::TcpMemory), Ok((189_000, Some(3))));
        assert_eq!(value(Limit::PortRange), Ok((28_233, None)));
        assert_eq!(value(Limit::OpenFiles), Ok((98_975, Some(992))));
        assert_eq!(value(Limit::Descriptors).map(|it| it.0), Ok(4_096));
        assert_eq!(survey.machine.nofile.soft, 1_024);
        for limit in [Limit::IoUring, Limit::EstablishedTable, Limit::Conntrack] {
            let unknown = survey.reading(limit).expect_err("a newer limit");
            assert!(matches!(unknown, Unknown::Absent(_)), "{unknown}");
        }
    }

    #[test]
    fn what_is_odd_hides_nothing_else() {
        let folder = Folder::new(
            "odd",
            &[
                ("proc/sys/net/core/somaxconn", "many\n"),
                ("proc/sys/net/ipv4/tcp_mem", "1 2\n"),
                ("proc/sys/fs/nr_open", "1048576\n"),
                ("proc/7/limits", "Max open files what\n"),
            ],
        );
        let survey = folder.survey();
        for limit in [Limit::AcceptQueue, Limit::TcpMemory, Limit::Descriptors] {
            let unknown = survey.reading(limit).expect_err("it is odd");
            assert!(
                matches!(unknown, Unknown::Odd { .. }),
                "{limit:?}: {unknown}"
            );
        }
        assert_eq!(
            survey.reading(Limit::DescriptorCeiling).map(|it| it.value),
            Ok(1_048_576)
        );
    }

    #[test]
    fn a_group_whose_memory_is_full_of_files_has_it_free() {
        let group = "sys/fs/cgroup/web.service";
        let path = |name: &str| format!("{group}/{name}");
        let folder = Folder::new(
            "files",
            &[
                ("proc/7/cgroup", "0::/web.service\n"),
                (
                    "proc/self/mountinfo",
                    "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n",
                ),
                (&path("memory.max"), "1000000\n"),
                (&path("memory.current"), "990000\n"),
                (
                    &path("memory.stat"),
                    "anon 90000\nfile 850000\ninactive_file 800000\nslab_reclaimable 50000\n",
                ),
            ],
        );
        let survey = folder.survey();
        let reading = survey.reading(Limit::GroupMemory);
        let reading = reading.expect("all of it is there");
        assert_eq!((reading.value, reading.used), (1_000_000, Some(140_000)));
    }

    #[test]
    fn a_container_without_its_proc_is_told_so() {
        let folder = Folder::new("closed", &[("proc/meminfo", "MemTotal: 1000 kB\n")]);
        let survey = folder.survey();
        let unknown = survey
            .reading(Limit::GroupMemory)
            .expect_err("no such process");
        assert!(matches!(unknown, Unknown::Gone(_)), "{unknown}");
        assert_eq!(
            survey.reading(Limit::Memory).map(|it| it.value),
            Ok(1_024_000)
        );
    }

    #[test]
    fn who_meets_a_limit_is_told_what_it_is() {
        let soft = getrlimit(Resource::Nofile)
            .current
            .map(|soft| Grouped(soft).to_string());
        assert_eq!(Survey::present(Limit::Descriptors), soft);
        assert!(Survey::present(Limit::AcceptQueue).is_some());
        assert_eq!(Survey::present(Limit::CloudTracking), None);
    }
}

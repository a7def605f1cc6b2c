//! Live programs, their sockets and their machine as one list of gauges.
//!
//! For any program: what is asked of it is read from outside. Several are looked at together where
//! they share a port.

mod gauges;
mod program;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    End, Gauge, Grouped, Kernel, Known, Layout, Ledger, Limit, Survey, Tables,
    ledger::Place,
    process::{Pid, RuntimeLimit},
    sockets::{Counters, Listener, LocalPorts, Pair, Served, Sockets, SocketsError, Tally},
};

pub use program::Program;
pub use told::Told;

use gauges::{accept_queues, gauge, tuples};

/// How long a look at all sockets may take: a hundred million fit.
pub const LIST_MAX: Duration = Duration::from_secs(30);

/// The most processes that are looked at together.
pub const PROGRAMS_MAX: usize = 16;

/// Pairs of source and destination that have gauges of their own, the fullest.
const PAIRS_SHOWN_MAX: usize = 16;

/// Programs at one moment.
#[derive(Debug)]
pub struct Live {
    /// The processes, the one with most descriptors first; none for the machine alone.
    pub programs: Vec<Program>,
    /// The port that was asked for.
    pub port: Option<u16>,
    /// The sockets of the network, or why they cannot be listed.
    pub sockets: Result<Tally, SocketsError>,
    /// How the listeners and pairs are those of the programs.
    pub told: Told,
    /// Where they listen; with a port, on that port.
    pub listeners: Vec<Listener>,
    /// The pairs that they dial, the fullest first.
    pub pairs: Vec<Pair>,
    /// What the kernel has counted since it was booted.
    pub counters: Counters,
    /// The ports among which the kernel chooses.
    pub ports: LocalPorts,
    /// Processes that were to be looked at beyond [`PROGRAMS_MAX`], and those that have ended.
    passed_over: Vec<Pid>,
    survey: Survey,
}

impl Live {
    /// Looks at the processes `pids`, which share `port` if there is one; at the whole machine without
    /// any. Those that have ended are passed over.
    ///
    /// # Errors
    ///
    /// There is no such process, or nothing of any may be read.
    pub fn look(pids: &[Pid], port: Option<u16>) -> Known<Self> {
        let mut programs = Vec::new();
        let mut passed_over = Vec::new();
        let mut unknown = None;
        for pid in pids {
            match programs.len() {
                PROGRAMS_MAX => passed_over.push(*pid),
                _ => match Program::read(*pid, pids.len().min(PROGRAMS_MAX)) {
                    Ok(program) => programs.push(program),
                    Err(why) => {
                        passed_over.push(*pid);
                        unknown = Some(why);
                    }
                },
            }
        }
        if let (Some(unknown), true) = (unknown, programs.is_empty()) {
            return Err(unknown);
        }
        programs.sort_by_key(|program| std::cmp::Reverse(program.open_count()));
        let ports = LocalPorts::read().unwrap_or_default();
        let deadline = Instant::now() + LIST_MAX;
        let own = inodes(&programs);
        let sockets = Sockets::open()
            .and_then(|mut sockets| Tally::of_network(&mut sockets, Some(&own), &ports, deadline));
        let told = Told::of(&programs, port);
        let (listeners, pairs) = match &sockets {
            Ok(all) => (told.listeners(all, &own, port), told.pairs(all, &programs)),
            Err(_) => (Vec::new(), Vec::new()),
        };
        Ok(Self {
            programs,
            port,
            sockets,
            told,
            listeners,
            pairs,
            counters: Counters::read(),
            ports,
            passed_over,
            survey: Survey::read(),
        })
    }

    /// The connections to the listeners, by address.
    pub fn served(&self) -> impl Iterator<Item = &Served> {
        let all = self.sockets.as_ref().map_or(&[][..], |it| &it.served);
        let ends = self.listeners.iter().map(|it| (it.family, it.local));
        let ends: HashSet<_> = ends.collect();
        all.iter()
            .filter(move |served| ends.contains(&(served.family, served.local)))
    }

    /// Connections of the programs that are open: those to their listeners, and those that they have
    /// dialled; `None` where their sockets cannot be told from others.
    pub fn connections_count(&self) -> Option<u64> {
        if self.told == Told::NotAtAll {
            return None;
        }
        let served = self.served().map(|served| served.live_count);
        let dialled = self.pairs.iter().map(|pair| self.told.live_count(pair));
        Some(served.chain(dialled).sum())
    }

    /// Bytes of the kernel that these connections take while they are idle, by the ledger.
    pub fn kernel_bytes(&self) -> Option<u64> {
        let layout = Layout {
            end: End::Server,
            kernel: Kernel::Epoll,
            shards: 1,
            tables: Tables::PerProcess,
            admin_connections: 0,
        };
        let each = Ledger::of(1, &layout, None).connection_bytes(Place::Kernel);
        Some(self.connections_count()?.saturating_mul(each))
    }

    /// How full everything is.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = self.program_gauges();
        gauges.extend(accept_queues(&self.listeners));
        let pairs = self.pairs.iter().take(PAIRS_SHOWN_MAX);
        let listeners = self
            .sockets
            .as_ref()
            .map_or(&[][..], |tally| &tally.listeners);
        gauges.extend(pairs.map(|pair| tuples(pair, &self.ports, listeners)));
        gauges.extend(self.machine_gauges());
        gauges
    }

    fn program_gauges(&self) -> Vec<Gauge> {
        let count = self.programs.len();
        let programs = self.programs.iter();
        let mut gauges: Vec<_> = programs.flat_map(|it| it.gauges(count)).collect();
        // Those who share a port often share a group.
        let mut seen = BTreeSet::new();
        for (path, gauge) in self.programs.iter().flat_map(|it| it.group_gauges(count)) {
            if seen.insert((gauge.limit, path)) {
                gauges.push(gauge);
            }
        }
        gauges
    }

    fn machine_gauges(&self) -> Vec<Gauge> {
        let limits = [
            Limit::OpenFiles,
            Limit::Memory,
            Limit::TcpMemory,
            Limit::Orphans,
            Limit::TimeWaitBuckets,
            Limit::Conntrack,
            Limit::Threads,
        ];
        let known = limits.into_iter().filter_map(|limit| {
            let reading = self.survey.reading(limit).ok()?;
            Some(gauge(limit, limit.name(), reading.used?, reading.value))
        });
        known.collect()
    }

    /// Whether any limit is used up.
    pub fn is_exhausted(&self) -> bool {
        let is_its = |gauge: &Gauge| self.told != Told::NotAtAll || !is_of_sockets(gauge.limit);
        self.gauges()
            .iter()
            .any(|gauge| is_exhausted(gauge) && is_its(gauge))
    }

    /// What a reader must know before the numbers, if anything.
    pub fn cautions(&self) -> Vec<String> {
        let networks = self.programs.iter().filter_map(|program| {
            let process = &program.process;
            process.network.caution(process.pid)
        });
        let passed_over = (!self.passed_over.is_empty()).then(|| {
            let named = self.passed_over.iter().take(PROGRAMS_MAX);
            let named: Vec<_> = named.map(ToString::to_string).collect();
            format!(
                "not looked at: {} more processes, which have ended or are beyond the {PROGRAMS_MAX} with most \
                 descriptors: {}{}",
                self.passed_over.len(),
                named.join(", "),
                if named.len() < self.passed_over.len() { " and others" } else { "" }
            )
        });
        let told = self.told.caution(&self.programs);
        networks.chain(told).chain(passed_over).collect()
    }

    /// What the numbers of this moment say of something that is exhausted or hurts.
    pub fn alarms(&self) -> Vec<String> {
        let mut alarms = Vec::new();
        for gauge in self.gauges() {
            let (name, limit) = (&gauge.label, gauge.limit);
            if is_exhausted(&gauge) {
                alarms.push(match self.runtime_limit(name) {
                    Some(own) => format!(
                        "{name}: nothing is left of {} {}. {}. To hold more, {}",
                        Grouped(gauge.max),
                        own.unit,
                        own.meaning,
                        own.remedy
                    ),
                    None => format!(
                        "{name}: nothing is left of {} {}. When it is met: {}. To hold more, {}",
                        Grouped(gauge.max),
                        limit.unit(),
                        limit.symptom(),
                        self.remedy(&gauge)
                    ),
                });
            } else if gauge.is_beyond_knee() {
                alarms.push(format!(
                    "{name}: {} of {} are used; beyond half of them connect() searches for a free port and \
                     takes up to a hundred times as long. To hold more, {}",
                    Grouped(gauge.used),
                    Grouped(gauge.max),
                    Limit::PortRange.remedy()
                ));
            }
        }
        alarms.extend(self.sources_without_ports());
        alarms
    }

    fn runtime_limit(&self, label: &str) -> Option<&RuntimeLimit> {
        let count = self.programs.len();
        self.programs.iter().find_map(|program| {
            let mut limits = program.limits.iter();
            limits.find(|limit| program.label(&limit.name, count) == label)
        })
    }

    /// Sources of which each destination seems to have ports of its own, and of which none is left.
    fn sources_without_ports(&self) -> Vec<String> {
        let mut by_source: BTreeMap<IpAddr, Vec<u64>> = BTreeMap::new();
        for pair in self.pairs.iter().filter(|pair| pair.explicit_count == 0) {
            by_source.entry(pair.source).or_default().push(pair.used());
        }
        let max = self.ports.count();
        // A few ports are always somebody else's.
        // More sockets than ports share them, which is what is wanted.
        let as_many = max - max / 10..=max;
        let is_used_up = |used: &[u64]| used.len() > 1 && as_many.contains(&used.iter().sum());
        let used_up = by_source.iter().filter(|(_, used)| is_used_up(used));
        let words = used_up.map(|(source, used)| {
            format!(
                "ports of {source}: {} sockets to {} destinations, about as many as the {} ports of {}. A \
                 program that binds the address without IP_BIND_ADDRESS_NO_PORT shares no port between \
                 destinations, and would now meet EADDRINUSE. To hold more, set that option (man 7 ip), or {}",
                Grouped(used.iter().sum()),
                used.len(),
                Grouped(max),
                Limit::PortRange.name(),
                Limit::PortRange.remedy()
            )
        });
        words.collect()
    }
}

impl Live {
    /// What raises a gauge that is full; a clause.
    fn remedy(&self, gauge: &Gauge) -> String {
        let somaxconn = self.survey.reading(Limit::AcceptQueue);
        let somaxconn = somaxconn.map_or(0, |reading| reading.value);
        match gauge.limit {
            // The kernel takes one more than it was told.
            Limit::AcceptQueue if gauge.max <= somaxconn => format!(
                "give listen() a longer backlog than {} in the program, {} allows {}; or accept faster",
                Grouped(gauge.max - 1),
                Limit::AcceptQueue.name(),
                Grouped(somaxconn)
            ),
            limit => limit.remedy().to_owned(),
        }
    }
}

/// Whether a limit is one that sockets of others may have used up.
const fn is_of_sockets(limit: Limit) -> bool {
    matches!(limit, Limit::AcceptQueue | Limit::Tuples | Limit::PortRange)
}

/// Whether a limit is used up and that is felt: without a place to wait, a closed connection ends at once.
fn is_exhausted(gauge: &Gauge) -> bool {
    gauge.is_full() && gauge.limit != Limit::TimeWaitBuckets
}

/// The inodes of the sockets among the descriptors of all of them.
fn inodes(programs: &[Program]) -> HashSet<u32> {
    let held = programs
        .iter()
        .filter_map(|program| program.sockets.as_ref());
    let inodes = held.flat_map(|held| held.inodes.iter());
    inodes
        .filter_map(|inode| u32::try_from(*inode).ok())
        .collect()
}

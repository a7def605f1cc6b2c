//! A live program, its sockets and its machine as one list of gauges.
//!
//! For any program: what is asked of it is read from outside.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    End, Gauge, Grouped, Kernel, Known, Layout, Ledger, Limit, Survey, Tables,
    ledger::Place,
    process::{Pid, Process, Runtime, RuntimeLimit},
    sockets::{Counters, Filter, Listener, LocalPorts, Pair, Sockets, SocketsError, Tally},
    tuples::PORTS_COUNT,
};

/// How long a look at all sockets may take: a hundred million fit.
pub const LIST_MAX: Duration = Duration::from_secs(30);

/// Pairs of source and destination that have gauges of their own, the fullest.
const PAIRS_SHOWN_MAX: usize = 16;

/// Listeners that have gauges of their own, the fullest.
const LISTENERS_SHOWN_MAX: usize = 16;

/// A program at one moment.
#[derive(Debug)]
pub struct Live {
    /// The process; `None` for the machine alone.
    pub process: Option<Process>,
    /// What runs it, and what that bounds.
    pub runtime: Runtime,
    /// The limits of the runtime.
    pub runtime_limits: Vec<RuntimeLimit>,
    /// The sockets of its network, or why they cannot be listed.
    pub sockets: Result<Tally, SocketsError>,
    /// Whether the listeners and pairs are those of the program, and not those of all programs of its
    /// network: direct descriptors of a ring are in no list of a process, and a process of somebody else has
    /// none for us.
    pub sockets_are_its_own: bool,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// The pairs that it dials, the fullest first.
    pub pairs: Vec<Pair>,
    /// What the kernel has counted since it was booted.
    pub counters: Counters,
    /// The ports among which the kernel chooses.
    pub ports: LocalPorts,
    survey: Survey,
}

impl Live {
    /// Looks at the process `pid`, or at the whole machine without one.
    ///
    /// # Errors
    ///
    /// There is no such process, or nothing of it may be read.
    pub fn look(pid: Option<Pid>) -> Known<Self> {
        let process = pid
            .map(|pid| Process::read(Path::new("/"), pid))
            .transpose()?;
        let held = process.as_ref().and_then(|process| process.sockets().ok());
        let runtime = process.as_ref().map_or(Runtime::Other, Runtime::detect);
        let runtime_limits = process
            .as_ref()
            .map_or_else(Vec::new, |process| runtime.limits(process, held.as_ref()));
        let ports = LocalPorts::read().unwrap_or_default();
        let deadline = Instant::now() + LIST_MAX;
        let take = |filter: &Filter| {
            Sockets::open()
                .and_then(|mut sockets| Tally::take(&mut sockets, filter, &ports, deadline))
        };
        // Direct descriptors of a ring are in no list of a process.
        let inodes: Option<HashSet<u32>> =
            held.filter(|_| runtime != Runtime::Fourtuple).map(|held| {
                let inodes = held.inodes.into_iter();
                inodes
                    .filter_map(|inode| u32::try_from(inode).ok())
                    .collect()
            });
        let sockets = take(&Filter::default());
        let own = inodes.as_ref().and_then(|inodes| {
            let own = Filter {
                inodes: Some(inodes.clone()),
                ..Filter::default()
            };
            take(&own).ok()
        });
        let (mut listeners, mut pairs) = match &sockets {
            Ok(all) => (all.listeners.clone(), all.pairs.clone()),
            Err(_) => (Vec::new(), Vec::new()),
        };
        if let (Some(inodes), Some(own)) = (&inodes, &own) {
            listeners.retain(|listener| inodes.contains(&listener.inode));
            pairs = dialled_by(&own.pairs, &pairs);
        }
        let sockets_are_its_own = process.is_none() || own.is_some();
        Ok(Self {
            process,
            runtime,
            runtime_limits,
            sockets,
            listeners,
            pairs,
            sockets_are_its_own,
            counters: Counters::read(),
            ports,
            survey: Survey::read(),
        })
    }

    /// Connections of the program that are open: those to its listeners, and those that it has dialled;
    /// `None` where its sockets cannot be told from others.
    pub fn connections_count(&self) -> Option<u64> {
        if !self.sockets_are_its_own {
            return None;
        }
        let served = self.sockets.as_ref().map_or(&[][..], |tally| &tally.served);
        let is_its = |local| {
            self.listeners
                .iter()
                .any(|listener| listener.local == local)
        };
        let served = served.iter().filter(|served| is_its(served.local));
        let dialled = self.pairs.iter().map(|pair| pair.live_count);
        Some(served.map(|served| served.live_count).chain(dialled).sum())
    }

    /// Bytes of the kernel that these connections take while they are idle, by the ledger.
    pub fn kernel_bytes(&self) -> Option<u64> {
        let layout = Layout {
            end: End::Server,
            kernel: Kernel::Epoll,
            shards: 1,
            tables: Tables::PerProcess,
        };
        let each = Ledger::of(1, &layout, None).connection_bytes(Place::Kernel);
        Some(self.connections_count()?.saturating_mul(each))
    }

    /// How full everything is.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = self.process_gauges();
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

    fn process_gauges(&self) -> Vec<Gauge> {
        let mut gauges = Vec::new();
        let Some(process) = &self.process else {
            return gauges;
        };
        let used = process.descriptors.as_ref().map(|it| it.open_count);
        if let (Ok(used), Ok(bounds)) = (used, &process.limits.open_files)
            // The table of one thread says nothing of those of the others.
            && self.runtime != Runtime::Fourtuple
            && !self.runtime_limits.iter().any(|it| it.name == Limit::Descriptors.name())
        {
            gauges.push(gauge(
                Limit::Descriptors,
                "descriptors of the process",
                used,
                bounds.soft,
            ));
        }
        for limit in &self.runtime_limits {
            if let (Ok(max), Some(used)) = (&limit.value, limit.used) {
                let known = Limit::ALL.into_iter().find(|it| it.name() == limit.name);
                let which = known.unwrap_or(Limit::RuntimeHandles);
                gauges.push(gauge(which, &limit.name, used, *max));
            }
        }
        let groups = &process.cgroup;
        let memory = groups
            .memory
            .as_ref()
            .ok()
            .and_then(|group| group.tightest());
        let pids = groups.pids.as_ref().ok().and_then(|group| group.tightest());
        for (limit, tightest, label) in [
            (Limit::GroupMemory, memory, "memory of its control group"),
            (Limit::GroupThreads, pids, "threads of its control group"),
        ] {
            if let Some((level, left)) = tightest
                && let Ok(used) = level.current
            {
                gauges.push(gauge(limit, label, used, used.saturating_add(left)));
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
        let is_its = |gauge: &Gauge| self.sockets_are_its_own || !is_of_sockets(gauge.limit);
        self.gauges()
            .iter()
            .any(|gauge| is_exhausted(gauge) && is_its(gauge))
    }

    /// What a reader must know before the numbers, if anything.
    pub fn cautions(&self) -> Vec<String> {
        let process = self.process.as_ref();
        let network = process.and_then(|process| process.network.caution(process.pid));
        let others = (!self.sockets_are_its_own).then(|| {
            "its sockets cannot be told from those of other programs: listeners and tuples below are those \
             of all programs of this network"
                .to_owned()
        });
        network.into_iter().chain(others).collect()
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

    fn runtime_limit(&self, name: &str) -> Option<&RuntimeLimit> {
        self.runtime_limits.iter().find(|limit| limit.name == name)
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

/// Of all pairs those that a program has, with the tuples that others use of them: a tuple is used whoever
/// has it.
fn dialled_by(own: &[Pair], all: &[Pair]) -> Vec<Pair> {
    let key = |pair: &Pair| (pair.source, pair.destination);
    let own: HashSet<_> = own.iter().map(key).collect();
    all.iter()
        .filter(|pair| own.contains(&key(pair)))
        .copied()
        .collect()
}

/// Whether a limit is one that sockets of others may have used up.
const fn is_of_sockets(limit: Limit) -> bool {
    matches!(limit, Limit::AcceptQueue | Limit::Tuples | Limit::PortRange)
}

/// Whether a limit is used up and that is felt: without a place to wait, a closed connection ends at once.
fn is_exhausted(gauge: &Gauge) -> bool {
    gauge.is_full() && gauge.limit != Limit::TimeWaitBuckets
}

/// The fullest accept queue of each address, of those that share it; the kernel takes one more than the
/// maximum.
fn accept_queues(listeners: &[Listener]) -> Vec<Gauge> {
    let mut queues: Vec<Gauge> = Vec::new();
    for listener in listeners {
        let Some(max) = listener.accept_queue_max else {
            continue;
        };
        let label = format!("accept queue of {}", listener.local);
        let used = u64::from(listener.accept_queue);
        let queue = gauge(Limit::AcceptQueue, &label, used, u64::from(max) + 1);
        let has_room = queues.len() < LISTENERS_SHOWN_MAX;
        match queues.iter_mut().find(|known| known.label == label) {
            Some(known) if known.share() < queue.share() => *known = queue,
            Some(_) => {}
            None if has_room => queues.push(queue),
            None => {}
        }
    }
    queues
}

/// The tuples of a pair: among the kernel's ports, or among all where programs choose.
fn tuples(pair: &Pair, ports: &LocalPorts, listeners: &[Listener]) -> Gauge {
    let label = format!("tuples from {} to {}", pair.source, pair.destination);
    if pair.explicit_count > 0 {
        return gauge(Limit::Tuples, &label, pair.used(), PORTS_COUNT);
    }
    // A port that somebody listens on is not chosen.
    let taken = listeners
        .iter()
        .map(|listener| listener.local)
        .filter(|local| {
            (local.ip().is_unspecified() || local.ip() == pair.source)
                && ports.contains(local.port())
        });
    let taken: HashSet<u16> = taken.map(|local| local.port()).collect();
    let max = ports.count().saturating_sub(taken.len() as u64);
    Gauge {
        knee: Some(max / 2),
        ..gauge(Limit::PortRange, &label, pair.used(), max)
    }
}

fn gauge(limit: Limit, label: &str, used: u64, max: u64) -> Gauge {
    Gauge {
        limit,
        label: label.to_owned(),
        used,
        max,
        knee: None,
    }
}

//! Sentences for people: what can be held here, what binds first, and what to change.

use std::fmt;

use crate::{
    End, Grouped, Kernel, Layout, Limit, Machine, Tables, ledger::connection_bytes, tuples,
};

/// How many connections one process can hold here, and the limit that says so.
///
/// Its `Display` is the sentence that a server prints at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Connections that one process can have open at once.
    pub connections_max: u64,
    /// The limit that is met first.
    pub limit: Limit,
    /// The value of that limit.
    pub value: u64,
    /// How the process keeps its connections.
    pub layout: Layout,
    /// Files that the whole machine had open already, which are taken off `fs.file-max`.
    files_open_count: u64,
    /// What to do instead of raising the limit, where the program knows better.
    remedy: Option<&'static str>,
}

/// Why a wanted number of connections cannot be held, with the arithmetic.
///
/// Its `Display` is the refusal that a crowd prints instead of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortage {
    /// One process may not have enough descriptors (or watches, or open files).
    Process {
        /// Connections that were asked for.
        wanted: u64,
        /// What can be held.
        holds: Holds,
    },
    /// The source addresses have too few ports towards the destinations.
    Tuples {
        /// Connections that were asked for.
        wanted: u64,
        /// Source addresses at hand.
        addresses: u64,
        /// Destinations, as (address, port) pairs.
        destinations: u64,
    },
}

impl Holds {
    /// The least of the limits of `machine` on the connections of one process.
    ///
    /// Counts with the hard descriptor limit, to which [`raise_nofile`](crate::raise_nofile) takes
    /// a process at its start. An unknown limit does not bind. What other processes have open
    /// already is taken off `fs.file-max`. Memory is counted for idle connections,
    /// [`connection_bytes`] each.
    pub fn with(layout: &Layout, machine: &Machine) -> Self {
        // Neither epoll instances nor anything else of the program is a connection.
        let beside = |value: u64| value.saturating_sub(layout.files_reserved());
        let descriptors = |value: u64| (value, layout.connections_max_at(value));
        let files_open_count = machine.files_open_count.unwrap_or(0);
        let file_max = machine.file_max.filter(|_| !machine.is_file_max_exempt);
        let watches = machine
            .epoll_watches_max
            .filter(|_| layout.kernel == Kernel::Epoll);
        let memory = machine.memory_available_bytes;
        let each = connection_bytes(layout.end, layout.kernel);
        let candidates = [
            (Limit::Descriptors, Some(descriptors(machine.nofile.hard))),
            (Limit::DescriptorCeiling, machine.nr_open.map(descriptors)),
            (
                Limit::OpenFiles,
                file_max.map(|max| (max, beside(max.saturating_sub(files_open_count)))),
            ),
            (
                Limit::EpollWatches,
                watches.map(|watches| (watches, beside(watches))),
            ),
            (Limit::Memory, memory.map(|bytes| (bytes, bytes / each))),
        ];
        let mut least = Self {
            connections_max: u64::MAX,
            limit: Limit::Descriptors,
            value: machine.nofile.hard,
            layout: *layout,
            files_open_count,
            remedy: None,
        };
        for (limit, candidate) in candidates {
            match candidate {
                Some((value, connections_max)) if connections_max < least.connections_max => {
                    least = Self {
                        connections_max,
                        limit,
                        value,
                        ..least
                    };
                }
                _ => {}
            }
        }
        least
    }

    /// The same with another way to hold more, a clause that reads on after "to hold more, ". It is for a
    /// limit on descriptors, which more tables get around; the remedies of other limits stay.
    pub const fn or_rather(self, remedy: &'static str) -> Self {
        Self {
            remedy: Some(remedy),
            ..self
        }
    }

    /// What to do to hold more.
    pub fn remedy(&self) -> &'static str {
        match (self.limit, self.remedy) {
            (Limit::Descriptors | Limit::DescriptorCeiling, Some(remedy)) => remedy,
            _ => self.limit.remedy(),
        }
    }
}

impl Shortage {
    /// Whether one process on `machine` is too small for `wanted` connections, kept as `layout` says.
    pub fn of_layout(wanted: u64, layout: &Layout, machine: &Machine) -> Option<Self> {
        Self::of_holds(wanted, Holds::with(layout, machine))
    }

    /// Whether `wanted` connections are more than can be held.
    pub fn of_holds(wanted: u64, holds: Holds) -> Option<Self> {
        (wanted > holds.connections_max).then_some(Self::Process { wanted, holds })
    }

    /// Whether `addresses` source addresses are too few for `wanted` connections to `destinations`
    /// (address, port) pairs.
    pub fn of_tuples(wanted: u64, addresses: u64, destinations: u64) -> Option<Self> {
        let possible = tuples::connections_possible(addresses, destinations, tuples::PORTS_COUNT);
        (wanted > possible).then_some(Self::Tuples {
            wanted,
            addresses,
            destinations,
        })
    }

    /// The limit that is in the way.
    pub fn limit(&self) -> Limit {
        match self {
            Self::Process { holds, .. } => holds.limit,
            Self::Tuples { .. } => Limit::Tuples,
        }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "can hold {} connections ({} {}{}; to hold more, {})",
            Grouped(self.connections_max),
            full_name(self.limit),
            Grouped(self.value),
            of_each_shard(self),
            self.remedy()
        )
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Process { wanted, holds } => write_process_shortage(f, wanted, &holds),
            Self::Tuples {
                wanted,
                addresses,
                destinations,
            } => {
                let ports = tuples::PORTS_COUNT;
                write!(
                    f,
                    "{wanted} connections need {need} source addresses and have {addresses}: \
                     {addresses} x {ports} ports x {destinations} destination{plural} = \
                     {possible}; to hold more, {remedy}",
                    wanted = Grouped(wanted),
                    need = Grouped(tuples::addresses_needed(wanted, destinations, ports)),
                    addresses = Grouped(addresses),
                    ports = Grouped(ports),
                    destinations = Grouped(destinations),
                    plural = if destinations == 1 { "" } else { "s" },
                    possible =
                        Grouped(tuples::connections_possible(addresses, destinations, ports)),
                    remedy = Limit::Tuples.remedy(),
                )
            }
        }
    }
}

fn write_process_shortage(f: &mut fmt::Formatter<'_>, wanted: u64, holds: &Holds) -> fmt::Result {
    write!(f, "{} connections need ", Grouped(wanted))?;
    let value = Grouped(holds.value);
    let name = full_name(holds.limit);
    let each = connection_bytes(holds.layout.end, holds.layout.kernel);
    match (holds.limit, holds.layout.tables) {
        (Limit::Memory, _) => write!(
            f,
            "{need} bytes of memory while they are idle ({each} each), but {value} are available",
            need = Grouped(wanted.saturating_mul(each)),
            each = Grouped(each),
        )?,
        (Limit::Descriptors | Limit::DescriptorCeiling, Tables::PerShard)
            if holds.value < holds.layout.files_reserved() =>
        {
            write!(
                f,
                "{need} descriptors before the first of them (for everything else, {admin} of these for \
                 admin.connections_max): {name} is {value}",
                need = Grouped(holds.layout.files_reserved()),
                admin = Grouped(holds.layout.admin_connections.into()),
            )?;
        }
        (Limit::Descriptors | Limit::DescriptorCeiling, Tables::PerShard) => write!(
            f,
            "more than {shards} shards, each with descriptors of its own ({reserved} of them for \
             everything else{slack}): {name} is {value}",
            shards = holds.layout.shards,
            reserved = holds.layout.reserved() + holds.layout.lobby(),
            slack = match holds.layout.end {
                End::Server => ", and some free since the kernel spreads connections by chance",
                End::Crowd => "",
            },
        )?,
        (Limit::OpenFiles, _) => write!(
            f,
            "{need} open files (one each and {reserved} for everything else), but {name} is {value} \
             and {open} are open already",
            need = Grouped(wanted.saturating_add(holds.layout.files_reserved())),
            reserved = holds.layout.files_reserved(),
            open = Grouped(holds.files_open_count),
        )?,
        _ => write!(
            f,
            "{need} descriptors in this process (one each and {reserved} for everything else), but \
             {name} is {value}",
            need = Grouped(wanted.saturating_add(holds.layout.reserved())),
            reserved = holds.layout.reserved(),
        )?,
    }
    write!(
        f,
        ", which is enough for {}; to hold more, {}",
        Grouped(holds.connections_max),
        holds.remedy()
    )
}

/// The name of a limit in a sentence about a process that has raised its soft limits.
fn full_name(limit: Limit) -> String {
    match limit {
        Limit::Descriptors => format!("{} hard limit", limit.name()),
        Limit::Memory => "available memory in bytes".to_owned(),
        _ => limit.name().to_owned(),
    }
}

/// Says of a limit on descriptors how often it is there.
fn of_each_shard(holds: &Holds) -> String {
    match (holds.limit, holds.layout.tables) {
        (Limit::Descriptors | Limit::DescriptorCeiling, Tables::PerShard) => {
            let shards = holds.layout.shards;
            let plural = if shards == 1 { "" } else { "s" };
            format!(" for each of {shards} shard{plural}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{End, Nofile};

    impl Holds {
        /// With all connections in the one table of the process.
        fn of(machine: &Machine) -> Self {
            let layout = Layout::of_cores(machine, End::Server, Kernel::Epoll);
            Self::with(&layout, machine)
        }
    }

    impl Shortage {
        fn of_process(wanted: u64, machine: &Machine) -> Option<Self> {
            Self::of_holds(wanted, Holds::of(machine))
        }
    }

    fn machine() -> Machine {
        Machine {
            nofile: Nofile {
                soft: 1024,
                hard: 20_000,
            },
            nr_open: Some(1_048_576),
            file_max: Some(2_466_170),
            files_open_count: Some(540),
            is_file_max_exempt: false,
            epoll_watches_max: Some(5_000_000),
            accept_queue_max: Some(4096),
            tcp_memory: None,
            memory_available_bytes: None,
            cores_count: 2,
        }
    }

    #[test]
    fn says_what_can_be_held_and_how_to_hold_more() {
        let text = Holds::of(&machine()).to_string();
        assert!(
            text.starts_with(
                "can hold 19,900 connections (RLIMIT_NOFILE hard limit 20,000; to \
                              hold more, raise the limit"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_least_limit_binds() {
        let holds = |change: fn(&mut Machine)| {
            let mut machine = machine();
            machine.nofile.hard = u64::MAX;
            change(&mut machine);
            let holds = Holds::of(&machine);
            (holds.connections_max, holds.limit)
        };
        assert_eq!(holds(|_| {}), (1_048_476, Limit::DescriptorCeiling));
        assert_eq!(
            holds(|m| m.file_max = Some(10_640)),
            (10_000, Limit::OpenFiles)
        );
        assert_eq!(
            holds(|m| m.epoll_watches_max = Some(500)),
            (400, Limit::EpollWatches)
        );
        assert_eq!(holds(|m| m.nofile.hard = 64), (0, Limit::Descriptors));
    }

    #[test]
    fn limits_that_are_not_meant_do_not_bind() {
        let machine = Machine {
            is_file_max_exempt: true,
            file_max: Some(10_640),
            epoll_watches_max: Some(500),
            ..machine()
        };
        let layout = Layout::of_cores(&machine, End::Crowd, Kernel::Uring);
        let holds = Holds::with(&layout, &machine);
        assert_eq!(
            (holds.connections_max, holds.limit),
            (2 * 19_900, Limit::Descriptors)
        );
    }

    #[test]
    fn with_shards_enough_another_limit_binds() {
        let machine = Machine {
            memory_available_bytes: Some(4 << 30),
            ..machine()
        };
        let layout = Layout::of_cores(&machine, End::Server, Kernel::Epoll).for_connections(
            2_000_000,
            None,
            Tables::PerShard,
            &machine,
        );
        let shortage = Shortage::of_layout(2_000_000, &layout, &machine);
        assert_eq!(shortage.map(|s| s.limit()), Some(Limit::Memory));
        assert_eq!(Shortage::of_layout(900_000, &layout, &machine), None);
    }

    #[test]
    fn counted_shards_are_named_with_their_remedy() {
        let layout = Layout::of_cores(&machine(), End::Server, Kernel::Epoll).for_connections(
            100_000,
            Some(2),
            Tables::PerShard,
            &machine(),
        );
        let holds = Holds::with(&layout, &machine()).or_rather("allow more shards");
        let n = Grouped(layout.connections_max(&machine()));
        assert_eq!(
            holds.to_string(),
            format!(
                "can hold {n} connections (RLIMIT_NOFILE hard limit 20,000 for each of 2 shards; to \
                 hold more, allow more shards)"
            )
        );
        let shortage = Shortage::of_holds(100_000, holds).expect("two shards are too few");
        assert_eq!(
            shortage.to_string(),
            format!(
                "100,000 connections need more than 2 shards, each with descriptors of its own (164 \
                 of them for everything else, and some free since the kernel spreads connections by \
                 chance): RLIMIT_NOFILE hard limit is 20,000, which is enough for {n}; to hold more, \
                 allow more shards"
            )
        );
    }

    #[test]
    fn unknown_limits_do_not_bind() {
        let machine = Machine {
            nr_open: None,
            file_max: None,
            files_open_count: None,
            epoll_watches_max: None,
            ..machine()
        };
        assert_eq!(Holds::of(&machine).connections_max, 19_900);
    }

    #[test]
    fn refuses_with_the_arithmetic() {
        assert_eq!(Shortage::of_process(19_900, &machine()), None);
        let shortage = Shortage::of_process(25_000, &machine()).expect("25,000 is over 19,900");
        assert_eq!(shortage.limit(), Limit::Descriptors);
        let text = shortage.to_string();
        assert!(
            text.starts_with(
                "25,000 connections need 25,100 descriptors in this process (one each and 100 \
                 for everything else), but RLIMIT_NOFILE hard limit is 20,000, which is enough \
                 for 19,900; to hold more, raise"
            ),
            "{text}"
        );
    }

    #[test]
    fn files_that_are_open_already_are_part_of_the_arithmetic() {
        let machine = Machine {
            file_max: Some(10_640),
            ..machine()
        };
        let shortage = Shortage::of_process(10_100, &machine).expect("10,100 is over 10,000");
        let text = shortage.to_string();
        assert!(
            text.starts_with(
                "10,100 connections need 10,200 open files (one each and 100 for everything else), \
                 but fs.file-max is 10,640 and 540 are open already, which is enough for 10,000; to \
                 hold more, "
            ),
            "{text}"
        );
    }

    #[test]
    fn refuses_too_few_source_addresses() {
        assert_eq!(Shortage::of_tuples(64_512, 1, 1), None);
        let shortage = Shortage::of_tuples(100_000, 1, 1).expect("one address has 64,512 ports");
        assert_eq!(
            shortage.to_string(),
            "100,000 connections need 2 source addresses and have 1: 1 x 64,512 ports x 1 \
             destination = 64,512; to hold more, dial from more source addresses (`--sources`), \
             or towards more destination addresses or ports"
        );
    }

    #[test]
    fn memory_binds_where_descriptors_abound() {
        let small = Machine {
            nofile: Nofile {
                soft: 1 << 20,
                hard: 1 << 20,
            },
            memory_available_bytes: Some(512 << 20),
            ..machine()
        };
        let holds = Holds::of(&small);
        assert_eq!(
            (holds.limit, holds.connections_max),
            (Limit::Memory, 124_160)
        );
        assert_eq!(
            holds.to_string().split(';').next(),
            Some("can hold 124,160 connections (available memory in bytes 536,870,912")
        );
        let shortage = Shortage::of_process(200_000, &small).unwrap().to_string();
        assert!(shortage.starts_with("200,000 connections need 864,800,000 bytes of memory"));
    }
}

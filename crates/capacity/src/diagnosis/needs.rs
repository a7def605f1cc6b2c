//! How much of each limit a demand needs, and why.

use super::{Need, Weight, is_both};
use crate::{
    Bytes, Demand, Grouped, Kernel, Limit, Side, Survey, Tables,
    plan::{DESCRIPTORS_BESIDE, PAGE_BYTES, Program},
    survey::Reading,
    tuples::{self, PORTS_COUNT},
};

/// The share of nf_conntrack_max that connections should leave free: a sixth of it.
const CONNTRACK_SPARE: u64 = 5;

/// Connections in one bucket of the established table from which it is felt.
const BUCKET_DEPTH: u64 = 4;

/// The round trip for which handshakes are counted, as a part of a second: 200 ms.
const ROUND_TRIPS_PER_SECOND: u64 = 5;

/// Mappings of a process besides those of its threads.
const MAPS_BESIDE: u64 = 1_000;

/// Source addresses of 127.0.0.0/8 that a crowd on one machine may use.
const LOOPBACK_ADDRESSES: u64 = (1 << 24) - 4;

/// Whether too little of `limit` stops connections, whatever is asked.
pub(super) const fn is_must(limit: Limit) -> bool {
    matches!(
        limit,
        Limit::Descriptors
            | Limit::DescriptorCeiling
            | Limit::OpenFiles
            | Limit::EpollWatches
            | Limit::Tuples
            | Limit::PortRange
            | Limit::Conntrack
            | Limit::MemoryMaps
            | Limit::Threads
            | Limit::ProcessIds
            | Limit::GroupThreads
            | Limit::UserProcesses
            | Limit::Memory
            | Limit::GroupMemory
    )
}

/// What `demand` needs of `limit`; `None` where it does not matter.
pub(super) fn need(limit: Limit, survey: &Survey, demand: &Demand) -> Option<Need> {
    let weight = if is_must(limit) {
        Weight::Must
    } else {
        Weight::Should
    };
    let (least, why) = match limit {
        Limit::Descriptors | Limit::DescriptorCeiling => {
            return Some(descriptors(survey, demand, limit == Limit::Descriptors));
        }
        Limit::OpenFiles => return Some(open_files(survey, demand)),
        Limit::EpollWatches => epoll_watches(demand)?,
        Limit::Tuples => tuples(survey, demand),
        Limit::PortRange => return port_range(survey, demand),
        Limit::Conntrack => conntrack(survey, demand),
        Limit::AcceptQueue | Limit::SynBacklog => {
            handshakes(limit, demand, survey.machine.cores_count)
        }
        Limit::TcpMemory => return Some(tcp_memory(survey, demand)),
        Limit::Orphans | Limit::TimeWaitBuckets => (
            demand.connections,
            "connections that close at one time, as when a program ends".to_owned(),
        ),
        Limit::EstablishedTable => (
            demand.sockets() / BUCKET_DEPTH,
            format!("{BUCKET_DEPTH} sockets in a bucket; more only costs time"),
        ),
        Limit::MemoryMaps => (
            MAPS_BESIDE + 2 * demand.threads(&survey.machine),
            "two for each thread, and those of the program".to_owned(),
        ),
        Limit::Threads | Limit::ProcessIds | Limit::GroupThreads => (
            used(limit, survey).saturating_add(demand.threads(&survey.machine)),
            "threads of the machine now and those of the programs".to_owned(),
        ),
        Limit::UserProcesses => (
            demand.threads(&survey.machine),
            "threads of the programs, beside what the user has".to_owned(),
        ),
        Limit::Memory | Limit::GroupMemory => memory(limit, survey, demand),
        _ => return None,
    };
    Some(Need {
        least,
        weight,
        why,
        to: None,
    })
}

fn used(limit: Limit, survey: &Survey) -> u64 {
    let reading = survey.reading(limit).ok();
    reading.and_then(|reading| reading.used).unwrap_or(0)
}

/// One table of descriptors: for all connections of an end, or for those of a shard.
fn descriptors(survey: &Survey, demand: &Demand, is_of_process: bool) -> Need {
    let machine = &survey.machine;
    let layouts = demand.ends().filter_map(|end| demand.layout(end, machine));
    let mut least = 0;
    let mut words = Vec::new();
    for layout in layouts {
        let tables = layout.tables_count();
        let enough = layout.connections_max(machine) >= demand.connections;
        let each = if enough {
            layout.reserved() + layout.lobby() + demand.connections.div_ceil(tables)
        } else {
            // As many shards as there may be, and still too few.
            layout.reserved() + layout.lobby() + demand.connections.div_ceil(tables) + 1
        };
        least = least.max(each);
        words.push(match layout.tables {
            Tables::PerShard => {
                format!("{} shards of the {} with a table each", tables, layout.end)
            }
            Tables::PerProcess => format!("one table of the {}", layout.end),
        });
    }
    if words.is_empty() {
        least = demand.connections.saturating_add(DESCRIPTORS_BESIDE);
        words.push(format!(
            "one for each connection and {} for everything else, in one process; a program that raises \
             its own limit, as Go, Java and Node do, has {}",
            Grouped(DESCRIPTORS_BESIDE),
            Grouped(machine.nofile.hard)
        ));
    }
    Need {
        least,
        weight: Weight::Must,
        why: words.join(", "),
        // Never below what is allowed already.
        to: is_of_process.then(|| least.max(machine.nofile.hard).to_string()),
    }
}

fn open_files(survey: &Survey, demand: &Demand) -> Need {
    let exempt = survey.machine.is_file_max_exempt;
    let each = if is_both(demand) {
        "two files"
    } else {
        "a file"
    };
    let mut why = format!("{each} for each connection beside those that are open");
    if exempt {
        why.push_str("; this process has CAP_SYS_ADMIN and is not bound by it");
    }
    Need {
        least: used(Limit::OpenFiles, survey)
            .saturating_add(demand.sockets())
            .saturating_add(DESCRIPTORS_BESIDE),
        weight: if exempt { Weight::Should } else { Weight::Must },
        why,
        to: None,
    }
}

fn epoll_watches(demand: &Demand) -> Option<(u64, String)> {
    match (demand.program, demand.kernel) {
        // It polls without epoll.
        (Program::Fourtuple, Kernel::Uring) => None,
        _ => Some((
            demand.sockets(),
            "one for each connection and end of the user".to_owned(),
        )),
    }
}

/// What `limit` comes to for `demand`, where that is not its value on the machine.
pub(super) fn reading(limit: Limit, survey: &Survey, demand: &Demand) -> Option<Reading> {
    match limit {
        // The tuples of the source addresses, at the ports of a program that chooses them itself.
        Limit::Tuples => {
            let (addresses, _) = sources(demand);
            let value = tuples::connections_possible(addresses, demand.destinations, PORTS_COUNT);
            Some(Reading {
                text: value.to_string(),
                value,
                used: None,
            })
        }
        // What applies to a program that does not raise its limit.
        Limit::Descriptors if demand.program != Program::Fourtuple => {
            let reading = survey.reading(limit).ok()?;
            Some(Reading {
                value: survey.machine.nofile.soft,
                ..reading.clone()
            })
        }
        // The mark at which it is felt.
        Limit::TcpMemory => {
            let reading = survey.reading(limit).ok()?;
            let numbers = marks(&reading.text)?;
            Some(Reading {
                value: numbers[felt_at(demand)],
                ..reading.clone()
            })
        }
        _ => None,
    }
}

/// Which of the three marks of TCP memory is felt: a broadcast of ours rests from the first on; from the
/// second on the kernel shrinks buffers.
fn felt_at(demand: &Demand) -> usize {
    usize::from(demand.program != Program::Fourtuple || demand.role == Side::Client)
}

fn marks(text: &str) -> Option<[u64; 3]> {
    let numbers = text.split_whitespace().map(str::parse);
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

fn sources(demand: &Demand) -> (u64, &'static str) {
    match (demand.sources, is_both(demand)) {
        (Some(sources), _) => (sources, ""),
        (None, true) => (LOOPBACK_ADDRESSES, " of 127.0.0.0/8"),
        // The one of the route; others have to be named.
        (None, false) => (1, ""),
    }
}

fn tuples(survey: &Survey, demand: &Demand) -> (u64, String) {
    let (addresses, whose) = sources(demand);
    let destinations = demand.destinations;
    let mut why = format!(
        "{} source address{}{whose} x {} ports x {} destination{}; a NAT in between has its own limit",
        Grouped(addresses),
        if addresses == 1 { "" } else { "es" },
        Grouped(PORTS_COUNT),
        Grouped(destinations),
        if destinations == 1 { "" } else { "s" },
    );
    let others = survey.addresses_count.filter(|count| *count > addresses);
    if let (Some(count), false) = (others, is_both(demand)) {
        why.push_str(&format!("; this machine has {} addresses", Grouped(count)));
    }
    (demand.connections, why)
}

/// The kernel's own choice of ports; a program that chooses by itself does not meet it.
fn port_range(survey: &Survey, demand: &Demand) -> Option<Need> {
    if demand.program == Program::Fourtuple {
        return None;
    }
    let addresses = match (demand.sources, is_both(demand)) {
        (Some(sources), _) => sources,
        (None, true) => return None, // Which addresses of 127.0.0.0/8 it binds is its own affair.
        (None, false) => 1,
    };
    let text = survey
        .reading(Limit::PortRange)
        .map(|reading| &*reading.text);
    let range = text.ok().and_then(crate::machine::parse_port_range);
    let low = range.map_or(1_024, |range| *range.start());
    let each = demand.connections.div_ceil(addresses.max(1));
    Some(Need {
        least: each.div_ceil(demand.destinations.max(1)),
        weight: Weight::Must,
        why: "ports for each source address and destination; from half of the range on, connect \
              takes a hundred times as long"
            .to_owned(),
        to: Some(format!("{} {}", low.min(1_024), u16::MAX)),
    })
}

fn conntrack(survey: &Survey, demand: &Demand) -> (u64, String) {
    let count = used(Limit::Conntrack, survey);
    // A table that is empty while there are sockets is there, but no rule of the firewall asks for it.
    if count == 0 && survey.sockets_count.unwrap_or(0) > 0 {
        let words =
            "nothing, since it is empty: no rule of this machine's firewall tracks connections";
        return (0, words.to_owned());
    }
    (
        count
            .saturating_add(demand.connections)
            .saturating_add(demand.connections / CONNTRACK_SPARE),
        "an entry for each connection, and a fifth to spare".to_owned(),
    )
}

fn handshakes(limit: Limit, demand: &Demand, cores_count: usize) -> (u64, String) {
    let rate = demand.connects_per_second;
    match limit {
        Limit::SynBacklog => (
            rate / ROUND_TRIPS_PER_SECOND,
            format!(
                "{} connects per second and a round trip of 200 ms",
                Grouped(rate)
            ),
        ),
        _ => {
            let pause = demand.pause.as_millis() as u64;
            // Each shard of ours has a queue of its own.
            let queues = match demand.program {
                Program::Fourtuple => cores_count.max(1) as u64,
                Program::Other { .. } => 1,
            };
            (
                rate.saturating_mul(pause) / 1_000 / queues,
                format!(
                    "{} connects per second while the server pauses for {pause} ms; the backlog of \
                     its listen() has to be as long",
                    Grouped(rate)
                ),
            )
        }
    }
}

fn tcp_memory(survey: &Survey, demand: &Demand) -> Need {
    let memory = survey
        .reading(Limit::Memory)
        .map_or(u64::MAX, |reading| reading.value);
    // More than half of the memory it could not be.
    let most = memory / PAGE_BYTES / 2;
    let least = used(Limit::TcpMemory, survey)
        .saturating_add(demand.connections)
        .min(most);
    let text = survey
        .reading(Limit::TcpMemory)
        .map(|reading| &*reading.text);
    let to = text.ok().and_then(marks).map(|mut marks| {
        // What follows must not be lower.
        for mark in &mut marks[felt_at(demand)..] {
            *mark = least.max(*mark);
        }
        marks.map(|mark| mark.to_string()).join(" ")
    });
    Need {
        least,
        weight: Weight::Should,
        to,
        why: match (demand.program, demand.role) {
            (Program::Fourtuple, Side::Server | Side::Both) => {
                "a page for each connection that has not read a message to all; a broadcast of \
                 fourtuple rests before it is full"
            }
            _ => "a page for each connection that has not read a message to all",
        }
        .to_owned(),
    }
}

fn memory(limit: Limit, survey: &Survey, demand: &Demand) -> (u64, String) {
    let idle = demand.idle_bytes(&survey.machine);
    let each = idle / demand.connections.max(1);
    let all = demand.broadcast_bytes(&survey.machine);
    (
        used(limit, survey).saturating_add(idle),
        format!(
            "{} bytes for each idle connection, kernel and program, beside what is used; {} more \
             while nobody has read a message to all",
            Grouped(each),
            Bytes(all - idle)
        ),
    )
}

//! A run: checks that it can be held, decides what was left open, and lets it happen.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use capacity::{End, Kernel, Layout, Machine, Shortage, Sources, Tables};
use engine::{KernelChoice, KernelInUse, Settings, StartError};
use rustix::io::Errno;
use thiserror::Error;

use crate::{
    agents::{AgentsError, Capacity},
    conductor::Conductor,
    gate::{Gate, Open, Place},
    handshakes::Handshakes,
    interrupt::Interrupt,
    lookout::Lookout,
    options::{Options, OptionsError},
    outcome::Outcome,
    part::Part,
    progress::Progress,
    proxy,
    report::{End as RunEnd, Report},
    sent::Sent,
    swarm::Plan,
    way::Way,
};

/// Why a run has no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// What was asked cannot be done on this machine, or contradicts itself.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The server's name has no address.
    #[error("cannot find the address of {host}: {error}")]
    Resolve {
        /// The name and port.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The one user before or after all others failed.
    #[error("the script's `{edge}` failed: {why}")]
    Edge {
        /// `before` or `after`.
        edge: &'static str,
        /// Why.
        why: String,
    },
    /// The shards could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The agents did not begin.
    #[error(transparent)]
    Agents(Box<AgentsError>),
    /// A shard's kernel failed in the middle of the run.
    #[error("a thread of the crowd failed: {0}")]
    Shard(Errno),
}

/// How long a server may take to answer a goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest message that the crowd reads.
const MESSAGE_BYTES_MAX: u64 = 8 << 20;

/// Opens, holds and closes a crowd as `options` say, shows it to `progress`, and reports.
///
/// A server that refuses, drops or loses something is not an error but a report whose `held` is
/// false.
///
/// # Errors
///
/// [`LoadError::Options`] and [`LoadError::Resolve`] before the first connection;
/// [`LoadError::Start`] and [`LoadError::Shard`] when the machine fails.
pub fn run(
    options: Options,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Report, LoadError> {
    let (plan, settings) = plan(options)?;
    let plan = Arc::new(plan);
    let (outcome, end) = lead(&plan, &settings, progress, interrupt, &mut Open, || {})?;
    Ok(Report::new(&plan.options, plan.shards, outcome, end))
}

/// Starts the shards, and leads them through the stages of a run from when `start` returns on.
pub(crate) fn lead(
    plan: &Arc<Plan>,
    settings: &Settings,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
    gate: &mut dyn Gate,
    start: impl FnOnce(),
) -> Result<(Outcome, RunEnd), LoadError> {
    let lookout = Lookout::start(plan.options.watch.clone());
    let mut conductor = Conductor::start(plan, settings, progress, interrupt, lookout, gate)?;
    start();
    if conductor.open() {
        conductor.pass(Place::OPENED);
        conductor.hold();
        conductor.pass(Place::HELD);
        conductor.broadcast();
        conductor.pass(Place::BROADCAST);
        conductor.drop_share();
        conductor.pass(Place::RETURNED);
        conductor.settle();
        conductor.pass(Place::SETTLED);
    }
    conductor.finish()
}

/// Checks that this machine can hold what is asked, and decides what was left open.
fn plan(options: Options) -> Result<(Plan, Settings), LoadError> {
    options.check()?;
    let part = Part::whole(options.connections);
    plan_part(options, part, fastrand::u64(..))
}

/// The same for one machine of several: `options` are those of the whole run, but for the connections and
/// the handshakes of this one, and `run` is the run's name.
pub(crate) fn plan_part(
    options: Options,
    part: Part,
    run: u64,
) -> Result<(Plan, Settings), LoadError> {
    let connections = options.connections.into();
    capacity::raise_nofile();
    let machine = Machine::read();
    let layout = layout(&options, &machine)?;
    if let Some(shortage) = Shortage::of_layout(connections, &layout, &machine) {
        return Err(OptionsError::Shortage(shortage).into());
    }
    let (destination, sources) = ways(&options)?;
    if let Some(shortage) = Shortage::of_tuples(connections, sources.count(), 1) {
        return Err(OptionsError::Shortage(shortage).into());
    }
    let topics = if options.publishes() {
        options.topics
    } else {
        0
    };
    let sent = match part.is_whole() {
        true => Sent::new(topics),
        false => Sent::with_own(topics, part.topics(topics)),
    };
    let plan = Plan {
        destination,
        way: Way::to(&options.target, options.proxy.as_ref(), &options.tls)?,
        sources,
        run,
        shards: layout.shards,
        shards_at_a_time: u16::try_from(machine.cores_count).unwrap_or(u16::MAX),
        seats: seats(&layout, &machine),
        sent,
        handshakes: Handshakes::new(options.concurrency),
        part: Arc::new(part),
        options,
    };
    let settings = settings(&plan, layout.tables);
    Ok((plan, settings))
}

/// How many connections this machine can carry of those that `options` ask of all machines together.
pub(crate) fn capacity(options: &Options) -> Result<Capacity, LoadError> {
    capacity::raise_nofile();
    let machine = Machine::read();
    let layout = layout(options, &machine)?;
    let (destination, sources) = ways(options)?;
    Ok(Capacity {
        rests: !destination.ip().is_loopback(),
        ..Capacity::of(&layout, &machine, sources.count())
    })
}

/// Where the server is, or the proxy that leads to it, and where to dial from.
fn ways(options: &Options) -> Result<(SocketAddr, Sources), LoadError> {
    let given = options.sources.as_ref();
    let like = given.and_then(|all| all.addresses().next());
    let destination = proxy::destination(&options.target, options.proxy.as_ref(), like)?;
    let sources = match &options.sources {
        Some(sources) => sources.clone(),
        None => default_sources(destination, tuples_wanted(options))?,
    };
    check_sources(&sources, destination)?;
    Ok((destination, sources))
}

/// How many shards the connections need, and whose descriptors these use.
fn layout(options: &Options, machine: &Machine) -> Result<Layout, LoadError> {
    let few = options.shards(machine.cores_count);
    let connections = options.connections.into();
    layout_of(options.kernel, few, options.shards, connections, machine)
}

/// How many shards `connections` need where `few` are enough by themselves and an operator has counted
/// `fixed`, and whose descriptors these use.
pub(crate) fn layout_of(
    kernel: KernelChoice,
    few: u16,
    fixed: Option<u16>,
    connections: u64,
    machine: &Machine,
) -> Result<Layout, LoadError> {
    let in_use = kernel.settle();
    let in_use = in_use.map_err(|reason| LoadError::Start(StartError::Uring(reason)))?;
    let (kernel, tables) = match in_use {
        KernelInUse::Uring => (Kernel::Uring, Tables::PerShard),
        _ => (Kernel::Epoll, Tables::PerProcess),
    };
    let few = Layout {
        end: End::Crowd,
        kernel,
        shards: few,
        tables,
        admin_connections: 0,
    };
    Ok(few.for_connections(connections, fixed, in_use.tables(), machine))
}

/// How many connections each shard has descriptors for; where all use those of the process, an equal
/// share of them.
pub(crate) fn seats(layout: &Layout, machine: &Machine) -> u32 {
    let seats = layout.connections_max(machine) / u64::from(layout.shards);
    u32::try_from(seats).unwrap_or(u32::MAX)
}

/// The share of the source tuples that is left over for ports that others use.
const TUPLES_SPARE: u64 = 10;

/// How many tuples the connections need where there are as many as one likes: a few more than
/// connections and, if these come back, as many again, since all may end at once and leave TIME_WAIT.
fn tuples_wanted(options: &Options) -> u64 {
    let connections = u64::from(options.connections);
    let again = if options.reconnect.is_some() {
        connections
    } else {
        0
    };
    connections + again + connections / TUPLES_SPARE
}

/// As many loopback addresses as `tuples` need when the server is on 127.0.0.0/8, else the one
/// address from which the machine would talk to it.
pub(crate) fn default_sources(
    destination: SocketAddr,
    tuples: u64,
) -> Result<Sources, OptionsError> {
    if let IpAddr::V4(address) = destination.ip()
        && address.is_loopback()
    {
        return Ok(Sources::loopback(tuples, 1));
    }
    let any: IpAddr = match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a datagram socket sends nothing; it only asks the routing table.
    let route = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(destination)?;
        socket.local_addr()
    };
    route()
        .map(|local| Sources::single(local.ip()))
        .map_err(|error| OptionsError::NoRoute(destination, error))
}

/// Finds out before the first dial whether every source address is this machine's own, so that
/// `EADDRNOTAVAIL` later means one thing only.
pub(crate) fn check_sources(
    sources: &Sources,
    destination: SocketAddr,
) -> Result<(), OptionsError> {
    for address in sources.addresses() {
        if address.is_ipv4() != destination.is_ipv4() {
            return Err(OptionsError::SourceFamily(address, destination));
        }
        match UdpSocket::bind((address, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                return Err(OptionsError::SourceNotLocal(address));
            }
            // Any other trouble will have its own name when it matters.
            _ => {}
        }
    }
    Ok(())
}

/// The engine's limits for the crowd's side of a connection.
fn settings(plan: &Plan, tables: Tables) -> Settings {
    let options = &plan.options;
    settings_of(
        options.connect_timeout,
        plan.slots_max(),
        options.kernel,
        tables,
    )
}

/// The engine's limits for a crowd of up to `connections_max` connections in each shard.
pub(crate) fn settings_of(
    connect_timeout: Duration,
    connections_max: u32,
    kernel: KernelChoice,
    tables: Tables,
) -> Settings {
    let mut settings = Settings {
        handshake_timeout: connect_timeout,
        // The server decides how long a connection may be idle; the crowd notices what it decides.
        idle_timeout: None,
        close_timeout: CLOSE_TIMEOUT,
        connections_max,
        kernel,
        tables,
        ..Settings::default()
    };
    settings.ws.frame_bytes_max = MESSAGE_BYTES_MAX;
    settings.ws.message_bytes_max = MESSAGE_BYTES_MAX;
    settings
}

/// Milliseconds since 1970.
pub(crate) fn epoch_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use capacity::Nofile;

    use super::*;
    use crate::comeback::Backoff;

    fn options(url: &str) -> Options {
        Options::new(url.parse().expect(url))
    }

    fn refusal(options: Options) -> String {
        plan(options).expect_err("must be refused").to_string()
    }

    #[test]
    fn loopback_servers_are_dialled_from_as_many_addresses_as_needed() {
        let mut options = options("ws://127.0.0.1:4000/socket");
        options.connections = 100;
        assert_eq!(
            plan(options).expect("a plan").0.sources.to_string(),
            "127.0.0.2"
        );
        let destination = "127.0.0.1:4000".parse().expect("an address");
        let mut options = self::options("ws://127.0.0.1:4000/socket");
        options.connections = 70_000;
        for (reconnect, addresses) in [
            (None, "127.0.0.2-127.0.0.3"),
            (Some(Backoff::Phoenix), "127.0.0.2-127.0.0.4"),
        ] {
            options.reconnect = reconnect;
            let sources = default_sources(destination, tuples_wanted(&options));
            assert_eq!(sources.expect("loopback").to_string(), addresses);
        }
        let sixth: SocketAddr = "[::1]:4000".parse().expect("an address");
        if UdpSocket::bind(("::1", 0)).is_ok() {
            assert_eq!(
                default_sources(sixth, 10).expect("loopback").to_string(),
                "::1"
            );
        }
    }

    #[test]
    fn shards_share_the_descriptors_of_the_process() {
        let nofile = Nofile {
            soft: 20_000,
            hard: 20_000,
        };
        let machine = Machine {
            nofile,
            nr_open: None,
            ..Machine::read()
        };
        let shared = Layout {
            end: End::Crowd,
            kernel: Kernel::Epoll,
            shards: 4,
            tables: Tables::PerProcess,
            admin_connections: 0,
        };
        let divided = Layout {
            tables: Tables::PerShard,
            ..shared
        };
        assert_eq!(4 * seats(&shared, &machine), 19_900);
        assert_eq!(seats(&divided, &machine), 19_900);
    }

    #[test]
    fn more_than_a_process_may_hold_is_refused_with_the_arithmetic() {
        let mut options = options("ws://127.0.0.1:4000/socket");
        options.connections = u32::MAX;
        let text = refusal(options);
        assert!(
            text.starts_with("4,294,967,295 connections need "),
            "{text}"
        );
        assert!(text.contains("to hold more, "), "{text}");
    }

    #[test]
    fn sources_that_cannot_work_are_refused() {
        let with_sources = |sources: &str| {
            let mut options = options("ws://127.0.0.1:4000/socket");
            options.sources = Some(sources.parse().expect(sources));
            refusal(options)
        };
        let text = with_sources("203.0.113.1");
        assert!(
            text.starts_with("203.0.113.1 is not an address of this machine"),
            "{text}"
        );
        assert!(with_sources("::1").contains("one is IPv4 and the other IPv6"));
    }

    #[test]
    fn contradictions_are_refused_before_anything_is_looked_up() {
        let mut options = options("ws://host.invalid/socket");
        options.topics = 2;
        assert!(refusal(options).contains("--topics needs a --join"));
    }
}
